"""One timed run of `nlp.pipe` with a given decoder."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from spacy.language import Language

from spacy_padellm.decoding.decoder import Decoder
from spacy_padellm.documents.prediction import Prediction

from .pipelines import component_of


@dataclass
class Recorder:
    """A decoder that keeps its predictions.

    decoder (Decoder): The decoder.
    """

    decoder: Decoder
    predictions: list[Prediction] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        """RETURNS (Any): Any other attribute of the decoder."""
        return getattr(self.decoder, name)

    def __call__(self, *args: Any, **kwargs: Any) -> list[Prediction]:
        """RETURNS (list[Prediction]): The decoder's predictions."""
        predictions = self.decoder(*args, **kwargs)
        self.predictions += predictions
        return predictions


@dataclass(frozen=True)
class PipeRun:
    """One run of `nlp.pipe` over texts.

    wall, cpu (float): Wall-clock seconds, and CPU seconds of the process.
    predictions (list[Prediction]): One prediction per text.
    """

    wall: float
    cpu: float
    predictions: list[Prediction]


def timed_run(nlp: Language, decoder: Decoder, texts: Sequence[str], batch_size: int) -> PipeRun:
    """RETURNS (PipeRun): A run of `nlp.pipe` over texts with a decoder."""
    recorder = Recorder(decoder)
    component_of(nlp).decoder = recorder  # type: ignore[assignment]
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in nlp.pipe(texts, batch_size=batch_size):
        pass
    return PipeRun(time.perf_counter() - wall, time.process_time() - cpu, recorder.predictions)
