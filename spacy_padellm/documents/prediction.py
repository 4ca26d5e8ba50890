"""What a decoder says of a document, before any of it is looked up in the text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

from .spans import Mention
from .windows import Window


@dataclass(frozen=True, slots=True)
class Count:
    """How many mentions of a label a document has.

    label (str): The label.
    number (int): The number that was said.
    logprob (float): Natural-log probability of its digits and of the end after them. 0 has no
        end (no number goes on after it), nor has a number that the bound stopped. NaN where no
        number is said, only the mentions (autoregressive decoders).
    bounded (bool): True if the decoder's bound stopped the number.
    """

    label: str
    number: int
    logprob: float
    bounded: bool = False


@dataclass(frozen=True, slots=True)
class Prediction:
    """The counts and mentions of one document.

    counts (tuple[Count, ...]): One a label, in the labels' order. Empty where the document was
        read in windows: the model counts in each of them, and they overlap.
    mentions (tuple[Mention, ...]): By label and then reading order; of a document that was read in
        windows, by window first.
    malformed (int): Faults in the form of the answer of an autoregressive decoder; what they
        concern is not among the mentions.
    ended (bool): False if a bound stopped such an answer before its end.
    parts (tuple[tuple[Window, Prediction], ...]): The windows of a document that was not read as a
        whole, in reading order, each with what was said of it.
    """

    counts: tuple[Count, ...] = field(default=())
    mentions: tuple[Mention, ...] = field(default=())
    malformed: int = 0
    ended: bool = True
    parts: tuple[tuple[Window, Prediction], ...] = field(default=())

    @classmethod
    def of_windows(cls, windows: Sequence[Window], said: Sequence[Prediction]) -> Prediction:
        """RETURNS (Prediction): That of a document whose windows were read."""
        return cls(
            mentions=tuple(chain.from_iterable(one.mentions for one in said)),
            malformed=sum(one.malformed for one in said),
            ended=all(one.ended for one in said),
            parts=tuple(zip(windows, said, strict=True)),
        )
