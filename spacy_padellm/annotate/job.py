"""Settings of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .items import JSONL, SPACY

if TYPE_CHECKING:
    from spacy.language import Language

FORMATS = (JSONL, SPACY)


@dataclass(frozen=True)
class Job:
    """Settings of a run: how documents are annotated and written. Pickled to each worker process.

    pipeline (str): Package, folder, or "blank:" with a language.
    format (str): Format of the output, one of FORMATS.
    text_key (str): Key of the text in an input record.
    entities_key (str): Key of the entities in an output record of format "jsonl".
    record_key (str): Key of doc.user_data that holds the other keys of the input record, in format
        "spacy".
    spans_keys (tuple[str, ...] | None): Keys of doc.spans that hold the scores of entities; None
        uses those of the pipeline's padellm_ner components.
    batch_size (int): Number of documents per batch.
    shard_size (int): Maximum number of documents per shard.
    gpu_id (int): Index of the GPU; -1 uses the device of the pipeline's config.
    code (Path | None): Python file with registered functions that the pipeline needs.
    """

    pipeline: str
    format: str = JSONL
    text_key: str = "text"
    entities_key: str = "entities"
    record_key: str = "record"
    spans_keys: tuple[str, ...] | None = None
    batch_size: int = 128
    shard_size: int = 1000
    gpu_id: int = -1
    code: Path | None = None

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ValueError(f"Unknown format {self.format!r}. Known are {' and '.join(FORMATS)}.")
        if self.entities_key == self.text_key:
            raise ValueError(
                f"Text and entities can't both have the key {self.text_key!r}. Give another "
                "--entities-key."
            )

    def load(self) -> Language:
        """Load the pipeline, with the weights of its padellm_ner components.

        RETURNS (Language): The pipeline.
        RAISES (ValueError, OSError, ImportError): The pipeline, base, adapter or GPU is not
            available.
        """
        from spacy.cli._util import import_code

        from ..pipeline.loading import load_pipeline, padellm_components

        import_code(self.code)
        nlp = load_pipeline(self.pipeline, self.gpu_id)
        for ner in padellm_components(nlp).values():
            ner.shim.load()
        return nlp

    def settings(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): The settings that the output depends on, by the names of the
        command's options, without inputs and pipeline."""
        return {
            "--format": self.format,
            "--text-key": self.text_key,
            "--entities-key": self.entities_key,
            "--record-key": self.record_key,
            "--spans-key": self.spans_keys and list(self.spans_keys),
            "--batch-size": self.batch_size,
            "--shard-size": self.shard_size,
            "--gpu-id": "a GPU" if self.gpu_id >= 0 else "-1",
        }
