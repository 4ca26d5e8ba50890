"""The numbers of labels' mentions while they are said, digit by digit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..documents.prediction import Count
from ..engine.token_runs import Pieces
from ..engine.transfer import on_device
from ..prompts.tree import COUNT, TRUNK, PromptTree
from ..tokenization.arrays import Ints
from ..tokenization.codec import Codec
from .logits import Logits, check_finite
from .params import DecodingParams

Floats = NDArray[np.float32]
LEAST = np.float32(1e-30)
END = 10  # the symbol after the digits 0 to 9: the end of a number


class CountBranches:
    """The count branches of a batch, arrays of one item a label and tree.

    trees (Sequence[PromptTree]): What the model is asked: trunks and count branches alone.

    tree, label (Ints): Tree and label path of each [branches].
    last (Ints): Index of its last token in the joined tokens of all trees [branches].
    position (Ints): Position of its next token [branches].
    number (Ints): The number so far [branches].
    logprob (NDArray[np.float64]): Natural-log probability of what was said [branches].
    is_open, bounded (NDArray[np.bool_]): Whether more is to be said; whether the bound stopped it.
    evidence (NDArray[np.float32]): Natural-log probabilities of 0 to 9 by the text's tags; NaN
        where there are none [branches, 10].
    """

    def __init__(self, trees: Sequence[PromptTree]):
        tree = np.repeat(np.arange(len(trees)), [len(one) for one in trees])
        label = np.concatenate([one.label for one in trees])
        ends = np.append((np.diff(label) != 0) | (np.diff(tree) != 0), True)
        self.last = np.flatnonzero(ends & (label != TRUNK))
        self.tree, self.label = tree[self.last], label[self.last]
        self.position = np.concatenate([one.position for one in trees])[self.last] + 1
        n = len(self.last)
        self.number = np.zeros(n, dtype=np.int64)
        self.logprob = np.zeros(n)
        self.is_open = np.ones(n, dtype=bool)
        self.bounded = np.zeros(n, dtype=bool)
        self.evidence = np.full((n, END), np.nan, dtype=np.float32)
        self._begun = np.zeros(n, dtype=bool)
        self._at_least = np.ones((n, END), dtype=np.float32)
        self._begins = np.ones(n, dtype=np.float32)

    @property
    def open(self) -> Ints:
        """RETURNS (Ints): The numbers that have not ended."""
        return np.flatnonzero(self.is_open)

    def take(self, which: Ints, logits: Logits, codec: Codec, bounds: DecodingParams) -> None:
        """Let branches take their likeliest digit or, after a digit, the end of the number.

        Only digits and the end can be said: whatever the model, a count is a number.

        which (Ints): Open branches.
        logits (Logits): After each of them [branches].
        codec (Codec): For the ids of digits and end.
        bounds (DecodingParams): Where numbers stop.
        """
        if not len(which):
            return
        symbols = on_device(symbols_of(codec), logits.values.device)
        logprobs = (logits.of(symbols) - logits.total[:, None]).cpu().numpy()
        symbol = logprobs.argmax(-1)
        first = np.flatnonzero(~self._begun[which])
        if len(first):
            numbers = number_chances(logprobs[first, :END], self.evidence[which[first]], bounds)
            symbol[first] = said = first_digits(numbers, bounds)
            self._at_least[which[first]] = at_least(numbers)
            # What a longer number begins with says that it is at least ten.
            self._begins[which[first]] = numbers[np.arange(len(first)), said]
        chosen = logprobs[np.arange(len(which)), symbol]
        check_finite(chosen)
        self.say(which, symbol, chosen, bounds)

    def say(
        self, which: Ints, symbol: Ints, logprob: NDArray[np.floating], bounds: DecodingParams
    ) -> None:
        """Let branches say a digit (0-9) or the end of the number (10), of given probability."""
        over = (symbol != END) & (self.number[which] > bounds.max_count)
        stopped, which = which[over], which[~over]
        symbol, logprob = symbol[~over], logprob[~over]
        self.is_open[stopped] = False
        self.bounded[stopped] = True
        digit = symbol != END
        said = which[digit]
        # No number goes on after a leading zero, so none waits for its end there.
        zero = said[~self._begun[said] & (symbol[digit] == 0)]
        self.number[said] = 10 * self.number[said] + symbol[digit]
        self._begun[said] = True
        self.logprob[which] += logprob
        self.is_open[which[~digit]] = False
        self.is_open[zero] = False
        self.bounded[which] |= ~self.is_open[which] & (self.number[which] > bounds.max_count)

    def last_digits(self, which: Ints, row: Ints, tree: Ints, codec: Codec) -> Pieces:
        """Feed the last digits of numbers.

        which (Ints): Numbers that have begun.
        row, tree (Ints): The row of each, and the number of its tree there.
        codec (Codec): For the ids of digits.
        RETURNS (Pieces): A token each, at the position after those before.
        """
        ids = np.array(codec.digit_ids)[self.number[which] % 10]
        position = self.position[which]
        self.position[which] += 1
        label = self.label[which]
        return Pieces(row, tree, label, np.full(len(tree), COUNT), position, ids[:, None])

    def heads(self, which: Ints, bounds: DecodingParams) -> tuple[Ints, Ints]:
        """RETURNS (tuple[Ints, Ints]): The mentions that numbers ask for: the number of each, and
        its index, from 1 [mentions]."""
        asked = np.minimum(self.number[which], bounds.max_count)
        first = np.repeat(np.cumsum(asked) - asked, asked)
        return np.repeat(which, asked), 1 + np.arange(len(first)) - first

    def log_at_least(self, which: Ints, index: Ints) -> NDArray[np.floating]:
        """How likely numbers are as large as their mentions' indices, or larger.

        which (Ints): The number of each mention [mentions].
        index (Ints): Its index, from 1 [mentions].
        RETURNS (NDArray): Natural-log probabilities [mentions].
        """
        chance = self._at_least[which, np.minimum(index, END - 1)]
        long = self.number[which] >= END
        return np.log(np.where(long, np.maximum(chance, self._begins[which]), chance))

    def said(self, trees: Sequence[PromptTree]) -> list[list[Count]]:
        """RETURNS (list[list[Count]]): What was said of each tree, in the labels' order."""
        found: list[list[Count]] = [[] for _ in trees]
        columns = (self.tree, self.label, self.number, self.logprob, self.bounded)
        for tree, label, *rest in zip(*(column.tolist() for column in columns), strict=True):
            found[tree].append(Count(trees[tree].labels[label - 1], *rest))
        return found


def symbols_of(codec: Codec) -> Ints:
    """RETURNS (Ints): Tokens that numbers are said with: digits, then the end [11]."""
    return np.array([*codec.digit_ids, codec.end_id])


def number_chances(logprobs: Floats, evidence: Floats, bounds: DecodingParams) -> Floats:
    """How likely each number is, by the model and the text's tags.

    A first digit stands for its number: larger numbers that begin with it count as it does.

    logprobs (NDArray[np.float32]): The model's [branches, 10].
    evidence (NDArray[np.float32]): By the text's tags [branches, 10], NaN where there is none.
    bounds (DecodingParams): The tags' weight.
    RETURNS (NDArray[np.float32]): [branches, 10], their sum is 1.
    """
    logprobs = np.log(_softmax(logprobs).clip(LEAST))
    mixed = logprobs + bounds.tag_weight * (evidence - logprobs)
    return _softmax(np.where(np.isnan(evidence), logprobs, mixed))


def at_least(chances: Floats) -> Floats:
    """RETURNS (NDArray[np.float32]): For chances of 0 to 9 those of as many or more
    [branches, 10]."""
    found = chances[:, ::-1].cumsum(-1)[:, ::-1]
    found[:, 0] = 1.0  # rounding must not leave none
    return found.clip(LEAST, 1.0)


def first_digits(chances: Floats, bounds: DecodingParams) -> Ints:
    """The likeliest number, or the largest whose P(count >= number) is above the slack.

    chances (NDArray[np.float32]): Of 0 to 9 [branches, 10].
    bounds (DecodingParams): The slack.
    RETURNS (Ints): [branches].
    """
    if bounds.count_slack is None:
        return chances.argmax(-1)
    return END - 1 - (at_least(chances) > bounds.count_slack)[:, ::-1].argmax(-1)


def _softmax(logprobs: Floats) -> Floats:
    chances = np.exp(logprobs - logprobs.max(-1, keepdims=True))
    return chances / chances.sum(-1, keepdims=True)
