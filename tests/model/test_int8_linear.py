"""An int8 linear layer against the float layer and against exact arithmetic."""

import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from support.pipelines import ROOT

from spacy_padellm.model.quantization import Int8Linear


def linear(outputs, inputs, bias=True):
    torch.manual_seed(0)
    return torch.nn.Linear(inputs, outputs, bias=bias)


@pytest.mark.parametrize("bias", [True, False])
def test_layer_is_the_linear_layer_but_for_rounding(bias):
    layer = linear(48, 64, bias)
    x = torch.randn(3, 5, 64)
    expected = layer(x).detach()
    found = Int8Linear(layer.weight, layer.bias)(x)
    assert found.dtype == torch.float32
    assert found.shape == expected.shape
    assert (found - expected).norm() < 0.02 * expected.norm()


def test_layer_by_the_arithmetic():
    """Rounded weights and activations multiplied in float64."""
    layer, x = linear(16, 32), torch.randn(4, 32)
    found = Int8Linear(layer.weight, layer.bias)
    weight_scale = layer.weight.abs().amax(1, keepdim=True) / 127
    weight = (layer.weight / weight_scale).round().double() * weight_scale
    scale = x.abs().amax(1, keepdim=True) / found.max_int
    expected = F.linear((x / scale).round().double() * scale, weight) + layer.bias
    torch.testing.assert_close(found(x).double(), expected, atol=1e-5, rtol=1e-5)


def test_rows_do_not_depend_on_one_another():
    layer = linear(48, 64)
    int8 = Int8Linear(layer.weight, layer.bias)
    x = torch.randn(40, 64)
    x[7] *= 1e4
    together = int8(x)
    assert torch.equal(together, torch.cat([int8(row[None]) for row in x]))
    assert torch.equal(together[:3], int8(x[:3]))


def test_any_strides():
    layer, x = linear(48, 64), torch.randn(5, 3, 64)
    int8 = Int8Linear(layer.weight.T.contiguous().T, layer.bias)
    expected = Int8Linear(layer.weight, layer.bias)(x)
    assert torch.equal(int8(x), expected)
    assert torch.equal(int8(x.transpose(0, 2).contiguous().transpose(0, 2)), expected)
    assert torch.equal(int8(x.expand(2, 5, 3, 64))[1], expected)


def test_products_do_not_overflow():
    """All activations and weights at their largest, of both signs."""
    int8 = Int8Linear(torch.ones(8, 1024))
    for value in (1.0, -1.0):
        torch.testing.assert_close(
            int8(torch.full((2, 1024), value)), torch.full((2, 8), 1024 * value)
        )


def test_zeros_and_no_rows():
    int8 = Int8Linear(torch.zeros(8, 16))
    assert not int8(torch.zeros(2, 16)).any()
    assert int8(torch.ones(0, 16)).shape == (0, 8)


@pytest.mark.parametrize("isa", ["AVX512_CORE", "AVX2", "SSE41"])
def test_older_cpus(isa):
    """oneDNN is limited to an older CPU's instructions. It reads the limit once, at its start."""
    code = (
        "import torch; from spacy_padellm.model import quantization; torch.manual_seed(0)\n"
        "quantization._has_vnni = lambda: False\n"
        "for x in (torch.ones(9, 512), -torch.ones(9, 512)):\n"
        "    y = quantization.Int8Linear(torch.ones(8, 512))(x)\n"
        "    torch.testing.assert_close(y, x[:, :8] * 512)\n"
    )
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": isa}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, cwd=ROOT)
