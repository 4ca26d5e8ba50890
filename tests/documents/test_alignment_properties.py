"""Alignment of random texts, and its time on long ones."""

import random
import time
import unicodedata
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc
from support.alignments import NLP, char_spans, doc_of, mention, mentions_of, reasons

from spacy_padellm.documents import alignment
from spacy_padellm.documents.alignment import align
from spacy_padellm.tokenization.codec import one_line

# Pieces that repeat, nest, compose and cut each other in many ways.
PLAIN = ["a", "b", "ab", "New York", "York", "US", "USA", " ", "  ", "\t", "\n", "\r\n", '"', "'s"]
PLAIN += [",", ".", "中国", "中", "国人", "，", "“", "”", "　", "\u00a0"]
MARKED = ["👩‍🚀", "👍🏽", "🇩🇪", "❤\ufe0f", "\u200d", "é", "e\u0301", "a\u0323\u0302", "\u0301"]
MARKED += ["ᄒ", "ᅡ", "ᆫ", "한", "Å", "\u212b", "ק\u05bc", "ক\u09cb", "\u09c7\u09be"]


def docs(pieces):
    texts = st.lists(st.sampled_from(pieces), max_size=20).map("".join)
    tokenised = st.builds(
        lambda nlp, text: nlp.make_doc(text), st.sampled_from([*NLP.values()]), texts
    )
    # Tokens that no rule would make: whitespace within them, none between, marks torn off.
    words = st.lists(st.tuples(st.sampled_from(pieces), st.booleans()), max_size=20)
    torn = words.map(
        lambda pairs: Doc(NLP["en"].vocab, [w for w, _ in pairs], [space for _, space in pairs])
    )
    return tokenised | torn


class TestProperties:
    @settings(deadline=None)
    @given(st.data(), docs(PLAIN + MARKED))
    def test_any_run_of_tokens_aligns_to_an_equal_string(self, data, doc):
        if not len(doc):
            return
        start = data.draw(st.integers(0, len(doc) - 1))
        end = data.draw(st.integers(start + 1, len(doc)))
        string = one_line(doc[start:end].text)
        aligned = align(
            doc, mentions_of(L=[string]), mode=data.draw(st.sampled_from(alignment.MODES))
        )
        if not string.strip():
            assert reasons(aligned) == [alignment.BLANK]
            return
        if aligned.unaligned:
            # Only a token that itself starts or ends with whitespace is cut by a trimmed mention.
            assert reasons(aligned) == [alignment.INSIDE_TOKEN]
            assert string != string.strip()
            return
        (span,) = aligned.spans
        assert one_line(doc.text[span.start_char : span.end_char]) == string.strip() == span.text

    @settings(deadline=None)
    @given(st.data(), docs(PLAIN))
    def test_mentions_that_do_not_overlap_are_all_aligned(self, data, doc):
        cuts = sorted(data.draw(st.sets(st.integers(0, len(doc)), max_size=8)))
        runs = [one_line(doc[a:b].text).strip() for a, b in pairwise(cuts)]
        labels = data.draw(st.lists(st.sampled_from("XY"), min_size=len(runs), max_size=len(runs)))
        texts = {}
        for label, run in zip(labels, runs, strict=True):
            if run:
                texts.setdefault(label, []).append(run)
        assert align(doc, mentions_of(**texts)).unaligned == []

    @settings(deadline=None)
    @given(
        docs(PLAIN + MARKED),
        st.lists(
            st.tuples(
                st.sampled_from("XYZ"), st.lists(st.sampled_from(PLAIN + MARKED)).map("".join)
            ),
            max_size=8,
        ),
        st.booleans(),
    )
    def test_nothing_is_invented_lost_or_used_twice(self, doc, decoded, ignore_case):
        decoded = [mention(label, k, text) for k, (label, text) in enumerate(decoded, start=1)]
        aligned = align(doc, decoded, ignore_case=ignore_case)
        assert len(aligned.spans) + len(aligned.unaligned) == len(decoded)
        assert len(set(char_spans(aligned))) == len(aligned.spans)
        for span in aligned.spans:
            matched = one_line(doc.text[span.start_char : span.end_char])
            if not ignore_case:
                assert unicodedata.normalize("NFC", matched) == unicodedata.normalize(
                    "NFC", span.text
                )
            expected = doc.char_span(span.start_char, span.end_char, alignment_mode="expand")
            assert (span.start, span.end) == (expected.start, expected.end)
            assert not doc[span.start].is_space
            assert not doc[span.end - 1].is_space

    @settings(deadline=None)
    @given(docs([*MARKED, "a", " "]), st.data())
    def test_the_normalised_text_finds_the_original(self, doc, data):
        form = data.draw(st.sampled_from(["NFC", "NFD"]))
        string = unicodedata.normalize(form, doc.text).strip()
        # A text that starts with a mark on a space would have the space torn off it.
        assume(string and not unicodedata.category(string[0]).startswith("M"))
        (span,) = align(doc, mentions_of(L=[string])).spans
        matched = doc.text[span.start_char : span.end_char]
        assert unicodedata.normalize(form, matched) == string

    @settings(deadline=None)
    @given(docs(PLAIN), st.lists(st.sampled_from(PLAIN), max_size=8), st.randoms())
    def test_the_order_given_does_not_matter(self, doc, texts, order):
        decoded = mentions_of(X=texts, Y=texts[::-1])
        shuffled = order.sample(decoded, len(decoded))
        assert set(align(doc, shuffled).spans) == set(align(doc, decoded).spans)


class TestSpeed:
    """Limits some ten times above what two slow cores need; a quadratic scan is far beyond."""

    def seconds(self, doc, decoded):
        started = time.process_time()
        aligned = align(doc, decoded)
        assert len(aligned.spans) > 0
        return time.process_time() - started

    def test_a_long_text_with_hundreds_of_mentions(self):
        rng = random.Random(0)
        vocabulary = ["".join(rng.choices("abcdefghij", k=rng.randint(1, 9))) for _ in range(2000)]
        words = rng.choices(vocabulary, k=18_000)
        doc = doc_of(*words)
        assert len(doc.text) > 100_000
        runs = [
            " ".join(words[at : at + rng.randint(1, 3)])
            for at in sorted(rng.sample(range(17_990), 800))
        ]
        assert self.seconds(doc, mentions_of(X=runs[::2], Y=runs[1::2])) < 3

    @pytest.mark.parametrize("words", [["x"] * 50_000, ["x" * 100_000]])
    def test_a_long_text_of_one_character(self, words):
        joint = " " if len(words) > 1 else ""
        runs = [joint.join("x" * (1 + k % 64)) for k in range(300)]
        assert self.seconds(doc_of(*words), mentions_of(X=runs)) < 6
