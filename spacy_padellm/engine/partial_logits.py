"""Logits of a few tokens at many positions, without the rest of the vocabulary."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F

ROWS_AT_ONCE = 8192  # hidden states converted to float32 at a time


class PartialRequest(NamedTuple):
    """Positions of a pass and the tokens whose logits are computed there.

    indices (torch.Tensor): int64 [n]: indices into the flattened [rows * length].
    token_ids (torch.Tensor): int64 [tokens]: tokens of the vocabulary.
    """

    indices: torch.Tensor
    token_ids: torch.Tensor


def partial_logits(
    states: torch.Tensor, head: torch.nn.Linear, token_ids: torch.Tensor
) -> torch.Tensor:
    """Compute a few columns of the output layer, in float32: it costs little with few columns, and
    no rounding depends on the number of positions.

    states (torch.Tensor): Inputs of the output layer [n, size].
    head (torch.nn.Linear): The output layer.
    token_ids (torch.Tensor): int64 [tokens].
    RETURNS (torch.Tensor): float32 [n, tokens].
    """
    weight = head.weight[token_ids].float()
    bias = None if head.bias is None else head.bias[token_ids].float()
    parts = [F.linear(part.float(), weight, bias) for part in states.split(ROWS_AT_ONCE)]
    return torch.cat(parts)
