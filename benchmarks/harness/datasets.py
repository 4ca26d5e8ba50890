"""Annotated texts in JSON lines: a folder of datasets, a folder of files, or one file.

Nothing of spacy_padellm is imported here, so that `same_results.py` runs on older commits.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import srsly
from wasabi import msg

Record = dict[str, Any]
SPLITS = ("train", "dev", "test")
LANGS = {"weibo": "zh", "resume": "zh"}  # spaCy's code of the language; English if not here


@dataclass(frozen=True)
class Dataset:
    """Annotated texts, one JSON object per line: {"text": "Ada", "spans": [{"start": 0, "end": 3,
    "label": "PER"}]}. Offsets are in characters, ends exclusive.

    name (str): Its name in tables and results; label definitions are looked up by it.
    path (Path): A folder of {train,dev,test}.jsonl, a folder of other *.jsonl files, or one file.
        The latter two have no splits: each split is the whole dataset.
    lang (str): spaCy's code of the texts' language.
    """

    name: str
    path: Path
    lang: str = "en"

    @property
    def has_splits(self) -> bool:
        """RETURNS (bool): Whether the dataset is a folder of {train,dev,test}.jsonl."""
        return any((self.path / f"{split}.jsonl").is_file() for split in SPLITS)

    def files(self, split: str = "test") -> list[Path]:
        """RETURNS (list[Path]): Files of a split, empty if there are none."""
        if self.path.is_file():
            return [self.path]
        if self.has_splits:
            file = self.path / f"{split}.jsonl"
            return [file] if file.is_file() else []
        return sorted(self.path.glob("*.jsonl"))

    def records(self, split: str = "test", limit: int = 0) -> Iterator[Record]:
        """Read a split; exit with a message if it has no file.

        split (str): Name of the split.
        limit (int): Maximum number of records; 0 for all.
        YIELDS (Record): "text" and "spans" of each document.
        """
        files = self.files(split)
        if not files:
            _fail_no_data(self.path, split)
        lines = (record for file in files for record in srsly.read_jsonl(file))
        for record in islice(lines, limit or None):
            yield {"spans": [], **record}

    def texts(self, split: str = "test", limit: int = 0) -> list[str]:
        """RETURNS (list[str]): Texts of a split."""
        return [record["text"] for record in self.records(split, limit)]

    def span_labels(self, split: str = "test") -> set[str]:
        """RETURNS (set[str]): Labels of a split's spans."""
        return {span["label"] for record in self.records(split) for span in record["spans"]}


def find_dataset(data: Path, name: str = "", lang: str | None = None) -> Dataset:
    """Find one dataset.

    data (Path): The folder that holds the dataset's folder, or the dataset's own folder or file.
    name (str): Its name; that of the file or folder if empty.
    lang (str | None): Language of the texts; by name if None (LANGS), else English.
    RETURNS (Dataset): The dataset. Its files need not exist.
    """
    path = data / name if name and not data.is_file() and not _is_dataset(data) else data
    name = name or _name_of(path)
    return Dataset(name, path, lang or LANGS.get(name, "en"))


def find_datasets(
    data: Path,
    names: Sequence[str] | None,
    defaults: Sequence[str],
    *,
    split: str = "test",
    lang: str | None = None,
) -> list[Dataset]:
    """Find the datasets of a run; exit with a message if one has no file of the split.

    data (Path): A folder of datasets, or one dataset's folder or file.
    names (Sequence[str] | None): Their names. None, or none of them: for a folder of datasets
        `defaults`, or every dataset in it if it lacks one of these.
    defaults (Sequence[str]): Names of the datasets that the published figures are from.
    split (str): Split that the run reads.
    lang (str | None): As of `find_dataset`.
    RETURNS (list[Dataset]): At least one.
    """
    if data.is_file() or _is_dataset(data):
        if names and len(names) > 1:
            msg.fail(f"{data} is one dataset", f"Its name can't be {', '.join(names)}.", exits=1)
        datasets = [find_dataset(data, names[0] if names else "", lang)]
    elif names:
        datasets = [find_dataset(data, name, lang) for name in names]
    else:
        datasets = [find_dataset(data, name, lang) for name in defaults]
        if not all(dataset.files(split) for dataset in datasets) and data.is_dir():
            folders = [path.name for path in sorted(data.iterdir()) if _is_dataset(path)]
            every = [find_dataset(data, name, lang) for name in folders]
            datasets = [dataset for dataset in every if dataset.files(split)] or datasets
    for dataset in datasets:
        if not dataset.files(split):
            _fail_no_data(dataset.path, split)
    return datasets


def _is_dataset(path: Path) -> bool:
    return path.is_dir() and any(path.glob("*.jsonl"))


def _name_of(path: Path) -> str:
    """RETURNS (str): Name of a dataset's folder, also where only the file of a split is given."""
    if path.suffix == ".jsonl":
        return path.resolve().parent.name if path.stem in SPLITS else path.stem
    return path.resolve().name


def _fail_no_data(path: Path, split: str) -> None:
    file = path if path.suffix == ".jsonl" else path / f"{split}.jsonl"
    msg.fail(
        f"There are no annotated texts at {file}",
        "Give a folder with NAME/{train,dev,test}.jsonl, a folder of *.jsonl, or one such file.",
        exits=1,
    )
