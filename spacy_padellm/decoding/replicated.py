"""The replicated decoder: one row a prompt, the paper's batch (arXiv 2402.04838, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..documents.prediction import Prediction
from ..engine.language_model import LanguageModel
from ..engine.prompt_rows import Run, feed_of
from ..engine.token_runs import Pieces, feed_of_pieces
from ..prompts.tree import COUNT, TRUNK, Paths, PromptTree
from ..prompts.tree_builder import TreeBuilder
from ..tokenization.arrays import Ints
from .counts import CountBranches
from .decoder import Decoder, decoder_factory
from .lattice import Passage
from .logits import Logits
from .mention_decoder import MentionDecoder
from .params import DecodingParams
from .tag_counts import say_first_digits


class ReplicatedDecoder(Decoder):
    """Repeats the text for each count prompt, then for each mention prompt, as the paper does.

    Works with every causal LM; the tree decoder is checked against it.
    """

    def work(self, model: LanguageModel, tree: PromptTree) -> int:
        """RETURNS (int): Tokens of a tree's count prompts."""
        return sum(len(tree.path(*branch)) for branch in tree.branches())

    def decode(
        self,
        model: LanguageModel,
        builder: TreeBuilder,
        trees: Sequence[PromptTree],
        passages: Sequence[Passage],
        bounds: DecodingParams,
    ) -> list[Prediction]:
        """RETURNS (list[Prediction]): One a tree, all of them decoded together."""
        counts = CountBranches(trees)
        everyone = counts.open
        prompts = [
            trees[tree].prompt(label)
            for tree, label in zip(counts.tree.tolist(), counts.label.tolist(), strict=True)
        ]
        rows = model.start_rows(len(prompts), max(map(len, prompts)) + 4, bounds.graphs)
        runs: list[Run] = [
            (row, prompt.ids, prompt.paths(row)) for row, prompt in enumerate(prompts)
        ]
        starts = np.cumsum([0, *map(len, prompts)])
        texts = [
            starts[row] + builder.text_indices(trees[counts.tree[row]])
            for row in np.flatnonzero(counts.label == 1)
        ]
        ends, labels = starts[1:] - 1, trees[0].labels
        say_first_digits(rows, runs, counts, ends, texts, builder, labels, bounds)
        while len(going_on := counts.open):
            digits = counts.last_digits(going_on, going_on, going_on, model.codec)
            feed, _ = feed_of_pieces([digits])
            counts.take(going_on, Logits(rows.feed(feed), rows.total), model.codec, bounds)

        speaker = MentionDecoder(trees, passages, builder, bounds, model.device)
        of, index = counts.heads(everyone, bounds)
        if len(of):
            self._say_mentions(model, builder, speaker, counts, prompts, of, index, bounds)
        return [
            Prediction(tuple(said), tuple(mentions))
            for said, mentions in zip(counts.said(trees), speaker.finish(), strict=True)
        ]

    def _say_mentions(
        self,
        model: LanguageModel,
        builder: TreeBuilder,
        speaker: MentionDecoder,
        counts: CountBranches,
        prompts: Sequence[PromptTree],
        of: Ints,
        index: Ints,
        bounds: DecodingParams,
    ) -> None:
        runs: list[Run] = []
        for row, (count, k) in enumerate(zip(of.tolist(), index.tolist(), strict=True)):
            prompt, number = prompts[count], model.codec.encode_number(int(counts.number[count]))
            ids = [*prompt.ids, *number, *builder.mention_head(k)]
            # A prompt alone in its row is all trunk: each token sees every one before it.
            blank, position = np.zeros(len(ids), dtype=np.int64), np.arange(len(ids))
            horizon = [*prompt.horizon, *position[len(prompt) :]]
            runs.append((row, ids, Paths(blank + row, blank, blank, position, horizon)))
        lengths = np.array([len(ids) for _, ids, _ in runs])
        rows = model.start_rows(len(runs), int(lengths.max()) + 8, bounds.graphs)
        paths = (counts.tree[of], counts.label[of], index)
        none = np.zeros((len(runs), 0), dtype=np.int64)
        everyone = np.arange(len(runs))
        logits = Logits(rows.feed(feed_of(runs)), rows.total)
        chance = counts.log_at_least(of, index)
        speaker.begin(*paths, lengths, chance, logits, everyone[:, None], none)
        mentions = speaker.mentions
        while len(live := mentions.open):
            position, last = mentions.position[live], mentions.last(live)[:, None]
            mentions.position[live] += 1
            trunk = np.full(len(live), TRUNK)
            piece = Pieces(live, live, trunk, np.full(len(live), COUNT), position, last)
            feed, (at,) = feed_of_pieces([piece])
            speaker.go_on(live, Logits(rows.feed(feed), rows.total), at, none[: len(live)])


make_replicated_decoder = decoder_factory(ReplicatedDecoder)
