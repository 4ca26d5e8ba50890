"""What is read off the logits of a pass: the likeliest tokens, or some tokens and the total."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..engine.logsumexp import in_float32, logsumexp
from ..engine.transfer import on_device


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


class Logits:
    """The logits of a pass, as far as they are read: some tokens, and the sum over all of them.

    values (torch.Tensor): Of any floating type [rows, columns].
    total (torch.Tensor | None): Natural log of the sum of the exponentials of a whole row, float32
        [rows]; None to find it at first need.
    column (torch.Tensor | None): Column of each token of the vocabulary, int64; None where the
        columns are the vocabulary.
    """

    def __init__(
        self,
        values: torch.Tensor,
        total: torch.Tensor | None = None,
        column: torch.Tensor | None = None,
    ):
        self.values = values
        self._total = total
        self._column = column

    def __getitem__(self, rows: slice) -> Logits:
        """RETURNS (Logits): Those of some rows."""
        total = None if self._total is None else self._total[rows]
        return Logits(self.values[rows], total, self._column)

    @property
    def total(self) -> torch.Tensor:
        """RETURNS (torch.Tensor): Log of the sum of the exponentials of each row, float32
        [rows]."""
        if self._total is None:
            self._total = logsumexp(self.values)
        return self._total

    def at(self, rows: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """RETURNS (torch.Tensor): float32 of rows and tokens, whose shapes fit each other."""
        column = tokens if self._column is None else self._column[tokens]
        return self.values[rows, column].float()

    def of(self, tokens: torch.Tensor) -> torch.Tensor:
        """RETURNS (torch.Tensor): float32 of some tokens in each row [rows, tokens]."""
        column = tokens if self._column is None else self._column[tokens]
        return self.values[:, column].float()

    def on_host(self) -> HostLogits:
        """RETURNS (HostLogits): The same, where they are on the host: no copy of float32."""
        column = None if self._column is None else self._column.numpy()
        return HostLogits(self.values.float().numpy(), self.total.numpy(), column)


@dataclass(frozen=True)
class HostLogits:
    """Logits as arrays.

    values (NDArray[np.float32]): [rows, columns].
    total (NDArray[np.float32]): As of Logits [rows].
    column (Ints | None): As of Logits.
    """

    values: NDArray[np.float32]
    total: NDArray[np.float32]
    column: NDArray[np.int64] | None

    def at(self, row: int, tokens: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
        """RETURNS (NDArray[np.float32]): Of tokens in a row [tokens]."""
        values = self.values[row]
        return values[tokens] if self.column is None else values[self.column[tokens]]


class TokenSubset:
    """Brings what is read off few logits to the host, in one copy.

    tokens (NDArray): Token ids that can be asked for.
    device (torch.device): Where logits are.
    """

    def __init__(self, tokens: NDArray[np.int64], device: torch.device):
        once = np.unique(tokens)
        column = np.zeros(int(once[-1]) + 1, dtype=np.int64)
        column[once] = np.arange(len(once))
        self._column = torch.from_numpy(column)
        self._tokens = on_device(once, device)

    def __call__(self, logits: torch.Tensor, total: torch.Tensor | None) -> Logits:
        """RETURNS (Logits): On the host."""
        total = logsumexp(logits) if total is None else total
        found = torch.cat([logits[:, self._tokens].float(), total[:, None]], 1).cpu()
        return Logits(found[:, :-1], found[:, -1], self._column)


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
