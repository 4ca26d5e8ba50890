"""What a pipeline keeps of its model: an adapter and its base's name, or all weights."""

from __future__ import annotations

import copy
import hashlib
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import srsly

from ..engine.language_model import LanguageModel
from ..weights.resolver import Weights
from .adapter import (
    ADAPTER_SHA256,
    BASE_FILE,
    CONFIG_FILE,
    WEIGHTS_FILE,
    check_adapter_folder,
    check_base,
    load_adapter,
    read_base,
    save_adapter,
)

ADAPTER_FILES = (CONFIG_FILE, WEIGHTS_FILE)


@dataclass(frozen=True)
class SavedModel:
    """A model between disk, bytes and memory.

    base (dict[str, Any]): Name and sha256 of the base; empty values where nothing loaded it yet.
    files (dict[str, bytes]): The adapter's files by name; empty without an adapter.
    folder (Path | None): A folder with all weights of a fully trained model; they are too large
        to hold in memory twice.
    """

    base: dict[str, Any]
    files: dict[str, bytes] = field(default_factory=dict)
    folder: Path | None = None

    @property
    def holds_weights(self) -> bool:
        """RETURNS (bool): False for a bare base, whose adapter (if any) the settings name."""
        return bool(self.files) or self.folder is not None

    @classmethod
    def of(cls, model: LanguageModel, weights: Weights) -> SavedModel:
        """RETURNS (SavedModel): The state of a loaded model with an adapter, or of a bare base."""
        base = {"name": str(weights.name), "sha256": weights.sha256}
        if not has_adapter(model):
            return cls(base)
        with tempfile.TemporaryDirectory() as place:
            save_adapter(model.network, Path(place))
            return cls(base, _read(Path(place)))

    @classmethod
    def from_folder(cls, folder: Path) -> SavedModel:
        """RETURNS (SavedModel): What `to_folder`, `save_whole` or peft wrote.

        RAISES (FileNotFoundError): A folder that is none of these.
        RAISES (ValueError): An adapter that is damaged, or none that is taken.
        """
        base = read_base(folder)
        if base.get("whole"):
            return cls(base, folder=folder)
        if base and not (folder / CONFIG_FILE).is_file():
            return cls(base)
        check_adapter_folder(folder)
        base.pop(ADAPTER_SHA256, None)
        return cls(base, _read(folder))

    @classmethod
    def from_bytes(cls, data: bytes) -> SavedModel:
        """RETURNS (SavedModel): What `to_bytes` wrote.

        RAISES (ValueError): Other files than an adapter's.
        """
        message = srsly.msgpack_loads(data)
        files = message["files"]
        if files and set(files) != set(ADAPTER_FILES):
            raise ValueError(
                f"The bytes of a saved model hold the files {sorted(files)} instead of those of an "
                f"adapter, {', '.join(ADAPTER_FILES)}. Load the pipeline from its folder."
            )
        return cls(message["base"], files)

    def to_bytes(self) -> bytes:
        """RETURNS (bytes): A msgpack message.

        RAISES (ValueError): All weights of a model are asked for; they only go to disk.
        """
        if self.folder is not None:
            raise ValueError(
                "A model of which all weights were trained does not fit one message. Save the "
                "pipeline with to_disk."
            )
        return srsly.msgpack_dumps({"base": self.base, "files": self.files})

    def to_folder(self, folder: Path) -> None:
        """Write the adapter and the base's name, or the folder of all weights.

        folder (Path): Where to; made if it is not there.
        """
        if self.folder is not None:
            if self.folder.resolve() != folder.resolve():
                shutil.copytree(self.folder, folder, dirs_exist_ok=True)
            return
        folder.mkdir(parents=True, exist_ok=True)
        _clear(folder)
        for name, data in self.files.items():
            (folder / name).write_bytes(data)
        base = dict(self.base)
        if self.files:
            base[ADAPTER_SHA256] = hashlib.sha256(self.files[WEIGHTS_FILE]).hexdigest()
        srsly.write_json(folder / BASE_FILE, base)

    def whole_weights(self) -> Weights:
        """RETURNS (Weights): The folder of all weights, in the place of a base.

        RAISES (FileNotFoundError): A folder that is gone since the pipeline was loaded.
        """
        if self.folder is None or not self.folder.is_dir():
            raise FileNotFoundError(
                f"The trained weights at {self.folder} are gone: keep the pipeline's folder in its "
                "place while the pipeline is in use."
            )
        return Weights(self.base["name"], self.folder, self.base["sha256"])

    def attach(self, network: Any, weights: Weights) -> Any:
        """Put the saved adapter on a base.

        network (transformers.PreTrainedModel): The base.
        weights (Weights): What it was loaded from.
        RETURNS (torch.nn.Module): The network as it was saved.
        RAISES (ValueError): Another base than the one it was trained on.
        """
        if not self.files:
            return network
        check_base(self.base, weights, "The saved adapter")
        with tempfile.TemporaryDirectory() as place:
            self.to_folder(Path(place))
            return load_adapter(network, Path(place))


def save_whole(model: LanguageModel, weights: Weights, folder: Path) -> None:
    """Write all weights of a model, its tokenizer and where it came from.

    model (LanguageModel): The model, which stays as it is; an adapter is folded into a copy of the
        base for as long as this takes. Weights keep their dtype.
    weights (Weights): The base it was trained from.
    folder (Path): Where to; made if it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _clear(folder)
    network = model.network
    if has_adapter(model):
        network = copy.deepcopy(network).merge_and_unload(safe_merge=True)
    network.save_pretrained(folder, safe_serialization=True)
    model.codec.tokenizer.save_pretrained(folder)
    base = {"name": str(weights.name), "sha256": weights.sha256, "whole": True}
    srsly.write_json(folder / BASE_FILE, base)


def has_adapter(model: LanguageModel) -> bool:
    """RETURNS (bool): Whether the network is peft's wrapper around a base."""
    return model.network is not model.base


def _clear(folder: Path) -> None:
    # What an earlier save left would be read back beside what is written now.
    for pattern in (*ADAPTER_FILES, BASE_FILE, "model*.safetensors*", "config.json"):
        for path in folder.glob(pattern):
            path.unlink()


def _read(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in ADAPTER_FILES}
