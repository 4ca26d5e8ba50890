"""Which of several occurrences a mention gets."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.alignments import NLP, char_spans, doc_of, mention, mentions_of, reasons

from spacy_padellm.documents import alignment
from spacy_padellm.documents.alignment import align

CORPORA = Path(__file__).resolve().parents[3] / "shared" / "data"


class TestWhichOccurrence:
    def test_the_first_at_or_after_the_previous_mention(self):
        doc = doc_of("Rome", ",", "Oslo", ",", "Rome")
        assert char_spans(align(doc, mentions_of(L=["Rome", "Oslo"]))) == [
            ("L", 0, 4),
            ("L", 7, 11),
        ]
        assert char_spans(align(doc, mentions_of(L=["Oslo", "Rome"]))) == [
            ("L", 7, 11),
            ("L", 14, 18),
        ]

    def test_the_first_unused_before_if_there_is_none_after(self):
        doc = doc_of("Rome", "Oslo", "Rome")
        aligned = align(doc, mentions_of(L=["Oslo", "Rome", "Rome", "Rome"]))
        assert char_spans(aligned) == [("L", 0, 4), ("L", 5, 9), ("L", 10, 14)]
        assert reasons(aligned) == [alignment.TOO_OFTEN]

    def test_the_very_first_unused_before(self):
        doc = doc_of("Rome", "Rome", "Oslo")
        assert char_spans(align(doc, mentions_of(L=["Oslo", "Rome"]))) == [
            ("L", 0, 4),
            ("L", 10, 14),
        ]

    def test_labels_do_not_use_up_occurrences_for_each_other(self):
        doc = doc_of("Washington", "left", "Washington")
        aligned = align(doc, mentions_of(PER=["Washington"], LOC=["Washington"]))
        assert char_spans(aligned) == [("PER", 0, 10), ("LOC", 0, 10)]

    @pytest.mark.parametrize("order", [("ORG", "LOC"), ("LOC", "ORG")])
    def test_not_inside_a_longer_mention_of_any_label(self, order):
        doc = doc_of("Bank", "of", "China", "left", "China")
        decoded = {"ORG": ["Bank of China"], "LOC": ["China"]}
        aligned = align(doc, mentions_of(**{label: decoded[label] for label in order}))
        assert char_spans(aligned) == [("ORG", 0, 13), ("LOC", 19, 24)]

    def test_not_at_the_start_of_a_longer_mention(self):
        doc = doc_of("China", "Daily", "in", "China")
        aligned = align(doc, mentions_of(LOC=["China"], ORG=["China Daily"]))
        assert char_spans(aligned) == [("ORG", 0, 11), ("LOC", 15, 20)]

    def test_not_inside_a_longer_mention_of_its_own_label(self):
        doc = doc_of("New", "York", "Times", "York", "York")
        aligned = align(doc, mentions_of(L=["New York Times", "York"]))
        assert char_spans(aligned) == [("L", 0, 14), ("L", 15, 19)]

    def test_mentions_nested_in_each_other(self):
        doc = doc_of("vice", "chair", "man", ",", "chair", "man", ",", "chair")
        aligned = align(doc, mentions_of(L=["vice chair man", "chair man", "chair"]))
        assert char_spans(aligned) == [("L", 0, 14), ("L", 17, 26), ("L", 29, 34)]

    def test_inside_a_longer_mention_if_there_is_no_other_occurrence(self):
        doc = doc_of("Bank", "of", "China")
        aligned = align(doc, mentions_of(LOC=["China"], ORG=["Bank of China"]))
        assert char_spans(aligned) == [("ORG", 0, 13), ("LOC", 8, 13)]

    def test_what_the_longer_mention_does_not_use_is_free(self):
        doc = doc_of("Bank", "of", "China", ",", "Bank", "of", "China")
        aligned = align(doc, mentions_of(ORG=["Bank of China"], LOC=["China"]))
        assert char_spans(aligned) == [("ORG", 0, 13), ("LOC", 24, 29)]

    def test_after_inside_a_longer_mention_goes_before_an_earlier_occurrence(self):
        doc = doc_of("China", "Oslo", "Bank", "of", "China")
        aligned = align(doc, mentions_of(ORG=["Bank of China"], LOC=["Oslo", "China"]))
        assert char_spans(aligned) == [("LOC", 6, 10), ("ORG", 11, 24), ("LOC", 19, 24)]

    def test_mentions_that_fail_do_not_push_others_away(self):
        doc = doc_of("Bank", "of", "China", "left", "China")
        decoded = [*mentions_of(LOC=["China"]), mention("ORG", 1, "Bank of China", ended=False)]
        assert char_spans(align(doc, decoded)) == [("LOC", 8, 13)]

    def test_from_token_to_token_goes_first(self):
        doc = doc_of("USA", "or", "US")
        assert char_spans(align(doc, mentions_of(L=["US", "US"]))) == [("L", 0, 2), ("L", 7, 9)]
        assert char_spans(align(doc, mentions_of(L=["US"]))) == [("L", 7, 9)]
        assert char_spans(align(doc, mentions_of(L=["or", "USA", "US"])))[-1] == ("L", 7, 9)
        assert char_spans(align(doc_of("US", "or", "USA"), mentions_of(L=["or", "US"])))[0] == (
            "L",
            0,
            2,
        )

    def test_occurrences_of_one_string_do_not_overlap(self):
        doc = doc_of(*"xxxxx", spaces=[False] * 5)
        aligned = align(doc, mentions_of(L=["xx", "xx", "xx"]))
        assert char_spans(aligned) == [("L", 0, 2), ("L", 2, 4)]
        assert reasons(aligned) == [alignment.TOO_OFTEN]

    @pytest.mark.parametrize(
        ("corpus", "lang", "figure"),
        [
            ("conll03", "en", 100.0),
            ("msra", "zh", 99.85),
            ("weibo", "zh", 99.04),
            ("resume", "zh", 100.0),
        ],
    )
    def test_gold_mentions_in_reading_order_find_their_spans(self, corpus, lang, figure):
        path = CORPORA / corpus / "test.jsonl"
        if not path.exists():
            pytest.skip(f"needs the corpus at ../shared/data/{corpus}/test.jsonl")
        right = total = 0
        for line in path.read_text(encoding="utf8").splitlines():
            record = json.loads(line)
            gold = sorted((s["start"], s["end"], s["label"]) for s in record["spans"])
            texts = {}
            for start, end, label in gold:
                texts.setdefault(label, []).append(record["text"][start:end])
            aligned = align(NLP[lang].make_doc(record["text"]), mentions_of(**texts))
            assert aligned.unaligned == []
            aligned_spans = {(span.start_char, span.end_char, span.label) for span in aligned.spans}
            right += len(aligned_spans & set(gold))
            total += len(gold)
        assert round(100 * right / total, 2) >= figure


@given(
    decoded=st.lists(
        st.tuples(st.sampled_from("PL"), st.sampled_from("abcd"), st.integers(0, 6)), max_size=8
    ),
    absent=st.sets(st.sampled_from("abcd")),
)
def test_strings_with_one_occurrence_need_no_rounds(decoded, absent):
    """The assignment without rounds equals one round."""
    occurrence = {string: (start, start + 1) for string, start in zip("abcd", (5, 0, 2, 3))}
    keys = [(string, None) for _, string, _ in decoded]
    ranks = {key: [[] if key[0] in absent else [occurrence[key[0]]], [], [], []] for key in keys}
    queues = {}
    for i in sorted(range(len(decoded)), key=lambda i: decoded[i][2]):
        queues.setdefault(decoded[i][0], []).append((i, keys[i]))
    plain = alignment._assign_avoiding(lambda _: False, queues, ranks)
    assert alignment._assign(queues, ranks) == plain
