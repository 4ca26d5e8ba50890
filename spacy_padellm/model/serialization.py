"""Saved models of a pipeline: an adapter and its base's name, or all weights."""

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
    has_adapter,
    load_adapter,
    read_base,
    save_adapter,
)

ADAPTER_FILES = (CONFIG_FILE, WEIGHTS_FILE)


@dataclass(frozen=True)
class SavedModel:
    """The state of a model, as read from a folder or from bytes, or to be written.

    base (dict[str, Any]): Name and sha256 of the base; the sha256 is None before the base was
        loaded.
    files (dict[str, bytes]): Contents of the adapter's files by name; empty without an adapter.
    folder (Path | None): The folder of all weights, for a model that was saved whole; these are
        too large to hold in memory twice.
    """

    base: dict[str, Any]
    files: dict[str, bytes] = field(default_factory=dict)
    folder: Path | None = None

    @property
    def holds_weights(self) -> bool:
        """RETURNS (bool): Whether this holds an adapter or a folder of weights. With a bare
        base the settings name the adapter, if any."""
        return bool(self.files) or self.folder is not None

    @classmethod
    def of(cls, model: LanguageModel, weights: Weights) -> SavedModel:
        """Copy the adapter of a loaded model.

        model (LanguageModel): The model, with an adapter or without.
        weights (Weights): The base that it was loaded from.
        RETURNS (SavedModel): The adapter's files, if any, and the base's name and sha256.
        """
        base = {"name": str(weights.name), "sha256": weights.sha256}
        if not has_adapter(model):
            return cls(base)
        with tempfile.TemporaryDirectory() as temporary:
            save_adapter(model.network, Path(temporary))
            return cls(base, _adapter_files(Path(temporary)))

    @classmethod
    def from_folder(cls, folder: Path) -> SavedModel:
        """Read the folder that `to_folder`, `save_whole` or peft wrote.

        folder (Path): The folder.
        RETURNS (SavedModel): The state.
        RAISES (FileNotFoundError): A folder without a saved model.
        RAISES (ValueError): An adapter that is damaged or of an unsupported kind.
        """
        base = read_base(folder)
        if base.get("whole"):
            return cls(base, folder=folder)
        if base and not (folder / CONFIG_FILE).is_file():
            return cls(base)
        check_adapter_folder(folder)
        base.pop(ADAPTER_SHA256, None)
        return cls(base, _adapter_files(folder))

    @classmethod
    def from_bytes(cls, data: bytes) -> SavedModel:
        """Read the message that `to_bytes` wrote.

        data (bytes): The msgpack message.
        RETURNS (SavedModel): The state.
        RAISES (ValueError): A message with other files than an adapter's.
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
        """RETURNS (bytes): The state as a msgpack message.

        RAISES (ValueError): A model that was saved whole: its weights are only written to disk.
        """
        if self.folder is not None:
            raise ValueError(
                "A model of which all weights were trained does not fit one message. Save the "
                "pipeline with to_disk."
            )
        return srsly.msgpack_dumps({"base": self.base, "files": self.files})

    def to_folder(self, folder: Path) -> None:
        """Write the adapter and the base's name, or copy the folder of all weights.

        folder (Path): The folder to write; created if missing.
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
        """RETURNS (Weights): The folder of all weights, to be loaded instead of a base.

        RAISES (FileNotFoundError): A folder that was removed since the pipeline was loaded.
        """
        if self.folder is None or not self.folder.is_dir():
            raise FileNotFoundError(
                f"The trained weights at {self.folder} are gone: keep the pipeline's folder "
                "where it is while the pipeline is in use."
            )
        return Weights(self.base["name"], self.folder, self.base["sha256"])

    def attach(self, network: Any, weights: Weights) -> Any:
        """Put the saved adapter on a base.

        network (transformers.PreTrainedModel): The base.
        weights (Weights): The folder that the base was loaded from.
        RETURNS (torch.nn.Module): The network with the adapter; the base itself if none was saved.
        RAISES (ValueError): A base that the adapter was not trained on.
        """
        if not self.files:
            return network
        check_base(self.base, weights, "The saved adapter")
        with tempfile.TemporaryDirectory() as temporary:
            self.to_folder(Path(temporary))
            return load_adapter(network, Path(temporary))


def save_whole(model: LanguageModel, weights: Weights, folder: Path) -> None:
    """Write all weights of a model, its tokenizer, and the name of its base.

    model (LanguageModel): The model, which is not changed: an adapter is merged into a temporary
        copy of the network. Weights keep their dtype.
    weights (Weights): The base that the model was trained from.
    folder (Path): The folder to write; created if missing.
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


def _clear(folder: Path) -> None:
    """Remove the files of an earlier save, which would be read along with the new ones."""
    for pattern in (*ADAPTER_FILES, BASE_FILE, "model*.safetensors*", "config.json"):
        for path in folder.glob(pattern):
            path.unlink()


def _adapter_files(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in ADAPTER_FILES}
