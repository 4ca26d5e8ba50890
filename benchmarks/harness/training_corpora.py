"""Datasets as spaCy's training corpora."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import spacy
from spacy.tokens import Doc, DocBin

from spacy_padellm.training.annotated_labels import ANNOTATED_LABELS

from .datasets import SPLITS, Dataset
from .gold_docs import to_doc


def write_corpora(
    dataset: Dataset, further: Sequence[Dataset], folder: Path, limit: int = 0
) -> int:
    """Write {train,dev,test}.spacy.

    dataset (Dataset): The dataset, in three splits.
    further (Sequence[Dataset]): Datasets whose training documents are added, annotated for the
        labels that both have.
    folder (Path): Folder of the corpora.
    limit (int): Maximum number of documents of each split; 0 for all.
    RETURNS (int): Number of training documents.
    """
    vocab = spacy.blank(dataset.lang).vocab
    labels = dataset.span_labels("train")
    n_train = 0
    for split in SPLITS:
        docs = [to_doc(record, vocab, dataset.lang) for record in dataset.records(split, limit)]
        if split == "train":
            for other in further:
                docs += list(_shared(other, vocab, labels))[: limit or None]
            n_train = len(docs)
        DocBin(docs=docs, store_user_data=True).to_disk(folder / f"{split}.spacy")
    return n_train


def _shared(dataset: Dataset, vocab: Any, labels: set[str]) -> Iterator[Doc]:
    """YIELDS (Doc): Training documents with the spans of some labels."""
    shared = labels & dataset.span_labels("train")
    for record in dataset.records("train"):
        spans = [span for span in record["spans"] if span["label"] in shared]
        doc = to_doc({**record, "spans": spans}, vocab, dataset.lang)
        if shared != labels:
            doc.user_data[ANNOTATED_LABELS] = sorted(shared)
        yield doc
