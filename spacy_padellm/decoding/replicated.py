"""The replicated decoder: one row a prompt, the paper's batch (arXiv 2402.04838, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..model.language_model import LanguageModel
from ..model.prompt_rows import Run, feed_of
from ..tree import COUNT, TRUNK, PromptTree
from ..tree_builder import TreeBuilder
from .branch import (
    Bounds,
    MentionBranch,
    count_branches,
    run_paths,
    say_counts,
)
from .decoder import Decoder, gather
from .lattice import Passage
from .prediction import Prediction
from .speaker import Speaker
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
        bounds: Bounds,
    ) -> list[Prediction]:
        """RETURNS (list[Prediction]): One a tree, all of them decoded together."""
        counts = count_branches(trees)
        prompts = [trees[branch.tree].prompt(branch.label) for branch in counts]
        rows = model.start_rows(len(prompts), max(map(len, prompts)) + 4)
        runs: list[Run] = [
            (row, prompt.ids, prompt.paths(row)) for row, prompt in enumerate(prompts)
        ]
        starts = np.cumsum([0, *map(len, prompts)])
        texts = [
            starts[row] + builder.text_places(trees[branch.tree])
            for row, branch in enumerate(counts)
            if branch.label == 1
        ]
        ends = (starts[1:] - 1).tolist()
        labels = trees[0].labels
        say_first_digits(rows, runs, counts, ends, texts, builder, labels, bounds)
        while numbers := [(row, branch) for row, branch in enumerate(counts) if branch.open]:
            runs = []
            for row, branch in numbers:
                paths = run_paths(row, branch.label, COUNT, branch.position, 1)
                runs.append((row, [model.codec.digit_ids[branch.digits[-1]]], paths))
                branch.position += 1
            logits = rows.feed(feed_of(runs))
            say_counts([branch for _, branch in numbers], logits, model.codec, bounds)

        mentions: list[MentionBranch] = []
        runs = []
        for prompt, branch in zip(prompts, counts, strict=True):
            number = [model.codec.digit_ids[digit] for digit in branch.digits]
            for k in range(1, branch.asked(bounds) + 1):
                tail = [*number, *builder.mention_head(k)]
                length = len(prompt) + len(tail)
                # A prompt alone in its row is all trunk: each token sees every one before it.
                paths = run_paths(len(runs), TRUNK, COUNT, 0, length)
                paths = paths._replace(horizon=[*prompt.horizon, *paths.horizon[len(prompt) :]])
                runs.append((len(runs), [*prompt.ids, *tail], paths))
                mentions.append(MentionBranch(branch.tree, branch.label, k, length))
        speaker = Speaker(trees, passages, builder, bounds, model.device)
        self._say_mentions(model, speaker, mentions, runs)
        return gather(model, trees, counts, speaker.finish())

    def _say_mentions(
        self,
        model: LanguageModel,
        speaker: Speaker,
        mentions: Sequence[MentionBranch],
        runs: Sequence[Run],
    ) -> None:
        if not mentions:
            return
        rows = model.start_rows(len(runs), max(len(ids) for _, ids, _ in runs) + 8)
        speaker.begin(mentions, rows.feed(feed_of(runs)))
        while live := [(row, branch) for row, branch in enumerate(mentions) if branch.open]:
            runs = []
            for row, branch in live:
                runs.append(
                    (row, branch.ids[-1:], run_paths(row, TRUNK, COUNT, branch.position, 1))
                )
                branch.position += 1
            speaker.go_on([branch for _, branch in live], rows.feed(feed_of(runs)))


def make_replicated_decoder(
    max_count: int = 99,
    max_mention_tokens: int = 64,
    batch_tokens: int | None = None,
    count_slack: float | None = None,
    tag_weight: float = 0.5,
    joint_starts: bool = True,
    constrained: bool = True,
) -> ReplicatedDecoder:
    """Registered as `spacy-padellm.replicated_decoder.v1` in spaCy's `misc` registry.

    max_count (int): Most mentions asked for a label of a document.
    max_mention_tokens (int): Most tokens of a mention.
    batch_tokens (int | None): Most prompt tokens decoded together; None chooses by device.
    count_slack (float | None): Between 0 and 1: a label has as many mentions as the largest k with
        P(count >= k) above it. None takes the likeliest number, as the paper does.
    tag_weight (float): From 0 to 1: how much the text's tags say in the counts, where the prompt
        has `tag_text`.
    joint_starts (bool): Whether the first tokens of a label's mentions are chosen together.
    constrained (bool): Whether mentions can only be strings of the text.
    RETURNS (ReplicatedDecoder): The decoder.
    RAISES (ValueError): A parameter out of its range.
    """
    return ReplicatedDecoder(
        max_count,
        max_mention_tokens,
        batch_tokens,
        count_slack,
        tag_weight,
        joint_starts,
        constrained,
    )
