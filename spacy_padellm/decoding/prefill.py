"""The first pass over the prompts of a batch: first digits of all counts, and tags of the texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..engine.step import Run, StepInput, StepOutput
from ..prompts.tree_builder import TreeBuilder
from ..tokenization.arrays import Ints
from .counts import END, CountBranches, number_symbols
from .logits import Logits, TokenSubset, read_logits
from .params import ResolvedParams
from .tag_counts import count_distribution

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Prefill:
    """The input of the first pass, and what is read from its output.

    step (StepInput): The prompts.
    n_counts (int): Count prompts, whose logits come first.
    text_sizes (Sequence[int]): Tokens of each document's text.
    tag_token_ids (Ints | None): Token ids of the tags: outside, inside, then the beginning of a
        mention of each label; None where the texts have no tags.
    """

    step: StepInput
    n_counts: int
    text_sizes: Sequence[int]
    tag_token_ids: Ints | None

    @classmethod
    def of_prompts(
        cls,
        runs: Sequence[Run],
        ends: Ints,
        texts: Sequence[Ints],
        builder: TreeBuilder,
        labels: Sequence[str],
        params: ResolvedParams,
        *,
        partial: bool,
    ) -> Prefill:
        """Build the first pass.

        runs (Sequence[Run]): The prompts.
        ends (Ints): Index of each count prompt's last token among the joined runs.
        texts (Sequence[Ints]): Indices of each document's text tokens among the joined runs.
        builder (TreeBuilder): Holds the tags' tokens.
        labels (Sequence[str]): The labels to find.
        params (ResolvedParams): Whether tags count.
        partial (bool): Whether the rows compute partial logits.
        RETURNS (Prefill): The pass.
        """
        sizes = [len(text) for text in texts]
        tags = builder.tag_token_ids(labels) if params.tag_weight else None
        if tags is None:
            return cls(StepInput.of_runs(runs, ends), len(ends), sizes, None)
        token_ids, positions = np.array(tags), np.concatenate(list(texts))
        if partial:
            step = StepInput.of_runs(runs, ends, positions, token_ids)
        else:
            step = StepInput.of_runs(runs, np.concatenate([ends, positions]))
        return cls(step, len(ends), sizes, token_ids)

    @staticmethod
    def token_subset(
        builder: TreeBuilder, labels: Sequence[str], device: torch.device
    ) -> TokenSubset:
        """RETURNS (TokenSubset): The tokens whose logits `read` needs."""
        tags = builder.tag_token_ids(labels) or []
        return TokenSubset(np.array([*number_symbols(builder.codec), *tags]), device)

    def read(
        self,
        output: StepOutput,
        counts: CountBranches,
        builder: TreeBuilder,
        params: ResolvedParams,
        subset: TokenSubset | None = None,
    ) -> list[Floats] | None:
        """Select the first digit of each count, with the evidence of the text's tags.

        output (StepOutput): The output of `step`.
        counts (CountBranches): The count branches of the batch, none begun.
        builder (TreeBuilder): Built the prompts.
        params (ResolvedParams): How numbers are chosen.
        subset (TokenSubset | None): Brings logits to the host, for few counts.
        RETURNS (list[NDArray[np.float32]] | None): For each document the probability that a
            mention of a label begins at each token of its text [tokens, labels]; None without tags.
        RAISES (NotFiniteError): Logits that are not finite.
        """
        logits = read_logits(output, subset)
        begins = self._begin_probabilities(output, logits, on_host=subset is not None)
        if begins is not None:
            chances = count_distribution(begins)[counts.tree, counts.label - 1]
            # The first digit of a number of ten or more means something else.
            below_ten = chances[:, END] < 0.5
            counts.evidence[below_ten] = np.log(chances[below_ten, :END].clip(1e-9))
        counts.select(counts.open, logits[: self.n_counts], builder.codec, params)
        return begins

    def _begin_probabilities(
        self, output: StepOutput, logits: Logits, *, on_host: bool
    ) -> list[Floats] | None:
        if self.tag_token_ids is None:
            return None
        if output.partial_logits is not None:
            tags = output.partial_logits.cpu() if on_host else output.partial_logits
        else:
            token_ids = torch.from_numpy(self.tag_token_ids).to(logits.values.device)
            tags = logits[self.n_counts :].columns(token_ids)
        chances = tags.softmax(-1)[:, 2:].cpu().numpy()
        return np.split(chances, np.cumsum(self.text_sizes)[:-1])
