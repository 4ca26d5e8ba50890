"""logsumexp over the vocabulary in chunks of rows, which bounds the memory of float32 copies."""

from __future__ import annotations

from collections.abc import Iterator

import torch

CHUNK_ROWS = 2048


def logsumexp(logits: torch.Tensor) -> torch.Tensor:
    """Compute logsumexp of each row.

    logits (torch.Tensor): [rows, vocabulary].
    RETURNS (torch.Tensor): float32 [rows].
    """
    chunks = [chunk.logsumexp(-1) for chunk in in_float32(logits)]
    return chunks[0] if len(chunks) == 1 else torch.cat(chunks)


def in_float32(logits: torch.Tensor) -> Iterator[torch.Tensor]:
    """YIELDS (torch.Tensor): Chunks of the rows, float32 [chunk, vocabulary]."""
    for chunk in logits.split(CHUNK_ROWS):
        yield chunk.float()
