"""Decoded mentions, and the spans that alignment makes of them."""

import math
from dataclasses import dataclass

# Start and end character in a text, end exclusive.
CharSpan = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Mention:
    """One decoded mention, not yet aligned with the text.

    label (str): The label of the mention's branch.
    index (int): Its number k, from 1: the k-th mention of its label in reading order.
    text (str): The decoded tokens as a string, without the end token.
    logprobs (tuple[float, ...]): Natural-log probability of each token of `text`, without end and
        pad tokens.
    ended (bool): False if the length bound cut it off before its end token.
    text_logprobs (tuple[float, ...] | None): The same log-probabilities, normalised over the tokens
        that the constraint allows; None without a constraint.
    char_spans (tuple[CharSpan, ...] | None): Start and end characters of its occurrences in
        the text, in ascending order; None where only its string is known.
    count_logprob (float): Natural-log probability that its label has at least `index` mentions:
        P(count >= index). 0 for decoders without counts.
    """

    label: str
    index: int
    text: str
    logprobs: tuple[float, ...]
    ended: bool
    text_logprobs: tuple[float, ...] | None = None
    char_spans: tuple[CharSpan, ...] | None = None
    count_logprob: float = 0.0

    @property
    def logprob(self) -> float:
        """RETURNS (float): Natural-log probability of the whole mention."""
        return math.fsum(self.logprobs)


@dataclass(frozen=True, slots=True)
class ScoredSpan:
    """One mention aligned with the tokens of a Doc.

    start (int): Index of the first token.
    end (int): Index after the last token.
    start_char (int): Start character of the mention in `doc.text`; inside the first token if the
        span was widened to whole tokens.
    end_char (int): Character offset after the mention's last character, likewise.
    label (str): The label.
    score (float): P(count >= index) * P(mention), in [0, 1].
    text (str): The generated string, without surrounding whitespace.
    text_score (float | None): The same with the mention's probability under the constraint, in
        [0, 1]; None without a constraint.
    """

    start: int
    end: int
    start_char: int
    end_char: int
    label: str
    score: float
    text: str
    text_score: float | None = None
