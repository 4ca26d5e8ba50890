"""Torch optimizers against the thinc optimizers whose settings they take."""

import numpy as np
import pytest
import torch
from thinc.api import SGD, Adam, Optimizer, RAdam

from spacy_padellm.model.optimizer import step, torch_optimizer

STEPS = 30
NO_CLIP = {"grad_clip": 0.0, "use_averages": False}


def made_up(seed=0):
    """Weights of two parameters, and a gradient of each for each step."""
    random = np.random.default_rng(seed)
    shapes = [(5, 3), (7,)]
    weights = [random.normal(size=shape).astype("float32") for shape in shapes]
    gradients = [
        [random.normal(size=shape, scale=0.3).astype("float32") for shape in shapes]
        for _ in range(STEPS)
    ]
    return weights, gradients


def by_thinc(optimizer: Optimizer):
    weights, gradients = made_up()
    for step_gradients in gradients:
        for i, gradient in enumerate(step_gradients):
            weights[i], _ = optimizer((i, "W"), weights[i], gradient.copy())
        optimizer.step_schedules()
    return weights


def by_torch(optimizer: Optimizer):
    weights, gradients = made_up()
    parameters = [torch.nn.Parameter(torch.from_numpy(value.copy())) for value in weights]
    fused = torch_optimizer(optimizer, parameters)
    for step_gradients in gradients:
        for parameter, gradient in zip(parameters, step_gradients, strict=True):
            parameter.grad = torch.from_numpy(gradient.copy())
        step(fused, optimizer, parameters)
        assert all(parameter.grad is None for parameter in parameters)
        optimizer.step_schedules()
    return [parameter.detach().numpy() for parameter in parameters]


def falling():
    rate = 0.01
    while True:
        yield rate
        rate *= 0.9


def with_warmup():
    yield 0.0
    yield from falling()


# decoupled decay happens before torch's step and after thinc's: a difference of rate² · L2
@pytest.mark.parametrize(
    ("make", "tolerance"),
    [
        (lambda: Adam(0.01, L2=0.0, **NO_CLIP), 2e-6),
        (lambda: Adam(0.01, beta1=0.8, beta2=0.95, eps=1e-6, L2=0.0, **NO_CLIP), 1e-5),
        (lambda: Adam(0.001, L2=0.01, L2_is_weight_decay=True, **NO_CLIP), 1e-5),
        (lambda: Adam(0.01, L2=0.01, L2_is_weight_decay=False, **NO_CLIP), 1e-5),
        (lambda: Adam(falling(), L2=0.0, **NO_CLIP), 2e-6),
        (lambda: Adam(with_warmup(), L2=0.0, **NO_CLIP), 2e-6),
        (lambda: SGD(0.1, L2=0.0, **NO_CLIP), 2e-6),
        (lambda: SGD(falling(), L2=0.01, L2_is_weight_decay=False, **NO_CLIP), 2e-6),
    ],
    ids=["Adam", "moments", "decay", "penalty", "schedule", "warmup", "SGD", "SGD with penalty"],
)
def test_torch_steps_as_thinc_does(make, tolerance):
    before, _ = made_up()
    expected = by_thinc(make())
    for value, other, start in zip(by_torch(make()), expected, before, strict=True):
        np.testing.assert_allclose(value, other, atol=tolerance, rtol=0)
        assert np.abs(other - start).max() > 1e-3  # there was something to compare


def test_radam_steps_as_thinc_does():
    """thinc counts RAdam's steps from 2, torch from 1; the way they go is the same."""
    before, _ = made_up()
    rate = 0.001
    make = lambda: RAdam(rate, L2=0.0, grad_clip=0.0, use_averages=False)  # noqa: E731
    pairs = zip(by_torch(make()), by_thinc(make()), before, strict=True)
    ours, theirs = zip(*((a - c, b - c) for a, b, c in pairs), strict=True)
    ours, theirs = (np.concatenate([part.ravel() for part in way]) for way in (ours, theirs))
    cosine = ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs)
    assert cosine > 0.95
    assert np.linalg.norm(ours - theirs) < 0.5 * np.linalg.norm(theirs)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: Adam(0.1, L2=0.1), torch.optim.AdamW),
        (lambda: Adam(0.1, L2=0.1, L2_is_weight_decay=False), torch.optim.Adam),
        (lambda: RAdam(0.1), torch.optim.RAdam),
        (lambda: SGD(0.1), torch.optim.SGD),
    ],
)
def test_kinds(make, kind):
    parameter = torch.nn.Parameter(torch.zeros(2))
    assert type(torch_optimizer(make(), [parameter])) is kind


@pytest.mark.parametrize(("beta1", "beta2"), [(0.0, 0.9), (0.9, 0.0)])
def test_half_an_adam_is_refused(beta1, beta2):
    with pytest.raises(ValueError, match=f"b1 = {beta1} and b2 = {beta2}: give both"):
        torch_optimizer(Adam(0.1, beta1=beta1, beta2=beta2), [torch.nn.Parameter(torch.zeros(2))])


def test_clipping_scales_all_gradients_together():
    settings = SGD(1.0, L2=0.0, grad_clip=1.0)
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    fused = torch_optimizer(settings, parameters)
    parameters[0].grad, parameters[1].grad = torch.tensor([3.0]), torch.tensor([4.0])
    step(fused, settings, parameters)
    torch.testing.assert_close(parameters[0].data, torch.tensor([-0.6]))
    torch.testing.assert_close(parameters[1].data, torch.tensor([-0.8]))


def test_clip_of_zero_is_off():
    settings = SGD(1.0, L2=0.0, grad_clip=0.0)
    parameter = torch.nn.Parameter(torch.zeros(1))
    fused = torch_optimizer(settings, [parameter])
    parameter.grad = torch.tensor([40.0])
    step(fused, settings, [parameter])
    assert parameter.item() == -40.0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_gradient_that_is_not_finite_is_not_taken(value):
    settings = Adam(0.1)
    parameters = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
    fused = torch_optimizer(settings, parameters)
    parameters[0].grad, parameters[1].grad = torch.tensor([1.0, value]), torch.ones(2)
    with pytest.raises(ValueError, match=r"step was not taken\. Lower the learning rate"):
        step(fused, settings, parameters)
    assert all(torch.equal(parameter.data, torch.ones(2)) for parameter in parameters)
    assert all(parameter.grad is None for parameter in parameters)
    parameters[0].grad = torch.ones(2)
    step(fused, settings, parameters)  # nor does it spoil the moments
    assert torch.isfinite(parameters[0]).all()
