"""Mentions of a batch while they speak: plainly, or within the strings of their texts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch

from ..model.codec import one_line
from ..tree import PromptTree
from ..tree_builder import TreeBuilder
from .branch import Bounds, MentionBranch, say_mentions, stop_rambling
from .constraint import NONE_LEGAL, Constraint
from .joint_starts import Floats, rising, windows
from .lattice import Lattice, Passage, lattices


class Speaker:
    """Lets the mentions of a batch take their tokens.

    With `bounds.constrained` a mention can only be a string of its text, from the start of a token
    of the document to the end of one. With `bounds.joint_starts` the first tokens of a label's
    mentions are chosen together: said side by side, no mention knows of the others of its label,
    and two may be the same. A tokenizer whose tokens can't be read as bytes has neither.

    trees (Sequence[PromptTree]): The documents' trees.
    passages (Sequence[Passage]): Their texts.
    builder (TreeBuilder): Knows where the text is in a tree.
    bounds (Bounds): Where mentions stop.
    device (torch.device): Where logits are.
    """

    def __init__(
        self,
        trees: Sequence[PromptTree],
        passages: Sequence[Passage],
        builder: TreeBuilder,
        bounds: Bounds,
        device: torch.device,
    ):
        self.mentions: list[MentionBranch] = []
        self._trees = trees
        self._passages = passages
        self._builder = builder
        self._bounds = bounds
        self._device = device
        wanted = bounds.constrained or bounds.joint_starts
        self._pieces = builder.token_bytes if wanted else None

    @property
    def open(self) -> list[MentionBranch]:
        """RETURNS (list[MentionBranch]): Mentions that have not ended."""
        return [mention for mention in self.mentions if mention.open]

    def begin(self, heads: Sequence[MentionBranch], logits: torch.Tensor) -> None:
        """Let mentions take their first tokens.

        heads (Sequence[MentionBranch]): Mentions that have said nothing yet, all of each label.
        logits (torch.Tensor): After their heads [heads, vocabulary].
        """
        self.mentions += heads
        if self._pieces is None or not heads:
            say_mentions(heads, logits, self._builder.codec, self._bounds)
            return
        for head, number in zip(heads, self._texts.add([h.tree for h in heads]), strict=True):
            head.number = number
        alone = (
            self._begin_together(heads, logits) if self._bounds.joint_starts else range(len(heads))
        )
        if alone:
            self._say([heads[i] for i in alone], logits[list(alone)])
        stop_rambling(self.mentions, self._trees)

    def go_on(self, mentions: Sequence[MentionBranch], logits: torch.Tensor) -> None:
        """Let mentions take their next tokens.

        mentions (Sequence[MentionBranch]): Mentions that are open.
        logits (torch.Tensor): After their last tokens [mentions, vocabulary].
        """
        self._say(mentions, logits)
        stop_rambling(self.mentions, self._trees)

    def finish(self) -> list[MentionBranch]:
        """RETURNS (list[MentionBranch]): All mentions, with their places where they are known."""
        ended = [m for m in self.mentions if m.ended and m.ids]
        if not self._constrained or not ended:
            return self.mentions
        assert self._pieces is not None
        ends = self._texts.ends([mention.number for mention in ended])
        for mention, found in zip(ended, ends, strict=True):
            lattice, text = self._lattices[mention.tree], self._passages[mention.tree].text
            if lattice.chars is None:
                continue
            length = len(self._pieces.text(mention.ids)) - lattice.prefix
            starts, stops = lattice.chars[found - length], lattice.chars[found]
            mention.places = tuple(zip(starts.tolist(), stops.tolist(), strict=True))
            start, stop = mention.places[0]
            mention.text = one_line(text[start:stop])
        return self.mentions

    @property
    def _constrained(self) -> bool:
        return self._bounds.constrained and self._pieces is not None

    @cached_property
    def _lattices(self) -> list[Lattice]:
        assert self._pieces is not None
        read = [
            self._pieces.text(tree.ids[self._builder.text_places(tree)].tolist())
            for tree in self._trees
        ]
        free = [Passage(passage.text) for passage in self._passages]
        passages = self._passages if self._bounds.constrained else free
        return lattices(passages, read, self._pieces, self._bounds.max_mention_tokens)

    @cached_property
    def _texts(self) -> Constraint:
        return Constraint(self._lattices, self._builder.codec.end_id, self._device)

    def _say(self, mentions: Sequence[MentionBranch], logits: torch.Tensor) -> None:
        if not self._constrained or not mentions:
            say_mentions(mentions, logits, self._builder.codec, self._bounds)
            return
        left = [mention.left(self._bounds) for mention in mentions]
        chosen = self._texts.choose([mention.number for mention in mentions], logits, left)
        ends = frozenset([self._builder.codec.end_id])
        for mention, token, logprob, in_text in zip(mentions, *chosen, strict=True):
            if token == NONE_LEGAL:
                mention.open = False
                continue
            mention.say(token, logprob, ends, self._bounds)
            if not mention.ended:
                mention.text_logprobs.append(in_text)

    def _begin_together(self, heads: Sequence[MentionBranch], logits: torch.Tensor) -> list[int]:
        """RETURNS (list[int]): Heads of labels with more mentions than the text has starts."""
        groups: dict[tuple[int, int], list[int]] = {}
        for i, head in enumerate(heads):
            groups.setdefault((head.tree, head.label), []).append(i)
        logprobs = self._texts.openings([head.number for head in heads], logits)
        alone: list[int] = []
        entered, nodes = [], []
        for (tree, _), group in groups.items():
            lattice = self._lattices[tree]
            token = lattice.token[: len(lattice.place)]
            group.sort(key=lambda i: heads[i].index)
            found = np.stack([logprobs[i] for i in group])
            edges = rising(found, lattice.place)
            if edges is None:
                alone += group
                continue
            reached = windows(edges, lattice.place, token)
            in_text = found - _log_total(found, token)
            for row, (i, edge) in enumerate(zip(group, edges, strict=True)):
                heads[i].say(int(token[edge]), float(found[row, edge]), frozenset(), self._bounds)
                if self._constrained:
                    heads[i].text_logprobs.append(float(in_text[row, edge]))
                entered.append(heads[i].number)
                nodes.append(lattice.dst[reached[row]])
        if entered:
            self._texts.enter(entered, nodes)
        return alone


def _log_total(logprobs: Floats, token: np.ndarray) -> Floats:
    """RETURNS (Floats): Log of the probability of all tokens, each counted once [mentions, 1]."""
    _, once = np.unique(token, return_index=True)
    return np.logaddexp.reduce(logprobs[:, once], axis=1, keepdims=True)
