"""Linear layers in int8 for inference on a CPU: weights scaled by output, activations by token."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from ..engine.language_model import LanguageModel

ROWS = 4096  # of a weight, rounded at once
TINY = 1e-30  # in the place of a scale of 0


def check_device(device: str) -> None:
    """RAISES (ValueError): A device, or a build of torch, without these int8 layers."""
    if device != "cpu":
        raise ValueError(
            f'quantize = "int8" is for a CPU, and the device is "{device}". Set device = "cpu" or '
            "quantize = null in [components.padellm_ner.model]."
        )
    if not torch.backends.mkldnn.is_available():
        raise ValueError(
            'quantize = "int8" needs a torch build with oneDNN, and this one has none. Set '
            "quantize = null in [components.padellm_ner.model]."
        )


def quantize_model(model: LanguageModel) -> None:
    """Fold any adapter in and replace all linear layers, the output layer too, by int8 ones.

    The float weights of each are freed as soon as it is replaced. Embeddings, norms and attention
    compute in float32.

    model (LanguageModel): The model, probed already: int8 rounds too coarsely for the probe.
    RAISES (ValueError): A network without linear layers.
    """
    network = model.base
    if model.network is not network:
        network = model.network.merge_and_unload(safe_merge=True)
    network.requires_grad_(False)
    if not _replace_linears(network):
        raise ValueError(
            f'Base model {model.config.model_type!r} has no linear layers that quantize = "int8" '
            "knows. Set quantize = null in [components.padellm_ner.model]."
        )
    model.network = network.float().eval()
    _give_back_memory()


class Int8Linear(torch.nn.Module):
    """A linear layer with int8 weights, float32 at both ends.

    Each token is scaled by its own largest activation and the products are summed up as integers,
    so that a token's result is the same to the last bit whatever else is in the batch; torch's
    `quantize_dynamic` has one scale for a whole batch. (A network as a whole is not as exact: what
    attention gives differs in its last digits with the batch, which may tip a rounding.)

    weight (torch.Tensor): float [outputs, inputs].
    bias (torch.Tensor | None): float [outputs].
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None = None):
        super().__init__()
        rounded, self.scale = _rounded(weight.detach())
        self.packed = torch.ops.onednn.qlinear_prepack(rounded, None)
        self.zero_point = torch.zeros(len(self.scale), dtype=torch.int32)
        self.bias = None if bias is None else bias.detach().float()
        # Without VNNI products are added in pairs of 16 bits, which would overflow with 8 bits.
        self.largest = 127 if _has_vnni() else 63

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """RETURNS (torch.Tensor): float32 [..., outputs] for [..., inputs]."""
        if not x.numel():
            return x.new_zeros((*x.shape[:-1], len(self.scale)))
        x = x.contiguous()
        scale = x.abs().amax(-1, keepdim=True).clamp_min_(TINY).div_(self.largest)
        middle = self.largest + 1  # the products are of unsigned and signed bytes
        rounded = (x / scale).round_().to(torch.int8).view(torch.uint8).add_(middle)
        y = torch.ops.onednn.qlinear_pointwise(
            rounded, 1.0, middle, self.packed, self.scale, self.zero_point, None,
            1.0, 0, torch.float32, "none", [], "",
        ).mul_(scale)  # fmt: skip
        return y if self.bias is None else y.add_(self.bias)


def _rounded(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    parts, scales = [], []
    for rows in weight.split(ROWS):  # an output layer in one piece would take its size twice over
        scale = rows.float().abs().amax(1).clamp_min(TINY).div(127)
        parts.append((rows / scale[:, None]).round_().to(torch.int8).contiguous())
        scales.append(scale)
    return torch.cat(parts), torch.cat(scales)


def _replace_linears(network: Any) -> int:
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


def _give_back_memory() -> None:
    # glibc would keep the freed float weights for later, as much as 0.5 GB of the default base.
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def _has_vnni() -> bool:
    return getattr(torch.cpu, "_is_vnni_supported", bool)()
