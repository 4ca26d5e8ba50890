"""What is read off logits, a part of the rows at a time: many rows times a vocabulary is much."""

from __future__ import annotations

from collections.abc import Iterator

import torch

LOGIT_ROWS = 2048


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
