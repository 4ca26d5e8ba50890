"""Scores of named entities: spaCy's, by position, and the paper's, by string."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from spacy.scorer import PRFScore, get_ner_prf
from spacy.tokens import Span
from spacy.training import Example

from ..training.annotated_labels import is_annotated_for

Scorer = Callable[..., dict[str, Any]]


def make_ner_scorer() -> Scorer:
    """RETURNS (Scorer): `ner_score`."""
    return ner_score


def ner_score(examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
    """Score `doc.ents` by position and by string.

    `ents_p`, `ents_r`, `ents_f` and `ents_per_type` are those of spaCy's `ner` and count spans.
    `padellm_p`, `padellm_r`, `padellm_f` and `padellm_per_type` count, for each document, the set
    of pairs of label and mention string: `padellm_f` is the micro-F of the paper (arXiv
    2402.04838). A string that occurs several times in a document counts once per label, whichever
    occurrence was found.

    Both leave out documents whose entities are not annotated, and predictions that touch a token
    whose annotation is missing; the paper's also leaves out labels that a document was not
    annotated for (`annotated_labels.is_annotated_for`).

    examples (Iterable[Example]): Predicted and reference documents.
    kwargs (Any): The component's settings, which spaCy passes to every scorer; unused here.
    RETURNS (dict[str, Any]): The scores, in [0, 1]; None where there was nothing to count.
    """
    examples = list(examples)
    return {**get_ner_prf(examples, **kwargs), **_pair_scores(examples)}


def _pair_scores(examples: Iterable[Example]) -> dict[str, Any]:
    per_type: dict[str, PRFScore] = defaultdict(PRFScore)
    for example in examples:
        gold = _texts_by_label(example.reference.ents)
        predicted = _texts_by_label(
            ent for ent in example.predicted.ents if in_reference(example, ent) is not None
        )
        for label in sorted(gold.keys() | predicted.keys()):
            per_type[label].score_set(predicted[label], gold[label])
    total = sum(per_type.values(), PRFScore())
    counted = len(total) > 0
    return {
        "padellm_p": total.precision if counted else None,
        "padellm_r": total.recall if counted else None,
        "padellm_f": total.fscore if counted else None,
        "padellm_per_type": (
            {label: per_type[label].to_dict() for label in sorted(per_type)} if counted else None
        ),
    }


def _texts_by_label(ents: Iterable[Span]) -> dict[str, set[str]]:
    texts: dict[str, set[str]] = defaultdict(set)
    for ent in ents:
        texts[ent.label_].add(ent.text)
    return texts


def in_reference(example: Example, span: Span) -> Span | None:
    """Map a predicted span onto the gold document, as spaCy's scorer does.

    example (Example): Predicted and reference document.
    span (Span): A span of the predicted document.
    RETURNS (Span | None): The same tokens of the reference, with the span's label. None where
        annotation is missing: of the label (`annotated_labels.is_annotated_for`), or of a token.
    """
    reference = example.reference
    if not is_annotated_for(reference, span.label_):
        return None
    tokens = example.alignment.x2y[span.start : span.end]
    if not len(tokens):
        return None
    mapped = Span(reference, int(tokens[0]), int(tokens[-1]) + 1, label=span.label_)
    return mapped if all(token.ent_iob for token in mapped) else None
