"""The device that a model runs on, and the settings of torch that it needs."""

from __future__ import annotations

import os
from functools import cache

import torch
from thinc.api import CupyOps, MPSOps, get_current_ops


def spacy_device() -> str:
    """RETURNS (str): torch's name of the device that spaCy uses (`prefer_gpu`)."""
    ops = get_current_ops()
    if isinstance(ops, CupyOps):
        return f"cuda:{ops.device_id}"
    return "mps" if isinstance(ops, MPSOps) else "cpu"


def checked_device(name: str) -> torch.device:
    """Verify that torch can use a device.

    name (str): torch's name of the device.
    RETURNS (torch.device): The device.
    RAISES (ValueError): A name that torch does not know, or a GPU that is missing.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(
            f'device must be a name that torch knows, such as "cpu" or "cuda", not {name!r}.'
        ) from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device is {name!r}, and torch sees {torch.cuda.device_count()} CUDA devices. Use "
            '"cpu", or install a torch build for your GPU.'
        )
    return device


def check_process(device: torch.device) -> None:
    """Refuse a GPU in a process that was forked after CUDA had started.

    device (torch.device): The device.
    RAISES (RuntimeError): CUDA can't be used in this process.
    """
    if device.type == "cuda" and torch.cuda._is_in_bad_fork():
        raise RuntimeError(
            "This process was forked from one that used the GPU, and CUDA does not survive a fork. "
            "Use n_process=1: one process fills a GPU with nlp.pipe(…, batch_size=256). Several "
            'processes that each load the model need multiprocessing.set_start_method("spawn").'
        )


@cache
def one_thread_in_forks() -> None:
    """Limit processes forked from this one to one thread of torch."""
    # torch's thread pool does not survive a fork: with more than one thread the child hangs.
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))
