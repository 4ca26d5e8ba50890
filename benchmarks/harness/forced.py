"""Models that compute each pass in full and then output the gold tokens.

A random network of some shape takes as long as a trained one, but its output is useless. Here the
logits are overwritten after each pass, so that greedy decoding selects the gold counts and
mentions, or the gold answer of an autoregressive decoder: every way of decoding does the work of a
perfect model.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from spacy_padellm.engine.language_model import LanguageModel
from spacy_padellm.engine.prompt_rows import CachedRows, Feed, RecomputedRows
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


class ForcedModel(LanguageModel):
    """A language model that counts its passes and outputs the tokens of a script.

    network (torch.nn.Module): A causal LM, random or trained.
    codec (Codec): Its tokenizer.
    supports_tree_mask (bool): As of `LanguageModel`.
    """

    def __init__(self, network: Any, codec: Codec, supports_tree_mask: bool = True):
        super().__init__(network, codec, supports_tree_mask)
        self.script: Script | None = None
        self.work = Work()
        # On the device: copying a number from the host would wait for all launched kernels.
        self._forced = torch.tensor(FORCED, dtype=self.base.dtype, device=self.device)

    def start_rows(
        self, n_rows: int, capacity: int, graphs: bool = False
    ) -> CachedRows | RecomputedRows:
        """RETURNS (CachedRows | RecomputedRows): As of `LanguageModel`, with forced logits."""
        if self.supports_tree_mask:
            return _ForcedRows(self, n_rows, capacity, graphs)
        return super().start_rows(n_rows, capacity)

    def plain_logits(
        self, sequences: Sequence[Sequence[int] | Ints], where: Ints, ends: Ints
    ) -> torch.Tensor:
        """RETURNS (torch.Tensor): As of `LanguageModel`, overwritten where the script has a
        token."""
        self.work.passes.append((sum(map(len, sequences)), len(where)))
        entries = None
        if self.script is not None:
            script = self.script
            pairs = zip(where, ends, strict=True)
            prompts = [np.asarray(sequences[i][: end + 1]) for i, end in pairs]
            entries = self.entries(lambda: script.next_tokens_of_prompts(prompts), len(where))
        return self.force(super().plain_logits(sequences, where, ends), entries)

    def entries(
        self, look_up: Callable[[], tuple[Ints, Ints]], n_rows: int
    ) -> tuple[torch.Tensor, ...]:
        """RETURNS (tuple[torch.Tensor, ...]): Rows and columns of the logits to overwrite."""
        start = time.perf_counter()
        rows, tokens = look_up()
        entries = self.tensor(np.stack([rows, tokens])).unbind()
        self.work.unforced += n_rows - len(rows)
        self.work.forcing += time.perf_counter() - start
        return entries

    def force(self, logits: torch.Tensor, entries: tuple[torch.Tensor, ...] | None) -> torch.Tensor:
        """RETURNS (torch.Tensor): The same logits, overwritten in place."""
        if entries is not None:
            start = time.perf_counter()
            with torch.inference_mode():
                logits.index_put_(entries, self._forced.to(logits.dtype))
            self.work.forcing += time.perf_counter() - start
        return logits


class _ForcedRows(CachedRows):
    """Rows whose logits are overwritten after each pass, outside of captured graphs."""

    def feed(self, feed: Feed) -> torch.Tensor:
        """RETURNS (torch.Tensor): As of `CachedRows`, overwritten where the script has a token."""
        model = self._model
        assert isinstance(model, ForcedModel)
        model.work.passes.append((len(feed.row), len(feed.wanted)))
        entries = partial = None
        if (script := model.script) is not None:
            entries = model.entries(
                lambda: script.next_tokens(feed.ids, feed.paths, feed.wanted), len(feed.wanted)
            )
            if feed.glances is not None:
                partial = model.entries(lambda: _partial(script, feed), len(feed.glances))
        logits = super().feed(feed)
        if self.glanced is not None:
            model.force(self.glanced, partial)
        if self.total is not None and entries is not None:
            with torch.inference_mode():
                self.total.index_fill_(0, entries[0], FORCED)
        return model.force(logits, entries)


def _partial(script: Script, feed: Feed) -> tuple[Ints, Ints]:
    """RETURNS (tuple[Ints, Ints]): Rows and columns of the partial logits to overwrite."""
    assert feed.glances is not None
    assert feed.columns is not None
    rows, tokens = script.next_tokens(feed.ids, feed.paths, feed.glances)
    row, column = np.nonzero(tokens[:, None] == feed.columns)
    return rows[row], column
