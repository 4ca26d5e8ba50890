"""Peak memory of a GPU during a function call."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

GIB = 1 << 30


@dataclass(frozen=True)
class Peak:
    """Peak memory of a GPU.

    gib (float): Peak above the memory that was allocated before, GiB.
    ran_out (bool): Whether an allocation failed. A decoder then halves its batch, so this need not
        be an error.
    """

    gib: float
    ran_out: bool


def peak_of(function: Callable[[], Any], device: torch.device) -> tuple[Any, Peak | None]:
    """Call a function and measure the peak memory of its device.

    function (Callable[[], Any]): The function.
    device (torch.device): The device.
    RETURNS (tuple[Any, Peak | None]): The function's result, and the peak; None on a CPU.
    """
    if device.type != "cuda":
        return function(), None
    torch.cuda.synchronize(device)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    before, errors = torch.cuda.memory_allocated(device), _errors(device)
    result = function()
    torch.cuda.synchronize(device)
    most = torch.cuda.max_memory_allocated(device)
    return result, Peak((most - before) / GIB, _errors(device) > errors)


def _errors(device: torch.device) -> int:
    return int(torch.cuda.memory_stats(device).get("num_ooms", 0))
