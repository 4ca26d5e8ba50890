"""What a corpus of gold documents holds, counted a document at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from spacy.tokens import Doc, SpanGroup
from spacy.training import Example

from ..training.gold_of import gold_of, is_usable

BLANK = "the text is blank"
NOT_ANNOTATED = "tokens without entity annotation"
NO_LABEL = "it answers for none of the labels"
SHOWN = 5


@dataclass
class LabelStatistics:
    """Of one label.

    mentions (int): Its mentions in doc.ents.
    documents (int): Documents with one at least.
    counts (Counter[int]): Its count prompts in training, by the number that each must say.
    """

    mentions: int = 0
    documents: int = 0
    counts: Counter[int] = field(default_factory=Counter)


@dataclass
class GroupStatistics:
    """Of one key of doc.spans.

    spans (int): Its spans.
    overlapping (int): Spans that share a token with another of the same group.
    not_in_ents (int): Spans that are not in doc.ents, so that they are never learnt.
    """

    spans: int = 0
    overlapping: int = 0
    not_in_ents: int = 0


@dataclass
class CorpusStatistics:
    """Of the documents given to `add`.

    asked (Sequence[str]): The labels that the component asks for.
    documents (int): Documents.
    tokens (int): Their spaCy tokens.
    labels (dict[str, LabelStatistics]): Of each label found or asked for.
    mentions_per_document (Counter[int]): Documents by the number of their mentions.
    misaligned (int): Mentions that start or end inside one of the pipeline's own tokens. They are
        learnt as they are, as training reads the text; predicted spans have whole tokens, so for
        ents_f they can't be found.
    misaligned_shown (list[str]): The first of them.
    no_tree (Counter[str]): Documents that can't be learnt from, by the reason.
    groups (dict[str, GroupStatistics]): Of each key of doc.spans.
    repeated (int): Documents with the text of an earlier one.
    texts (set[bytes]): Digests of the texts.
    """

    asked: Sequence[str]
    documents: int = 0
    tokens: int = 0
    labels: dict[str, LabelStatistics] = field(default_factory=dict)
    mentions_per_document: Counter[int] = field(default_factory=Counter)
    misaligned: int = 0
    misaligned_shown: list[str] = field(default_factory=list)
    no_tree: Counter[str] = field(default_factory=Counter)
    groups: dict[str, GroupStatistics] = field(default_factory=dict)
    repeated: int = 0
    texts: set[bytes] = field(default_factory=set)

    def __post_init__(self) -> None:
        for label in self.asked:
            self.labels[label] = LabelStatistics()

    @property
    def mentions(self) -> int:
        """RETURNS (int): Mentions of all labels."""
        return sum(label.mentions for label in self.labels.values())

    @property
    def found(self) -> set[str]:
        """RETURNS (set[str]): The labels that have mentions."""
        return {name for name, label in self.labels.items() if label.mentions}

    @property
    def counts(self) -> Counter[int]:
        """RETURNS (Counter[int]): Count prompts of all labels, by the number they must say."""
        return sum((label.counts for label in self.labels.values()), Counter())

    def add(self, example: Example) -> None:
        """Count a document.

        example (Example): Its reference holds the gold annotation.
        """
        reference = example.reference
        self.documents += 1
        self.tokens += len(reference)
        digest = blake2b(reference.text.strip().encode("utf8"), digest_size=16).digest()
        self.repeated += digest in self.texts
        self.texts.add(digest)
        self._add_mentions(reference)
        self._add_misaligned(example)
        for key, group in reference.spans.items():
            self._add_group(key, group, reference)
        reason = why_no_tree(reference, self.asked)
        if reason is not None:
            self.no_tree[reason] += 1
            return
        for label, mentions in gold_of(reference, self.asked).mentions.items():
            self.labels[label].counts[len(mentions)] += 1

    def to_dict(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): All of it, for JSON."""
        return {
            "documents": self.documents,
            "tokens": self.tokens,
            "mentions": self.mentions,
            "mentions_per_document": _histogram(self.mentions_per_document),
            "labels": {
                name: {
                    "mentions": label.mentions,
                    "documents": label.documents,
                    "counts": _histogram(label.counts),
                }
                for name, label in self.labels.items()
            },
            "counts": _histogram(self.counts),
            "misaligned": self.misaligned,
            "misaligned_shown": self.misaligned_shown,
            "no_tree": dict(self.no_tree),
            "spans": {key: vars(group) for key, group in self.groups.items()},
            "repeated_texts": self.repeated,
        }

    def _add_mentions(self, reference: Doc) -> None:
        mentions = Counter(ent.label_ for ent in reference.ents)
        self.mentions_per_document[sum(mentions.values())] += 1
        for name, number in mentions.items():
            label = self.labels.setdefault(name, LabelStatistics())
            label.mentions += number
            label.documents += 1

    def _add_misaligned(self, example: Example) -> None:
        ents = example.reference.ents
        for ent in ents:
            if not example.get_aligned_spans_y2x([ent], allow_overlap=True):
                self.misaligned += 1
                if len(self.misaligned_shown) < SHOWN:
                    self.misaligned_shown.append(
                        f"{ent.text!r} ({ent.label_}) in {example.reference.text[:60]!r}"
                    )

    def _add_group(self, key: str, group: SpanGroup, reference: Doc) -> None:
        statistics = self.groups.setdefault(key, GroupStatistics())
        ents = {(ent.start, ent.end, ent.label) for ent in reference.ents}
        spans = sorted((span.start, span.end, span.label) for span in group)
        statistics.spans += len(spans)
        statistics.not_in_ents += sum(span not in ents for span in spans)
        statistics.overlapping += count_overlapping([span[:2] for span in spans])


def why_no_tree(doc: Doc, labels: Sequence[str]) -> str | None:
    """Why a document can't be learnt from.

    doc (Doc): A gold document.
    labels (Sequence[str]): The labels that the component asks for.
    RETURNS (str | None): The reason; None if it can.
    """
    if is_usable(doc, labels):
        return None
    if not doc.text.strip():
        return BLANK
    if not doc.has_annotation("ENT_IOB", require_complete=True):
        return NOT_ANNOTATED
    return NO_LABEL


def count_overlapping(places: Sequence[tuple[int, int]]) -> int:
    """RETURNS (int): Places, sorted, that have something in common with another."""
    overlapping: set[int] = set()
    furthest, reach = -1, -1  # which one reaches how far
    for i, (start, end) in enumerate(places):
        if start < reach:
            overlapping |= {i, furthest}
        if end > reach:
            furthest, reach = i, end
    return len(overlapping)


def _histogram(counts: Counter[int]) -> dict[str, int]:
    return {str(number): counts[number] for number in sorted(counts)}
