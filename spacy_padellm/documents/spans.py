"""What passes between decoder, alignment, de-duplication and annotation."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mention:
    """One mention as a decoder says it, not yet tied to a place in the text.

    label (str): The label in whose branch it was decoded.
    index (int): Its number k, from 1: the k-th mention of its label in reading order.
    text (str): The decoded tokens as a string, without the end token.
    logprobs (tuple[float, ...]): Natural-log probability of each token of the mention's text. End
        and pad tokens are not among them.
    ended (bool): False if a bound on its length stopped it before it said its end token.
    text_logprobs (tuple[float, ...] | None): The same log-probabilities among the tokens that the
        text allows; None where mentions are not constrained.
    char_spans (tuple[tuple[int, int], ...] | None): Start and end characters of its occurrences in
        the text, in ascending order; None where only its string is known.
    count_logprob (float): Natural-log probability that its label has so many mentions or more:
        P(count >= index). 0 where no counts are said.
    """

    label: str
    index: int
    text: str
    logprobs: tuple[float, ...]
    ended: bool
    text_logprobs: tuple[float, ...] | None = None
    char_spans: tuple[tuple[int, int], ...] | None = None
    count_logprob: float = 0.0

    @property
    def logprob(self) -> float:
        """RETURNS (float): Natural-log probability of the whole mention."""
        return math.fsum(self.logprobs)


@dataclass(frozen=True, slots=True)
class ScoredSpan:
    """One mention tied to its place in a Doc.

    start (int): Index of its first token.
    end (int): Index after its last token.
    start_char (int): Character offset in `doc.text` where the mention itself starts; inside the
        first token if the span was widened to whole tokens.
    end_char (int): Character offset after its last character, likewise.
    label (str): The label.
    score (float): P(count >= index) * P(mention): how likely its label has so many mentions, and
        this one is said, in [0, 1].
    text (str): The mention as the model said it, without surrounding whitespace.
    text_score (float | None): The same, with the mention's probability among the strings that the
        text allows, in [0, 1]; None where mentions are not constrained.
    """

    start: int
    end: int
    start_char: int
    end_char: int
    label: str
    score: float
    text: str
    text_score: float | None = None
