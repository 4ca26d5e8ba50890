"""Copies of arrays from the host to a device."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray


def on_device(values: NDArray[Any], device: torch.device) -> torch.Tensor:
    """Copy an array to a device, without waiting for the work that a GPU has queued.

    values (NDArray): The array.
    device (torch.device): The device; a CPU tensor shares the array's memory.
    RETURNS (torch.Tensor): A tensor of the same shape and dtype.
    """
    tensor = torch.from_numpy(values)
    if device.type != "cuda":
        return tensor.to(device)
    # A copy from pageable memory would wait for all kernels launched before.
    return tensor.pin_memory().to(device, non_blocking=True)
