"""The tree decoder: all prompts of a document in one row, all documents of a batch together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..documents.prediction import Prediction
from ..engine.language_model import ROW_TOKENS
from ..engine.prompt_rows import PromptRows
from ..engine.runner import Runner
from ..engine.token_runs import TokenRuns, join_runs
from ..prompts.layout import pack
from ..prompts.tree import PromptTree
from ..prompts.tree_builder import TreeBuilder
from ..tokenization.arrays import Float32s, Ints
from .counts import CountBranches
from .decoder import Decoder, decoder_factory
from .lattice import ConstraintText
from .logits import TokenSubset, read_logits
from .mention_decoder import MentionDecoder
from .params import ResolvedParams
from .prefill import Prefill
from .replicated import ReplicatedDecoder

# Count branches up to which tokens are selected on the host: a GPU would launch a hundred kernels
# that take longer to launch than to run.
FEW_BRANCHES = 32
SPARE_SLOTS = 128  # per row for mention heads and drafts, at least: rows that grow are moved
# Mentions that begin in a row at once: attention grows with their square.
MAX_NEW_MENTIONS_PER_ROW = 512


class TreeDecoder(Decoder):
    """One prefill of all trees gives the first digits of all counts. One pass appends the mention
    heads (and the digit, whose logits decide whether the number goes on). Then each decode step
    runs the last token of every open mention, and drafts of the next ones, until all have ended.

    Networks without tree masks fall back to the replicated decoder.
    """

    def n_prefill_tokens(self, runner: Runner, tree: PromptTree) -> int:
        """RETURNS (int): Tokens of the first pass over a tree."""
        if runner.model.supports_tree_mask:
            return len(tree)
        return self._fallback().n_prefill_tokens(runner, tree)

    def decode(
        self,
        runner: Runner,
        builder: TreeBuilder,
        trees: Sequence[PromptTree],
        texts: Sequence[ConstraintText],
        params: ResolvedParams,
    ) -> list[Prediction]:
        """RETURNS (list[Prediction]): One prediction per tree, all of them decoded together."""
        if not runner.model.supports_tree_mask:
            return self._fallback().decode(runner, builder, trees, texts, params)
        device, labels = runner.model.device, trees[0].labels
        row_of = np.array(pack([len(tree) for tree in trees], ROW_TOKENS))
        longest_row = int(np.bincount(row_of, weights=[len(tree) for tree in trees]).max())
        capacity = longest_row + max(longest_row // 2, SPARE_SLOTS)
        rows = runner.start_rows(int(row_of.max()) + 1, capacity, params.graphs)

        counts = CountBranches(trees)
        on_host = (
            params.graphs
            and params.constrained
            and len(counts) <= FEW_BRANCHES
            and builder.token_bytes is not None
        )
        subset = Prefill.token_subset(builder, labels, device) if on_host else None
        partial = runner.supports_partial_logits()
        documents = range(len(trees))
        prefill = Prefill.of_prompts(
            trees, row_of, counts.last, documents, builder, params, partial=partial
        )
        output = rows.forward(prefill.step)
        mention_decoder = None
        select_device = torch.device("cpu") if on_host else device
        if params.graphs:  # tables are built while the GPU computes
            mention_decoder = MentionDecoder(trees, texts, builder, params, select_device, on_host)
        begins = prefill.read(output, counts, builder, params, subset)
        del output  # the logits of all counts: memory for the next passes
        if not len(counts.open):
            return [Prediction(tuple(numbers)) for numbers in counts.counts(trees)]
        if mention_decoder is None:
            mention_decoder = MentionDecoder(trees, texts, builder, params, select_device, on_host)
        subset = mention_decoder.token_subset(device) if on_host else None
        steps = _Steps(builder, rows, row_of, counts, mention_decoder, params, begins, subset)
        while steps.has_open():
            steps.run()
        results = zip(counts.counts(trees), mention_decoder.finish(), strict=True)
        return [Prediction(tuple(numbers), tuple(mentions)) for numbers, mentions in results]

    def _fallback(self) -> ReplicatedDecoder:
        return ReplicatedDecoder(**self.as_dict())


make_tree_decoder = decoder_factory(TreeDecoder)


@dataclass
class _Steps:
    """The passes after the first. Each appends the last digits of open counts, the heads of the
    mentions that those counts allow, and the last tokens of open mentions; drafts follow heads and
    last tokens."""

    builder: TreeBuilder
    rows: PromptRows
    row_of: Ints
    counts: CountBranches
    decoder: MentionDecoder
    params: ResolvedParams
    begins: Sequence[Float32s] | None
    subset: TokenSubset | None

    def has_open(self) -> bool:
        """RETURNS (bool): Whether any branch is still open."""
        return bool(self.counts.is_open.any() or self.decoder.mentions.is_open.any())

    def run(self) -> None:
        """Run one pass, and append its tokens to numbers and mentions."""
        counts, decoder, codec = self.counts, self.decoder, self.builder.codec
        numbers, open_mentions = self._next_numbers(), decoder.mentions.open
        tree = counts.tree[numbers]
        digits = counts.last_digits(numbers, self.row_of[tree], tree, codec)
        counts.advance(numbers)
        branch, index = counts.heads(numbers, self.params)
        tree, label, position = counts.tree[branch], counts.label[branch], counts.position[branch]
        first_drafts = decoder.first_drafts(tree, label, self.begins)
        heads = TokenRuns(
            *(self.row_of[tree], tree, label, index, position),
            self.builder.mention_heads(index),
            first_drafts,
        )
        drafts = decoder.drafts(open_mentions)
        lasts = decoder.mentions.last_tokens(open_mentions, self.row_of, drafts)
        decoder.mentions.advance(open_mentions)
        step, (_, head_rows, last_rows) = join_runs([digits, heads, lasts])
        logits = read_logits(self.rows.forward(step), self.subset)

        counts.select(numbers, logits[: len(numbers)], codec, self.params)
        # Where a number goes on, its heads were run too early: no mention begins.
        valid = np.flatnonzero(~counts.is_open[branch])
        accepted_heads = np.zeros(len(branch), dtype=np.int64)
        if len(valid):
            n_steps = decoder.begin(
                *(tree[valid], label[valid], index[valid]),
                position[valid] + heads.n_generated[valid],
                counts.log_at_least(branch[valid], index[valid]),
                *(logits, head_rows[valid], first_drafts[valid]),
            )
            accepted_heads[valid] = heads.n_generated[valid] + n_steps - 1
        accepted = lasts.n_generated
        if len(open_mentions):
            n_steps = decoder.extend(open_mentions, logits, last_rows, drafts)
            accepted = accepted + n_steps - 1
        # Mask heads that were run too early, and rejected draft tokens.
        rejected = [
            digits.rejected(digits.n_generated),
            heads.rejected(accepted_heads),
            lasts.rejected(accepted),
        ]
        self.rows.mask_slots(np.flatnonzero(np.concatenate(rejected)))

    def _next_numbers(self) -> Ints:
        """RETURNS (Ints): The open numbers of this pass: in each row the first ones that stand for
        MAX_NEW_MENTIONS_PER_ROW mentions at most, or a single one that stands for more."""
        counts, numbers = self.counts, self.counts.open
        n_mentions = np.minimum(counts.number[numbers], self.params.max_count)
        if n_mentions.sum() <= MAX_NEW_MENTIONS_PER_ROW:
            return numbers
        order = np.argsort(self.row_of[counts.tree[numbers]], kind="stable")
        row, total = self.row_of[counts.tree[numbers[order]]], np.cumsum(n_mentions[order])
        first = np.searchsorted(row, row)  # of its row
        before = total[first] - n_mentions[order[first]]
        is_first = first == np.arange(len(row))
        return numbers[np.sort(order[(total - before <= MAX_NEW_MENTIONS_PER_ROW) | is_first])]
