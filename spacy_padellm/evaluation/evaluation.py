"""Evaluation of a pipeline on gold documents, in one run of the model.

The metrics are a dict that JSON can hold. A share, a score or a mean is None (null) where there was
nothing to count; shares and scores are in [0, 1].

    padellm_p, padellm_r, padellm_f, padellm_per_type
                        by label and string, the paper's; see `scoring.ner_score`
    ents_p, ents_r, ents_f, ents_per_type
                        by position, spaCy's; see `scoring.ner_score`
    counts              of count prompts, one a label and document, or window of one that is read
                        in windows (`Outcome.counts`): n_prompts, accuracy, accuracy_present,
                        mean_under, mean_over, share_under, share_over, lost; confusion (cap,
                        gold_by_said); per_label; see `counting.count_scores`
    mentions            said: mentions that the decoder said; unaligned: for each reason why one has
                        no place in the text, n and its share of those said (not_in_text,
                        too_often, did_not_end, blank, inside_token); superseded: those of windows
                        that another window says too, or sees whole; malformed: faults in the
                        form of answers; unended: documents whose answer a bound cut off (both of
                        autoregressive decoders)
    calibration         spans: all that the component scored; ents: those that became entities; each
                        n, ece, brier, bins (low, high, n, probability, accuracy); see
                        `calibration.calibration`
    speed               seconds of the pipeline, loading left out, the first batch's warming up
                        not; documents_per_second, words_per_second
    data                documents, words; windows: texts that the model read, one a document or
                        more; mentions: gold entities of each label; labels_not_asked:
                        labels of gold entities that the component does not know; limits: what
                        the gold leaves open (not_annotated, incomplete, some_labels, blank,
                        overlapping), see `gold_limits`
    model               pipeline, component, decoder, threshold, labels; base, sha256,
                        adapter_sha256, whole, whole_sha256, device; see
                        `provenance.model_identity`
    versions            Python's and the packages'; see `provenance.versions`
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import minibatch

from ..documents.alignment import (
    BLANK,
    DID_NOT_END,
    INSIDE_TOKEN,
    NOT_IN_TEXT,
    TOO_OFTEN,
    Alignment,
)
from ..documents.prediction import Prediction
from ..pipeline.scorer import ner_score
from ..training.annotated_labels import answers_for
from .calibration import calibration
from .counts import count_scores
from .outcome import Outcome, span_key
from .provenance import model_identity, versions

if TYPE_CHECKING:
    from ..pipeline.component import PadellmNER

REASONS = {
    "not_in_text": NOT_IN_TEXT,
    "too_often": TOO_OFTEN,
    "did_not_end": DID_NOT_END,
    "blank": BLANK,
    "inside_token": INSIDE_TOKEN,
}

LIMITS = {
    "not_annotated": "Documents without entity annotation, in which nothing is judged",
    "incomplete": "Documents of which some tokens lack entity annotation: their counts are left "
    "out, and so are predictions on those tokens",
    "some_labels": "Documents that are annotated for some of the labels only: padellm scores, "
    "counts and calibration leave the other labels out, but ents scores count predictions of them "
    "as wrong, as spaCy does",
    "blank": "Blank documents, of which the model is not asked",
    "overlapping": "Gold spans that are in doc.spans but not in doc.ents, which holds no overlaps: "
    "they are not looked for, and predictions of them count as wrong",
}


@dataclass(frozen=True)
class Evaluation:
    """A pipeline's results on gold documents.

    metrics (dict[str, Any]): See the module's documentation.
    outcomes (list[Outcome]): One a document, in the order given.
    """

    metrics: dict[str, Any]
    outcomes: list[Outcome]


def evaluate(
    nlp: Language,
    component: PadellmNER,
    examples: Iterable[Example],
    *,
    batch_size: int | None = None,
    progress: Callable[[int], object] = lambda n: None,
) -> Evaluation:
    """Run a pipeline over gold documents and score what it finds.

    nlp (Language): The pipeline.
    component (PadellmNER): The component in it to evaluate, one of its padellm_ner components.
    examples (Iterable[Example]): Their references hold the gold entities. The predicted documents
        are annotated.
    batch_size (int | None): Documents that go through the pipeline together; None takes the
        pipeline's own.
    progress (Callable[[int], object]): Called with the number of documents after each batch.
    RETURNS (Evaluation): Metrics and outcomes.
    RAISES (ValueError): A document that the component can't read.
    """
    identity = model_identity(component)  # loads the weights, outside of what is timed
    outcomes: list[Outcome] = []
    seconds = 0.0
    for batch in minibatch(examples, size=batch_size or nlp.batch_size):
        start = perf_counter()
        outcomes += _run(nlp, component, batch)
        seconds += perf_counter() - start
        progress(len(batch))
    words = sum(len(outcome.example.predicted) for outcome in outcomes)
    metrics = {
        **ner_score(outcome.example for outcome in outcomes),
        "counts": count_scores(
            answer for outcome in outcomes for answer in outcome.counts(component.labels)
        ),
        "mentions": mention_scores(outcomes),
        "calibration": {
            "spans": _calibration(pair for one in outcomes for pair in one.scored_spans()),
            "ents": _calibration(pair for one in outcomes for pair in one.scored_ents()),
        },
        "speed": {
            "seconds": seconds,
            "documents_per_second": len(outcomes) / seconds if seconds else None,
            "words_per_second": words / seconds if seconds else None,
        },
        "data": {
            "documents": len(outcomes),
            "words": words,
            "windows": sum(len(outcome.prediction.parts) or 1 for outcome in outcomes),
            **_gold_mentions(outcomes, component.labels),
            "limits": gold_limits(
                (outcome.example.reference for outcome in outcomes), component.labels
            ),
        },
        "model": {
            "pipeline": f"{nlp.meta['lang']}_{nlp.meta['name']} {nlp.meta['version']}",
            "component": component.name,
            "decoder": type(component.decoder).__name__,
            "threshold": float(component.cfg["threshold"]),
            "labels": list(component.labels),
            **identity,
        },
        "versions": versions(),
    }
    return Evaluation(metrics, outcomes)


def mention_scores(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Count the mentions that the decoder said and those without a place in the text.

    outcomes (Sequence[Outcome]): One a document.
    RETURNS (dict[str, Any]): `said`, their number; `unaligned`: for each of `REASONS` "n" and
        "share" of those said; `superseded`, see `Alignment`; `malformed` and `unended`, see
        `Prediction`; summed up.
    """
    said = sum(len(outcome.prediction.mentions) for outcome in outcomes)
    reasons = Counter(reason for outcome in outcomes for _, reason in outcome.alignment.unaligned)
    return {
        "said": said,
        "unaligned": {
            key: {"n": reasons[reason], "share": reasons[reason] / said if said else None}
            for key, reason in REASONS.items()
        },
        "superseded": sum(len(outcome.alignment.superseded) for outcome in outcomes),
        "malformed": sum(outcome.prediction.malformed for outcome in outcomes),
        "unended": sum(not outcome.prediction.ended for outcome in outcomes),
    }


def gold_limits(docs: Iterable[Doc], labels: Sequence[str]) -> dict[str, int]:
    """Count what gold documents leave open.

    docs (Iterable[Doc]): Gold documents.
    labels (Sequence[str]): The component's labels.
    RETURNS (dict[str, int]): For each of `LIMITS`, the number of documents, or of gold spans.
    """
    limits = dict.fromkeys(LIMITS, 0)
    for doc in docs:
        annotated = doc.has_annotation("ENT_IOB")
        complete = doc.has_annotation("ENT_IOB", require_complete=True)
        limits["not_annotated"] += not annotated
        limits["incomplete"] += annotated and not complete
        limits["some_labels"] += not all(answers_for(doc, label) for label in labels)
        limits["blank"] += not doc.text.strip()
        spans = {span_key(span) for group in doc.spans.values() for span in group}
        overlapping = spans - {span_key(ent) for ent in doc.ents}
        limits["overlapping"] += sum(label in labels for *_, label in overlapping)
    return limits


def _run(nlp: Language, component: PadellmNER, examples: Sequence[Example]) -> list[Outcome]:
    """Run the pipeline as `nlp.pipe` does, but keep what the component's decoder said."""
    docs = [example.predicted for example in examples]
    said: list[Prediction] = []
    found: list[Alignment] = []
    for _, pipe in nlp.pipeline:
        if pipe is component:
            said = component.decode(docs)
            found = [component.align(doc, one) for doc, one in zip(docs, said, strict=True)]
            component.set_annotations(docs, [one.spans for one in found])
        else:
            docs = _apply(pipe, docs)
    outcomes = []
    for example, doc, prediction, alignment in zip(examples, docs, said, found, strict=True):
        example.predicted = doc
        outcomes.append(Outcome(example, prediction, alignment))
    return outcomes


def _apply(pipe: Any, docs: list[Doc]) -> list[Doc]:
    return list(pipe.pipe(docs)) if hasattr(pipe, "pipe") else [pipe(doc) for doc in docs]


def _calibration(pairs: Iterable[tuple[float, bool]]) -> dict[str, Any]:
    pairs = list(pairs)
    return calibration([score for score, _ in pairs], [right for _, right in pairs]).to_dict()


def _gold_mentions(outcomes: Sequence[Outcome], labels: Sequence[str]) -> dict[str, Any]:
    mentions = Counter(ent.label_ for outcome in outcomes for ent in outcome.gold)
    return {
        "mentions": {label: mentions[label] for label in sorted(mentions)},
        "labels_not_asked": sorted(set(mentions) - set(labels)),
    }
