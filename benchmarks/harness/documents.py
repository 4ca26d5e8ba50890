"""Gold documents to decode, with the labels and prompts of one dataset."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import spacy

from spacy_padellm.documents.gold import Gold
from spacy_padellm.documents.occurrences import token_bounds
from spacy_padellm.prompts.prompt import WORDS, Prompt, make_prompt
from spacy_padellm.tokenization.arrays import Ints
from spacy_padellm.training.gold_of import gold_of

from .datasets import Dataset
from .gold_docs import to_doc
from .label_names import labels_of

RECIPE: dict[str, Any] = {"both_ways": True, "tag_text": True}  # prompts of the training configs


@dataclass(frozen=True)
class Documents:
    """Gold documents, and what their prompts ask for.

    labels (tuple[str, ...]): The labels.
    prompt (Prompt): The words of the prompts.
    golds (tuple[Gold, ...]): The documents with their gold answers.
    tokens (tuple[Ints, ...]): Start and end characters of each document's tokens [tokens, 2].
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
        """RETURNS (int): Number of gold mentions of all documents."""
        return sum(len(gold.spans) for gold in self.golds)

    def pick(self, indices: Sequence[int]) -> "Documents":
        """RETURNS (Documents): The documents of these indices."""
        return Documents(
            self.labels,
            self.prompt,
            tuple(self.golds[i] for i in indices),
            tuple(self.tokens[i] for i in indices),
        )


def read_documents(
    dataset: Dataset, limit: int, *, split: str = "test", for_adapter: bool = False
) -> Documents:
    """Read the first documents of a dataset, without blank and repeated ones.

    dataset (Dataset): The dataset.
    limit (int): Maximum number of documents.
    split (str): The split.
    for_adapter (bool): Whether prompts are in English, with the shipped adapter's labels, instead
        of in the dataset's own language.
    RETURNS (Documents): The documents.
    """
    lang = dataset.lang
    labels, definitions = labels_of(dataset, split, for_adapter=for_adapter)
    prompt = make_prompt("en" if for_adapter else prompt_lang(lang), definitions, **RECIPE)
    vocab = spacy.blank(lang).vocab
    records = list(dataset.records(split))
    first_of = {record["text"]: record for record in reversed(records) if record["text"].strip()}
    firsts = (record for record in records if first_of.get(record["text"]) is record)
    docs = [to_doc(record, vocab, lang) for record in islice(firsts, limit)]
    return Documents(
        labels,
        prompt,
        tuple(gold_of(doc, labels) for doc in docs),
        tuple(token_bounds(doc) for doc in docs),
    )


def prompt_lang(lang: str) -> str:
    """RETURNS (str): Language of the prompts for texts of a language."""
    return lang if lang in WORDS else "en"
