"""Peak memory of a GPU while something runs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

GIB = 1 << 30


@dataclass(frozen=True)
class Peak:
    """The most that lay on a GPU.

    gib (float): Above what lay there before, GiB.
    ran_out (bool): Whether the memory ran out on the way. A decoder then goes on with halves of
        its batch, so this need not be an error.
    """

    gib: float
    ran_out: bool


def peak_of(function: Callable[[], Any], device: torch.device) -> tuple[Any, Peak | None]:
    """Watch a GPU's memory.

    function (Callable[[], Any]): What is to be run.
    device (torch.device): Where it runs.
    RETURNS (tuple[Any, Peak | None]): Its result, and the peak; None where there is no GPU.
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
