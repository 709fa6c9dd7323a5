"""The colorizing network as a whole: sizes, units, padding, gradients."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS
from skimage import color

from dualattn_mm import MultiscalePyramidTransformer

KEYS = Path(__file__).parents[2] / 'state_dict_keys'
ENCODER = dict(type='DualAttention', in_channels=1, order=('fca', 'sda'))
DIMS = (8, 8, 16, 16)
SMALL = dict(
    encoder=dict(
        **ENCODER,
        arch=dict(embed_dims=DIMS, depths=(1, 1, 1, 1), stem_channels=4),
        window_size=3,
        head_dim=4,
        group_dim=8,
    ),
    neck=dict(type='PixelShuffleNeck', in_channels=DIMS, out_channels=(12, 12, 8)),
    head=dict(
        type='ColorAttention', in_channels=8, num_layers=2, num_heads=2, feedforward_channels=12
    ),
    num_queries=5,
)
MINI_DIMS = (48, 96, 144, 192)
MINI = dict(
    encoder=dict(
        **ENCODER,
        arch=dict(embed_dims=MINI_DIMS, depths=(1, 1, 3, 1), stem_channels=32),
        window_size=8,
        head_dim=24,
        group_dim=24,
    ),
    neck=dict(type='PixelShuffleNeck', in_channels=MINI_DIMS, out_channels=(128, 96, 96)),
    head=dict(
        type='ColorAttention', in_channels=96, num_layers=3, num_heads=4, feedforward_channels=384
    ),
    num_queries=64,
)
SIZES = [(1, 1), (5, 3), (33, 65), (64, 32), (31, 40)]


def small(**encoder):
    return MultiscalePyramidTransformer(**{**SMALL, 'encoder': dict(SMALL['encoder'], **encoder)})


def lightness(*shape):
    return 100 * torch.rand(*shape)


def encoder_input(model):
    """What the encoder of a model sees, in a list that grows with each call."""
    seen = []
    model.encoder.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    return seen


@pytest.mark.parametrize(
    ('kwargs', 'parameters'),
    [
        (dict(num_queries=64), 55_092_032),
        (dict(), 55_092_032),
        (dict(num_queries=150), 55_138_816),
        (MINI, 5_668_160),
    ],
    ids=['K=64', 'default', 'K=150', 'mini'],
)
def test_parameter_counts_are_those_of_the_specification(kwargs, parameters):
    with torch.device('meta'), torch.no_grad():
        model = MODELS.build(dict(type='MultiscalePyramidTransformer', **kwargs))
        assert model(torch.empty(1, 1, 65, 40)).shape == (1, 2, 65, 40)
    assert sum(p.numel() for p in model.parameters()) == parameters
    if kwargs is not MINI:
        assert sum(p.numel() for p in model.encoder.parameters()) == 27_715_488


def test_part_without_a_type_updates_the_default():
    with torch.device('meta'):
        plain, other = (
            MultiscalePyramidTransformer(**parts)
            for parts in ({}, dict(encoder=dict(order=('sda',)), head=dict(num_layers=2)))
        )
    assert str(other.neck) == str(plain.neck)
    assert [len(m.head.layers) for m in (plain, other)] == [6, 2]
    kinds = [[n for n, _ in m.encoder.stages[0].blocks[0].named_children()] for m in (plain, other)]
    assert kinds == [['fca', 'sda'], ['sda']]
    blocks = [m.encoder.stages[2].blocks[1].sda for m in (plain, other)]
    assert str(blocks[0]) == str(blocks[1])
    assert blocks[1].attn.window_size == 8


def test_state_dict_keys_are_the_stored_ones():
    with torch.device('meta'):
        state = MultiscalePyramidTransformer().state_dict()
    lines = [f'generator.{key} {tuple(value.shape)}' for key, value in state.items()]
    assert sorted(lines) == (KEYS / 'colorizer.txt').read_text().splitlines()


def test_default_encoder_is_the_colorizer_s_of_the_specification():
    """What no parameter shows: order, and window 8, heads of 24 and groups of 24 channels."""
    with torch.device('meta'):
        default = MultiscalePyramidTransformer().encoder
    blocks = default.stages[2].blocks[1]
    assert [name for name, _ in blocks.named_children()] == ['fca', 'sda']
    assert (blocks.sda.attn.window_size, blocks.sda.attn.head_dim) == (8, 24)
    assert blocks.fca.attn.group_dim == 24


@pytest.mark.parametrize(('height', 'width'), SIZES)
def test_any_size_is_edge_padded_to_a_multiple_of_32(height, width, perturb):
    model = perturb(small())
    seen = encoder_input(model)
    x = lightness(2, 1, height, width)
    out = model(x)
    assert out.shape == (2, 2, height, width)
    assert out.isfinite().all()
    edges = ((0, 0), (0, 0), (0, -height % 32), (0, -width % 32))
    padded = torch.from_numpy(np.pad(x.numpy(), edges, mode='edge'))
    # L enters as (L - 50) / 50.
    torch.testing.assert_close(seen[0], (padded - 50) / 50)
    expected = model(padded)[..., :height, :width]
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-4)


def test_network_is_encoder_then_neck_then_head(perturb):
    model = perturb(small())
    x = lightness(1, 1, 64, 32)
    maps = model.encoder((x - 50) / 50)
    assert [m.shape[1] for m in maps] == list(DIMS)
    torch.testing.assert_close(model(x), model.head(model.neck(maps)))


@pytest.mark.parametrize(('height', 'width'), [(1, 1), (33, 40)])
def test_encoder_of_three_channels_sees_imagenet_normalized_gray(height, width):
    model = small(in_channels=3)
    seen = encoder_input(model)
    x = lightness(2, 1, height, width)
    assert model(x).shape == (2, 2, height, width)
    lab = np.zeros((2, 3, height, width))
    lab[:, :1] = x
    rgb = color.lab2rgb(lab, channel_axis=1)
    mean = np.array([0.485, 0.456, 0.406])[:, None, None]
    std = np.array([0.229, 0.224, 0.225])[:, None, None]
    expected = torch.from_numpy((rgb - mean) / std).float()
    torch.testing.assert_close(seen[0][..., :height, :width], expected, rtol=0, atol=5e-3)
    assert seen[0].shape[1:] == (3, -(-height // 32) * 32, -(-width // 32) * 32)


@pytest.mark.parametrize('in_channels', [1, 3])
def test_half_precision_without_autocast(in_channels, perturb):
    model = perturb(small(in_channels=in_channels)).bfloat16().eval()
    assert model(lightness(1, 1, 33, 40).bfloat16()).dtype == torch.bfloat16


def test_a_head_may_have_no_queries(perturb):
    head = dict(type='torch.nn.ConvTranspose2d', in_channels=SMALL['head']['in_channels'])
    head.update(out_channels=2, kernel_size=4, stride=4)
    with pytest.raises(TypeError, match='num_queries'):
        MultiscalePyramidTransformer(**{**SMALL, 'head': head})
    model = perturb(MultiscalePyramidTransformer(**{**SMALL, 'head': head, 'num_queries': None}))
    assert model(lightness(1, 1, 33, 40)).shape == (1, 2, 33, 40)


def test_images_of_a_batch_do_not_mix(perturb):
    model = perturb(small())
    x = lightness(3, 1, 40, 33)
    alone = torch.cat([model(image[None]) for image in x])
    torch.testing.assert_close(model(x), alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('in_channels', [1, 3])
def test_memory_format_does_not_matter(in_channels, perturb):
    model = perturb(small(in_channels=in_channels))
    x = lightness(2, 1, 40, 33)
    expected = model(x)
    last = x.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(model(last), expected, rtol=1e-4, atol=1e-4)
    model.to(memory_format=torch.contiguous_format)
    torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-4)


def test_every_parameter_receives_a_gradient_but_one(perturb):
    model = perturb(small())
    out = model(lightness(2, 1, 96, 90))
    (out * torch.randn_like(out)).sum().backward()
    grads = {name: p.grad for name, p in model.named_parameters()}
    exception = grads.pop('head.layers.0.self_attn.in_proj_weight')
    assert exception.chunk(3)[2].count_nonzero() == 0
    assert not [k for k, g in grads.items() if g is None or not g.isfinite().all() or not g.any()]


def test_bfloat16_autocast_stays_close():
    model = MultiscalePyramidTransformer(**MINI).eval()
    x = lightness(1, 1, 64, 96)
    with torch.no_grad():
        expected = model(x)
        with torch.autocast('cpu', torch.bfloat16):
            out = model(x)
    assert not torch.equal(out.float(), expected)
    assert (out.float() - expected).norm() < 2e-2 * expected.norm()


def test_copies_and_state_dicts_are_equal(perturb):
    model = perturb(small())
    loaded = small()
    loaded.load_state_dict(model.state_dict(), strict=True)
    x = lightness(1, 1, 33, 40)
    for other in (copy.deepcopy(model), loaded):
        assert torch.equal(other(x), model(x))


@pytest.mark.parametrize(
    'shape', [(1, 3, 8, 8), (1, 8, 8), (8, 8), (1, 1, 0, 8), (0, 1, 8, 8)], ids=str
)
def test_a_wrong_shape_is_reported(shape):
    with pytest.raises(ValueError, match=r'lightness must be \(B, 1, H, W\)') as info:
        small()(torch.zeros(shape))
    assert str(tuple(shape)) in str(info.value)


@pytest.mark.parametrize(
    ('kwargs', 'said'),
    [
        (dict(num_queries=0), ['num_queries', '0']),
        (dict(image_size=0), ['image_size', '0']),
        (dict(head=dict(SMALL['head'], num_queries=3)), ['head', '3', 'num_queries']),
        (dict(encoder=dict(SMALL['encoder'], in_channels=2)), ['encoder', '2', '1', '3']),
    ],
    ids=['num_queries', 'image_size', 'head', 'encoder'],
)
def test_wrong_argument_error_names_value_and_allowed_values(kwargs, said):
    with pytest.raises(ValueError) as info:  # noqa: PT011 (the words are checked below)
        MultiscalePyramidTransformer(**{**SMALL, **kwargs})
    assert not [word for word in said if word not in str(info.value)]
