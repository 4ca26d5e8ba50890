"""Outcome of a pipeline on one gold document: counts, scored spans, missed and wrong entities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from spacy.tokens import Span
from spacy.training import Example

from ..documents.alignment import Alignment
from ..documents.gold import Gold
from ..documents.prediction import Prediction
from ..documents.windows import window_golds
from ..pipeline.scorer import in_reference
from ..training.annotated_labels import is_annotated_for
from ..training.gold_of import gold_of, is_usable
from .counts import CountAnswer


@dataclass(frozen=True)
class Outcome:
    """One document after the whole pipeline.

    example (Example): The gold document, and the predicted document with its entities.
    prediction (Prediction): Counts and mentions that the decoder generated.
    alignment (Alignment): The spans of the mentions, and the mentions that have no span.
    """

    example: Example
    prediction: Prediction
    alignment: Alignment

    @cached_property
    def gold(self) -> list[Span]:
        """RETURNS (list[Span]): Gold entities of the labels that the document is annotated for."""
        reference = self.example.reference
        return [ent for ent in reference.ents if is_annotated_for(reference, ent.label_)]

    @cached_property
    def missed(self) -> list[Span]:
        """RETURNS (list[Span]): Gold entities that are not among the predicted ones."""
        aligned = (in_reference(self.example, ent) for ent in self.example.predicted.ents)
        predicted_keys = {span_key(span) for span in aligned if span is not None}
        return [ent for ent in self.gold if span_key(ent) not in predicted_keys]

    @cached_property
    def wrong(self) -> list[Span]:
        """RETURNS (list[Span]): Predicted entities that are not among the gold entities, without
        those that the gold document can't judge (`is_right`)."""
        return [ent for ent in self.example.predicted.ents if self.is_right(ent) is False]

    @property
    def n_errors(self) -> int:
        """RETURNS (int): Missed and wrong entities."""
        return len(self.missed) + len(self.wrong)

    def is_right(self, span: Span) -> bool | None:
        """Whether a span of the predicted document is an entity of the gold document.

        span (Span): The span.
        RETURNS (bool | None): None if the gold document has no annotation of the span's label or
            tokens (`in_reference`).
        """
        aligned = in_reference(self.example, span)
        return None if aligned is None else span_key(aligned) in self._gold_keys

    def counts(self, labels: Sequence[str]) -> list[CountAnswer]:
        """Gold and predicted count of each count prompt. A document that was read in windows has
        the prompts of each window, with the gold mentions that lie wholly in the window.

        labels (Sequence[str]): The component's labels.
        RETURNS (list[CountAnswer]): One per window and label that the gold document is annotated
            for and the decoder counted. Empty for a blank text, for which the model is not run, for
            a document of which some tokens have no annotation, and for a document read in windows
            if its predicted text differs from the gold text.
        """
        reference = self.example.reference
        if not is_usable(reference, labels):
            return []
        gold = gold_of(reference, labels)
        if not self.prediction.parts:
            return list(_count_answers(gold, self.prediction))
        if self.example.predicted.text != reference.text:
            return []
        golds = window_golds(gold, tuple(window for window, _ in self.prediction.parts))
        return [
            answer
            for window_gold, (_, prediction) in zip(golds, self.prediction.parts, strict=True)
            for answer in _count_answers(window_gold, prediction)
        ]

    def scored_spans(self) -> Iterator[tuple[float, bool]]:
        """YIELDS (tuple[float, bool]): Probability of each span that the component scored, and
        whether it is right; without spans that the gold document can't judge (`is_right`)."""
        for scored in self.alignment.spans:
            span = Span(self.example.predicted, scored.start, scored.end, label=scored.label)
            right = self.is_right(span)
            if right is not None:
                yield scored.score, right

    def scored_ents(self) -> Iterator[tuple[float, bool]]:
        """YIELDS (tuple[float, bool]): As `scored_spans`, of the spans that became entities. An
        entity with several scored spans has the highest of their probabilities."""
        scores: dict[tuple[int, int, str], float] = {}
        for scored in self.alignment.spans:
            key = (scored.start, scored.end, scored.label)
            scores[key] = max(scored.score, scores.get(key, 0.0))
        for ent in self.example.predicted.ents:
            right = self.is_right(ent)
            if right is not None and span_key(ent) in scores:
                yield scores[span_key(ent)], right

    @cached_property
    def _gold_keys(self) -> set[tuple[int, int, str]]:
        return {span_key(ent) for ent in self.gold}


def _count_answers(gold: Gold, prediction: Prediction) -> Iterator[CountAnswer]:
    predicted = {count.label: count.number for count in prediction.counts}
    for label, mentions in gold.mentions.items():
        if label in predicted:
            yield CountAnswer(label, len(mentions), predicted[label])


def span_key(span: Span) -> tuple[int, int, str]:
    """RETURNS (tuple[int, int, str]): First token, token after the last, and label of a span."""
    return span.start, span.end, span.label_
