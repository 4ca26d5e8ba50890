"""Inputs of `evaluate` and `tune`: a pipeline and gold documents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wasabi import msg

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.training import Example

    from ..pipeline.component import PadellmNER


def load_inputs(
    pipeline: str | Path, data: Path, gpu_id: int = -1, component: str | None = None
) -> tuple[Language, PadellmNER, list[Example]]:
    """Load a pipeline and gold documents.

    pipeline (str | Path): Package or folder.
    data (Path): A .spacy file or a folder of them.
    gpu_id (int): Index of the GPU; -1 keeps the device of the pipeline's config.
    component (str | None): Name of the component; None for the only one.
    RETURNS (tuple[Language, PadellmNER, list[Example]]): The pipeline, its component, and one
        Example per gold document that has tokens.
    RAISES (OSError): No such pipeline or data.
    RAISES (ValueError): No gold documents, no such component or GPU.
    """
    from ..corpus.examples import read_examples
    from ..pipeline.loading import find_component, load_pipeline

    if not data.exists():
        raise FileNotFoundError(f"There is no {data}. Give a .spacy file or a folder of them.")
    nlp = load_pipeline(pipeline, gpu_id)
    ner = find_component(nlp, component)
    examples, n_empty = read_examples(data, nlp)
    if n_empty:
        msg.warn(f"Documents without any token, left out: {n_empty}")
    return nlp, ner, examples
