"""The interface of rows of prompts: run a pass, mask slots, drop rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..tokenization.arrays import Ints
from .step import StepInput, StepOutput


class PromptRows(Protocol):
    """Rows of prompts that grow by one forward pass after another."""

    def forward(self, step: StepInput) -> StepOutput:
        """Append tokens and run one pass.

        step (StepInput): The tokens.
        RETURNS (StepOutput): Logits in the network's dtype; the next pass may overwrite them.
        """

    def mask_slots(self, tokens: Ints) -> None:
        """Exclude tokens of the last pass from the attention of later ones.

        tokens (Ints): Their indices in that pass's StepInput.
        """

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all but the given rows, which are renumbered in the order given."""
