"""The first pass over the prompts of a batch: first digits of all counts, and tags of the texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..engine.step import Run, StepInput, StepOutput
from ..prompts.tree import PromptTree
from ..prompts.tree_builder import TreeBuilder
from ..tokenization.arrays import Float32s, Ints
from .counts import END, CountBranches, number_symbols
from .logits import Logits, TokenSubset, read_logits
from .params import ResolvedParams
from .tag_counts import count_distribution


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
        prompts: Sequence[PromptTree],
        rows: Ints,
        ends: Ints,
        documents: Sequence[int],
        builder: TreeBuilder,
        params: ResolvedParams,
        *,
        partial: bool,
    ) -> Prefill:
        """Build the first pass.

        prompts (Sequence[PromptTree]): Trees, or count prompts of their own.
        rows (Ints): The row of each [prompts].
        ends (Ints): Index of each count prompt's last token among the joined prompts.
        documents (Sequence[int]): For each document one of its prompts, whose text is tagged.
        builder (TreeBuilder): Built the prompts; gives the token ids of the tags.
        params (ResolvedParams): Whether tags count.
        partial (bool): Whether the rows compute partial logits.
        RETURNS (Prefill): The pass.
        """
        runs: list[Run] = [
            (row, prompt.ids, prompt.paths(i))
            for i, (row, prompt) in enumerate(zip(rows.tolist(), prompts, strict=True))
        ]
        starts = np.cumsum([0, *map(len, prompts)])
        texts = [starts[i] + builder.text_indices(prompts[i]) for i in documents]
        labels = prompts[0].labels
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
    ) -> list[Float32s] | None:
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
        evidence = None
        if begins is not None:
            chances = count_distribution(begins)[counts.tree, counts.label - 1]
            evidence = np.log(chances[:, :END].clip(1e-9))
            # For ten or more, the first digit is not the number.
            evidence[chances[:, END] >= 0.5] = np.nan
        codec = builder.codec
        counts.select(counts.open, logits[: self.n_counts], codec, params, evidence)
        return begins

    def _begin_probabilities(
        self, output: StepOutput, logits: Logits, *, on_host: bool
    ) -> list[Float32s] | None:
        if self.tag_token_ids is None:
            return None
        if output.partial_logits is not None:
            tags = output.partial_logits.cpu() if on_host else output.partial_logits
        else:
            token_ids = torch.from_numpy(self.tag_token_ids).to(logits.values.device)
            tags = logits[self.n_counts :].columns(token_ids)
        chances = tags.softmax(-1)[:, 2:].cpu().numpy()
        return np.split(chances, np.cumsum(self.text_sizes)[:-1])
