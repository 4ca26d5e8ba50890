"""The thinc shim around a causal LM: lazy loading, training steps, serialization."""

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
    """A causal LM inside a thinc model, loaded at first use.

    settings (ModelSettings): The settings of the config.
    saved (SavedModel | None): A saved state, which takes precedence over the adapter of the
        settings.
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
        self._is_merged = False
        self._lock = threading.Lock()

    # --- loading ---

    def load(self) -> LanguageModel:
        """Load the base and the adapter at the first call.

        RETURNS (LanguageModel): The model, the same object at each call.
        RAISES (ValueError, OSError, RuntimeError): See `load_model`.
        """
        from .device import check_process
        from .loading import load_model

        with self._lock:
            if self._model is None:
                loaded = load_model(self.settings, self._saved)
                self._model, self._weights = loaded.model, loaded.weights
                self._saved = loaded.unquantized or self._saved
            else:
                check_process(self._model.device)
            return self._model

    def for_decoding(self) -> LanguageModel:
        """Merge the adapter into the weights: the same results in fewer operations.

        The adapter of a model that was trained since it was loaded is not merged, as training may
        continue.

        RETURNS (LanguageModel): The model, the same object as that of `load`.
        """
        from .adapter import has_adapter

        model = self.load()
        with self._lock:
            if not self._is_merged and self._loss is None and has_adapter(model):
                model.network.merge_adapter()
                self._is_merged = True
        return model

    def runner(self) -> Runner:
        """RETURNS (Runner): The runner of the model for decoding, with the adapter merged
        (`for_decoding`); the same object for the same model."""
        from ..engine.runner import Runner

        model = self.for_decoding()
        with self._lock:
            if self._runner is None or self._runner.model is not model:
                self._runner = Runner(model)
            return self._runner

    def _restore_merged(self) -> None:
        """Load base and adapter again, apart. Unmerging by arithmetic would round the base."""
        from .serialization import SavedModel

        if self._is_merged and self._model is not None and self._weights is not None:
            self._restore(SavedModel.of(self._model, self._weights))

    def builder(self, prompt: Prompt) -> TreeBuilder:
        """Build the TreeBuilder of a prompt, or return that of the last call for an equal prompt.

        prompt (Prompt): The prompt's words and templates.
        RETURNS (TreeBuilder): A builder with the tokenizer and the positions of the model.
        """
        from ..prompts.tree_builder import TreeBuilder

        model = self.load()
        with self._lock:  # building one changes settings of the tokenizer
            if self._builder is None or self._builder[0] != prompt:
                self._builder = (prompt, TreeBuilder(model.codec, prompt, model.max_positions))
            return self._builder[1]

    def to_device(self, device_type: str, device_id: int) -> None:
        """Move the network, as thinc's `Model.to_gpu` and `to_cpu` require."""
        if self._model is not None:
            device = device_type if device_type in ("cpu", "mps") else f"cuda:{device_id}"
            if self.settings.quantize is not None:
                from .quantization import check_device

                check_device(device)
            self._model.network.to(device)
            # Its fused layers and captured passes are on the previous device.
            self._runner = None
            self._loss = None

    # --- training ---

    def __call__(
        self, trees: Sequence[PromptTree], is_train: bool
    ) -> tuple[Any, Callable[[Any], None]]:
        """Compute the negative log-likelihood of each target.

        trees (Sequence[PromptTree]): Trees with targets.
        is_train (bool): Whether the callback can compute gradients.
        RETURNS (tuple[torch.Tensor, Callable[[torch.Tensor], None]]): float32 [targets] in nats,
            and a callback that takes the gradient with respect to them [targets] and adds the
            parameters' gradients to those that they have.
        RAISES (ValueError): Training of a quantized model.
        """
        if is_train and self.settings.quantize is not None:
            raise ValueError(
                f'A model with quantize = "{self.settings.quantize}" can\'t be trained: its '
                "weights are rounded. Set quantize = null in the component's [model] block."
            )
        self._restore_merged()
        model = self.load()
        if is_train:
            self._make_trainable(model)
        model.network.train(is_train)
        loss = self._loss_of(model)
        if is_train:
            return loss(trees)
        return loss.value(trees), _no_gradients

    def _make_trainable(self, model: LanguageModel) -> None:
        """Prepare all weights for training where no adapter is there to be trained."""
        from .adapter import has_adapter

        if has_adapter(model) or self._trained_whole:
            return
        model.network.float().requires_grad_(True)  # bfloat16 is too coarse for small steps
        self._trained_whole, self._loss = True, None

    def _loss_of(self, model: LanguageModel) -> Loss:
        from .loss_graphs import build_loss

        if self._loss is None:
            autocast = model.device.type != "cpu" and self.settings.dtype != "float32"
            self._loss = build_loss(model, autocast, self.settings.compile)
        return self._loss

    def finish_update(self, optimizer: Optimizer) -> None:
        """Step with the gradients that backprop has added, then clear them.

        optimizer (thinc.api.Optimizer): The optimizer whose settings and schedules a fused torch
            optimizer follows.
        RAISES (GradientError): A gradient that is not finite.
        """
        from .optimizer import step, torch_optimizer

        if self._loss is None:  # no pass since the weights were loaded
            return
        parameters = self._loss.parameters
        if self._optimizer is None or self._optimizer[0] is not optimizer:
            self._optimizer = (optimizer, torch_optimizer(optimizer, parameters))
        step(self._optimizer[1], optimizer, parameters)

    def drop_gradients(self) -> None:
        """Clear the gradients that backprop has added since the last step."""
        self.load().network.zero_grad(set_to_none=True)

    @contextlib.contextmanager
    def use_params(self, params: Any) -> Iterator[None]:
        """Do nothing: no averages of the parameters are kept."""
        yield

    # --- serialization ---

    def saved(self) -> SavedModel:
        """RETURNS (SavedModel): The current state; weights that are not loaded yet stay so.

        RAISES (ValueError): All weights were trained: these are only written to disk.
        """
        from .serialization import SavedModel

        if self._trained_whole:
            raise ValueError(
                "All weights of this model were trained: they don't fit one message. Save the "
                "pipeline with to_disk."
            )
        if self._model is not None and self._weights is not None and not self._saved_is_current():
            return SavedModel.of(self._model, self._weights)
        if self._saved is not None:
            return self._saved
        if self.settings.adapter_folder is not None:
            return SavedModel.from_folder(self.settings.adapter_folder)
        return SavedModel({"name": self.settings.name, "sha256": None})

    def _saved_is_current(self) -> bool:
        # A folder of whole weights, or the unrounded adapter of a quantized model.
        return self._saved is not None and (
            self._saved.folder is not None
            or (self.settings.quantize is not None and self._saved.holds_weights)
        )

    def to_disk(self, path: str | Path) -> None:
        """Write the adapter with its base's name and sha256, or all weights if they were trained
        or if the settings have save = "whole".

        path (str | Path): A folder; created if missing.
        """
        from .serialization import save_whole

        is_saved_whole = self._saved is not None and self._saved.folder is not None
        if self._trained_whole or (self.settings.save == "whole" and not is_saved_whole):
            exact = self._exact_copy() if self.settings.quantize or self._is_merged else self
            save_whole(exact.load(), cast("Weights", exact._weights), Path(path))
        else:
            self.saved().to_folder(Path(path))

    def from_disk(self, path: str | Path) -> CausalLMShim:
        """Restore the state that `to_disk` wrote. The base is loaded at first use.

        path (str | Path): The folder.
        RETURNS (CausalLMShim): This shim.
        RAISES (FileNotFoundError, ValueError): See `SavedModel.from_folder`.
        """
        from .serialization import SavedModel

        return self._restore(SavedModel.from_folder(Path(path)))

    def to_bytes(self) -> bytes:
        """RETURNS (bytes): The adapter with its base's name and sha256."""
        return self.saved().to_bytes()

    def from_bytes(self, data: bytes) -> CausalLMShim:
        """Restore the state that `to_bytes` returned. The base is loaded at first use.

        data (bytes): The state.
        RETURNS (CausalLMShim): This shim.
        """
        from .serialization import SavedModel

        return self._restore(SavedModel.from_bytes(data))

    def _restore(self, saved: SavedModel) -> CausalLMShim:
        self._saved, self._model, self._weights = saved, None, None
        self._optimizer, self._loss, self._builder = None, None, None
        self._runner = None
        self._trained_whole = self._is_merged = False
        return self

    def copy(self) -> CausalLMShim:
        """RETURNS (CausalLMShim): A shim with the same state, loaded at its first use."""
        is_unused = self._model is None and self._saved is None
        return CausalLMShim(self.settings, None if is_unused else self.saved())

    def _exact_copy(self) -> CausalLMShim:
        """RETURNS (CausalLMShim): A copy whose weights are neither quantized nor merged."""
        exact = self.copy()
        exact.settings = replace(self.settings, quantize=None)
        return exact

    def __deepcopy__(self, memo: dict[int, Any]) -> CausalLMShim:
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        state = self.copy()
        return (CausalLMShim, (state.settings, state._saved))


def _no_gradients(gradient: Any) -> None:
    raise ValueError("This pass was not run for training (is_train = False): it has no gradients.")
