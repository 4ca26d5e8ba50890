import os
import pickle
import subprocess
import sys
from dataclasses import replace

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc, Span

from spacy_padellm.documents.spans import ScoredSpan
from spacy_padellm.pipeline import deduplicate
from spacy_padellm.pipeline.deduplicate import (
    deduplicate_by_span,
    deduplicate_by_text,
    keep_all,
    resolve_overlaps,
)

RULES = [deduplicate_by_span, deduplicate_by_text, keep_all]
FACTORIES = [
    deduplicate.make_deduplicate_by_span,
    deduplicate.make_deduplicate_by_text,
    deduplicate.make_keep_all,
]


def span(start, end, label, score, text=None):
    """A span of one-character tokens, so that token and character offsets agree."""
    return ScoredSpan(start, end, start, end, label, score, text or f"{start}-{end}")


SPANS = st.lists(
    st.builds(
        lambda start, length, label, score, text: span(start, start + length, label, score, text),
        st.integers(0, 8),
        st.integers(1, 5),
        st.sampled_from("XYZ"),
        st.sampled_from([0.0, 0.25, 0.5, 1.0]),
        st.sampled_from(["a", "b", "c"]),
    ),
    max_size=12,
)


def test_by_span_keeps_the_best_label_of_each_token_span():
    per = span(0, 2, "PER", 0.9, "Washington")
    loc = span(0, 2, "LOC", 0.8, "Washington")
    later = span(5, 7, "LOC", 0.7, "Washington")
    assert deduplicate_by_span([loc, later, per]) == [per, later]


def test_by_span_leaves_spans_that_only_overlap():
    long, short = span(0, 3, "ORG", 0.5), span(2, 3, "LOC", 0.9)
    assert deduplicate_by_span([short, long]) == [long, short]


def test_by_span_goes_by_tokens_not_by_characters():
    part = replace(span(0, 1, "A", 0.5, "York"), start_char=0, end_char=4)
    whole = replace(span(0, 1, "B", 0.6, "York-based"), start_char=0, end_char=10)
    assert deduplicate_by_span([part, whole]) == [whole]


def test_by_text_keeps_the_best_label_of_each_string():
    # The paper's rule: one label a string, even where the text means two things by it.
    per = span(0, 2, "PER", 0.6, "Washington")
    also_per = span(9, 11, "PER", 0.1, "Washington")
    loc = span(0, 2, "LOC", 0.5, "Washington")
    later = span(5, 7, "LOC", 0.4, "Washington")
    other = span(12, 13, "LOC", 0.2, "Oslo")
    assert deduplicate_by_text([loc, later, other, also_per, per]) == [per, also_per, other]


def test_by_text_compares_the_strings_that_the_model_said():
    part = replace(span(0, 1, "A", 0.5, "York"), start_char=0, end_char=4)
    whole = replace(span(0, 1, "B", 0.6, "York-based"), start_char=0, end_char=10)
    assert deduplicate_by_text([part, whole]) == [part, whole]


def test_keep_all_keeps_every_label():
    per, loc = span(0, 2, "PER", 0.9), span(0, 2, "LOC", 0.8)
    assert keep_all([loc, per]) == [loc, per]


@pytest.mark.parametrize("rule", RULES)
def test_one_label_has_a_token_span_once(rule):
    weak, strong = span(0, 2, "PER", 0.5, "a"), span(0, 2, "PER", 0.6, "a")
    assert rule([weak, strong]) == rule([strong, weak]) == [strong]


@pytest.mark.parametrize("rule", [deduplicate_by_span, deduplicate_by_text])
def test_of_equal_scores_the_first_given_wins(rule):
    per, loc = span(0, 2, "PER", 0.5), span(0, 2, "LOC", 0.5)
    assert rule([per, loc]) == [per]
    assert rule([loc, per]) == [loc]


@pytest.mark.parametrize("rule", [*RULES, resolve_overlaps])
def test_nothing_in_nothing_out(rule):
    assert rule([]) == []


@settings(deadline=None)
@given(SPANS, st.sampled_from([*RULES, resolve_overlaps]))
def test_a_rule_keeps_some_in_reading_order_and_is_done_after_once(spans, rule):
    before = list(spans)
    kept = rule(spans)
    assert spans == before
    assert {id(one) for one in kept} <= {id(one) for one in spans}
    assert [(one.start, one.end) for one in kept] == sorted((one.start, one.end) for one in kept)
    assert rule(kept) == kept
    assert rule(tuple(spans)) == kept
    assert bool(kept) == bool(spans)


@settings(deadline=None)
@given(SPANS)
def test_each_rule_keeps_what_it_says(spans):
    labels = {}
    for one in keep_all(spans):
        labels.setdefault((one.start, one.end), set()).add(one.label)
    assert set(labels) == {(one.start, one.end) for one in spans}

    by_span = {(one.start, one.end): one for one in deduplicate_by_span(spans)}
    for one in spans:
        assert by_span[one.start, one.end].score >= one.score

    by_text = deduplicate_by_text(spans)
    winners = {}
    for one in spans:
        if one.text not in winners or one.score > winners[one.text].score:
            winners[one.text] = one
    assert all(one.label == winners[one.text].label for one in by_text)
    # Two strings of one label may share a token span: it is then kept once.
    kept = {(one.start, one.end, one.label) for one in by_text}
    for one in spans:
        assert one.label != winners[one.text].label or (one.start, one.end, one.label) in kept


class TestResolveOverlaps:
    def test_highest_score_first(self):
        long, short, far = span(0, 5, "A", 0.6), span(2, 3, "B", 0.7), span(3, 6, "C", 0.5)
        assert resolve_overlaps([long, short, far]) == [short, far]

    def test_then_the_longest(self):
        long, short = span(0, 5, "A", 0.5), span(2, 3, "B", 0.5)
        assert resolve_overlaps([short, long]) == [long]

    def test_then_the_earliest(self):
        first, second, third = span(0, 2, "A", 0.5), span(1, 3, "A", 0.5), span(2, 4, "A", 0.5)
        assert resolve_overlaps([third, second, first]) == [first, third]

    def test_then_the_first_given(self):
        one, other = span(0, 2, "B", 0.5), span(0, 2, "A", 0.5)
        assert resolve_overlaps([one, other]) == [one]
        assert resolve_overlaps([other, one]) == [other]

    def test_neighbours_do_not_overlap(self):
        spans = [span(0, 2, "A", 0.5), span(2, 3, "A", 0.4), span(3, 9, "A", 0.3)]
        assert resolve_overlaps(spans) == spans

    @settings(deadline=None)
    @given(SPANS)
    def test_doc_ents_takes_what_is_kept_and_the_rest_lost_to_better_ones(self, spans):
        kept = resolve_overlaps(spans)
        doc = Doc(spacy.blank("xx").vocab, ["a"] * 13)
        doc.ents = [Span(doc, one.start, one.end, label=one.label) for one in kept]
        assert len(doc.ents) == len(kept)
        for one in spans:
            rivals = [k for k in kept if k.start < one.end and one.start < k.end]
            assert max((k.score, k.end - k.start) for k in rivals) >= (
                one.score,
                one.end - one.start,
            )


@pytest.mark.parametrize("factory", FACTORIES)
def test_rules_travel_between_processes(factory):
    assert pickle.loads(pickle.dumps(factory())) is factory()


def test_the_result_does_not_hang_on_the_hash_seed():
    script = (
        "from spacy_padellm.pipeline import deduplicate as d\n"
        "from spacy_padellm.documents.spans import ScoredSpan\n"
        "spans = [ScoredSpan(i % 3, i % 3 + 1, 0, 1, label, 0.5, 'ab'[i % 2])"
        " for i, label in enumerate(['PER', 'LOC', 'ORG', 'MISC'] * 3)]\n"
        "for rule in (d.deduplicate_by_span, d.deduplicate_by_text, d.keep_all,"
        " d.resolve_overlaps): print(rule(spans))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert len(outputs) == 1
    assert "ScoredSpan" in outputs.pop()


@given(SPANS)
def test_overlaps_are_resolved_by_score(spans):
    """Beside the rule as plainly as it can be written; many of the lists have no overlap."""
    kept = []
    for one in sorted(spans, key=lambda one: (-one.score, one.start - one.end, one.start)):
        if all(one.end <= other.start or other.end <= one.start for other in kept):
            kept.append(one)
    expected = sorted(kept, key=lambda one: one.start)
    assert resolve_overlaps(spans) == expected
    assert resolve_overlaps(expected) == expected
