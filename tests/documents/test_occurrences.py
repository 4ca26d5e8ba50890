import unicodedata

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc

from spacy_padellm.documents.occurrences import DocText, token_bounds
from spacy_padellm.tokenization.codec import one_line

VOCAB = spacy.blank("xx").vocab
# What composes, what only looks so, and what breaks a run of combining marks.
MARKED = st.text(
    st.sampled_from("aeKk1 \n\u0301\u0302\u0323\u0345\u200d\ufe0f中한\u1112\u1161\u11ab\u11a8")
)
ANY = st.text(st.characters(exclude_categories=["Cs"]))


def text_of(*words, ignore_case=False):
    return DocText(Doc(VOCAB, words, [False] * len(words)), ignore_case=ignore_case)


@pytest.mark.parametrize(
    ("words", "string", "ranks"),
    [
        (["US", "A", "USA"], "US", [[(0, 2)], [], [(3, 5)], []]),
        (["ab", "ab"], "ab", [[(0, 2), (2, 4)], [], [], []]),
        (["a", "aa"], "aa", [[(1, 3)], [], [(0, 2)], []]),
        (["aaaa"], "a", [[], [], [(0, 1), (1, 2), (2, 3), (3, 4)], []]),
        (["a", "a", "a"], "aa", [[(0, 2)], [], [], []]),
        (["é", "e\u0301"], "é", [[(0, 1)], [(1, 3)], [], []]),
        (["é", "e\u0301"], "e\u0301", [[(1, 3)], [(0, 1)], [], []]),
        (["ée\u0301"], "e\u0301", [[], [], [(1, 3)], [(0, 1)]]),
        (["e", "\u0301"], "e", [[(0, 1)], [], [], []]),
        (["e", "\u0301"], "é", [[], [(0, 2)], [], []]),
        (["a"], "b", [[], [], [], []]),
        ([], "b", [[], [], [], []]),
    ],
)
def test_ranks(words, string, ranks):
    assert text_of(*words).find(string) == ranks


def test_case():
    assert text_of("Ab", "ab").find("ab") == [[(2, 4)], [], [], []]
    assert text_of("Ab", "ab", ignore_case=True).find("ab") == [[(2, 4)], [(0, 2)], [], []]


def test_tokens_of_a_char_span():
    text = text_of("New", " ", "York", "-", "based")
    assert text.expand((4, 8)) == (2, 3)
    assert text.expand((5, 10)) == (2, 5)
    assert text.at_tokens((4, 8))
    assert text.at_tokens((0, 8))
    assert not text.at_tokens((5, 8))
    assert not text.at_tokens((4, 7))


@settings(deadline=None)
@given(MARKED | ANY)
def test_folded_piece_by_piece_is_the_whole_folded(string):
    text = text_of(*([string] if string else []))
    offsets, folded = text._folded
    assert folded.text == unicodedata.normalize("NFC", one_line(string))
    assert sorted(offsets) == list(offsets)
    assert sorted(offsets.values()) == list(offsets.values())
    assert (max(offsets), offsets[max(offsets)]) == (len(folded.text), len(string))


@settings(deadline=None)
@given(MARKED | ANY, st.booleans())
def test_fold_is_one_form_for_equivalent_strings(string, ignore_case):
    text = text_of("a", ignore_case=ignore_case)
    forms = {unicodedata.normalize(form, string) for form in ("NFC", "NFD")} | {string}
    assert len({text.fold(form) for form in forms}) == 1
    assert text.fold(text.fold(string)) == text.fold(string)


@given(st.lists(st.sampled_from([" ", "\n", "\n\n", "a", "ab", "é", "北京", "😀"]), max_size=8))
def test_bounds_of_tokens(words):
    doc = Doc(VOCAB, words, [len(word) % 2 == 0 for word in words])
    expected = [[t.idx, t.idx + len(t)] for t in doc if not t.is_space]
    assert token_bounds(doc).tolist() == expected
    assert token_bounds(doc).dtype == "int64"


@given(st.text(st.characters(max_codepoint=127)))
def test_folding_of_ascii(string):
    folded = text_of(ignore_case=True).fold(string)
    assert folded == text_of(ignore_case=True).fold(string + "é")[:-1] == string.lower()
