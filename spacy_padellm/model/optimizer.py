"""A fused torch optimizer with the settings and schedules of a thinc optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from thinc.api import Optimizer


class GradientError(ValueError):
    """A gradient that is not finite."""


def torch_optimizer(settings: Optimizer, parameters: Sequence[torch.nn.Parameter]) -> Any:
    """Build the torch optimizer that corresponds to a thinc optimizer.

    Adam.v1 becomes AdamW (`L2_is_weight_decay`) or Adam, RAdam.v1 RAdam, SGD.v1 SGD. Moving
    averages of the parameters (`use_averages`) are not kept.

    settings (thinc.api.Optimizer): Its b1, b2, eps, L2, L2_is_weight_decay and use_radam.
    parameters (Sequence[torch.nn.Parameter]): The parameters to train.
    RETURNS (torch.optim.Optimizer): The optimizer, whose learning rate each `step` sets.
    RAISES (ValueError): Only b1 or only b2 is 0, for which thinc has no rule either.
    """
    rate, decay = float(settings.learn_rate), float(settings.L2)
    if settings.b1 == 0.0 and settings.b2 == 0.0:
        return torch.optim.SGD(parameters, lr=rate, weight_decay=decay)
    if settings.b1 == 0.0 or settings.b2 == 0.0:
        raise ValueError(
            f"The optimizer has b1 = {settings.b1} and b2 = {settings.b2}: give both (Adam.v1, "
            "RAdam.v1) or neither (SGD.v1)."
        )
    moments: dict[str, Any] = {"betas": (settings.b1, settings.b2), "eps": settings.eps}
    decoupled = bool(settings.L2_is_weight_decay)
    if settings.use_radam:
        return torch.optim.RAdam(
            parameters, lr=rate, weight_decay=decay, decoupled_weight_decay=decoupled, **moments
        )
    optimizer_class: Any = torch.optim.AdamW if decoupled else torch.optim.Adam
    return optimizer_class(parameters, lr=rate, weight_decay=decay, fused=True, **moments)


def step(optimizer: Any, settings: Optimizer, parameters: Sequence[torch.nn.Parameter]) -> None:
    """Step with the thinc optimizer's current learning rate, then clear the gradients.

    thinc clips the gradient of each parameter by its own norm; here all of them are scaled
    together by their common norm, which keeps the direction of the step.

    optimizer (torch.optim.Optimizer): The optimizer that `torch_optimizer` built.
    settings (thinc.api.Optimizer): Its learn_rate and grad_clip; a grad_clip of 0 is off.
    parameters (Sequence[torch.nn.Parameter]): The parameters to train.
    RAISES (GradientError): A gradient that is not finite; the parameters stay as they were.
    """
    limit = float(settings.grad_clip) or float("inf")
    norm = torch.nn.utils.clip_grad_norm_(parameters, limit)
    if not torch.isfinite(norm):
        optimizer.zero_grad(set_to_none=True)
        raise GradientError(
            f"The gradient's norm is {float(norm)}, so this step was not taken. Lower the "
            "learning rate, or set grad_clip."
        )
    for group in optimizer.param_groups:
        group["lr"] = float(settings.learn_rate)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
