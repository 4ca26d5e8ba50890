"""Models that compute each pass in full and then output the gold tokens.

A random network of some shape takes as long as a trained one, but its output is useless. Here the
logits are overwritten after each pass, so that greedy decoding selects the gold counts and
mentions, or the gold answer of an autoregressive decoder: every way of decoding does the work of a
perfect model.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from spacy_padellm.engine.language_model import LanguageModel
from spacy_padellm.engine.prompt_rows import PromptRows
from spacy_padellm.engine.runner import Runner
from spacy_padellm.engine.step import StepInput, StepOutput
from spacy_padellm.tokenization.arrays import Ints
from spacy_padellm.tokenization.codec import Codec

from .script import Script

FORCED = 1e4  # far above any logit, within the range of float16


@dataclass
class Work:
    """Work of the model in one run.

    passes (list[tuple[int, int]]): Of each forward pass the number of tokens without padding, and
        the number of tokens whose next-token logits are computed.
    forcing (float): Seconds on the host for overwriting logits.
    unforced (int): Number of rows of logits that were left as they were.
    """

    passes: list[tuple[int, int]] = field(default_factory=list)
    forcing: float = 0.0
    unforced: int = 0


class ForcedModel:
    """A language model whose runners count passes and output the tokens of a script.

    model (LanguageModel): The model, random or trained.

    script (Script | None): The gold next tokens; None leaves all logits as they are.
    work (Work): Passes are added to it.
    """

    def __init__(self, model: LanguageModel):
        self.model = model
        self.script: Script | None = None
        self.work = Work()
        self._runners: dict[bool | None, ForcedRunner] = {}
        # On the device: copying a number from the host would wait for all launched kernels.
        self._forced = torch.tensor(FORCED, dtype=model.base.dtype, device=model.device)

    @property
    def device(self) -> torch.device:
        """RETURNS (torch.device): Device of the network."""
        return self.model.device

    @property
    def codec(self) -> Codec:
        """RETURNS (Codec): The tokenizer."""
        return self.model.codec

    @property
    def max_positions(self) -> int | None:
        """RETURNS (int | None): Positions of the model, None for any number."""
        return self.model.max_positions

    def runner(self, fuse: bool | None = None) -> "ForcedRunner":
        """RETURNS (ForcedRunner): The runner with layers fused or not, as of `Runner`; the same one
        each time."""
        if fuse not in self._runners:
            self._runners[fuse] = ForcedRunner(self, fuse)
        return self._runners[fuse]

    def release_memory(self) -> None:
        """Drop captured passes and their memory."""
        for runner in self._runners.values():
            runner.release_memory()

    def entries(
        self, look_up: Callable[[], tuple[Ints, Ints]], n_rows: int
    ) -> tuple[torch.Tensor, ...]:
        """RETURNS (tuple[torch.Tensor, ...]): Rows and columns of the logits to overwrite."""
        start = time.perf_counter()
        rows, tokens = look_up()
        entries = self.model.tensor(np.stack([rows, tokens])).unbind()
        self.work.unforced += n_rows - len(rows)
        self.work.forcing += time.perf_counter() - start
        return entries

    def force(self, logits: torch.Tensor, entries: tuple[torch.Tensor, ...]) -> None:
        """Overwrite logits in place."""
        start = time.perf_counter()
        with torch.inference_mode():
            logits.index_put_(entries, self._forced.to(logits.dtype))
        self.work.forcing += time.perf_counter() - start


class ForcedRunner(Runner):
    """A runner whose rows count passes and force their logits.

    forced (ForcedModel): The model with its script.
    fuse (bool | None): As of `Runner`.
    """

    def __init__(self, forced: ForcedModel, fuse: bool | None = None):
        super().__init__(forced.model, fuse)
        self._forced_model = forced

    def start_rows(self, n_rows: int, capacity: int, graphs: bool = False) -> Any:
        """RETURNS (PromptRows): As of `Runner`, with forced logits."""
        return _ForcedRows(super().start_rows(n_rows, capacity, graphs), self._forced_model)


class _ForcedRows:
    """Rows whose logits are overwritten after each pass, outside of captured graphs."""

    def __init__(self, rows: PromptRows, forced: ForcedModel):
        self._rows = rows
        self._forced = forced
        self.mask_slots = rows.mask_slots
        self.keep = rows.keep

    def forward(self, step: StepInput) -> StepOutput:
        """RETURNS (StepOutput): Logits, overwritten where the script has a token."""
        forced = self._forced
        script = forced.script
        forced.work.passes.append((len(step.row), len(step.logits_indices)))
        if script is None:
            return self._rows.forward(step)
        # Looked up before the pass is launched, so that the host does not wait for it.
        entries = forced.entries(
            lambda: script.next_tokens(step.token_ids, step.paths, step.logits_indices),
            len(step.logits_indices),
        )
        partial = None
        if step.partial_indices is not None:
            n_partial = len(step.partial_indices)
            partial = forced.entries(lambda: _partial_entries(script, step), n_partial)
        output = self._rows.forward(step)
        forced.force(output.logits, entries)
        if output.partial_logits is not None and partial is not None:
            forced.force(output.partial_logits, partial)
        if output.logsumexp is not None:
            with torch.inference_mode():
                output.logsumexp.index_fill_(0, entries[0], FORCED)
        return output


def _partial_entries(script: Script, step: StepInput) -> tuple[Ints, Ints]:
    """RETURNS (tuple[Ints, Ints]): Rows and columns of the partial logits to overwrite."""
    assert step.partial_indices is not None
    assert step.partial_token_ids is not None
    rows, tokens = script.next_tokens(step.token_ids, step.paths, step.partial_indices)
    row, column = np.nonzero(tokens[:, None] == step.partial_token_ids)
    return rows[row], column
