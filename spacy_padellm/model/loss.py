"""The training pass: negative log-likelihood of targets, and the gradients of the parameters."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import torch

from ..engine.language_model import LanguageModel
from ..prompts.tree import PromptTree

Backprop = Callable[[torch.Tensor], None]


class Loss:
    """Runs trees with targets forward and back.

    model (LanguageModel): The model, its trainable parameters marked by `requires_grad`.
    half (bool): Whether to compute in bfloat16 by autocast.
    """

    def __init__(self, model: LanguageModel, half: bool):
        self.model = model
        self.half = half
        self.parameters = [p for p in model.network.parameters() if p.requires_grad]

    def __call__(self, trees: Sequence[PromptTree]) -> tuple[torch.Tensor, Backprop]:
        """RETURNS (tuple[torch.Tensor, Backprop]): float32 [targets] in nats, and what takes the
        gradient with respect to them and adds up the parameters'."""
        with torch.enable_grad(), self.precision():
            nll = self.model.nll(trees)

        def backprop(gradient: torch.Tensor) -> None:
            self.add(self.gradients(nll, gradient.to(nll.device)))

        return nll.detach(), backprop

    def value(self, trees: Sequence[PromptTree]) -> torch.Tensor:
        """RETURNS (torch.Tensor): float32 [targets] in nats, without gradients."""
        with torch.no_grad(), self.precision():
            return self.model.nll(trees)

    @contextlib.contextmanager
    def precision(self) -> Iterator[None]:
        """Within it a pass is computed in its precision."""
        from peft.helpers import disable_input_dtype_casting

        # peft would cast the input of each layer to float32, and autocast back to bfloat16.
        uncast = disable_input_dtype_casting(self.model.network, active=self.half)
        with torch.autocast(self.model.device.type, torch.bfloat16, enabled=self.half), uncast:
            yield

    def gradients(self, nll: torch.Tensor, gradient: torch.Tensor) -> Sequence[torch.Tensor | None]:
        """RETURNS (Sequence[torch.Tensor | None]): One a parameter. Nothing is added up yet, so a
        pass that fails half-way leaves nothing behind."""
        return torch.autograd.grad(nll, self.parameters, gradient, allow_unused=True)

    def add(self, gradients: Sequence[torch.Tensor | None]) -> None:
        """Add gradients to those that the parameters have."""
        new, first, sums, terms = [], [], [], []
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            if gradient is None:
                continue
            if parameter.grad is None:
                new.append(parameter)
                first.append(gradient)
            else:
                sums.append(parameter.grad)
                terms.append(gradient)
        if new:
            # Copies, made in few launches: a captured pass writes its gradients in place.
            for parameter, gradient in zip(new, torch._foreach_mul(first, 1.0), strict=True):
                parameter.grad = gradient
        if sums:
            torch._foreach_add_(sums, terms)
