"""The tree decoder: all prompts of a document in one row, all documents of a batch together."""

from __future__ import annotations

from collections.abc import Sequence

from ..model.language_model import ROW_TOKENS, LanguageModel
from ..model.prompt_rows import CachedRows, Run, feed_of
from ..tree import COUNT, Paths, PromptTree, pack
from ..tree_builder import TreeBuilder
from .branch import (
    Bounds,
    CountBranch,
    MentionBranch,
    count_branches,
    run_paths,
    say_counts,
)
from .decoder import Decoder, gather
from .lattice import Passage
from .prediction import Prediction
from .replicated import ReplicatedDecoder
from .speaker import Speaker
from .tag_counts import say_first_digits


class TreeDecoder(Decoder):
    """One prefill of all trees gives the first digits of all counts; one pass adds the mention
    heads (and the digit, whose answer tells whether the number went on); then each pass feeds one
    token to every open mention, until all have ended.
    """

    def work(self, model: LanguageModel, tree: PromptTree) -> int:
        """RETURNS (int): Tokens of a tree's first pass."""
        return len(tree) if model.takes_paths else self._fallback().work(model, tree)

    def decode(
        self,
        model: LanguageModel,
        builder: TreeBuilder,
        trees: Sequence[PromptTree],
        passages: Sequence[Passage],
        bounds: Bounds,
    ) -> list[Prediction]:
        """RETURNS (list[Prediction]): One a tree, all of them decoded together."""
        if not model.takes_paths:
            return self._fallback().decode(model, builder, trees, passages, bounds)
        row_of = pack([len(tree) for tree in trees], ROW_TOKENS)
        loads = [0] * (max(row_of) + 1)
        for tree, row in zip(trees, row_of, strict=True):
            loads[row] += len(tree)
        rows = model.start_rows(len(loads), max(loads) + max(loads) // 2)
        assert isinstance(rows, CachedRows)

        counts = count_branches(trees)
        runs: list[Run] = [(row_of[i], tree.ids, tree.paths(i)) for i, tree in enumerate(trees)]
        starts = [0]
        for tree in trees:
            starts.append(starts[-1] + len(tree))
        ends = [starts[b.tree] + trees[b.tree].branch_end(b.label) for b in counts]
        texts = [
            start + builder.text_places(tree) for start, tree in zip(starts, trees, strict=False)
        ]
        labels = trees[0].labels
        say_first_digits(rows, runs, counts, ends, texts, builder, labels, bounds)

        speaker = Speaker(trees, passages, builder, bounds, model.device)
        while True:
            numbers = [count for count in counts if count.open]
            speaking = speaker.open
            if not numbers and not speaking:
                break
            runs = []
            heads: list[MentionBranch] = []
            for mention in speaking:
                runs.append((row_of[mention.tree], *mention.feed()))
            for count in numbers:
                runs.append((row_of[count.tree], *_feed_digit(count, model)))
                for k in range(1, count.asked(bounds) + 1):
                    head = MentionBranch(count.tree, count.label, k, count.position)
                    runs.append((row_of[count.tree], *_feed_head(head, builder)))
                    heads.append(head)
            logits = rows.feed(feed_of(runs))
            is_number = _is_number(runs)
            say_counts(numbers, logits[is_number], model.codec, bounds)
            for count in numbers:
                if count.open:  # the number went on, so its heads were asked too early
                    rows.forget(row_of[count.tree], count.tree, count.label)
            said = logits[[not n for n in is_number]]
            going_on = {(count.tree, count.label) for count in numbers if count.open}
            asked = [i for i, h in enumerate(heads) if (h.tree, h.label) not in going_on]
            first = said[len(speaking) :]
            if len(asked) < len(heads):
                first = first[asked]
            speaker.begin([heads[i] for i in asked], first)
            speaker.go_on(speaking, said[: len(speaking)])
        return gather(model, trees, counts, speaker.finish())

    def _fallback(self) -> ReplicatedDecoder:
        return ReplicatedDecoder(**vars(self))


def make_tree_decoder(
    max_count: int = 99,
    max_mention_tokens: int = 64,
    batch_tokens: int | None = None,
    count_slack: float | None = None,
    tag_weight: float = 0.5,
    joint_starts: bool = True,
    constrained: bool = True,
) -> TreeDecoder:
    """Registered as `spacy-padellm.tree_decoder.v1` in spaCy's `misc` registry.

    max_count (int): Most mentions asked for a label of a document.
    max_mention_tokens (int): Most tokens of a mention.
    batch_tokens (int | None): Most prompt tokens decoded together; None chooses by device.
    count_slack (float | None): Between 0 and 1: a label has as many mentions as the largest k with
        P(count >= k) above it. None takes the likeliest number, as the paper does.
    tag_weight (float): From 0 to 1: how much the text's tags say in the counts, where the prompt
        has `tag_text`.
    joint_starts (bool): Whether the first tokens of a label's mentions are chosen together.
    constrained (bool): Whether mentions can only be strings of the text.
    RETURNS (TreeDecoder): The decoder.
    RAISES (ValueError): A parameter out of its range.
    """
    return TreeDecoder(
        max_count,
        max_mention_tokens,
        batch_tokens,
        count_slack,
        tag_weight,
        joint_starts,
        constrained,
    )


def _feed_digit(count: CountBranch, model: LanguageModel) -> tuple[list[int], Paths]:
    count.position += 1
    paths = run_paths(count.tree, count.label, COUNT, count.position - 1, 1)
    return [model.codec.digit_ids[count.digits[-1]]], paths


def _feed_head(head: MentionBranch, builder: TreeBuilder) -> tuple[list[int], Paths]:
    ids = builder.mention_head(head.index)
    paths = run_paths(head.tree, head.label, head.index, head.position, len(ids))
    head.position += len(ids)
    return ids, paths


def _is_number(runs: Sequence[Run]) -> list[bool]:
    return [paths.mention[0] == COUNT for _, _, paths in runs]
