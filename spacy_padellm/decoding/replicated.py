"""The replicated decoder: one row per prompt, the paper's batch (arXiv 2402.04838, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..documents.prediction import Prediction
from ..engine.runner import Runner
from ..engine.step import Run, StepInput
from ..engine.token_runs import TokenRuns, join_runs
from ..prompts.tree import COUNT, TRUNK, Paths, PromptTree
from ..prompts.tree_builder import TreeBuilder
from ..tokenization.arrays import Ints
from .counts import CountBranches
from .decoder import Decoder, decoder_factory
from .lattice import ConstraintText
from .logits import read_logits
from .mention_decoder import MentionDecoder
from .params import ResolvedParams
from .prefill import Prefill


class ReplicatedDecoder(Decoder):
    """Repeats the text for each count prompt, then for each mention prompt, as the paper does.

    Works with every causal LM; the tree decoder is compared with it in tests.
    """

    def n_prefill_tokens(self, runner: Runner, tree: PromptTree) -> int:
        """RETURNS (int): Tokens of a tree's count prompts."""
        return sum(len(tree.path(*branch)) for branch in tree.branches())

    def decode(
        self,
        runner: Runner,
        builder: TreeBuilder,
        trees: Sequence[PromptTree],
        texts: Sequence[ConstraintText],
        params: ResolvedParams,
    ) -> list[Prediction]:
        """RETURNS (list[Prediction]): One prediction per tree, all of them decoded together."""
        counts = CountBranches(trees)
        prompts = [
            trees[tree].prompt(label)
            for tree, label in zip(counts.tree.tolist(), counts.label.tolist(), strict=True)
        ]
        _decode_counts(runner, builder, prompts, counts, params)
        branch, index = counts.heads(np.arange(len(counts)), params)
        if not len(branch):
            return [Prediction(tuple(numbers)) for numbers in counts.counts(trees)]
        no_drafts = replace(params, drafts=0)
        device = runner.model.device
        decoder = MentionDecoder(trees, texts, builder, no_drafts, device)
        _decode_mentions(runner, builder, decoder, counts, prompts, branch, index, params)
        results = zip(counts.counts(trees), decoder.finish(), strict=True)
        return [Prediction(tuple(numbers), tuple(mentions)) for numbers, mentions in results]


make_replicated_decoder = decoder_factory(ReplicatedDecoder)


def _decode_counts(
    runner: Runner,
    builder: TreeBuilder,
    prompts: Sequence[PromptTree],
    counts: CountBranches,
    params: ResolvedParams,
) -> None:
    rows = runner.start_rows(len(prompts), max(map(len, prompts)) + 4, params.graphs)
    prefill = Prefill.of_prompts(
        prompts,
        np.arange(len(prompts)),
        np.cumsum([len(prompt) for prompt in prompts]) - 1,
        np.flatnonzero(counts.label == 1).tolist(),
        builder,
        params,
        partial=runner.supports_partial_logits(),
    )
    prefill.read(rows.forward(prefill.step), counts, builder, params)
    codec = builder.codec
    while len(numbers := counts.open):
        digits = counts.last_digits(numbers, numbers, numbers, codec)
        counts.advance(numbers)
        output = rows.forward(digits.step_input())
        counts.select(numbers, read_logits(output), codec, params)


def _decode_mentions(
    runner: Runner,
    builder: TreeBuilder,
    decoder: MentionDecoder,
    counts: CountBranches,
    prompts: Sequence[PromptTree],
    branch: Ints,
    index: Ints,
    params: ResolvedParams,
) -> None:
    """Decode the mentions of all counts, one row each.

    branch, index (Ints): The count branch of each mention, and its index, from 1 [mentions].
    """
    runs: list[Run] = []
    for row, (count, k) in enumerate(zip(branch.tolist(), index.tolist(), strict=True)):
        prompt, number = prompts[count], builder.codec.encode_number(int(counts.number[count]))
        ids = [*prompt.ids, *number, *builder.mention_head(k)]
        # A prompt alone in its row is all trunk: each token attends to every one before it.
        trunk, mention = np.full(len(ids), TRUNK), np.full(len(ids), COUNT)
        position = np.arange(len(ids))
        horizon = np.concatenate([prompt.horizon, position[len(prompt) :]])
        runs.append((row, ids, Paths(np.full(len(ids), row), trunk, mention, position, horizon)))
    lengths = np.array([len(ids) for _, ids, _ in runs])
    rows = runner.start_rows(len(runs), int(lengths.max()) + 8, params.graphs)
    no_drafts = np.zeros((len(runs), 0), dtype=np.int64)
    logits = read_logits(rows.forward(StepInput.of_runs(runs)))
    decoder.begin(
        *(counts.tree[branch], counts.label[branch], index, lengths),
        *(counts.log_at_least(branch, index), logits, np.arange(len(runs))[:, None], no_drafts),
    )
    mentions = decoder.mentions
    while len(open_mentions := mentions.open):
        n = len(open_mentions)
        path = open_mentions, np.full(n, TRUNK), np.full(n, COUNT)
        last = mentions.last(open_mentions)[:, None]
        lasts = TokenRuns(open_mentions, *path, mentions.position[open_mentions], last)
        mentions.advance(open_mentions)
        step, (logits_rows,) = join_runs([lasts])
        logits = read_logits(rows.forward(step))
        decoder.extend(open_mentions, logits, logits_rows, no_drafts[:n])
