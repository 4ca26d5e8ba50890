"""Gold documents to decode: those of a set, and ones of any size made out of a set's words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import corpora
import decoders
import numpy as np
import spacy
from corpora import read_lines, to_doc
from wasabi import msg

from spacy_padellm.documents.gold import Gold
from spacy_padellm.documents.occurrences import token_bounds
from spacy_padellm.prompts.prompt import Prompt, make_prompt
from spacy_padellm.tokenization.arrays import Ints
from spacy_padellm.tokenization.codec import Codec
from spacy_padellm.training.gold_of import gold_of

NAMED = ("person", "organisation", "location", "miscellaneous")
WORDS_PER_MENTION = 2
RECIPE: dict[str, Any] = {"both_ways": True, "tag_text": True}  # prompts as the recipes have them


@dataclass(frozen=True)
class Documents:
    """Documents, and what is asked of them.

    labels (tuple[str, ...]): The labels.
    prompt (Prompt): The words of the prompts.
    golds (tuple[Gold, ...]): The documents with their answers.
    tokens (tuple[Ints, ...]): For each its tokens' start and end characters [tokens, 2].
    """

    labels: tuple[str, ...]
    prompt: Prompt
    golds: tuple[Gold, ...]
    tokens: tuple[Ints, ...]

    def __len__(self) -> int:
        return len(self.golds)

    @property
    def texts(self) -> list[str]:
        """RETURNS (list[str]): The texts."""
        return [gold.text for gold in self.golds]

    @property
    def n_mentions(self) -> int:
        """RETURNS (int): Gold mentions of all documents."""
        return sum(len(gold.spans) for gold in self.golds)

    def pick(self, indices: Sequence[int]) -> "Documents":
        """RETURNS (Documents): Some of them."""
        return Documents(
            self.labels,
            self.prompt,
            tuple(self.golds[i] for i in indices),
            tuple(self.tokens[i] for i in indices),
        )


def read_set(data: Path, name: str, limit: int, *, shipped: bool = False) -> Documents:
    """The first documents of a test set, blank and repeated ones left out.

    data (Path): The folder of the sets.
    name (str): The set.
    limit (int): Most documents.
    shipped (bool): Whether labels and prompt are to be those that the shipped adapter knows, or is
        near to (`decoders.SETS`), not the set's own language (`corpora.SETS`).
    RETURNS (Documents): The documents.
    """
    if name not in (known := decoders.SETS if shipped else corpora.SETS):
        msg.fail(f"There is no set {name!r}", f"Known are {', '.join(known)}.", exits=1)
    lang, definitions = known[name]
    prompt = make_prompt("en" if shipped else lang, definitions, **RECIPE)
    vocab = spacy.blank(lang).vocab
    records = list(read_lines(data / name / "test.jsonl"))
    found = {span["label"] for record in records for span in record["spans"]}
    labels = tuple(definitions) if found <= definitions.keys() else tuple(sorted(found))
    once = {one["text"]: one for one in reversed(records) if one["text"].strip()}
    firsts = (one for one in records if once.get(one["text"]) is one)
    docs = [to_doc(record, vocab, lang) for record in islice(firsts, limit)]
    return Documents(
        labels,
        prompt,
        tuple(gold_of(doc, labels) for doc in docs),
        tuple(token_bounds(doc) for doc in docs),
    )


def grow(
    words: Sequence[str],
    codec: Codec,
    n_documents: int,
    *,
    n_tokens: int,
    n_mentions: int,
    n_labels: int,
) -> Documents:
    """Documents of one size, each with other words: mentions of two words (of one where the text
    is short) at even distances, labels by turns.

    words (Sequence[str]): Words to write with, in the order of their texts.
    codec (Codec): The tokenizer.
    n_documents (int): Documents to make.
    n_tokens (int): Tokens of each text, at most; one word less.
    n_mentions (int): Mentions of each.
    n_labels (int): Labels asked for.
    RETURNS (Documents): In English prompts.
    RAISES (ValueError): A text that has no room for the mentions.
    """
    labels = tuple([*NAMED, *(f"class {i}" for i in range(5, n_labels + 1))][:n_labels])
    sizes = [len(ids) for ids in codec.encode_texts([" " + word for word in words])]
    golds, tokens = [], []
    for i in range(n_documents):
        chosen: list[str] = []
        room = n_tokens
        for at in _from(i * len(words) // n_documents, len(words)):
            room -= sizes[at]
            if room < 0:
                break
            chosen.append(words[at])
        text = " ".join(chosen)
        bounds = word_bounds(chosen)
        golds.append(Gold(text, labels, tuple(_spans(bounds, n_mentions, labels))))
        tokens.append(bounds)
    return Documents(labels, make_prompt("en", **RECIPE), tuple(golds), tuple(tokens))


def words_of(data: Path, name: str = "conll03") -> list[str]:
    """RETURNS (list[str]): The words of a test set, in their order."""
    records = read_lines(data / name / "test.jsonl")
    return [word for record in records for word in record["text"].split()]


def _from(start: int, n: int) -> Iterator[int]:
    while True:
        yield start % n
        start += 1


def word_bounds(words: Sequence[str]) -> Ints:
    """RETURNS (Ints): Start and end character of each word, where one space is between them
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
