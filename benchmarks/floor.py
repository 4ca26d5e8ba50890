"""The least time that a run can take on a device: its weights read at the speed of a copy in each
pass, or its matrix products at the speed of one large product, whichever takes longer.

Both speeds are measured, in the run that they are held against. Attention, the KV cache and what
happens between passes are not in the floor.
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
    """What a device does at most, measured.

    bytes_per_s (float): Of a copy, bytes read and bytes written together.
    operations_per_s (float): Of a square matrix product in the model's dtype.
    """

    bytes_per_s: float
    operations_per_s: float

    def to_dict(self) -> dict[str, float]:
        """RETURNS (dict[str, float]): For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Cost:
    """What a pass of a model costs at least.

    weight_bytes (int): Weights that each pass reads; embeddings that are only looked up are not.
    token_operations (int): Operations of a token in the products with weights below the output
        layer, two a weight.
    output_operations (int): Operations of a place whose logits are wanted.
    """

    weight_bytes: int
    token_operations: int
    output_operations: int

    def floor(self, passes: Iterable[tuple[int, int]], ceilings: Ceilings) -> float:
        """The least seconds that passes can take.

        passes (Iterable[tuple[int, int]]): Tokens and wanted places of each.
        ceilings (Ceilings): Of the device.
        RETURNS (float): Seconds.
        """
        read = self.weight_bytes / ceilings.bytes_per_s
        return sum(
            max(read, self.operations(tokens, wanted) / ceilings.operations_per_s)
            for tokens, wanted in passes
        )

    def operations(self, tokens: int, wanted: int) -> int:
        """RETURNS (int): Operations of a pass."""
        return tokens * self.token_operations + wanted * self.output_operations


def cost_of(model: LanguageModel) -> Cost:
    """RETURNS (Cost): What a pass of a model costs."""
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
    dtype (torch.dtype): Of the matrix product.
    repeat (int): Runs of each; medians are taken.
    scale (float): Of the sizes, for a quick look.
    RETURNS (Ceilings): What it does at most.
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
    one, other = torch.randn(2, size, size, device=device).to(dtype)
    product = torch.empty(size, size, dtype=dtype, device=device)
    return lambda: torch.mm(one, other, out=product)


def seconds(function: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    """RETURNS (tuple[float, Any]): Seconds on the clock until the device is done, and the
    result."""
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
