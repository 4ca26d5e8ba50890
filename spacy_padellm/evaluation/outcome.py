"""What a pipeline made of one gold document: said, scored, right and wrong."""

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
from ..training.annotated_labels import answers_for
from ..training.gold_of import gold_of, is_usable
from .counts import CountAnswer


@dataclass(frozen=True)
class Outcome:
    """One document after the whole pipeline.

    example (Example): The gold document, and the predicted one with its entities.
    prediction (Prediction): What the decoder said.
    alignment (Alignment): The spans that it gave, and the mentions without a place.
    """

    example: Example
    prediction: Prediction
    alignment: Alignment

    @cached_property
    def gold(self) -> list[Span]:
        """RETURNS (list[Span]): The entities of the gold document that it answers for."""
        reference = self.example.reference
        return [ent for ent in reference.ents if answers_for(reference, ent.label_)]

    @cached_property
    def missed(self) -> list[Span]:
        """RETURNS (list[Span]): Gold entities that are not among the predicted ones."""
        places = (in_reference(self.example, ent) for ent in self.example.predicted.ents)
        found = {span_key(place) for place in places if place is not None}
        return [ent for ent in self.gold if span_key(ent) not in found]

    @cached_property
    def wrong(self) -> list[Span]:
        """RETURNS (list[Span]): Predicted entities that are not among the gold ones; those that
        the gold document can't judge are left out."""
        return [ent for ent in self.example.predicted.ents if self.is_right(ent) is False]

    @property
    def n_errors(self) -> int:
        """RETURNS (int): Missed and wrong entities."""
        return len(self.missed) + len(self.wrong)

    def is_right(self, span: Span) -> bool | None:
        """Whether a span of the predicted document is an entity of the gold one.

        span (Span): The span.
        RETURNS (bool | None): None where the gold document can't tell (`in_reference`).
        """
        place = in_reference(self.example, span)
        return None if place is None else span_key(place) in self._gold_keys

    def counts(self, labels: Sequence[str]) -> list[CountAnswer]:
        """Said counts beside gold ones, a count prompt each: of a document that was read in windows
        those of each window, with the gold mentions that it holds whole.

        labels (Sequence[str]): The component's labels.
        RETURNS (list[CountAnswer]): One a window and label that the gold document answers for and
            the decoder counted. None for a blank text, which no model is asked about, for a
            document with tokens whose annotation is missing, and for one read in windows whose
            text is not the gold one's.
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
        said = [part for _, part in self.prediction.parts]
        return [
            answer
            for one, part in zip(golds, said, strict=True)
            for answer in _count_answers(one, part)
        ]

    def scored_spans(self) -> Iterator[tuple[float, bool]]:
        """YIELDS (tuple[float, bool]): Probability of each span that the component scored, and
        whether it is right; those that the gold document can't judge are left out."""
        for one in self.alignment.spans:
            span = Span(self.example.predicted, one.start, one.end, label=one.label)
            right = self.is_right(span)
            if right is not None:
                yield one.score, right

    def scored_ents(self) -> Iterator[tuple[float, bool]]:
        """YIELDS (tuple[float, bool]): The same of the spans that became entities."""
        scores: dict[tuple[int, int, str], float] = {}
        for one in self.alignment.spans:
            key = (one.start, one.end, one.label)
            scores[key] = max(one.score, scores.get(key, 0.0))
        for ent in self.example.predicted.ents:
            right = self.is_right(ent)
            if right is not None and span_key(ent) in scores:
                yield scores[span_key(ent)], right

    @cached_property
    def _gold_keys(self) -> set[tuple[int, int, str]]:
        return {span_key(ent) for ent in self.gold}


def _count_answers(gold: Gold, prediction: Prediction) -> Iterator[CountAnswer]:
    said = {count.label: count.number for count in prediction.counts}
    for label, mentions in gold.mentions.items():
        if label in said:
            yield CountAnswer(label, len(mentions), said[label])


def span_key(span: Span) -> tuple[int, int, str]:
    """RETURNS (tuple[int, int, str]): First token, token after the last, and label of a span."""
    return span.start, span.end, span.label_
