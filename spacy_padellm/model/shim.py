"""The thinc shim around a causal LM: loading on first need, training, serialisation."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from thinc.api import Optimizer, Shim

from ..prompts.prompt import Prompt
from ..prompts.tree import PromptTree
from .settings import ModelSettings

if TYPE_CHECKING:
    from ..engine.language_model import LanguageModel
    from ..engine.runner import Runner
    from ..prompts.tree_builder import TreeBuilder
    from ..weights.resolver import Weights
    from .loss import Loss
    from .serialization import SavedModel


class CausalLMShim(Shim):
    """Holds a causal LM, which loads on first need.

    settings (ModelSettings): What the config says of the model.
    saved (SavedModel | None): A saved state, which wins over the settings' adapter.
    """

    def __init__(self, settings: ModelSettings, saved: SavedModel | None = None):
        super().__init__(None)
        self.settings = settings
        self._saved = saved
        self._weights: Weights | None = None
        self._loss: Loss | None = None
        self._runner: Runner | None = None
        self._builder: tuple[Prompt, TreeBuilder] | None = None
        self._trained_whole = False
        self._folded = False
        self._lock = threading.Lock()

    def load(self) -> LanguageModel:
        """Load base and adapter on first need.

        RETURNS (LanguageModel): The model, the same one each time.
        RAISES (ValueError, OSError): A base or an adapter that can't be had; see `resolve_weights`
            and `load_adapter`. A device that can't run what `quantize` asks for.
        RAISES (RuntimeError): A GPU in a process that was forked after CUDA had started.
        """
        from .device import check_process

        with self._lock:
            if self._model is None:
                self._model = self._load()
            else:
                check_process(self._model.device)
            return self._model

    def for_decoding(self) -> LanguageModel:
        """The model with its adapter folded into the weights: the same answers, fewer operations.
        A model that has been trained since it was loaded stays as it is, as it may go on.

        RETURNS (LanguageModel): The model, the same one each time.
        """
        from .serialization import has_adapter

        model = self.load()
        with self._lock:
            if not self._folded and self._loss is None and has_adapter(model):
                model.network.merge_adapter()
                self._folded = True
        return model

    def runner(self) -> Runner:
        """RETURNS (Runner): Runs the model for decoding, with its adapter merged (`for_decoding`);
        the same one for the same model."""
        from ..engine.runner import Runner

        model = self.for_decoding()
        with self._lock:
            if self._runner is None or self._runner.model is not model:
                self._runner = Runner(model)
            return self._runner

    def _unfold(self) -> None:
        """Load again what was folded: taken back by arithmetic, the base would be another one."""
        from .serialization import SavedModel

        if self._folded and self._model is not None and self._weights is not None:
            self._take(SavedModel.of(self._model, self._weights))

    def _load(self) -> LanguageModel:
        import torch

        from ..weights.resolver import resolve_weights
        from .adapter import check_adapter_folder, check_base, load_adapter, new_adapter, read_base
        from .device import check_process, checked_device, one_thread_in_forks, spacy_device
        from .network import language_model, load_codec, load_network
        from .quantization import check_device

        one_thread_in_forks()
        device = checked_device(self.settings.device or spacy_device())
        check_process(device)
        if self.settings.quantize is not None:
            check_device(device.type)
        half = "float32" if device.type == "cpu" else "bfloat16"
        dtype = getattr(torch, self.settings.dtype or half)
        adapter = self.settings.adapter
        saved = self._saved if self._saved is not None and self._saved.holds_weights else None
        if saved is None and adapter is not None and not isinstance(adapter, dict):
            check_adapter_folder(Path(adapter))
        if saved is not None and saved.folder is not None:
            weights = saved.whole_weights()
        else:
            weights = resolve_weights(self.settings.name)
        self._weights = weights
        network = load_network(weights.folder, device, dtype)
        if saved is not None:
            network = saved.attach(network, weights)
        elif isinstance(adapter, dict):
            network = new_adapter(network, adapter)
        elif adapter is not None:
            check_base(read_base(Path(adapter)), weights, f"The adapter at {adapter}")
            network = load_adapter(network, Path(adapter))
        model = language_model(network, load_codec(weights.folder))
        if self.settings.quantize is not None:
            self._quantize(model, weights)
        return model

    def _quantize(self, model: LanguageModel, weights: Weights) -> None:
        from .quantization import quantize_model
        from .serialization import SavedModel, has_adapter

        if has_adapter(model):  # folded in and rounded it can't be saved any more
            self._saved = SavedModel.of(model, weights)
        quantize_model(model)

    def builder(self, prompt: Prompt) -> TreeBuilder:
        """RETURNS (TreeBuilder): What writes these prompts; the same one for the same words."""
        from ..prompts.tree_builder import TreeBuilder

        model = self.load()
        with self._lock:  # a builder's first steps change how the tokenizer reads
            if self._builder is None or self._builder[0] != prompt:
                self._builder = (prompt, TreeBuilder(model.codec, prompt, model.max_positions))
            return self._builder[1]

    def __call__(
        self, trees: Sequence[PromptTree], is_train: bool
    ) -> tuple[Any, Callable[[Any], None]]:
        """Negative log-likelihood of each target.

        trees (Sequence[PromptTree]): Trees with targets.
        is_train (bool): Whether gradients are to follow.
        RETURNS (tuple[torch.Tensor, Callable[[torch.Tensor], None]]): float32 [targets], and a
            callback that takes the gradient with respect to them and adds up the parameters'.
        """
        if is_train and self.settings.quantize is not None:
            raise ValueError(
                f'A model with quantize = "{self.settings.quantize}" can\'t be trained: its '
                "weights are rounded. Set quantize = null in [components.padellm_ner.model]."
            )
        self._unfold()
        model = self.load()
        if is_train:
            self._prepare_training(model)
        model.network.train(is_train)
        if self._loss is None:
            self._loss = self._make_loss(model)
        if is_train:
            return self._loss(trees)
        return self._loss.value(trees), _no_gradients

    def _prepare_training(self, model: LanguageModel) -> None:
        from .serialization import has_adapter

        if has_adapter(model) or self._trained_whole:
            return
        model.network.float().requires_grad_(True)  # bfloat16 is too coarse for small steps
        self._trained_whole, self._loss = True, None

    def _make_loss(self, model: LanguageModel) -> Loss:
        from .loss import Loss
        from .loss_graphs import GraphedLoss

        half = model.device.type != "cpu" and self.settings.dtype != "float32"
        if model.device.type == "cuda" and model.supports_tree_mask:
            return GraphedLoss(model, half, self.settings.compile)
        return Loss(model, half)

    def finish_update(self, optimizer: Optimizer) -> None:
        """Take one step with the gradients that backprop added up.

        optimizer (thinc.api.Optimizer): Its settings and schedules are followed by a fused torch
            optimizer.
        """
        from .optimizer import step, torch_optimizer

        if self._loss is None:  # nothing was learnt since the weights were loaded
            return
        parameters = self._loss.parameters
        if self._optimizer is None or self._optimizer[0] is not optimizer:
            self._optimizer = (optimizer, torch_optimizer(optimizer, parameters))
        step(self._optimizer[1], optimizer, parameters)

    def drop_gradients(self) -> None:
        """Forget the gradients that backprop added up since the last step."""
        self.load().network.zero_grad(set_to_none=True)

    @contextlib.contextmanager
    def use_params(self, params: Any) -> Iterator[None]:
        """Does nothing: no averages of the parameters are kept."""
        yield

    def saved(self) -> SavedModel:
        """RETURNS (SavedModel): The state now; loads nothing where nothing was loaded.

        RAISES (ValueError): All weights were trained: these only go to disk.
        """
        from .serialization import SavedModel

        if self._trained_whole:
            raise ValueError(
                "All weights of this model were trained: they don't fit one message. Save the "
                "pipeline with to_disk."
            )
        kept = self._saved is not None and (
            self._saved.folder is not None
            or (self.settings.quantize is not None and self._saved.holds_weights)
        )
        if self._model is not None and self._weights is not None and not kept:
            return SavedModel.of(self._model, self._weights)
        if self._saved is not None:
            return self._saved
        adapter = self.settings.adapter
        if adapter is not None and not isinstance(adapter, dict):
            return SavedModel.from_folder(Path(adapter))
        return SavedModel({"name": self.settings.name, "sha256": None})

    def to_disk(self, path: str | Path) -> None:
        """Write the adapter with its base's name and sha256, or all weights if they were trained
        or the settings ask for them.

        path (str | Path): A folder; made if it is not there.
        """
        from .serialization import save_whole

        from_whole = self._saved is not None and self._saved.folder is not None
        if self._trained_whole or (self.settings.save == "whole" and not from_whole):
            exact = self._exact() if self.settings.quantize or self._folded else self
            save_whole(exact.load(), cast("Weights", exact._weights), Path(path))
        else:
            self.saved().to_folder(Path(path))

    def from_disk(self, path: str | Path) -> CausalLMShim:
        """Take what `to_disk` wrote; the base loads on first need.

        path (str | Path): The folder.
        RETURNS (CausalLMShim): This shim.
        """
        from .serialization import SavedModel

        return self._take(SavedModel.from_folder(Path(path)))

    def to_bytes(self) -> bytes:
        """RETURNS (bytes): The adapter with its base's name and sha256."""
        return self.saved().to_bytes()

    def from_bytes(self, data: bytes) -> CausalLMShim:
        """RETURNS (CausalLMShim): This shim, with what `to_bytes` wrote."""
        from .serialization import SavedModel

        return self._take(SavedModel.from_bytes(data))

    def _take(self, saved: SavedModel) -> CausalLMShim:
        self._saved, self._model, self._weights = saved, None, None
        self._optimizer, self._loss, self._builder = None, None, None
        self._trained_whole = self._folded = False
        return self

    def copy(self) -> CausalLMShim:
        """RETURNS (CausalLMShim): A shim with the same state, which loads on first need."""
        untouched = self._model is None and self._saved is None
        return CausalLMShim(self.settings, None if untouched else self.saved())

    def _exact(self) -> CausalLMShim:
        """RETURNS (CausalLMShim): A shim whose weights are neither rounded nor folded."""
        copy = self.copy()
        copy.settings = replace(self.settings, quantize=None)
        return copy

    def __deepcopy__(self, memo: dict[int, Any]) -> CausalLMShim:
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        copy = self.copy()
        return (CausalLMShim, (copy.settings, copy._saved))

    def to_device(self, device_type: str, device_id: int) -> None:
        """Move the network, as thinc's `Model.to_gpu` and `to_cpu` ask for."""
        if self._model is not None:
            device = device_type if device_type in ("cpu", "mps") else f"cuda:{device_id}"
            if self.settings.quantize is not None:
                from .quantization import check_device

                check_device(device)
            self._model.network.to(device)
            self._loss = None


def _no_gradients(gradient: Any) -> None:
    raise ValueError("This pass was not run for training (is_train = False): it has no gradients.")
