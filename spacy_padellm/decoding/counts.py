"""The counts of a batch while they are decoded, digit by digit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..documents.prediction import Count
from ..engine.token_runs import TokenRuns
from ..engine.transfer import on_device
from ..prompts.tree import COUNT, TRUNK, PromptTree
from ..tokenization.arrays import Float32s, Ints
from ..tokenization.codec import Codec
from .logits import Logits, check_finite
from .params import ResolvedParams

LEAST = np.float32(1e-30)
END = 10  # the symbol after the digits 0 to 9: the end of a number


class CountBranches:
    """The count branches of a batch, arrays of one item per branch.

    trees (Sequence[PromptTree]): Trunks and count branches alone.

    tree, label (Ints): Tree and label path of each [branches].
    last (Ints): Index of its last token among the joined tokens of all trees [branches].
    position (Ints): Position of its next token [branches].
    number (Ints): The number so far [branches].
    logprob (NDArray[np.float64]): Natural-log probability of the generated digits and end
        [branches].
    is_open, bounded (NDArray[np.bool_]): Whether the number is incomplete; whether `max_count` cut
        it off.
    """

    def __init__(self, trees: Sequence[PromptTree]):
        tree = np.repeat(np.arange(len(trees)), [len(prompts) for prompts in trees])
        label = np.concatenate([prompts.label for prompts in trees])
        ends = np.append((np.diff(label) != 0) | (np.diff(tree) != 0), True)
        self.last = np.flatnonzero(ends & (label != TRUNK))
        self.tree, self.label = tree[self.last], label[self.last]
        self.position = np.concatenate([prompts.position for prompts in trees])[self.last] + 1
        n = len(self.last)
        self.number = np.zeros(n, dtype=np.int64)
        self.logprob = np.zeros(n)
        self.is_open = np.ones(n, dtype=bool)
        self.bounded = np.zeros(n, dtype=bool)
        self._has_begun = np.zeros(n, dtype=bool)
        self._at_least = np.ones((n, END), dtype=np.float32)
        self._first_digit_chance = np.ones(n, dtype=np.float32)

    def __len__(self) -> int:
        return len(self.last)

    @property
    def open(self) -> Ints:
        """RETURNS (Ints): The branches whose number is incomplete."""
        return np.flatnonzero(self.is_open)

    def select(
        self,
        branches: Ints,
        logits: Logits,
        codec: Codec,
        params: ResolvedParams,
        evidence: Float32s | None = None,
    ) -> None:
        """Select the likeliest digit of branches or, after a digit, the end of the number. Other
        tokens are masked: whatever the model, a count is a number.

        branches (Ints): Open branches.
        logits (Logits): Next-token logits of each [branches].
        codec (Codec): For the ids of digits and end.
        params (ResolvedParams): How numbers are chosen, and where they stop.
        evidence (NDArray[np.float32] | None): For first digits, natural-log probabilities of 0 to 9
            by the text's tags; NaN where there are none [branches, 10].
        RAISES (NotFiniteError): A log-probability that is not finite.
        """
        if not len(branches):
            return
        symbols = on_device(number_symbols(codec), logits.values.device)
        logprobs = (logits.columns(symbols) - logits.logsumexp[:, None]).cpu().numpy()
        symbol = logprobs.argmax(-1)
        first = np.flatnonzero(~self._has_begun[branches])
        if len(first):
            tags = np.full((len(first), END), np.nan) if evidence is None else evidence[first]
            chances = number_chances(logprobs[first, :END], tags.astype(np.float32), params)
            symbol[first] = digits = first_digits(chances, params)
            self._at_least[branches[first]] = at_least(chances)
            # The first digit of a longer number implies that it is at least ten.
            self._first_digit_chance[branches[first]] = chances[np.arange(len(first)), digits]
        chosen = logprobs[np.arange(len(branches)), symbol]
        check_finite(chosen)
        self.append(branches, symbol, chosen, params)

    def append(
        self,
        branches: Ints,
        symbol: Ints,
        logprob: NDArray[np.floating],
        params: ResolvedParams,
    ) -> None:
        """Append a digit (0-9) or the end of the number (10) to branches.

        branches (Ints): Open branches.
        symbol (Ints): The digit or end of each [branches].
        logprob (NDArray): Its natural-log probability [branches].
        params (ResolvedParams): Where numbers stop.
        """
        over = (symbol != END) & (self.number[branches] > params.max_count)
        stopped, branches = branches[over], branches[~over]
        symbol, logprob = symbol[~over], logprob[~over]
        self.is_open[stopped] = False
        self.bounded[stopped] = True
        is_digit = symbol != END
        extended = branches[is_digit]
        # No number goes on after a leading zero, so none waits for its end there.
        zero = extended[~self._has_begun[extended] & (symbol[is_digit] == 0)]
        self.number[extended] = 10 * self.number[extended] + symbol[is_digit]
        self._has_begun[extended] = True
        self.logprob[branches] += logprob
        self.is_open[branches[~is_digit]] = False
        self.is_open[zero] = False
        ended = ~self.is_open[branches]
        self.bounded[branches] |= ended & (self.number[branches] > params.max_count)

    def last_digits(self, branches: Ints, row: Ints, tree: Ints, codec: Codec) -> TokenRuns:
        """RETURNS (TokenRuns): The last digit of each number, at the branch's next position.

        branches (Ints): Branches whose number has begun.
        row, tree (Ints): The row of each, and the number of its tree there.
        codec (Codec): For the ids of digits.
        """
        ids = np.array(codec.digit_ids)[self.number[branches] % 10]
        path = tree, self.label[branches], np.full(len(tree), COUNT)
        return TokenRuns(row, *path, self.position[branches], ids[:, None])

    def advance(self, branches: Ints) -> None:
        """Move branches to the position after the token that was run last."""
        self.position[branches] += 1

    def heads(self, branches: Ints, params: ResolvedParams) -> tuple[Ints, Ints]:
        """RETURNS (tuple[Ints, Ints]): The mentions that the numbers stand for: the branch of each,
        and its index, from 1 [mentions]."""
        numbers = np.minimum(self.number[branches], params.max_count)
        first = np.repeat(np.cumsum(numbers) - numbers, numbers)
        return np.repeat(branches, numbers), 1 + np.arange(len(first)) - first

    def log_at_least(self, branches: Ints, index: Ints) -> NDArray[np.floating]:
        """Compute P(count >= index).

        branches (Ints): The count branch of each mention [mentions].
        index (Ints): Its index, from 1 [mentions].
        RETURNS (NDArray): Natural-log probabilities [mentions].
        """
        chance = self._at_least[branches, np.minimum(index, END - 1)]
        is_long = self.number[branches] >= END
        long_chance = np.maximum(chance, self._first_digit_chance[branches])
        return np.log(np.where(is_long, long_chance, chance))

    def counts(self, trees: Sequence[PromptTree]) -> list[list[Count]]:
        """RETURNS (list[list[Count]]): The counts of each tree, in the labels' order."""
        counts: list[list[Count]] = [[] for _ in trees]
        columns = (self.tree, self.label, self.number, self.logprob, self.bounded)
        for tree, label, *rest in zip(*(column.tolist() for column in columns), strict=True):
            counts[tree].append(Count(trees[tree].labels[label - 1], *rest))
        return counts


def number_symbols(codec: Codec) -> Ints:
    """RETURNS (Ints): Token ids of the digits 0 to 9, then of the end of a number [11]."""
    return np.array([*codec.digit_ids, codec.end_id])


def number_chances(logprobs: Float32s, evidence: Float32s, params: ResolvedParams) -> Float32s:
    """Compute the probability of each number, by the model and the text's tags. A first digit
    stands for its number: larger numbers that begin with it count as it does.

    logprobs (NDArray[np.float32]): The model's [branches, 10].
    evidence (NDArray[np.float32]): By the text's tags [branches, 10], NaN where there are none.
    params (ResolvedParams): The tags' weight.
    RETURNS (NDArray[np.float32]): [branches, 10], their sum is 1.
    """
    logprobs = np.log(_softmax(logprobs).clip(LEAST))
    mixed = logprobs + params.tag_weight * (evidence - logprobs)
    return _softmax(np.where(np.isnan(evidence), logprobs, mixed))


def at_least(chances: Float32s) -> Float32s:
    """RETURNS (NDArray[np.float32]): P(count >= 0) … P(count >= 9), of probabilities of 0 to 9
    [branches, 10]."""
    tails = chances[:, ::-1].cumsum(-1)[:, ::-1]
    tails[:, 0] = 1.0  # rounding must not leave none
    return tails.clip(LEAST, 1.0)


def first_digits(chances: Float32s, params: ResolvedParams) -> Ints:
    """Choose the likeliest number, or the largest whose P(count >= number) is above the slack.

    chances (NDArray[np.float32]): Of 0 to 9 [branches, 10].
    params (ResolvedParams): The slack.
    RETURNS (Ints): [branches].
    """
    if params.count_slack is None:
        return chances.argmax(-1)
    return END - 1 - (at_least(chances) > params.count_slack)[:, ::-1].argmax(-1)


def _softmax(logprobs: Float32s) -> Float32s:
    chances = np.exp(logprobs - logprobs.max(-1, keepdims=True))
    return chances / chances.sum(-1, keepdims=True)
