"""Gold documents of .spacy files as Examples."""

from __future__ import annotations

import warnings
from pathlib import Path

from spacy.language import Language
from spacy.tokens import DocBin
from spacy.training import Corpus, Example
from spacy.training.corpus import walk_corpus

from .formats import DOCBIN_SUFFIX

CONVERT = "`python -m spacy padellm convert` makes such files."


def read_examples(path: Path, nlp: Language) -> tuple[list[Example], int]:
    """Read gold documents as `spacy.Corpus.v1` does.

    path (Path): A .spacy file or a folder of them.
    nlp (Language): Its tokenizer makes the predicted documents.
    RETURNS (tuple[list[Example], int]): One Example per document that has tokens, at least one,
        and the number of documents without tokens, which are left out.
    RAISES (OSError): A path that can't be opened.
    RAISES (ValueError): No documents, a file in another format, or a text that the tokenizer
        rejects.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"\[W090\]")  # no file: raised below
            files = [DocBin().from_disk(file) for file in walk_corpus(path, DOCBIN_SUFFIX)]
        docs = [doc for file in files for doc in file.get_docs(nlp.vocab)]
    except OSError:
        raise
    except Exception as error:  # those of zlib, msgpack and spaCy, depending on the damage
        raise ValueError(
            f"{path} can't be read as spaCy's binary format ({DOCBIN_SUFFIX}): {error}. {CONVERT}"
        ) from error
    examples = list(Corpus(path).make_examples(nlp, docs))
    if not examples:
        raise ValueError(
            f"{path} holds no documents in {DOCBIN_SUFFIX} files to evaluate on. {CONVERT}"
        )
    return examples, len(docs) - len(examples)
