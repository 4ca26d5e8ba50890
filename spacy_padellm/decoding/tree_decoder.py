"""The tree decoder: all prompts of a document in one row, all documents of a batch together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..documents.prediction import Prediction
from ..engine.language_model import ROW_TOKENS, LanguageModel
from ..engine.prompt_rows import PromptRows, Run
from ..engine.token_runs import Pieces, feed_of_pieces
from ..prompts.layout import pack
from ..prompts.tree import PromptTree
from ..prompts.tree_builder import TreeBuilder
from ..tokenization.arrays import Ints
from .counts import CountBranches
from .decoder import Decoder, decoder_factory
from .lattice import Passage
from .logits import Logits, TokenSubset
from .mention_decoder import MentionDecoder
from .params import DecodingParams
from .replicated import ReplicatedDecoder
from .tag_counts import said_first, say_first_digits

# Count branches up to which what is chosen is chosen on the host: a GPU would launch a hundred
# kernels that take longer to launch than to run.
FEW_BRANCHES = 32
HEADS = 128  # slots a row for heads of mentions and drafts, at least: rows that grow are moved
ROW_HEADS = 512  # mentions that begin in a row at once: attention grows with their square


class TreeDecoder(Decoder):
    """One prefill of all trees gives the first digits of all counts; one pass adds the mention
    heads (and the digit, whose answer tells whether the number went on); then each pass feeds the
    last token of every open mention, and drafts of the next ones, until all have ended.
    """

    def work(self, model: LanguageModel, tree: PromptTree) -> int:
        """RETURNS (int): Tokens of a tree's first pass."""
        return len(tree) if model.supports_tree_mask else self._fallback().work(model, tree)

    def decode(
        self,
        model: LanguageModel,
        builder: TreeBuilder,
        trees: Sequence[PromptTree],
        passages: Sequence[Passage],
        bounds: DecodingParams,
    ) -> list[Prediction]:
        """RETURNS (list[Prediction]): One a tree, all of them decoded together."""
        if not model.supports_tree_mask:
            return self._fallback().decode(model, builder, trees, passages, bounds)
        row_of = np.array(pack([len(tree) for tree in trees], ROW_TOKENS))
        most = int(np.bincount(row_of, weights=[len(tree) for tree in trees]).max())
        rows = model.start_rows(int(row_of.max()) + 1, most + max(most // 2, HEADS), bounds.graphs)

        counts = CountBranches(trees)
        runs: list[Run] = [(row_of[i], tree.ids, tree.paths(i)) for i, tree in enumerate(trees)]
        starts = np.cumsum([0, *map(len, trees)])
        texts = [
            start + builder.text_indices(tree) for start, tree in zip(starts, trees, strict=False)
        ]
        few = bounds.graphs and bounds.constrained and len(counts.tree) <= FEW_BRANCHES
        few = few and builder.token_bytes is not None
        device = torch.device("cpu") if few else model.device
        speaker = MentionDecoder(trees, passages, builder, bounds, device, few)
        first = TokenSubset(said_first(builder, trees[0].labels), model.device) if few else None
        speaker.begins = say_first_digits(
            *(rows, runs, counts, counts.last, texts, builder, trees[0].labels, bounds),
            narrow=first,
            meanwhile=speaker.prepare if bounds.graphs else None,
        )
        narrow = speaker.narrowing(model.device) if few else None
        step = _Step(builder, rows, row_of, counts, speaker, bounds, narrow)
        while step():
            pass
        return [
            Prediction(tuple(said), tuple(mentions))
            for said, mentions in zip(counts.said(trees), speaker.finish(), strict=True)
        ]

    def _fallback(self) -> ReplicatedDecoder:
        return ReplicatedDecoder(**vars(self))


make_tree_decoder = decoder_factory(TreeDecoder)


@dataclass
class _Step:
    """One pass after the first: the last digits of numbers, the heads of as many mentions as these
    may ask for, the last tokens of mentions that speak; drafts behind heads and tokens."""

    builder: TreeBuilder
    rows: PromptRows
    row_of: Ints
    counts: CountBranches
    speaker: MentionDecoder
    bounds: DecodingParams
    narrow: TokenSubset | None

    def __call__(self) -> bool:
        """RETURNS (bool): False, and nothing done, where all has been said."""
        counts, speaker, codec = self.counts, self.speaker, self.builder.codec
        numbers, speaking = self._few(counts.open), speaker.mentions.open
        if not len(numbers) and not len(speaking):
            return False
        asking = counts.tree[numbers]
        digits = counts.last_digits(numbers, self.row_of[asking], asking, codec)
        of, index = counts.heads(numbers, self.bounds)
        tree, label = counts.tree[of], counts.label[of]
        openings = speaker.opening_drafts(tree, label, index)
        bases = self.builder.mention_heads(index)
        row, position = self.row_of[tree], counts.position[of]
        heads = Pieces(row, tree, label, index, position, bases, openings)
        drafts = speaker.drafts(speaking)
        said = speaker.mentions.last_tokens(speaking, self.row_of, drafts)
        feed, (_, head_rows, said_rows) = feed_of_pieces([digits, heads, said])
        fed = self.rows.feed(feed)
        logits = (self.narrow or Logits)(fed, self.rows.total)

        counts.take(numbers, logits[: len(numbers)], codec, self.bounds)
        # Where a number goes on its heads were asked too early: no mention begins.
        asked = np.flatnonzero(~counts.is_open[of])
        behind_heads = np.zeros(len(of), dtype=np.int64)
        if len(asked):
            first = position[asked] + heads.n_base[asked]
            paths = (tree[asked], label[asked], index[asked])
            chance = counts.log_at_least(of[asked], index[asked])
            n_steps = speaker.begin(
                *paths, first, chance, logits, head_rows[asked], openings[asked]
            )
            behind_heads[asked] = heads.n_base[asked] + n_steps - 1
        behind_said = said.n_base
        if len(speaking):
            behind_said = behind_said + speaker.go_on(speaking, logits, said_rows, drafts) - 1
        # Nobody may see what was fed too early, or as a draft and not chosen.
        unseen = [
            digits.behind(digits.n_base),
            heads.behind(behind_heads),
            said.behind(behind_said),
        ]
        self.rows.hide(np.flatnonzero(np.concatenate(unseen)))
        return True

    def _few(self, numbers: Ints) -> Ints:
        """RETURNS (Ints): Of open numbers those that are asked on now: in each row the first ones
        that ask for ROW_HEADS mentions at most, or one that asks for more."""
        counts = self.counts
        asked = np.minimum(counts.number[numbers], self.bounds.max_count)
        if asked.sum() <= ROW_HEADS:
            return numbers
        order = np.argsort(self.row_of[counts.tree[numbers]], kind="stable")
        row, total = self.row_of[counts.tree[numbers[order]]], np.cumsum(asked[order])
        first = np.searchsorted(row, row)  # of its row
        before = total[first] - asked[order[first]]
        return numbers[
            np.sort(order[(total - before <= ROW_HEADS) | (first == np.arange(len(row)))])
        ]
