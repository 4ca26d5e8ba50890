"""Which strings of the text match a mention's string."""

import pytest
from support.alignments import NLP, char_spans, doc_of, mentions_of, reasons

from spacy_padellm.documents import alignment
from spacy_padellm.documents.alignment import align


def test_newline_and_carriage_return_of_the_text_match_a_space():
    doc = NLP["en"].make_doc("New\nYork and Los\r\nAngeles")
    aligned = align(doc, mentions_of(L=["New York", "Los  Angeles"]))
    assert char_spans(aligned) == [("L", 0, 8), ("L", 13, 25)]
    assert [doc[s.start : s.end].text for s in aligned.spans] == ["New\nYork", "Los\r\nAngeles"]


@pytest.mark.parametrize("decoded", ["New York", "New\tYork "])
def test_other_whitespace_matches_itself_only(decoded):
    doc = NLP["en"].make_doc("New  York")
    assert reasons(align(doc, mentions_of(L=[decoded]))) == [alignment.NOT_IN_TEXT]


@pytest.mark.parametrize(
    ("text", "decoded", "char_span"),
    [
        ("Le cafe\u0301 Flore", "café", (3, 8)),
        ("Le café Flore", "cafe\u0301", (3, 7)),
        ("x\u0323\u0302 o\u0302\u0323!", "ộ", (4, 7)),
        ("ᄒ\u1161ᆫ국", "한국", (0, 4)),
        ("한국", "\u1112\u1161\u11ab국", (0, 2)),
        ("5 \u212b", "Å", (2, 3)),
        ("\u212b and Å", "Å", (6, 7)),
        ("ক\u09c7\u09be!", "ক\u09cb", (0, 3)),
    ],
)
def test_equivalent_strings_find_the_original_characters(text, decoded, char_span):
    aligned = align(NLP["en"].make_doc(text), mentions_of(L=[decoded]))
    assert char_spans(aligned) == [("L", *char_span)]


def test_equivalent_strings_share_their_occurrences():
    doc = doc_of("José", "and", "Jose\u0301")
    aligned = align(doc, mentions_of(L=["José", "Jose\u0301", "José"]))
    assert char_spans(aligned) == [("L", 0, 4), ("L", 9, 14)]
    assert reasons(aligned) == [alignment.TOO_OFTEN]


def test_an_equivalent_match_does_not_tear_off_a_mark():
    doc = doc_of("e\u0301o\u0323\u0302")
    # As NFC the text starts with "éộ"; of "o", dot and circumflex, "ọ" is only a part.
    assert reasons(align(doc, mentions_of(L=["éọ"]))) == [alignment.NOT_IN_TEXT]


def test_case_counts_unless_ignored():
    doc = NLP["en"].make_doc("İzmir, STRASSE, ΟΔΟΣ, É, E\u0301")
    decoded = ["i\u0307zmir", "straße", "οδος", "é", "e\u0301"]
    assert reasons(align(doc, mentions_of(L=decoded))) == [alignment.NOT_IN_TEXT] * 5
    aligned = align(doc, mentions_of(L=decoded), ignore_case=True)
    assert [doc.text[start:end] for _, start, end in char_spans(aligned)] == [
        "İzmir",
        "STRASSE",
        "ΟΔΟΣ",
        "É",
        "E\u0301",
    ]
    assert aligned.unaligned == []


def test_half_of_a_folded_character_is_no_match():
    doc = doc_of("Maß")
    assert reasons(align(doc, mentions_of(L=["MAS"]), ignore_case=True)) == [alignment.NOT_IN_TEXT]


@pytest.mark.parametrize("decoded", ["👩‍🚀", "👩‍🚀 Ana", "👍🏽", "🇩🇪"])
def test_emoji_sequences(decoded):
    doc = NLP["en"].make_doc("👩‍🚀 Ana 👍🏽 🇩🇪!")
    (span,) = align(doc, mentions_of(L=[decoded])).spans
    assert doc.text[span.start_char : span.end_char] == decoded
