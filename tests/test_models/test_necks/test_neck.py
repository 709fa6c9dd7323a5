"""The upsampling neck against eq. 7, and its initialization."""

import naive
import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS

from dualattn_mm import PixelShuffleNeck

CHANNELS, WIDTHS = (5, 6, 7), (8, 4)


def pyramid(height, width, dtype=torch.float32):
    return [
        torch.randn(2, c, height * 2**i, width * 2**i, dtype=dtype)
        for c, i in zip(CHANNELS, (2, 1, 0), strict=True)
    ]


@pytest.mark.parametrize(('height', 'width'), [(1, 1), (3, 2)])
def test_neck_is_equation_7(height, width, perturb):
    neck = perturb(PixelShuffleNeck(CHANNELS, WIDTHS)).double()
    fine, middle, x = maps = pyramid(height, width, torch.float64)
    out = neck(maps)
    for i, skip in enumerate((middle, fine)):
        step = naive.sub(neck.state_dict(), f'steps.{i}')
        x = F.conv2d(x, step['expand.weight'], step['expand.bias'], padding=1)
        x = naive.gelu(naive.layer_norm(naive.pixel_shuffle(x, 2), naive.sub(step, 'norm1')))
        x = torch.cat((x, skip), dim=1)
        x = F.conv2d(x, step['fuse.weight'], step['fuse.bias'], padding=1)
        x = naive.gelu(naive.layer_norm(x, naive.sub(step, 'norm2')))
    assert out.shape == (2, 4, 4 * height, 4 * width)
    assert out.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(out, x)


def test_default_is_the_neck_of_the_specification():
    with torch.device('meta'):
        neck = MODELS.build(dict(type='PixelShuffleNeck'))
        maps = [torch.empty(1, c, s, s) for c, s in ((96, 64), (192, 32), (384, 16), (768, 8))]
        assert neck(maps).shape == (1, 256, 64, 64)
    convs = [tuple(m.weight.shape) for m in neck.modules() if isinstance(m, torch.nn.Conv2d)]
    assert convs == [
        (4 * 384, 768, 3, 3),
        (384, 384 + 384, 3, 3),
        (4 * 256, 384, 3, 3),
        (256, 256 + 192, 3, 3),
        (4 * 256, 256, 3, 3),
        (256, 256 + 96, 3, 3),
    ]


def test_upsampling_starts_as_nearest():
    """ICNR: before training, each pixel becomes four equal pixels."""
    neck = PixelShuffleNeck(CHANNELS, WIDTHS)
    shuffled = []
    for step in neck.steps:
        step.norm1.register_forward_pre_hook(lambda _, args: shuffled.append(args[0]))
    neck(pyramid(3, 2))
    for x, width in zip(shuffled, WIDTHS, strict=True):
        assert x.shape[-1] == width
        blocks = torch.stack([x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)])
        assert x.std() > 0.05
        torch.testing.assert_close(blocks, blocks[:1].expand_as(blocks))


def test_icnr_filters_differ_between_channels_and_are_scaled_as_pytorch_s():
    for step in PixelShuffleNeck((8, 16), (32,)).steps:
        first = step.expand.weight[::4]
        assert first.flatten(1).unique(dim=0).shape[0] == 32
        bound = (16 * 9) ** -0.5
        assert 0.9 * bound < first.abs().amax() <= bound


def test_memory_format_does_not_matter(perturb):
    neck = perturb(PixelShuffleNeck(CHANNELS, WIDTHS))
    maps = pyramid(3, 2)
    expected = neck(maps)
    last = [m.contiguous(memory_format=torch.channels_last) for m in maps]
    torch.testing.assert_close(neck(last), expected, rtol=1e-5, atol=1e-5)
    neck.to(memory_format=torch.contiguous_format)
    torch.testing.assert_close(neck(maps), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ('kwargs', 'said'),
    [
        (dict(out_channels=(8,)), ['out_channels', '(8,)', 'in_channels', '(5, 6, 7)']),
        (dict(in_channels=(5,), out_channels=()), ['out_channels', '()']),
        (dict(out_channels=(8, 0)), ['out_channels', '(8, 0)']),
        (dict(in_channels=(5, 6, -7)), ['in_channels', '(5, 6, -7)']),
        (dict(out_channels=8), ['out_channels', '8']),
    ],
    ids=str,
)
def test_wrong_argument_error_names_value_and_allowed_values(kwargs, said):
    with pytest.raises(ValueError) as info:  # noqa: PT011 (the words are checked below)
        PixelShuffleNeck(**{'in_channels': CHANNELS, 'out_channels': WIDTHS, **kwargs})
    assert not [word for word in said if word not in str(info.value)]
