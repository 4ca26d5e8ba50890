"""The pipeline of a config of this project, as it is or with a dataset's labels."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import spacy
from spacy.language import Language

from spacy_padellm.pipeline.component import PadellmNER

from .datasets import Dataset
from .label_names import ADAPTER_LABELS, adapter_labels_of, labels_of

CONFIG = Path("configs/en_padellm.cfg")
COMPONENT = "components.padellm_ner"


def config_pipeline(config: Path = CONFIG, settings: Mapping[str, Any] | None = None) -> Language:
    """Make the pipeline of a config.

    config (Path): The config file.
    settings (Mapping[str, Any] | None): Settings of the component that replace those of the
        config, such as {"model.device": "cuda"}.
    RETURNS (Language): The pipeline.
    """
    overrides = {f"{COMPONENT}.{key}": value for key, value in (settings or {}).items()}
    return spacy.util.load_model_from_config(
        spacy.util.load_config(config, overrides=overrides), auto_fill=True
    )


def dataset_pipeline(config: Path, dataset: Dataset) -> Language:
    """RETURNS (Language): The pipeline of a config with the labels and the language of a dataset,
    prompts as the shipped adapter knows them; documents are not cut into windows."""
    labels, definitions = labels_of(dataset, for_adapter=True)
    overrides = {
        "nlp.lang": dataset.lang,
        f"{COMPONENT}.labels": list(labels),
        f"{COMPONENT}.window_tokens": None,
    }
    settings = spacy.util.load_config(config, overrides=overrides)
    settings["components"]["padellm_ner"]["prompt"]["label_definitions"] = definitions or None
    return spacy.util.load_model_from_config(settings, auto_fill=True)


def component_of(nlp: Language) -> PadellmNER:
    """RETURNS (PadellmNER): The component of a pipeline of this project's configs."""
    component = nlp.get_pipe("padellm_ner")
    assert isinstance(component, PadellmNER)
    return component


def set_labels(nlp: Language, dataset: Dataset, split: str = "test") -> dict[str, str]:
    """Let a pipeline of this project's configs find the labels of a dataset: those of its config
    for the datasets of `label_names.ADAPTER_LABELS`, else the dataset's own.

    nlp (Language): The pipeline.
    dataset (Dataset): The dataset.
    split (str): Split whose labels are used.
    RETURNS (dict[str, str]): Labels of the dataset → labels of the pipeline.
    """
    labels = adapter_labels_of(dataset, split)
    known = dataset.name in ADAPTER_LABELS
    configured = nlp.config["components"]["padellm_ner"]["labels"]
    component_of(nlp).cfg["labels"] = list(configured if known else labels)
    return labels
