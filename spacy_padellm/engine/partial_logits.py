"""A few tokens' logits at places where no others are wanted: without the rest of the vocabulary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from .language_model import LanguageModel

# Relative to the largest logit: products of other shapes round otherwise.
TOLERANCE, HALF_TOLERANCE = 1e-4, 2e-2
PLACES, COLUMNS = 5, 8  # of the comparison
PART = 8192  # places that are widened at a time


@dataclass
class Glance:
    """What is wanted of a pass beside whole rows of logits, and what came.

    places (torch.Tensor): int64 [n]: places in the flattened [rows * length].
    columns (torch.Tensor): int64 [columns]: tokens of the vocabulary.
    found (torch.Tensor | None): Their logits, float32 [n, columns], once the pass is done.
    """

    places: torch.Tensor
    columns: torch.Tensor
    found: torch.Tensor | None = None

    def read(self, states: torch.Tensor, head: torch.nn.Linear) -> None:
        """Read the logits off, in float32: with few columns it costs nothing, and no rounding
        depends on how many places there are.

        states (torch.Tensor): What goes into the output layer at the places [n, size].
        head (torch.nn.Linear): The output layer.
        """
        weight = head.weight[self.columns].float()
        bias = None if head.bias is None else head.bias[self.columns].float()
        self.found = torch.cat(
            [F.linear(part.float(), weight, bias) for part in states.split(PART)]
        )


def glances(model: LanguageModel) -> bool:
    """Compare a glance with whole rows of logits.

    model (LanguageModel): The model, whose output layer is a `torch.nn.Linear`.
    RETURNS (bool): Whether they are the same, as nothing comes behind the output layer.
    """
    head = model.base.get_output_embeddings()
    ids = torch.arange(PLACES, device=model.device)[None] % head.out_features
    places = torch.arange(PLACES, device=model.device)
    glance = Glance(places, torch.arange(min(COLUMNS, head.out_features), device=model.device))
    with torch.inference_mode():
        logits = model.plain_pass(ids, places, glance)[:, glance.columns]
    assert glance.found is not None
    difference = float((glance.found - logits).abs().max())
    tolerance = TOLERANCE if torch.finfo(logits.dtype).bits > 16 else HALF_TOLERANCE
    return difference <= tolerance * max(1.0, float(logits.abs().max()))
