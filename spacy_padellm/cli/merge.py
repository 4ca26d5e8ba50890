"""Command `merge`: merge a trained adapter into its base, for a pipeline that needs no base."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from wasabi import msg

if TYPE_CHECKING:
    from spacy.language import Language


def merge_cli(
    pipeline: str = typer.Argument(..., help="Trained pipeline: a folder or an installed package."),
    output: Path = typer.Argument(..., help="Folder to write the whole pipeline to."),
    dtype: str | None = typer.Option(
        None,
        "--dtype",
        help="float32, bfloat16 or float16. Defaults to the dtype of the pipeline's config, or "
        "float32 on a CPU.",
    ),
    force: bool = typer.Option(False, "--force", "-F", help="Replace an existing output folder."),
) -> None:
    """Merge a pipeline's LoRA adapter into the base, and save the pipeline with all weights.

    The result loads without the base and finds the same entities, but its adapter can't be trained
    further: keep the trained pipeline for that.
    """
    if output.exists() and not force:
        msg.fail(f"{output} is there already", "Give another folder, or --force.", exits=1)
    try:
        names = merge(pipeline, output, dtype)
    except (OSError, ValueError) as error:
        msg.fail(f"Can't merge {pipeline}", str(error), exits=1)
    size = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    msg.good(f"Whole pipeline in {output} ({size / 1e6:.0f} MB), merged: {', '.join(names)}")


def merge(pipeline: str | Path, output: Path, dtype: str | None = None) -> list[str]:
    """Merge a pipeline's adapters into their bases, and save it with all weights.

    pipeline (str | Path): A trained pipeline.
    output (Path): The folder to write.
    dtype (str | None): Dtype of the written weights; None keeps that of the loaded weights.
    RETURNS (list[str]): Names of the components that were merged.
    RAISES (ValueError): A pipeline without an adapter; an unknown dtype.
    RAISES (OSError): A missing pipeline or base, an output that can't be written.
    """
    import spacy

    from ..model.settings import DTYPES
    from ..training.checkpoint import write_checkpoint

    if dtype is not None and dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, not {dtype!r}.")
    nlp = spacy.load(pipeline)
    names = components_with_adapter(nlp)
    if not names:
        raise ValueError(
            f"There is no adapter to merge: none of its components {nlp.component_names} is a "
            "padellm_ner with an adapter. A pipeline of which all weights were trained is whole."
        )
    overrides: dict[str, Any] = {}
    for name in names:
        model = f"components.{name}.model"
        overrides |= {f"{model}.save": "whole", f"{model}.adapter": None}
        if dtype is not None:
            overrides[f"{model}.dtype"] = dtype
    whole = spacy.load(pipeline, config=overrides)
    write_checkpoint(whole.to_disk, output)
    return names


def components_with_adapter(nlp: Language) -> list[str]:
    """RETURNS (list[str]): Names of the padellm_ner components that have an adapter, including
    disabled components.
    """
    from ..pipeline.loading import padellm_components

    components = padellm_components(nlp, disabled=True)
    return [name for name, ner in components.items() if ner.shim.saved().files]
