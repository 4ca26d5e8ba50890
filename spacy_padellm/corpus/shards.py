"""Writer of .spacy files: a single file, or a folder of files that fit in memory one by one."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path
from types import TracebackType

from spacy.tokens import Doc, DocBin

from .formats import DOCBIN_SUFFIX

# A DocBin takes about 0.2 kB per token while it is written, at any length of the documents.
TOKENS_PER_FILE = 1_000_000
SHARD = re.compile(r"\d{5,}\.spacy")


class ShardWriter:
    """Writes Docs to a temporary folder beside the output, and renames it when all are written.

    A context manager, which removes the temporary folder.

    output (Path): A path that ends in .spacy. The documents of a single file are written to this
        path; those of several files to a folder of this name, which `spacy.Corpus.v1` reads too.
    docs_per_file (int): Maximum documents of a file.
    tokens_per_file (int): Tokens after which a file is closed.
    RAISES (ValueError): A path with another suffix, a folder that holds other files, a number of
        documents below 1.
    """

    def __init__(
        self, output: Path, docs_per_file: int, tokens_per_file: int = TOKENS_PER_FILE
    ) -> None:
        if output.suffix != DOCBIN_SUFFIX:
            raise ValueError(
                f"The output must end in {DOCBIN_SUFFIX}, as spaCy reads no other: {output}."
            )
        if docs_per_file < 1:
            raise ValueError(f"A file holds one document at least, not {docs_per_file}.")
        if output.is_dir() and not all(map(_is_shard, output.iterdir())):
            raise ValueError(
                f"{output} is a folder with other things than an earlier output in it. Give "
                "another path, or remove it."
            )
        self.output = output
        self._docs_per_file = docs_per_file
        self._tokens_per_file = tokens_per_file
        self._n_files = 0
        self._open()

    def __enter__(self) -> ShardWriter:
        self.output.parent.mkdir(parents=True, exist_ok=True)
        self._scratch = Path(
            tempfile.mkdtemp(prefix=f".{self.output.name}.", dir=self.output.parent)
        )
        self._written = self._scratch / "written"
        self._written.mkdir()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        shutil.rmtree(self._scratch, ignore_errors=True)

    def add(self, doc: Doc) -> None:
        """Add a document. It is serialized at once.

        doc (Doc): The document.
        """
        self._bin.add(doc)
        self._tokens += len(doc)
        if len(self._bin) >= self._docs_per_file or self._tokens >= self._tokens_per_file:
            self._close()

    def finish(self) -> list[Path]:
        """Rename the written files to the output; an earlier output is replaced.

        RETURNS (list[Path]): The output file, or the files in the output folder.
        """
        if len(self._bin) or not self._n_files:
            self._close()
        names = sorted(path.name for path in self._written.iterdir())
        written = self._written if len(names) > 1 else self._written / names[0]
        if self.output.is_dir() or (self.output.exists() and written.is_dir()):
            os.replace(self.output, self._scratch / "replaced")
        os.replace(written, self.output)
        return [self.output / name for name in names] if len(names) > 1 else [self.output]

    def _open(self) -> None:
        self._bin = DocBin(store_user_data=True)
        self._tokens = 0

    def _close(self) -> None:
        self._bin.to_disk(self._written / f"{self._n_files:05d}{DOCBIN_SUFFIX}")
        self._n_files += 1
        self._open()


def _is_shard(path: Path) -> bool:
    return path.is_file() and SHARD.fullmatch(path.name) is not None
