"""The training config of one way of finding entities on one dataset."""

import json
import os
import shutil
from enum import Enum
from pathlib import Path
from typing import Any

from spacy.util import load_config

from .datasets import Dataset
from .documents import prompt_lang
from .label_names import OWN_LANGUAGE
from .pipelines import COMPONENT

HERE = Path(__file__).parents[1]


class Method(str, Enum):
    """A way of finding entities."""

    padellm = "padellm"
    struct = "struct"
    aug = "aug"
    ner = "ner"


DECODERS = {
    Method.padellm: "spacy-padellm.tree_decoder.v1",
    Method.struct: "spacy-padellm.autoregressive_struct_decoder.v1",
    Method.aug: "spacy-padellm.autoregressive_aug_decoder.v1",
}


def configuration(
    dataset: Dataset, method: Method, recipe: str, base: str, device: str, folder: Path
) -> Any:
    """Make a training config.

    dataset (Dataset): The dataset.
    method (Method): The way of finding entities.
    recipe (str): "lora" or "full": the config of this project that is the start; spaCy's `ner` has
        a config of its own.
    base (str): Name of the base.
    device (str): torch's name of the device.
    folder (Path): Folder with {train,dev}.spacy; a copy of the base may be made there.
    RETURNS (Config): The config, not interpolated.
    """
    paths = {"paths.train": str(folder / "train.spacy"), "paths.dev": str(folder / "dev.spacy")}
    if method is Method.ner:
        config = load_config(HERE / "spacy_ner.cfg")
        base_folder = str(_without_vocab_file(base, folder / "base"))
        overrides = {**paths, "nlp.lang": dataset.lang, "paths.base": base_folder}
        return config.merge(nested(overrides))
    recipe_file = f"{prompt_lang(dataset.lang)}_{recipe}.cfg"
    config = load_config(HERE.parent / "configs" / recipe_file)
    component = config["components"]["padellm_ner"]
    component["decoder"] = {**component["decoder"], "@misc": DECODERS[method]}
    component["prompt"]["label_definitions"] = OWN_LANGUAGE.get(dataset.name)
    settings: dict[str, Any] = {
        **paths,
        "nlp.lang": dataset.lang,
        "paths.labels": str(folder / "labels.json"),
        "paths.base": base,
        f"{COMPONENT}.model.device": device,
    }
    for split in ("train", "dev"):
        settings[f"corpora.{split}.gold_preproc"] = True
    return config.merge(nested(settings))


def nested(settings: dict[str, Any]) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): Settings by section.key as a config's sections."""
    sections: dict[str, Any] = {}
    for key, value in settings.items():
        *parents, last = key.split(".")
        section = sections
        for parent in parents:
            section = section.setdefault(parent, {})
        section[last] = value
    return sections


def parse_setting(setting: str) -> tuple[str, Any]:
    """RETURNS (tuple[str, Any]): Key and value of key=value; the value is JSON or a string."""
    key, _, value = setting.partition("=")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value


def _without_vocab_file(base: str, folder: Path) -> Path:
    """RETURNS (Path): The base with a tokenizer class that has no `vocab_file`, which
    spacy-transformers would open."""
    from spacy_padellm.weights.resolver import resolve_weights

    shutil.copytree(resolve_weights(base).folder, folder, copy_function=os.symlink)
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text("utf8"))
    path.unlink()
    path.write_text(json.dumps({**settings, "tokenizer_class": "PreTrainedTokenizerFast"}), "utf8")
    return folder
