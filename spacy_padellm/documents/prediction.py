"""The prediction of a decoder for one document, before alignment with the text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

from .spans import Mention
from .windows import Window


@dataclass(frozen=True, slots=True)
class Count:
    """The predicted number of mentions of a label.

    label (str): The label.
    number (int): The number.
    logprob (float): Natural-log probability of the digits and of the end token after them. There is
        no end token after 0, nor after a number that the decoder's bound cut off. NaN for
        autoregressive decoders, which generate the mentions without a number.
    bounded (bool): Whether the decoder's bound cut off the number.
    """

    label: str
    number: int
    logprob: float
    bounded: bool = False


@dataclass(frozen=True, slots=True)
class Prediction:
    """The counts and mentions of one document.

    counts (tuple[Count, ...]): One per label, in the labels' order. Empty for a document in
        windows: the counts are per window, and windows overlap.
    mentions (tuple[Mention, ...]): By label, then in reading order; for a document in windows by
        window first.
    malformed (int): Number of syntax errors in the output of an autoregressive decoder; malformed
        parts give no mentions.
    ended (bool): False if the length bound cut off that output.
    parts (tuple[tuple[Window, Prediction], ...]): The windows of a document in reading order, each
        with its prediction; empty for a document that is processed as a whole.
    """

    counts: tuple[Count, ...] = field(default=())
    mentions: tuple[Mention, ...] = field(default=())
    malformed: int = 0
    ended: bool = True
    parts: tuple[tuple[Window, Prediction], ...] = field(default=())

    @classmethod
    def of_windows(cls, windows: Sequence[Window], parts: Sequence[Prediction]) -> Prediction:
        """RETURNS (Prediction): The prediction for a document from those for its windows."""
        return cls(
            mentions=tuple(chain.from_iterable(part.mentions for part in parts)),
            malformed=sum(part.malformed for part in parts),
            ended=all(part.ended for part in parts),
            parts=tuple(zip(windows, parts, strict=True)),
        )
