"""The least time that a run can take on a device: in each pass its weights are read at the speed of
a copy, or its matrix products run at the speed of one large product, whichever takes longer.

Both speeds are measured in the same run. Attention, the KV cache and the time between passes are
not in the floor.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import torch

from spacy_padellm.engine.language_model import LanguageModel

COPY_BYTES = {"cpu": 1 << 28, "cuda": 1 << 32}
PRODUCT_SIZE = {"cpu": 1024, "cuda": 8192}


@dataclass(frozen=True)
class Ceilings:
    """The highest measured speeds of a device.

    bytes_per_s (float): Bytes read and bytes written of a copy, per second.
    operations_per_s (float): Operations of a square matrix product in the model's dtype, per
        second.
    """

    bytes_per_s: float
    operations_per_s: float

    def to_dict(self) -> dict[str, float]:
        """RETURNS (dict[str, float]): The speeds, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"copies {self.bytes_per_s / 1e9:.1f} GB/s, matrix products "
            f"{self.operations_per_s / 1e12:.3f} T operations per second"
        )


@dataclass(frozen=True)
class Cost:
    """The least work of a model's forward pass.

    weight_bytes (int): Bytes of the weights that each pass reads; embeddings that are only looked
        up are left out.
    token_operations (int): Operations per token of the products with weights below the output
        layer, two per weight.
    output_operations (int): Operations of the output layer per row of logits.
    """

    weight_bytes: int
    token_operations: int
    output_operations: int

    def floor(self, passes: Iterable[tuple[int, int]], ceilings: Ceilings) -> float:
        """Compute the least time of some passes.

        passes (Iterable[tuple[int, int]]): Tokens and rows of logits of each pass.
        ceilings (Ceilings): Speeds of the device.
        RETURNS (float): Seconds.
        """
        reading = self.weight_bytes / ceilings.bytes_per_s
        return sum(
            max(reading, self.operations(tokens, logits) / ceilings.operations_per_s)
            for tokens, logits in passes
        )

    def operations(self, tokens: int, logits: int) -> int:
        """RETURNS (int): Operations of a pass of so many tokens and rows of logits."""
        return tokens * self.token_operations + logits * self.output_operations


@dataclass(frozen=True)
class Floors:
    """The least times of runs of a model on a device.

    cost (Cost): Least work of the model's passes.
    ceilings (Ceilings): Speeds of the device.
    """

    cost: Cost
    ceilings: Ceilings

    def seconds(self, passes: Iterable[tuple[int, int]]) -> float:
        """RETURNS (float): The least seconds of some passes (tokens and rows of logits of each)."""
        return self.cost.floor(passes, self.ceilings)


def cost_of(model: LanguageModel) -> Cost:
    """RETURNS (Cost): The least work of a model's passes."""
    looked_up = model.base.get_input_embeddings().weight
    output = model.base.get_output_embeddings().weight
    weights = [
        parameter
        for parameter in model.network.parameters()
        if parameter is not looked_up and parameter is not output
    ]
    inner = sum(weight.numel() for weight in weights if weight.ndim == 2)
    n_bytes = sum(weight.numel() * weight.element_size() for weight in [*weights, output])
    return Cost(n_bytes, 2 * inner, 2 * output.numel())


def measure_ceilings(
    device: torch.device, dtype: torch.dtype, repeat: int = 5, scale: float = 1.0
) -> Ceilings:
    """Measure a device.

    device (torch.device): The device.
    dtype (torch.dtype): Type of the matrices.
    repeat (int): Number of runs of each measurement; medians are taken.
    scale (float): Factor of the sizes, for a quick measurement.
    RETURNS (Ceilings): Its speeds.
    """
    kind = "cuda" if device.type == "cuda" else "cpu"
    n_bytes = int(COPY_BYTES[kind] * scale)
    size = max(int(PRODUCT_SIZE[kind] * scale), 16)
    copying = _median_seconds(_copy(n_bytes, device), device, repeat)
    multiplying = _median_seconds(_product(size, device, dtype), device, repeat)
    return Ceilings(2 * n_bytes / copying, 2 * size**3 / multiplying)


def _copy(n_bytes: int, device: torch.device) -> Callable[[], Any]:
    source = torch.zeros(n_bytes, dtype=torch.uint8, device=device)
    target = torch.ones_like(source)
    return lambda: target.copy_(source)


def _product(size: int, device: torch.device, dtype: torch.dtype) -> Callable[[], Any]:
    left, right = torch.randn(2, size, size, device=device).to(dtype)
    product = torch.empty(size, size, dtype=dtype, device=device)
    return lambda: torch.mm(left, right, out=product)


def seconds(function: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    """RETURNS (tuple[float, Any]): Wall-clock seconds until the device is done, and the result."""
    synchronise(device)
    start = time.perf_counter()
    result = function()
    synchronise(device)
    return time.perf_counter() - start, result


def synchronise(device: torch.device) -> None:
    """Wait for a device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _median_seconds(function: Callable[[], Any], device: torch.device, repeat: int) -> float:
    seconds(function, device)
    return median(seconds(function, device)[0] for _ in range(repeat))
