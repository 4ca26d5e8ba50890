"""The memory of a GPU, where it runs out."""

from __future__ import annotations


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a GPU's memory ran out; if so, what torch keeps for later is given back.

    error (BaseException): What was raised.
    RETURNS (bool): True if less work may fit.
    """
    import torch

    if not isinstance(error, torch.cuda.OutOfMemoryError):
        return False
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return True
