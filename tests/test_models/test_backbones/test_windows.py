"""The operator that compilers take for attention in maps of any size."""

import pytest
import torch

from dualattn_mm.models.backbones.windows import (
    attend,
    attention_of_any_size,
    dilated_partition,
    dilated_reverse,
    key_mask,
)

G, HEAD_DIM = 3, 4


@pytest.mark.skipif(not hasattr(torch.compiler, 'is_exporting'), reason='torch < 2.7')
@pytest.mark.parametrize(('height', 'width'), [(G, G), (6, 9), (4, 8)])
def test_operator_and_its_gradient_are_those_of_the_attention(height, width):
    """For a single window, for several, and for padded ones; with what torch asks of operators."""
    shape = 2, height, width, 3 * 2 * HEAD_DIM
    qkv = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    out = attend(dilated_partition(qkv, G), key_mask(qkv, G), HEAD_DIM)
    expected = dilated_reverse(out, G, height, width)
    operator_out = attention_of_any_size(qkv, G, HEAD_DIM)
    torch.testing.assert_close(operator_out, expected)
    gradients = [
        torch.autograd.grad(o.square().sum(), qkv, retain_graph=True)[0]
        for o in (operator_out, expected)
    ]
    torch.testing.assert_close(*gradients)
    operator = torch.ops.dualattn_mm.dilated_attention
    assert set(torch.library.opcheck(operator, (qkv, G, HEAD_DIM)).values()) == {'SUCCESS'}
