"""int8 linear layers for inference on a CPU: one scale per output of a weight and per token."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from typing import TYPE_CHECKING, Any

import torch

from .adapter import has_adapter

if TYPE_CHECKING:
    from ..engine.language_model import LanguageModel

CHUNK_ROWS = 4096  # rows of a weight that are rounded at once
MIN_SCALE = 1e-30  # instead of a scale of 0


def check_device(device: str) -> None:
    """Verify that int8 layers can run.

    device (str): torch's name of the device.
    RAISES (ValueError): A device, or a build of torch, without int8 layers.
    """
    if device != "cpu":
        raise ValueError(
            f'quantize = "int8" is for a CPU, and the device is "{device}". Set device = "cpu" or '
            "quantize = null in the component's [model] block."
        )
    if not torch.backends.mkldnn.is_available():
        raise ValueError(
            'quantize = "int8" needs a torch build with oneDNN, and this one has none. Set '
            "quantize = null in the component's [model] block."
        )


def quantize_model(model: LanguageModel) -> None:
    """Merge the adapter and replace all linear layers, the output layer too, by int8 layers.

    The float weights of a layer are freed as soon as it is replaced. Embeddings, norms and
    attention compute in float32.

    model (LanguageModel): The model, changed in place. It must have been probed: int8 rounds too
        coarsely for the probe.
    RAISES (ValueError): A network without linear layers.
    """
    network = model.base
    if has_adapter(model):
        network = model.network.merge_and_unload(safe_merge=True)
    network.requires_grad_(False)
    if not _replace_linears(network):
        raise ValueError(
            f'Base model {model.config.model_type!r} has no linear layers that quantize = "int8" '
            "knows. Set quantize = null in the component's [model] block."
        )
    model.network = network.float().eval()
    _release_memory()


class Int8Linear(torch.nn.Module):
    """A linear layer with int8 weights and float32 inputs and outputs.

    The scale of each token is its own largest activation, and products are summed as integers, so
    that a token's result does not depend, to the last bit, on the batch. torch's
    `quantize_dynamic` has one scale per batch. (A network as a whole is less exact: attention's
    last digits vary with the batch, which may change a rounding.)

    weight (torch.Tensor): float [outputs, inputs].
    bias (torch.Tensor | None): float [outputs].
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None = None):
        super().__init__()
        rounded, self.scale = _rounded(weight.detach())
        self.packed = torch.ops.onednn.qlinear_prepack(rounded, None)
        self.weight_zero_points = torch.zeros(len(self.scale), dtype=torch.int32)
        self.bias = None if bias is None else bias.detach().float()
        # Without VNNI products are added in pairs of 16 bits, which would overflow with 8 bits.
        self.max_int = 127 if _has_vnni() else 63

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """RETURNS (torch.Tensor): float32 [..., outputs] for [..., inputs]."""
        if not x.numel():
            return x.new_zeros((*x.shape[:-1], len(self.scale)))
        x = x.contiguous()
        scale = x.abs().amax(-1, keepdim=True).clamp_min_(MIN_SCALE).div_(self.max_int)
        zero_point = self.max_int + 1  # the kernel multiplies unsigned by signed bytes
        rounded = (x / scale).round_().to(torch.int8).view(torch.uint8).add_(zero_point)
        y = torch.ops.onednn.qlinear_pointwise(
            rounded, 1.0, zero_point, self.packed, self.scale, self.weight_zero_points, None,
            1.0, 0, torch.float32, "none", [], "",
        ).mul_(scale)  # fmt: skip
        return y if self.bias is None else y.add_(self.bias)


def _rounded(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """RETURNS (tuple[torch.Tensor, torch.Tensor]): int8 [outputs, inputs], and the scale of each
    output, float32 [outputs]."""
    parts, scales = [], []
    for rows in weight.split(CHUNK_ROWS):  # a whole output layer at once would need twice its size
        scale = rows.float().abs().amax(1).clamp_min(MIN_SCALE).div(127)
        parts.append((rows / scale[:, None]).round_().to(torch.int8).contiguous())
        scales.append(scale)
    return torch.cat(parts), torch.cat(scales)


def _replace_linears(network: Any) -> int:
    """RETURNS (int): Number of layers replaced."""
    from transformers.pytorch_utils import Conv1D  # gpt2's linear layers, transposed

    replaced = 0
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if type(layer) is torch.nn.Linear:
                setattr(parent, name, Int8Linear(layer.weight, layer.bias))
            elif type(layer) is Conv1D:
                setattr(parent, name, Int8Linear(layer.weight.T, layer.bias))
            else:
                continue
            replaced += 1
    return replaced


def _release_memory() -> None:
    # glibc would hold on to the freed float weights, up to 0.5 GB with the default base.
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def _has_vnni() -> bool:
    return getattr(torch.cpu, "_is_vnni_supported", bool)()
