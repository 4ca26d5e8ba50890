"""The training pass: negative log-likelihood of targets, and the gradients of the parameters."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import torch

from ..engine.language_model import LanguageModel
from ..prompts.tree import PromptTree

Backprop = Callable[[torch.Tensor], None]


class Loss:
    """Forward and backward passes over trees with targets.

    model (LanguageModel): The model, its trainable parameters marked by `requires_grad`.
    autocast (bool): Whether to compute in bfloat16 by torch's autocast.
    """

    def __init__(self, model: LanguageModel, autocast: bool):
        self.model = model
        self.autocast = autocast
        self.parameters = [p for p in model.network.parameters() if p.requires_grad]

    def __call__(self, trees: Sequence[PromptTree]) -> tuple[torch.Tensor, Backprop]:
        """Run the forward pass.

        trees (Sequence[PromptTree]): Trees with targets.
        RETURNS (tuple[torch.Tensor, Backprop]): float32 [targets] in nats, and a callback that
            takes the gradient with respect to them [targets] and adds the parameters' gradients
            to those that they have.
        """
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
        """Context in which passes are computed in bfloat16 if `autocast` is set."""
        from peft.helpers import disable_input_dtype_casting

        # peft would cast the input of each layer to float32, and autocast back to bfloat16.
        no_casting = disable_input_dtype_casting(self.model.network, active=self.autocast)
        autocast = torch.autocast(self.model.device.type, torch.bfloat16, enabled=self.autocast)
        with autocast, no_casting:
            yield

    def gradients(self, nll: torch.Tensor, gradient: torch.Tensor) -> Sequence[torch.Tensor | None]:
        """Run the backward pass, without adding to `parameter.grad`: a pass that fails half-way
        changes no parameter's gradient.

        nll (torch.Tensor): The forward pass's result, float32 [targets].
        gradient (torch.Tensor): The gradient with respect to it, float32 [targets].
        RETURNS (Sequence[torch.Tensor | None]): The gradient of each parameter; None for a
            parameter that the pass did not use.
        """
        return torch.autograd.grad(nll, self.parameters, gradient, allow_unused=True)

    def add(self, gradients: Sequence[torch.Tensor | None]) -> None:
        """Add gradients to those that the parameters have.

        gradients (Sequence[torch.Tensor | None]): The gradient of each parameter.
        """
        without_grad, initial, sums, terms = [], [], [], []
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            if gradient is None:
                continue
            if parameter.grad is None:
                without_grad.append(parameter)
                initial.append(gradient)
            else:
                sums.append(parameter.grad)
                terms.append(gradient)
        if without_grad:
            # Copies, made in few launches: a captured pass writes its gradients in place.
            copies = torch._foreach_mul(initial, 1.0)
            for parameter, gradient in zip(without_grad, copies, strict=True):
                parameter.grad = gradient
        if sums:
            torch._foreach_add_(sums, terms)
