"""Logits of a pass as decoders read them: whole rows, or a subset of tokens brought to the host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..engine.logsumexp import in_float32, logsumexp
from ..engine.step import StepOutput
from ..engine.transfer import on_device


class NotFiniteError(ValueError):
    """A model's logits hold NaN, or an infinity where a token was selected."""

    def __init__(self, text: str | None = None):
        about = "" if text is None else f" for {text[:60]!r}…"
        super().__init__(
            f"The model's logits{about} are not finite (NaN or infinite), so nothing can be "
            'decoded. Run it in a wider floating-point type (dtype = "float32" in '
            "the component's [model] block), or check its weights: `python -m spacy padellm "
            "download NAME` compares those of a base with their sha256."
        )


def check_finite(logprobs: NDArray[np.floating[Any]]) -> None:
    """RAISES (NotFiniteError): A log-probability of a selected token that is not finite."""
    if not np.isfinite(logprobs).all():
        raise NotFiniteError


class Logits:
    """Next-token logits: some or all tokens of the vocabulary, and the logsumexp over all.

    values (torch.Tensor): Of any floating type [rows, columns].
    total (torch.Tensor | None): The logsumexp: natural log of the sum of exponentials of a whole
        row, float32 [rows]; None to compute it at first need.
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
        self._logsumexp = total
        self._column = column

    def __getitem__(self, rows: slice) -> Logits:
        """RETURNS (Logits): Those of some rows."""
        total = None if self._logsumexp is None else self._logsumexp[rows]
        return Logits(self.values[rows], total, self._column)

    @property
    def logsumexp(self) -> torch.Tensor:
        """RETURNS (torch.Tensor): Natural log of the sum of exponentials of each row, float32
        [rows]."""
        if self._logsumexp is None:
            self._logsumexp = logsumexp(self.values)
        return self._logsumexp

    def gather(self, rows: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """RETURNS (torch.Tensor): float32 logits of rows and tokens, whose shapes broadcast."""
        column = tokens if self._column is None else self._column[tokens]
        return self.values[rows, column].float()

    def columns(self, tokens: torch.Tensor) -> torch.Tensor:
        """RETURNS (torch.Tensor): float32 logits of tokens in each row [rows, tokens]."""
        column = tokens if self._column is None else self._column[tokens]
        return self.values[:, column].float()

    def on_host(self) -> HostLogits:
        """RETURNS (HostLogits): The same as arrays, for logits on the host; float32 is not
        copied."""
        column = None if self._column is None else self._column.numpy()
        return HostLogits(self.values.float().numpy(), self.logsumexp.numpy(), column)


@dataclass(frozen=True)
class HostLogits:
    """Logits as arrays.

    values (NDArray[np.float32]): [rows, columns].
    logsumexp (NDArray[np.float32]): As of Logits [rows].
    column (NDArray[np.int64] | None): As of Logits.
    """

    values: NDArray[np.float32]
    logsumexp: NDArray[np.float32]
    column: NDArray[np.int64] | None

    def gather(self, row: int, tokens: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
        """RETURNS (NDArray[np.float32]): Logits of tokens in a row [tokens]."""
        values = self.values[row]
        return values[tokens] if self.column is None else values[self.column[tokens]]


class TokenSubset:
    """Brings the logits of some tokens to the host, in one copy.

    tokens (NDArray): Token ids.
    device (torch.device): The device of the logits.
    """

    def __init__(self, tokens: NDArray[np.int64], device: torch.device):
        distinct = np.unique(tokens)
        column = np.zeros(int(distinct[-1]) + 1, dtype=np.int64)
        column[distinct] = np.arange(len(distinct))
        self._column = torch.from_numpy(column)
        self._tokens = on_device(distinct, device)

    def read(self, output: StepOutput) -> Logits:
        """RETURNS (Logits): The logits of the subset, on the host."""
        logits, total = output.logits, output.logsumexp
        total = logsumexp(logits) if total is None else total
        values = torch.cat([logits[:, self._tokens].float(), total[:, None]], 1).cpu()
        return Logits(values[:, :-1], values[:, -1], self._column)


def read_logits(output: StepOutput, subset: TokenSubset | None = None) -> Logits:
    """RETURNS (Logits): The logits of a pass; of a subset of tokens, brought to the host."""
    if subset is not None:
        return subset.read(output)
    return Logits(output.logits, output.logsumexp)


def most_likely(logits: torch.Tensor) -> tuple[list[int], list[float]]:
    """Select the likeliest token of each row.

    logits (torch.Tensor): [rows, vocabulary], of any floating type.
    RETURNS (tuple[list[int], list[float]]): Tokens and their natural-log probabilities.
    """
    tokens: list[int] = []
    logprobs: list[float] = []
    for part in in_float32(logits):
        best, token = part.max(-1)
        tokens += token.tolist()
        logprobs += (best - part.logsumexp(-1)).tolist()
    return tokens, logprobs
