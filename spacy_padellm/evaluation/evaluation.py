"""Evaluation of a pipeline on gold documents, in one run of the model.

The metrics are a dict that JSON can hold. A share, a score or a mean is None (null) if it has no
cases; shares and scores are in [0, 1].

    padellm_p, padellm_r, padellm_f, padellm_per_type
                        by label and string, as in the paper (arXiv 2402.04838); see
                        `scorer.ner_score`
    ents_p, ents_r, ents_f, ents_per_type
                        by label and position, as in spaCy; see `scorer.ner_score`
    counts              over count prompts, one per label and document or window
                        (`Outcome.counts`): n_prompts, accuracy, accuracy_present, mean_under,
                        mean_over, share_under, share_over, lost; confusion (cap, `gold_by_said`);
                        per_label; see `counts.count_scores`
    mentions            `said`: number of mentions; unaligned: for each reason why a mention
                        has no span in the text (not_in_text, too_often, did_not_end, blank,
                        inside_token), n and its share of the generated mentions; superseded: spans
                        of windows that a span of another window replaces; malformed: format
                        errors in answers; unended: documents whose answer reached the length
                        limit (both of autoregressive decoders); see
                        `mention_scores.mention_scores`
    calibration         spans: all spans that the component scored; ents: those that became
                        entities; each n, ece, brier, bins (low, high, n, probability, accuracy,
                        interval); see `calibration.calibration`
    speed               seconds: run time of the pipeline, with the warm-up of the first batch,
                        without loading; documents_per_second, words_per_second
    data                documents, words; windows: texts that the model read, one or more per
                        document; mentions: gold entities of each label; labels_not_asked: labels
                        of gold entities that the component does not have; limits: documents whose
                        gold annotation is missing or unusable (not_annotated, incomplete,
                        some_labels, blank, overlapping), see `gold_limits.gold_limits`
    model               pipeline, component, decoder, threshold, labels; base, sha256,
                        adapter_sha256, whole, whole_sha256, device; see
                        `provenance.model_identity`
    versions            of Python and of packages; see `provenance.versions`
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

from ..documents.alignment import Alignment
from ..documents.prediction import Prediction
from ..pipeline.scorer import ner_score
from .calibration import calibration
from .counts import count_scores
from .gold_limits import gold_limits
from .mention_scores import mention_scores
from .outcome import Outcome
from .provenance import model_identity, versions

if TYPE_CHECKING:
    from ..pipeline.component import PadellmNER


@dataclass(frozen=True)
class Evaluation:
    """A pipeline's results on gold documents.

    metrics (dict[str, Any]): See the docstring of this module.
    outcomes (list[Outcome]): One per document, in input order.
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
    """Run a pipeline over gold documents and score its entities.

    nlp (Language): The pipeline.
    component (PadellmNER): The component in it to evaluate, one of its padellm_ner components.
    examples (Iterable[Example]): The references hold the gold entities; the pipeline annotates the
        predicted documents in place.
    batch_size (int | None): Documents per batch; None uses `nlp.batch_size`.
    progress (Callable[[int], object]): Called after each batch with its number of documents.
    RETURNS (Evaluation): Metrics and outcomes.
    RAISES (ValueError): The component has no labels, or the model has no room for a window.
    """
    identity = model_identity(component)  # loads the weights before the timer starts
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
            "spans": _calibration(pair for outcome in outcomes for pair in outcome.scored_spans()),
            "ents": _calibration(pair for outcome in outcomes for pair in outcome.scored_ents()),
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


def _run(nlp: Language, component: PadellmNER, examples: Sequence[Example]) -> list[Outcome]:
    """Run the pipeline as `nlp.pipe` does, and keep the component's predictions and alignments."""
    docs = [example.predicted for example in examples]
    predictions: list[Prediction] = []
    alignments: list[Alignment] = []
    for _, pipe in nlp.pipeline:
        if pipe is component:
            predictions = component.decode(docs)
            alignments = [
                component.align(doc, prediction)
                for doc, prediction in zip(docs, predictions, strict=True)
            ]
            component.set_annotations(docs, [alignment.spans for alignment in alignments])
        else:
            docs = _apply(pipe, docs)
    outcomes = []
    for example, doc, prediction, alignment in zip(
        examples, docs, predictions, alignments, strict=True
    ):
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
