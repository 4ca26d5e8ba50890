"""The sum over a whole vocabulary, a part of the rows at a time: many rows times it is much."""

from __future__ import annotations

from collections.abc import Iterator

import torch

PART = 2048  # rows


def logsumexp(logits: torch.Tensor) -> torch.Tensor:
    """RETURNS (torch.Tensor): Log of the sum of the exponentials of each row, float32 [rows]."""
    found = [part.logsumexp(-1) for part in in_float32(logits)]
    return found[0] if len(found) == 1 else torch.cat(found)


def in_float32(logits: torch.Tensor) -> Iterator[torch.Tensor]:
    """YIELDS (torch.Tensor): Parts of the rows."""
    for part in logits.split(PART):
        yield part.float()
