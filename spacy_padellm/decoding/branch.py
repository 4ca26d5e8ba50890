"""Branches while they are decoded: numbers and mentions, greedily, token by token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch

from ..model.codec import Codec
from ..spans import Mention
from ..tree import COUNT, TRUNK, Paths, PromptTree
from .prediction import Count

LOGIT_ROWS = 2048


@dataclass(frozen=True)
class Bounds:
    """What a branch may come to, whatever the model says.

    max_count (int): Mentions asked for a label of a document.
    max_mention_tokens (int): Tokens of a mention.
    max_positions (int | None): Positions of the model.
    count_slack (float | None): The number is the largest k with P(count >= k) above it; None for
        the likeliest number.
    tag_weight (float): Weight of what the text's tags say of a number.
    joint_starts (bool): Whether the first tokens of a label's mentions are chosen together.
    constrained (bool): Whether mentions can only be strings of the text.
    """

    max_count: int
    max_mention_tokens: int
    max_positions: int | None
    count_slack: float | None = None
    tag_weight: float = 0.5
    joint_starts: bool = False
    constrained: bool = False


@dataclass
class CountBranch:
    """The number of a label's mentions, digit by digit.

    tree (int): Number of the document's tree in its batch.
    label (int): Label path.
    position (int): Position of the next token.
    evidence (torch.Tensor | None): Natural-log probabilities of 0 to 9 by the text's tags.
    """

    tree: int
    label: int
    position: int
    digits: list[int] = field(default_factory=list)
    logprob: float = 0.0
    open: bool = True
    bounded: bool = False
    evidence: torch.Tensor | None = None

    @property
    def number(self) -> int:
        """RETURNS (int): The number so far."""
        return int("".join(map(str, self.digits)) or 0)

    def say(self, symbol: int, logprob: float, bounds: Bounds) -> None:
        """Take a digit (0-9) or the end of the number (10)."""
        if symbol == 10:
            self.open = False
        elif self.number > bounds.max_count:
            self.open, self.bounded = False, True
            return
        else:
            self.digits.append(symbol)
        self.logprob += logprob
        # No number goes on after a leading zero, so none waits for its end there.
        if self.digits == [0]:
            self.open = False
        if not self.open and self.number > bounds.max_count:
            self.bounded = True

    def asked(self, bounds: Bounds) -> int:
        """RETURNS (int): Mentions to ask for."""
        return min(self.number, bounds.max_count)

    def count(self, label: str) -> Count:
        """RETURNS (Count): What was said."""
        return Count(label, self.number, self.logprob, self.bounded)


@dataclass
class MentionBranch:
    """One mention, token by token.

    tree (int): Number of the document's tree in its batch.
    label (int): Label path.
    index (int): Mention path.
    position (int): Position of the next token.
    number (int): Its number in the constraint, where there is one.
    text_logprobs (list[float]): Log-probabilities among the tokens that the text allows.
    places (tuple[tuple[int, int], ...] | None): Start and end characters of what was said.
    text (str | None): What was said, where it was read off the text.
    """

    tree: int
    label: int
    index: int
    position: int
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    open: bool = True
    ended: bool = False
    number: int = -1
    text_logprobs: list[float] = field(default_factory=list)
    places: tuple[tuple[int, int], ...] | None = None
    text: str | None = None

    def left(self, bounds: Bounds) -> int:
        """RETURNS (int): Tokens that it may still say: each has to be fed, to be followed by the
        end."""
        left = bounds.max_mention_tokens - len(self.ids)
        if bounds.max_positions is None:
            return left
        return min(left, bounds.max_positions - self.position - bool(self.ids))

    def say(self, token: int, logprob: float, ends: frozenset[int], bounds: Bounds) -> None:
        """Take the next token; the log-probability of an end is not the mention's."""
        if token in ends:
            self.open, self.ended = False, True
            return
        if len(self.ids) == bounds.max_mention_tokens:
            self.open = False
            return
        self.ids.append(token)
        self.logprobs.append(logprob)
        if bounds.max_positions is not None and self.position >= bounds.max_positions:
            self.open = False

    def feed(self) -> tuple[list[int], Paths]:
        """RETURNS (tuple[list[int], Paths]): The last token, and where it stands."""
        self.position += 1
        paths = run_paths(self.tree, self.label, self.index, self.position - 1, 1)
        return self.ids[-1:], paths

    def mention(self, label: str, codec: Codec) -> Mention:
        """RETURNS (Mention): What was said."""
        text = codec.decode(self.ids) if self.text is None else self.text
        return Mention(
            label,
            self.index,
            text,
            tuple(self.logprobs),
            self.ended,
            tuple(self.text_logprobs) or None,
            self.places,
        )


def stop_rambling(branches: Sequence[MentionBranch], trees: Sequence[PromptTree]) -> None:
    """Stop the mentions of a label that together have said more than the text could hold.

    Mentions are strings of the text, so those of one label come to about the text's length at
    most, even where some nest: twice the trunk's is far beyond. A model that has learnt nothing
    says dozens of endless mentions.

    branches (Sequence[MentionBranch]): All mentions of a batch; they are stopped in place.
    trees (Sequence[PromptTree]): The documents' trees.
    """
    said: dict[tuple[int, int], int] = {}
    for branch in branches:
        key = (branch.tree, branch.label)
        said[key] = said.get(key, 0) + len(branch.ids)
    trunks: dict[int, int] = {}
    for branch in branches:
        if not branch.open:
            continue
        if branch.tree not in trunks:
            trunks[branch.tree] = int((trees[branch.tree].label == TRUNK).sum())
        if said[branch.tree, branch.label] > 2 * trunks[branch.tree]:
            branch.open = False


def run_paths(tree: int, label: int, mention: int, start: int, length: int) -> Paths:
    """RETURNS (Paths): Of `length` tokens of one branch from position `start` on."""
    positions = range(start, start + length)
    return Paths([tree] * length, [label] * length, [mention] * length, positions, positions)


def count_branches(trees: Sequence[PromptTree]) -> list[CountBranch]:
    """RETURNS (list[CountBranch]): One a label and tree, nothing said yet."""
    return [
        CountBranch(number, label, int(tree.position[tree.branch_end(label)]) + 1)
        for number, tree in enumerate(trees)
        for label, mention in tree.branches()
        if mention == COUNT
    ]


def say_counts(
    branches: Sequence[CountBranch], logits: torch.Tensor, codec: Codec, bounds: Bounds
) -> None:
    """Let each branch take its likeliest digit or, after a digit, the end of the number.

    Only digits and the end can be said: whatever the model, a count is a number.

    branches (Sequence[CountBranch]): Open branches.
    logits (torch.Tensor): [branches, vocabulary], of any floating type.
    codec (Codec): For the ids of digits and end.
    bounds (Bounds): Where numbers stop.
    """
    if not branches:
        return
    symbols = torch.tensor([*codec.digit_ids, codec.end_id], device=logits.device)
    logprobs = torch.cat(
        [part[:, symbols] - part.logsumexp(-1, keepdim=True) for part in in_float32(logits)]
    ).cpu()
    for branch, row in zip(branches, logprobs, strict=True):
        symbol = int(row.argmax()) if branch.digits else _first_digit(branch, row[:10], bounds)
        branch.say(symbol, float(row[symbol]), bounds)


def _first_digit(branch: CountBranch, logprobs: torch.Tensor, bounds: Bounds) -> int:
    """The likeliest number, or the largest whose P(count >= number) is above the slack.

    A first digit stands for its number: larger numbers that begin with it count as it does.
    """
    logprobs = logprobs.log_softmax(0)
    if branch.evidence is not None:
        logprobs = torch.lerp(logprobs, branch.evidence, bounds.tag_weight)
    if bounds.count_slack is None:
        return int(logprobs.argmax())
    at_least = logprobs.softmax(0).flip(0).cumsum(0).flip(0)
    at_least[0] = 1.0  # rounding must not leave none
    return int((at_least > bounds.count_slack).nonzero().max())


def say_mentions(
    branches: Sequence[MentionBranch], logits: torch.Tensor, codec: Codec, bounds: Bounds
) -> None:
    """Let each branch take its likeliest token.

    branches (Sequence[MentionBranch]): Open branches.
    logits (torch.Tensor): [branches, vocabulary], of any floating type.
    codec (Codec): For the ids that end a mention.
    bounds (Bounds): Where mentions stop.
    """
    if not branches:
        return
    ends = frozenset([codec.end_id, codec.tokenizer.eos_token_id])
    for branch, (token, logprob) in zip(branches, likeliest(logits), strict=True):
        branch.say(token, logprob, ends, bounds)


def likeliest(logits: torch.Tensor) -> list[tuple[int, float]]:
    """The likeliest token of each row.

    logits (torch.Tensor): [rows, vocabulary], of any floating type.
    RETURNS (list[tuple[int, float]]): Token and its natural-log probability.
    """
    tokens: list[int] = []
    logprobs: list[float] = []
    for part in in_float32(logits):
        best, found = part.max(-1)
        tokens += found.tolist()
        logprobs += (best - part.logsumexp(-1)).tolist()
    return list(zip(tokens, logprobs, strict=True))


def in_float32(logits: torch.Tensor) -> Iterator[torch.Tensor]:
    """YIELDS (torch.Tensor): A part of the rows: many rows times a vocabulary is much memory."""
    for part in logits.split(LOGIT_ROWS):
        yield part.float()
