"""GPU memory: out-of-memory errors, and torch's cached blocks."""

from __future__ import annotations


def is_out_of_memory(error: BaseException) -> bool:
    """RETURNS (bool): Whether an error means that a GPU's memory ran out."""
    import torch

    return isinstance(error, torch.cuda.OutOfMemoryError)


def release_cached_memory() -> None:
    """Return the blocks that torch keeps for later allocations to the GPU."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
