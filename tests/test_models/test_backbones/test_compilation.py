"""The operators that compilers take for attention in maps of any size."""

import pytest
import torch

from dualattn_mm.models.backbones.attention import ChannelAttention
from dualattn_mm.models.backbones.channels import (
    channel_attention_of_any_size,
    mix_channels,
)
from dualattn_mm.models.backbones.windows import (
    attend,
    attention_of_any_size,
    dilated_partition,
    dilated_reverse,
    key_mask,
)
from dualattn_mm.models.network_schema import FCA_SCALES

G, HEAD_DIM = 3, 4
pytestmark = pytest.mark.skipif(
    not hasattr(torch.compiler, 'is_exporting'), reason='torch < 2.7 has no dynamic sizes'
)


@pytest.mark.parametrize('strict', [True, False])
def test_exported_programs_have_the_operator_if_strict(strict, perturb):
    """Those of `dualattn export` are not strict, and have to run without this package."""
    network = perturb(ChannelAttention(8, 4)).eval()
    sizes = {1: torch.export.Dim('h', min=2), 2: torch.export.Dim('w', min=2)}
    x = torch.randn(2, 6, 5, 8)
    program = torch.export.export(network, (x,), dynamic_shapes=(sizes,), strict=strict)
    assert ('dualattn_mm' in str(program.graph)) == strict
    y = torch.randn(2, 3, 9, 8)
    torch.testing.assert_close(program.module()(y), network(y))


def check_operator(operator, expected, qkv, *options):
    """Compare an operator and its gradient, and try what torch asks of operators."""
    out = operator(qkv, *options)
    torch.testing.assert_close(out, expected)
    weights = torch.randn_like(out)
    gradients = [
        torch.autograd.grad((o * weights).sum(), qkv, retain_graph=True)[0] for o in (out, expected)
    ]
    torch.testing.assert_close(*gradients)
    assert set(torch.library.opcheck(operator, (qkv, *options)).values()) == {'SUCCESS'}


@pytest.mark.parametrize(('height', 'width'), [(G, G), (6, 9), (4, 8)])
def test_dilated_attention_and_its_gradient(height, width):
    """For a single window, for several, and for padded ones."""
    shape = 2, height, width, 3 * 2 * HEAD_DIM
    qkv = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    out = attend(dilated_partition(qkv, G), key_mask(qkv, G), HEAD_DIM)
    expected = dilated_reverse(out, G, height, width)
    torch.testing.assert_close(attention_of_any_size(qkv, G, HEAD_DIM), expected)
    operator = torch.ops.dualattn_mm.dilated_attention
    check_operator(operator, expected, qkv, G, HEAD_DIM)


@pytest.mark.parametrize('scale', FCA_SCALES)
@pytest.mark.parametrize(('batch', 'groups'), [(2, 3), (1, 1)])
def test_channel_attention_and_its_gradient(batch, groups, scale):
    qkv = torch.randn(batch, 5, 7, 3 * groups * 4, requires_grad=True)
    expected = mix_channels(qkv, 4, scale).reshape(batch, 5, 7, groups * 4)
    torch.testing.assert_close(channel_attention_of_any_size(qkv, 4, scale), expected)
    check_operator(torch.ops.dualattn_mm.channel_attention, expected, qkv, 4, scale)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_gradient_in_16_bits_is_as_precise_as_that_of_the_attention(dtype):
    """With means of v and of the gradient that the softmax has to cancel."""
    exact = torch.randn(2, 16, 16, 3 * 32, dtype=torch.float64)
    exact[..., 64:] += 4
    grad = torch.randn(2, 16, 16, 32, dtype=torch.float64) + 4

    def gradient(attention, dtype):
        qkv = exact.to(dtype).requires_grad_()
        out = attention(qkv, 16, 'channel').reshape(grad.shape)
        return torch.autograd.grad(out, qkv, grad.to(dtype))[0].double()[..., :32]

    expected = gradient(mix_channels, torch.float64)
    errors = [
        (gradient(attention, dtype) - expected).norm()
        for attention in (channel_attention_of_any_size, mix_channels)
    ]
    assert errors[0] < 1.2 * errors[1]
