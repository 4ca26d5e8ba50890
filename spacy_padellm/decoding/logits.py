"""What is read off logits, a part of the rows at a time: many rows times a vocabulary is much."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

LOGIT_ROWS = 2048


class NotFiniteError(ValueError):
    """A model's logits hold NaN, or an infinity where something was chosen."""

    def __init__(self, text: str | None = None):
        about = "" if text is None else f" for {text[:60]!r}…"
        super().__init__(
            f"The model's logits{about} are not finite (NaN or infinite), so nothing can be "
            'decoded. Run it in a wider floating-point type (dtype = "float32" in '
            "[components.padellm_ner.model]), or check its weights: `python -m spacy padellm "
            "download NAME` compares those of a base with their sha256."
        )


def check_finite(logprobs: NDArray[np.floating[Any]]) -> None:
    """RAISES (NotFiniteError): A log-probability of something chosen that is not finite."""
    if not np.isfinite(logprobs).all():
        raise NotFiniteError


def in_float32(logits: torch.Tensor) -> Iterator[torch.Tensor]:
    """YIELDS (torch.Tensor): Parts of the rows."""
    for part in logits.split(LOGIT_ROWS):
        yield part.float()


def likeliest(logits: torch.Tensor) -> tuple[list[int], list[float]]:
    """The likeliest token of each row.

    logits (torch.Tensor): [rows, vocabulary], of any floating type.
    RETURNS (tuple[list[int], list[float]]): Tokens and their natural-log probabilities.
    """
    tokens: list[int] = []
    logprobs: list[float] = []
    for part in in_float32(logits):
        best, found = part.max(-1)
        tokens += found.tolist()
        logprobs += (best - part.logsumexp(-1)).tolist()
    return tokens, logprobs
