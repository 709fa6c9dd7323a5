"""The head against eq. 8-11, and the effect of its learned queries."""

import naive
import pytest
import torch
import torch.nn.functional as F

from dualattn_mm import ColorAttention

DIM, QUERIES, LAYERS, HEADS = 8, 5, 3, 2


def small(**kwargs):
    sizes = dict(num_layers=LAYERS, num_heads=HEADS, feedforward_channels=12, upscale=4)
    return ColorAttention(**{'in_channels': DIM, 'num_queries': QUERIES, **sizes, **kwargs})


@pytest.mark.parametrize('upscale', [4, 2])
@pytest.mark.parametrize(('height', 'width'), [(1, 1), (5, 3)])
def test_head_is_equation_8_to_11(height, width, upscale, perturb):
    head = perturb(small(upscale=upscale), std=0.4).double()
    x = torch.randn(2, DIM, height, width, dtype=torch.float64)
    state = head.state_dict()
    kernels = naive.color_kernels(x, state, LAYERS, HEADS)
    torch.testing.assert_close(head.color_kernels(x), kernels)
    maps = torch.einsum('bkc,bchw->bkhw', kernels, x)
    ab = F.conv2d(maps, state['to_ab.weight'], state['to_ab.bias'], padding=1)
    out = head(x)
    assert out.shape == (2, 2, upscale * height, upscale * width)
    torch.testing.assert_close(out, naive.pixel_shuffle(ab, upscale))


def test_kernels_differ_and_queries_receive_a_gradient():
    """Fresh from its initialization; without Q in the cross-attention the spread is exactly 0."""
    head = small(in_channels=32, num_queries=16)
    x = torch.randn(2, 32, 6, 5)
    kernels = head.color_kernels(x)
    distances = torch.cdist(kernels, kernels) + 9 * torch.eye(16)
    assert distances.amin() > 1e-3
    head(x).square().sum().backward()
    grad = head.queries.grad
    assert grad.isfinite().all()
    assert (grad.norm(dim=1) > 0).all()


@pytest.mark.parametrize(('dim', 'heads', 'layers'), [(96, 4, 3), (256, 8, 6)])
def test_kernels_start_in_many_directions(dim, heads, layers):
    torch.manual_seed(0)
    head = ColorAttention(dim, 64, layers, heads, 2 * dim)
    # As the neck's maps are: after GELU, with a mean, and smooth.
    x = F.gelu(F.interpolate(torch.randn(2, dim, 8, 8), size=(24, 24), mode='bilinear'))
    with torch.no_grad():
        kernels = head.color_kernels(x)
    strengths = torch.linalg.svdvals(kernels)
    assert (strengths[:, 1] / strengths[:, 0]).min() > 0.1
    assert (strengths[:, 5] / strengths[:, 0]).min() > 0.04


def test_kernels_follow_the_image(perturb):
    head = perturb(small())
    one, other = head.color_kernels(torch.randn(2, DIM, 6, 5))
    assert (one - other).abs().amax() > 1e-2


def test_every_parameter_receives_a_gradient_but_the_first_values(perturb):
    """Layer 0's self-attention acts on Z_0 = 0: its values, and so its weights, see only zeros."""
    head = perturb(small())
    x = torch.randn(2, DIM, 6, 5)
    (head(x) * torch.randn(2, 2, 24, 20)).sum().backward()
    grads = {name: p.grad for name, p in head.named_parameters()}
    exception = grads.pop('layers.0.self_attn.in_proj_weight')
    assert not [k for k, g in grads.items() if g is None or not g.isfinite().all() or not g.any()]
    to_q, to_k, to_v = exception.chunk(3)
    assert to_v.count_nonzero() == 0
    # All values are the same bias, so that the softmax over them does nothing, up to rounding.
    scale = grads['layers.1.self_attn.in_proj_weight'].abs().amax()
    assert max(to_q.abs().amax(), to_k.abs().amax()) < 1e-5 * scale


def test_the_first_in_projection_receives_exactly_no_gradient_at_the_start(perturb):
    """With its bias at 0, as initialized, no rounding either: the whole weight stays."""
    head = perturb(small())
    torch.nn.init.zeros_(head.layers[0].self_attn.in_proj_bias)
    (head(torch.randn(2, DIM, 6, 5)) * torch.randn(2, 2, 24, 20)).sum().backward()
    assert head.layers[0].self_attn.in_proj_weight.grad.count_nonzero() == 0
    for layer in head.layers[1:]:
        assert all(part.any() for part in layer.self_attn.in_proj_weight.grad.chunk(3))
    assert not ColorAttention(8, 5, 1, 2, 12).layers[0].self_attn.in_proj_bias.any()


def test_queries_start_as_standard_normal():
    queries = ColorAttention(num_layers=1).queries
    assert queries.shape == (64, 256)
    assert abs(queries.mean()) < 0.03
    assert 0.97 < queries.std() < 1.03


def test_memory_format_does_not_matter(perturb):
    head = perturb(small())
    x = torch.randn(2, DIM, 6, 5)
    expected = head(x)
    last = x.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(head(last), expected, rtol=1e-5, atol=1e-5)
    head.to(memory_format=torch.contiguous_format)
    torch.testing.assert_close(head(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ('kwargs', 'said'),
    [
        (dict(in_channels=9), ['in_channels', '9', 'num_heads', '2']),
        (dict(num_heads=0), ['num_heads', '0']),
        (dict(num_queries=0), ['num_queries', '0']),
        (dict(num_layers=-1), ['num_layers', '-1']),
        (dict(feedforward_channels=0), ['feedforward_channels', '0']),
        (dict(upscale=0), ['upscale', '0']),
    ],
    ids=str,
)
def test_wrong_argument_error_names_value_and_allowed_values(kwargs, said):
    with pytest.raises(ValueError) as info:  # noqa: PT011 (the words are checked below)
        small(**kwargs)
    assert not [word for word in said if word not in str(info.value)]
