"""Where windows are: every character in one that fits, cut where it hurts least."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc
from support.pipelines import (
    TEXTS,
)
from support.windowed import BOOK, NLP, doc_of

from spacy_padellm.documents.cutting import cut
from spacy_padellm.documents.occurrences import token_bounds
from spacy_padellm.documents.windows import MIN_WINDOW_TOKENS, Windows

# Words, white space of all kinds, long runs, marks and joined characters.
pieces = st.one_of(
    st.sampled_from(["a", "the", "Rome", ".", "!", "\n", "\n\n", "  ", "\t", " ", "北京", "é"]),
    st.sampled_from(["x" * 70, "e\u0301" * 30, "👩\u200d👩" * 20, "-" * 50, "\n" * 40, "あ" * 40]),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5),
)


@st.composite
def documents(draw):
    """Docs by spaCy's own tokenizer, and in any tokens with and without spaces between them."""
    words = draw(st.lists(pieces, max_size=60))
    if draw(st.booleans()):
        return NLP.make_doc("".join(words))
    spaces = draw(st.lists(st.booleans(), min_size=len(words), max_size=len(words)))
    return Doc(NLP.vocab, words=words, spaces=spaces)


limits = st.integers(MIN_WINDOW_TOKENS, 80)


@given(documents(), limits, st.integers(0, 40), st.none() | limits)
@settings(max_examples=150)
def test_every_character_is_in_a_window_that_fits(toy_codec, doc, limit, overlap, most):
    windows = Windows(tokens=limit, overlap=min(overlap, limit // 2))
    (ranges,), (ids,) = windows.split([doc], toy_codec, most)
    text, bound = doc.text, min(limit, most or limit)
    if ranges is None:
        assert len(toy_codec.encode(text)) <= bound or not text.strip()
        assert ids is None or ids == toy_codec.encode(text)
        return
    starts, ends = [one.start for one in ranges], [one.end for one in ranges]
    assert starts == sorted(set(starts))
    assert ends == sorted(set(ends))
    covered = np.zeros(len(text), dtype=bool)
    for start, end in ranges:
        covered[start:end] = True
        piece = text[start:end]
        assert piece == piece.strip() != ""
        if most is not None and most <= limit:
            assert len(toy_codec.encode(piece)) <= bound
        assert len(toy_codec.encode(piece)) <= 1.25 * bound  # words alone take other tokens
    assert all(covered[i] or text[i].isspace() for i in range(len(text)))
    # a token of up to an eighth of a window is whole in one
    for start, end in token_bounds(doc).tolist():
        if end - start <= bound // 16 and text[start:end] == text[start:end].strip():
            assert any(first <= start and end <= last for first, last in ranges)


@given(documents(), limits)
@settings(max_examples=50)
def test_windows_do_not_depend_on_the_batch(toy_codec, doc, limit):
    windows = Windows(tokens=limit, overlap=limit // 4)
    others = [NLP.make_doc(BOOK), NLP.make_doc("Bo"), NLP.make_doc("")]
    (alone,) = windows.split([doc], toy_codec, None).windows
    assert windows.split([*others, doc], toy_codec, None).windows[-1] == alone


def test_short_documents_are_not_tokenised_twice(toy_codec, monkeypatch):
    docs = [NLP.make_doc(text) for text in TEXTS]
    windows = Windows(tokens=20, overlap=4)
    divided = windows.split([*docs, NLP.make_doc("thethethethe the the the")], toy_codec, None)
    assert divided.windows == [None] * 5
    assert divided.ids == [None] * 4 + [toy_codec.encode("thethethethe the the the")]
    monkeypatch.setattr(
        toy_codec, "encode_texts", lambda texts: pytest.fail(str(texts)) if texts else []
    )
    assert windows.split(docs, toy_codec, None).ids == [None] * 4


def test_windows_are_whole_sentences_where_they_can_be(toy_codec):
    doc = NLP.make_doc("It is far. Is it as far as that? Not so.\nNo\nYes " * 9)
    (windows,) = Windows(tokens=50, overlap=24).split([doc], toy_codec, None).windows
    assert len(windows) > 5
    for start, end in windows:
        assert doc.text[start:end].endswith((".", "?", "No", "Yes"))
    for one, other in pairwise(windows):
        assert doc.text[one.end : other.start].isspace()


def test_windows_overlap_where_a_sentence_is_cut(toy_codec):
    doc = NLP.make_doc("it is far and " * 40)
    (windows,) = Windows(tokens=50, overlap=24).split([doc], toy_codec, None).windows
    assert len(windows) > 10
    for one, other in pairwise(windows):
        shared = doc.text[other.start : one.end]
        assert 12 <= len(toy_codec.encode(shared)) <= 24
        assert doc.char_span(*one) is not None


def test_a_word_of_a_million_characters(toy_codec):
    doc = doc_of(["x" * 1_000_000], [False])
    (windows,) = Windows(tokens=64, overlap=16).split([doc], toy_codec, None).windows
    assert windows[0].start == 0
    assert windows[-1].end == 1_000_000
    assert all(end - start <= 64 for start, end in windows)
    assert all(other.start < one.end for one, other in pairwise(windows))


def test_marks_stay_with_their_characters(toy_codec):
    doc = doc_of(["e\u0301" * 300], [False])
    (windows,) = Windows(tokens=32, overlap=8).split([doc], toy_codec, None).windows
    assert len(windows) > 1
    assert all(doc.text[start] == "e" for start, _ in windows)


def test_the_models_own_bound_is_kept_where_words_take_fewer_tokens_alone():
    """A tokenizer that sees no words: what it needs for a text is not the sum of its words."""

    class Costly:
        def encode_texts(self, texts):
            return [[0] * (len(text) + text.count(" ") * 3) for text in texts]

    doc = NLP.make_doc("ab cd " * 100)
    bounds = token_bounds(doc)
    ranges = cut(doc.text, bounds, (0, len(doc.text)), Costly(), 40, 10, 40)
    assert max(len(ids) for ids in Costly().encode_texts([doc.text[a:b] for a, b in ranges])) <= 40


# --- settings ---
