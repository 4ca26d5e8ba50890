"""Statistics of a corpus of gold documents, counted document by document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from spacy.tokens import Doc, SpanGroup
from spacy.training import Example

from ..training.gold_of import gold_of, is_usable

# Reasons why a document gives no tree. They are keys of the JSON file of `debug-data`.
BLANK = "the text is blank"
NOT_ANNOTATED = "tokens without entity annotation"
NO_LABEL = "it answers for none of the labels"
MAX_EXAMPLES = 5


@dataclass
class LabelStatistics:
    """Statistics of a label.

    mentions (int): Its mentions in doc.ents.
    documents (int): Documents with at least one mention.
    counts (Counter[int]): Its count prompts in training, by gold count.
    """

    mentions: int = 0
    documents: int = 0
    counts: Counter[int] = field(default_factory=Counter)


@dataclass
class GroupStatistics:
    """Statistics of a key of doc.spans.

    spans (int): Number of spans.
    overlapping (int): Spans that share a token with another span of the same group.
    not_in_ents (int): Spans that are not in doc.ents, so that they are not learnt.
    """

    spans: int = 0
    overlapping: int = 0
    not_in_ents: int = 0


@dataclass
class CorpusStatistics:
    """Statistics of the documents given to `add`.

    component_labels (Sequence[str]): The labels of the component.
    documents (int): Number of documents.
    tokens (int): Number of spaCy tokens.
    labels (dict[str, LabelStatistics]): Statistics of each label of the component or of a mention.
    mentions_per_document (Counter[int]): Documents by number of mentions.
    misaligned (int): Mentions that start or end inside one of the pipeline's own tokens. They are
        learnt, as training reads the text; predicted spans have whole tokens, so ents_f counts
        them as missed.
    misaligned_examples (list[str]): The first misaligned mentions.
    no_tree (Counter[str]): Documents that can't be trained on, by reason.
    groups (dict[str, GroupStatistics]): Statistics of each key of doc.spans.
    repeated (int): Documents with the text of an earlier one.
    texts (set[bytes]): Digests of the texts.
    """

    component_labels: Sequence[str]
    documents: int = 0
    tokens: int = 0
    labels: dict[str, LabelStatistics] = field(default_factory=dict)
    mentions_per_document: Counter[int] = field(default_factory=Counter)
    misaligned: int = 0
    misaligned_examples: list[str] = field(default_factory=list)
    no_tree: Counter[str] = field(default_factory=Counter)
    groups: dict[str, GroupStatistics] = field(default_factory=dict)
    repeated: int = 0
    texts: set[bytes] = field(default_factory=set)

    def __post_init__(self) -> None:
        for label in self.component_labels:
            self.labels[label] = LabelStatistics()

    @property
    def mentions(self) -> int:
        """RETURNS (int): Mentions of all labels."""
        return sum(label.mentions for label in self.labels.values())

    @property
    def mentioned_labels(self) -> set[str]:
        """RETURNS (set[str]): The labels that have mentions."""
        return {name for name, label in self.labels.items() if label.mentions}

    @property
    def counts(self) -> Counter[int]:
        """RETURNS (Counter[int]): Count prompts of all labels, by gold count."""
        return sum((label.counts for label in self.labels.values()), Counter())

    def add(self, example: Example) -> None:
        """Count a document.

        example (Example): Its reference has the gold annotation.
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
        reason = why_no_tree(reference, self.component_labels)
        if reason is not None:
            self.no_tree[reason] += 1
            return
        for label, mentions in gold_of(reference, self.component_labels).mentions.items():
            self.labels[label].counts[len(mentions)] += 1

    def to_dict(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): The statistics as JSON."""
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
            "misaligned_shown": self.misaligned_examples,
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
                if len(self.misaligned_examples) < MAX_EXAMPLES:
                    self.misaligned_examples.append(
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
    """Find the reason why a document can't be trained on.

    doc (Doc): A gold document.
    labels (Sequence[str]): The labels of the component.
    RETURNS (str | None): BLANK, NOT_ANNOTATED or NO_LABEL; None for a usable document.
    """
    if is_usable(doc, labels):
        return None
    if not doc.text.strip():
        return BLANK
    if not doc.has_annotation("ENT_IOB", require_complete=True):
        return NOT_ANNOTATED
    return NO_LABEL


def count_overlapping(spans: Sequence[tuple[int, int]]) -> int:
    """Count spans that overlap another span.

    spans (Sequence[tuple[int, int]]): Start and end of each span, sorted.
    RETURNS (int): Number of overlapping spans.
    """
    overlapping: set[int] = set()
    last, last_end = -1, -1  # index and end of the span that ends last so far
    for i, (start, end) in enumerate(spans):
        if start < last_end:
            overlapping |= {i, last}
        if end > last_end:
            last, last_end = i, end
    return len(overlapping)


def _histogram(counts: Counter[int]) -> dict[str, int]:
    return {str(count): counts[count] for count in sorted(counts)}
