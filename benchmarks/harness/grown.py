"""Gold documents of any size, made of a dataset's words."""

from collections.abc import Iterator, Sequence
from itertools import count

import numpy as np

from spacy_padellm.documents.gold import Gold
from spacy_padellm.prompts.prompt import make_prompt
from spacy_padellm.tokenization.arrays import Ints
from spacy_padellm.tokenization.codec import Codec

from .datasets import Dataset
from .documents import RECIPE, Documents

LABELS = ("person", "organisation", "location", "miscellaneous")
WORDS_PER_MENTION = 2


def grow(
    words: Sequence[str],
    codec: Codec,
    n_documents: int,
    *,
    n_tokens: int,
    n_mentions: int,
    n_labels: int,
) -> Documents:
    """Make documents of one size, each of other words: mentions of two words (of one where the
    text is short) at even distances, labels in turn.

    words (Sequence[str]): Words of the texts, in this order.
    codec (Codec): The tokenizer.
    n_documents (int): Number of documents.
    n_tokens (int): Maximum number of token ids of each text; a text is at most one word shorter.
    n_mentions (int): Number of mentions of each document.
    n_labels (int): Number of labels of the prompts.
    RETURNS (Documents): In English prompts.
    RAISES (ValueError): A text that has no room for the mentions.
    """
    labels = tuple([*LABELS, *(f"class {i}" for i in range(5, n_labels + 1))][:n_labels])
    sizes = [len(ids) for ids in codec.encode_texts([" " + word for word in words])]
    golds, tokens = [], []
    for i in range(n_documents):
        chosen: list[str] = []
        room = n_tokens
        for number in count(i * len(words) // n_documents):
            index = number % len(words)
            room -= sizes[index]
            if room < 0:
                break
            chosen.append(words[index])
        bounds = word_bounds(chosen)
        golds.append(Gold(" ".join(chosen), labels, tuple(_spans(bounds, n_mentions, labels))))
        tokens.append(bounds)
    return Documents(labels, make_prompt("en", **RECIPE), tuple(golds), tuple(tokens))


def words_of(dataset: Dataset, split: str = "test") -> list[str]:
    """RETURNS (list[str]): The words of a dataset, in order."""
    return [word for text in dataset.texts(split) for word in text.split()]


def word_bounds(words: Sequence[str]) -> Ints:
    """RETURNS (Ints): Start and end character of each word, with one space between words
    [words, 2]."""
    lengths = np.array([len(word) for word in words], dtype=np.int64)
    starts = np.cumsum(lengths + 1) - lengths - 1
    return np.stack([starts, starts + lengths], axis=1)


def _spans(bounds: Ints, n_mentions: int, labels: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    n_words = len(bounds)
    if n_mentions > n_words:
        raise ValueError(f"A text of {n_words} words has no room for {n_mentions} mentions.")
    length = WORDS_PER_MENTION if n_words >= (WORDS_PER_MENTION + 1) * n_mentions else 1
    for i in range(n_mentions):
        first = i * n_words // n_mentions
        yield int(bounds[first, 0]), int(bounds[first + length - 1, 1]), labels[i % len(labels)]
