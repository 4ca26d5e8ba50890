"""Arrays from the host onto a device."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray


def on_device(values: NDArray[Any], device: torch.device) -> torch.Tensor:
    """Copy an array; a GPU that is at work is not waited for.

    values (NDArray): The array.
    device (torch.device): Where to; on a CPU nothing is copied.
    RETURNS (torch.Tensor): Of the same shape and type.
    """
    tensor = torch.from_numpy(values)
    if device.type != "cuda":
        return tensor.to(device)
    # From pageable memory each copy would wait for all that was launched before.
    return tensor.pin_memory().to(device, non_blocking=True)
