"""The two knobs of a trained pipeline, tried on gold documents: `count_slack` and `threshold`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from spacy.language import Language
from spacy.training import Example
from spacy.util import minibatch

from ..pipeline.annotations import annotate
from ..pipeline.scorer import ner_score

if TYPE_CHECKING:
    from ..pipeline.component import PadellmNER

SLACKS = (None, 0.5, 0.4, 0.3, 0.2, 0.1)
THRESHOLDS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
MEASURES = ("padellm_f", "ents_f", "padellm_p", "padellm_r", "ents_p", "ents_r")


@dataclass(frozen=True)
class Trial:
    """What a setting of both knobs comes to.

    count_slack (float | None): The decoder's setting.
    threshold (float): The component's setting.
    scores (dict[str, float]): MEASURES, in [0, 1]; 0 where there was nothing to count.
    """

    count_slack: float | None
    threshold: float
    scores: dict[str, float]


def tune(
    nlp: Language,
    ner: PadellmNER,
    examples: Sequence[Example],
    slacks: Sequence[float | None] = SLACKS,
    thresholds: Sequence[float] = THRESHOLDS,
    batch_size: int | None = None,
    progress: Callable[[int], Any] = lambda n: None,
) -> list[Trial]:
    """Score all pairs of settings. The model decodes once for each slack; the thresholds choose
    among what it found.

    nlp (Language): The pipeline; components before `ner` are run first.
    ner (PadellmNER): The component; left as it was.
    examples (Sequence[Example]): Gold documents.
    slacks (Sequence[float | None]): Of `decoder.count_slack`.
    thresholds (Sequence[float]): Of `threshold`.
    batch_size (int | None): Documents a batch; None takes the pipeline's own.
    progress (Callable[[int], Any]): Called with how many documents were decoded.
    RETURNS (list[Trial]): For each slack each threshold, in order.
    RAISES (ValueError): A slack out of its range, a document longer than the model's window.
    """
    decoders = [replace(ner.decoder, count_slack=slack) for slack in slacks]
    before = nlp.pipe_names[: nlp.pipe_names.index(ner.name)]
    docs = [example.predicted for example in examples]
    with nlp.select_pipes(enable=before):
        docs = list(nlp.pipe(docs, batch_size=batch_size))
    as_it_was, trials = ner.decoder, []
    try:
        for slack, decoder in zip(slacks, decoders, strict=True):
            ner.decoder = decoder
            spans = []
            for batch in minibatch(docs, batch_size or nlp.batch_size):
                spans += ner.predict(batch)
                progress(len(batch))
            for threshold in thresholds:
                scores = _scores(ner, examples, docs, spans, threshold)
                trials.append(Trial(slack, threshold, scores))
    finally:
        ner.decoder = as_it_was
    return trials


def best(trials: Sequence[Trial], measure: str = "padellm_f") -> Trial:
    """RETURNS (Trial): The one with the highest measure; of equal ones the first."""
    return max(trials, key=lambda trial: trial.scores[measure])


def apply(nlp: Language, ner: PadellmNER, trial: Trial) -> None:
    """Give a component the settings of a trial, and its pipeline's config too.

    nlp (Language): The pipeline.
    ner (PadellmNER): Its component.
    trial (Trial): The settings.
    """
    ner.decoder = replace(ner.decoder, count_slack=trial.count_slack)
    ner.cfg["threshold"] = trial.threshold
    config = nlp.get_pipe_config(ner.name)
    config["threshold"] = trial.threshold
    config["decoder"]["count_slack"] = trial.count_slack


def _scores(
    ner: PadellmNER,
    examples: Sequence[Example],
    docs: Sequence[Any],
    spans: Sequence[Any],
    threshold: float,
) -> dict[str, float]:
    predicted = []
    for example, doc, found in zip(examples, docs, spans, strict=True):
        copy = doc.copy()
        annotate(copy, found, ner.deduplicate, ner.cfg["spans_key"], threshold)
        predicted.append(Example(copy, example.reference))
    scores = ner_score(predicted)
    return {measure: scores[measure] or 0.0 for measure in MEASURES}
