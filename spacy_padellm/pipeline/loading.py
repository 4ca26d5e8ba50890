"""Load a pipeline for a command, and find its padellm_ner component."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from spacy import util
from spacy.language import Language
from thinc.api import require_gpu
from thinc.compat import has_cupy

from .component import PadellmNER


def load_pipeline(path: str | Path, gpu_id: int = -1) -> Language:
    """Load a pipeline on a device. The weights of its padellm_ner components load on first need.

    path (str | Path): Name of a package, folder, or "blank:" with a language.
    gpu_id (int): Index of a CUDA device, which replaces the device of the config; -1 keeps that of
        the config.
    RETURNS (Language): The pipeline.
    RAISES (OSError): No such pipeline.
    RAISES (ValueError): A pipeline whose config is invalid; with CuPy, no such GPU.
    """
    if gpu_id >= 0 and has_cupy:
        require_gpu(gpu_id)
    nlp = util.load_model(path)
    if gpu_id >= 0:
        # thinc's current device, which the model follows by default, is a GPU with CuPy only.
        for ner in padellm_components(nlp).values():
            ner.shim.settings = replace(ner.shim.settings, device=f"cuda:{gpu_id}")
    return nlp


def padellm_components(nlp: Language, *, disabled: bool = False) -> dict[str, PadellmNER]:
    """Find the padellm_ner components of a pipeline.

    nlp (Language): The pipeline.
    disabled (bool): Whether to include disabled components.
    RETURNS (dict[str, PadellmNER]): The components by name.
    """
    pipes = nlp.components if disabled else nlp.pipeline
    return {name: pipe for name, pipe in pipes if isinstance(pipe, PadellmNER)}


def find_component(nlp: Language, name: str | None = None) -> PadellmNER:
    """Find a padellm_ner component of a pipeline.

    nlp (Language): The pipeline.
    name (str | None): Name of the component; None for the only one.
    RETURNS (PadellmNER): The component.
    RAISES (ValueError): No such component, or several and no name.
    """
    components = padellm_components(nlp)
    if name is None and len(components) > 1:
        raise ValueError(
            f"The pipeline has {len(components)} padellm_ner components: {', '.join(components)}. "
            "Give the name of one (--component)."
        )
    if not components or (name is not None and name not in components):
        raise ValueError(
            f"The pipeline has no padellm_ner component{f' {name!r}' if name else ''}; its "
            f"components are: {', '.join(nlp.pipe_names) or 'none'}."
        )
    return components[name] if name is not None else next(iter(components.values()))
