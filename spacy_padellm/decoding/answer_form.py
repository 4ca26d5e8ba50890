"""The form of an autoregressive decoder's answer: how it is written, bounded and parsed."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..documents.gold import Gold
from ..documents.spans import CharSpan
from ..prompts.tree_builder import TreeBuilder
from ..tokenization.codec import Codec, one_line
from .params import ResolvedParams


@dataclass(frozen=True)
class WrittenAnswer:
    """A gold document's answer.

    pieces (tuple[str, ...]): Tokenised apart and joined; the end of the answer is not in it.
    n_lost (int): Mentions that the form can't hold.
    """

    pieces: tuple[str, ...]
    n_lost: int = 0


@dataclass(frozen=True)
class ParsedMention:
    """A mention in an answer.

    label (str): Its label.
    text (str): Its text.
    ranges (tuple[CharSpan, ...]): The characters of the answer that are its text.
    ended (bool): False if a bound stopped the answer inside it.
    """

    label: str
    text: str
    ranges: tuple[CharSpan, ...]
    ended: bool = True


@dataclass(frozen=True)
class ParsedAnswer:
    """The mentions of a parsed answer.

    mentions (tuple[ParsedMention, ...]): The well-formed mentions, in reading order.
    n_malformed (int): Faults of the form.
    """

    mentions: tuple[ParsedMention, ...]
    n_malformed: int = 0


class AnswerForm(ABC):
    """One form of answers, for one list of labels.

    In an answer a label has the name that its prompts have, on one line and as the tokenizer
    decodes it.

    codec (Codec): The tokenizer.
    names (Mapping[str, str]): The name of each label, see `label_names`.
    RAISES (ValueError): Names that can't be distinguished in this form.
    """

    cue: str

    def __init__(self, codec: Codec, names: Mapping[str, str]):
        self.codec = codec
        self.names = dict(names)
        self.labels = {name: label for label, name in names.items()}
        if len(self.labels) < len(self.names):
            doubles = [label for label, name in names.items() if self.labels[name] != label]
            raise ValueError(
                f"The labels {doubles} have the same words in the prompt as others, so one answer "
                "can't distinguish them. Give each label words of its own in "
                "label_definitions."
            )

    @property
    def question(self) -> str:
        """RETURNS (str): The prompt of the answer, after the trunk."""
        return "\n".join(self.names.values()) + self.cue

    @abstractmethod
    def write(self, gold: Gold) -> WrittenAnswer:
        """RETURNS (WrittenAnswer): The answer of a gold document, for the form's labels."""

    @abstractmethod
    def most_tokens(self, texts: Sequence[str], params: ResolvedParams) -> list[int]:
        """RETURNS (list[int]): For each text, the tokens after which a line of its answer is
        stopped."""

    @abstractmethod
    def has_ended(self, answer: str) -> bool:
        """RETURNS (bool): Whether an answer that holds a line break is complete."""

    @abstractmethod
    def is_full(self, answer: str, params: ResolvedParams) -> bool:
        """RETURNS (bool): Whether an answer that holds a line break has more mentions of a label
        than `max_count`."""

    @abstractmethod
    def read(self, answer: str, text: str, *, ended: bool = True) -> ParsedAnswer:
        """Parse an answer: keep its well-formed mentions, count its faults.

        answer (str): The generated text, with its end if it is a line break.
        text (str): The document's text.
        ended (bool): Whether the answer came to its end.
        RETURNS (ParsedAnswer): The mentions.
        """


def label_names(builder: TreeBuilder, labels: Sequence[str]) -> dict[str, str]:
    """RETURNS (dict[str, str]): The name of each label in an answer."""
    codec = builder.codec
    described = [one_line(builder.describe(label)) for label in labels]
    known = map(codec.decode, codec.encode_texts(described))
    return {label: name.strip() for label, name in zip(labels, known, strict=True)}


def one_of(names: Iterable[str]) -> str:
    """RETURNS (str): A pattern that matches any of the names."""
    return "|".join(map(re.escape, names))
