"""Grid search over `count_slack` and `threshold` of a trained pipeline, on gold documents."""

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
    """Scores of one pair of settings.

    count_slack (float | None): Setting of the decoder.
    threshold (float): Setting of the component.
    scores (dict[str, float]): Score of each of `MEASURES`, in [0, 1]; 0 if it has no cases.
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
    """Score all pairs of settings. The model decodes once per slack; each threshold then filters
    the decoded spans.

    nlp (Language): The pipeline; the components before `ner` are run first.
    ner (PadellmNER): The component; its settings are restored at the end.
    examples (Sequence[Example]): Gold documents.
    slacks (Sequence[float | None]): Values of `decoder.count_slack`.
    thresholds (Sequence[float]): Values of `threshold`.
    batch_size (int | None): Documents per batch; None uses `nlp.batch_size`.
    progress (Callable[[int], Any]): Called after each batch with its number of documents.
    RETURNS (list[Trial]): One per slack and threshold, by slack first, in the order given.
    RAISES (ValueError): A slack is out of range, the component has no labels, or the model has no
        room for a window.
    """
    decoders = [replace(ner.decoder, count_slack=slack) for slack in slacks]
    before = nlp.pipe_names[: nlp.pipe_names.index(ner.name)]
    docs = [example.predicted for example in examples]
    with nlp.select_pipes(enable=before):
        docs = list(nlp.pipe(docs, batch_size=batch_size))
    original_decoder, trials = ner.decoder, []
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
        ner.decoder = original_decoder
    return trials


def best(trials: Sequence[Trial], measure: str = "padellm_f") -> Trial:
    """RETURNS (Trial): The first trial with the highest score of a measure."""
    return max(trials, key=lambda trial: trial.scores[measure])


def apply(nlp: Language, ner: PadellmNER, trial: Trial) -> None:
    """Write the settings of a trial into a component and into its pipeline's config.

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
    for example, doc, doc_spans in zip(examples, docs, spans, strict=True):
        copy = doc.copy()
        annotate(copy, doc_spans, ner.deduplicate, ner.cfg["spans_key"], threshold)
        predicted.append(Example(copy, example.reference))
    scores = ner_score(predicted)
    return {measure: scores[measure] or 0.0 for measure in MEASURES}
