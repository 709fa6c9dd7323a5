"""The color conversion against scikit-image."""

import numpy as np
import pytest
import torch
from skimage import color

from dualattn_mm.utils.color_space import (
    encoding_table,
    join_lightness_to_bytes,
    lab_to_rgb,
    lightness_of,
    linear_table,
    luminance_weights,
    rgb_to_lab,
)

CORNERS = [[r, g, b] for r in (0.0, 1.0) for g in (0.0, 1.0) for b in (0.0, 1.0)]


def image(colors, dtype=torch.float32):
    """(N, 3) colors as an image of one row."""
    return torch.as_tensor(colors, dtype=dtype).T[:, None]


def skimage_convert(convert, x):
    return torch.from_numpy(convert(x.double().numpy(), channel_axis=-3))


def rgb_samples(dtype=torch.float32):
    """Every corner, both sides of the thresholds of the curves, and random colors."""
    near_threshold = torch.linspace(0, 0.09, 301)[:, None].expand(-1, 3)
    return torch.cat([image(CORNERS), image(near_threshold), torch.rand(3, 1, 2000)], dim=-1).to(
        dtype
    )


@pytest.mark.parametrize(('dtype', 'atol'), [(torch.float32, 1e-3), (torch.float64, 1e-6)])
def test_rgb_to_lab_is_scikit_image_s(dtype, atol):
    rgb = rgb_samples(dtype)
    lab = rgb_to_lab(rgb)
    assert lab.dtype == dtype
    expected = skimage_convert(color.rgb2lab, rgb)
    torch.testing.assert_close(lab.double(), expected, rtol=0, atol=atol)


@pytest.mark.parametrize(('dtype', 'atol'), [(torch.float32, 1e-3), (torch.float64, 1e-6)])
def test_lab_to_rgb_is_scikit_image_s_in_gamut(dtype, atol):
    lab = skimage_convert(color.rgb2lab, rgb_samples()).to(dtype)
    rgb = lab_to_rgb(lab)
    assert rgb.dtype == dtype
    expected = skimage_convert(color.lab2rgb, lab)
    torch.testing.assert_close(rgb.double(), expected, rtol=0, atol=atol)


@pytest.mark.filterwarnings('ignore:Conversion from CIE-LAB')
def test_lab_to_rgb_is_scikit_image_s_out_of_gamut():
    lab = torch.rand(3, 20, 200) * torch.tensor([100.0, 255, 255])[:, None, None]
    lab[1:] -= 128
    rgb = lab_to_rgb(lab)
    expected = skimage_convert(color.lab2rgb, lab)
    assert (expected == 0).any()
    assert (expected == 1).any()
    torch.testing.assert_close(rgb.double(), expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize('shape', [(), (2,), (2, 3)])
def test_round_trip_of_any_batch_shape(shape):
    rgb = torch.rand(*shape, 3, 5, 7)
    lab = rgb_to_lab(rgb)
    assert lab.shape == rgb.shape
    torch.testing.assert_close(lab_to_rgb(lab), rgb, rtol=0, atol=1e-4)
    first = rgb_to_lab(rgb[(0,) * len(shape)])
    torch.testing.assert_close(lab[(0,) * len(shape)], first, rtol=0, atol=1e-4)


EXTREME_RGB = [*CORNERS, [0.04045] * 3, [1.5, -0.5, 0.5], [-1.0, -1.0, -1.0], [1e-8] * 3]
EXTREME_LAB = [
    [0.0, 0.0, 0.0],
    [100.0, 0.0, 0.0],
    [8.0, 0.0, 0.0],  # where the cube gives way to the line
    [0.0, 127.0, -128.0],
    [50.0, -128.0, 127.0],
    [100.0, 127.0, 127.0],
    [0.0, -128.0, 127.0],
    [-5.0, 0.0, 0.0],
    [1e-8, 1e-8, 1e-8],
]


@pytest.mark.parametrize('channel', [0, 1, 2])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ('convert', 'extremes'), [(rgb_to_lab, EXTREME_RGB), (lab_to_rgb, EXTREME_LAB)]
)
def test_gradients_are_finite_at_extremes(convert, extremes, dtype, channel):
    x = image(extremes, dtype).requires_grad_()
    out = convert(x)
    assert out.isfinite().all()
    out[channel].sum().backward()
    assert x.grad.isfinite().all()


def test_gradients_are_right_in_gamut():
    rgb = image(np.random.default_rng(0).uniform(0.1, 0.9, (9, 3)), torch.float64)
    assert torch.autograd.gradcheck(rgb_to_lab, rgb.clone().requires_grad_())
    assert torch.autograd.gradcheck(lab_to_rgb, rgb_to_lab(rgb).requires_grad_())


def test_gradient_at_black_is_that_of_the_linear_parts():
    x = torch.zeros(3, 1, 1, dtype=torch.float64, requires_grad=True)
    rgb_to_lab(x)[0].sum().backward()
    # dL/dR = 116 * 7.787 * Y_R / 12.92 for each of the three, whose Y sum to 1
    torch.testing.assert_close(x.grad.sum().item(), 116 * 7.787 / 12.92, rtol=1e-4, atol=0)


@pytest.mark.skipif(torch.__version__ < '2.5', reason='no float16 autocast on CPU')
@pytest.mark.parametrize('half', [torch.bfloat16, torch.float16])
@pytest.mark.parametrize('convert', [rgb_to_lab, lab_to_rgb])
def test_float32_under_autocast(convert, half):
    x = rgb_samples() if convert is rgb_to_lab else rgb_to_lab(rgb_samples())
    expected = convert(x)
    with torch.autocast('cpu', half):
        out = convert(x)
    assert out.dtype == torch.float32
    assert torch.equal(out, expected)
    rounded = convert(x.to(half))
    assert rounded.dtype == torch.float32
    assert torch.equal(rounded, convert(x.to(half).float()))


@pytest.mark.parametrize('convert', [rgb_to_lab, lab_to_rgb])
@pytest.mark.parametrize(
    ('x', 'said'),
    [
        (torch.zeros(3, 4, 4, dtype=torch.uint8), 'torch.uint8'),
        (torch.zeros(1, 4, 4), '(1, 4, 4)'),
        (torch.zeros(4, 4, 3), '(4, 4, 3)'),
        (torch.zeros(3, 4), '(3, 4)'),
    ],
)
def test_a_wrong_image_is_described(convert, x, said):
    with pytest.raises(ValueError, match='must be a floating point tensor of shape') as info:
        convert(x)
    assert said in str(info.value)


@pytest.mark.parametrize(('dtype', 'levels'), [(np.uint8, 256), (np.uint16, 65536)])
def test_lightness_from_the_table_is_scikit_image_s(dtype, levels):
    rgb = np.random.default_rng(0).integers(0, levels, (40, 50, 3)).astype(dtype)
    rgb[0] //= 16  # dark
    luminance = torch.from_numpy(linear_table(levels).numpy()[rgb]) @ luminance_weights()
    expected = color.rgb2lab(rgb / (levels - 1))[..., 0]
    np.testing.assert_allclose(lightness_of(luminance), expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize('darkest', [0, 250])
def test_bytes_are_scikit_image_s_in_gamut(darkest):
    rgb = np.random.default_rng(0).integers(darkest, 256, (60, 200, 3), dtype=np.uint8)
    lab = torch.from_numpy(color.rgb2lab(rgb)).float().permute(2, 0, 1)
    out = join_lightness_to_bytes(lab[0], lab[1:], encoding_table())
    assert out.dtype == torch.uint8
    expected = color.lab2rgb(lab.double().permute(1, 2, 0).numpy()) * 255
    np.testing.assert_allclose(out, expected, rtol=0, atol=0.53)


def test_bytes_keep_luminance_out_of_gamut():
    lab = torch.rand(3, 60, 200) * torch.tensor([100, 255, 255])[:, None, None]
    lab[1:] -= 128
    out = join_lightness_to_bytes(lab[0], lab[1:], encoding_table()).numpy()
    gray = join_lightness_to_bytes(lab[0], 0 * lab[1:], encoding_table()).numpy()
    y = color.rgb2xyz(out)[..., 1]
    # No more than what rounding each channel to a byte can do to the gray.
    levels = np.arange(256)[:, None].repeat(3, axis=1) / 255
    step = np.gradient(color.rgb2xyz(levels)[:, 1])[gray[..., 0]]
    assert (np.abs(y - color.rgb2xyz(gray)[..., 1]) / step).max() < 1.5


def test_color_out_of_gamut_is_mixed_with_its_gray_in_linear_light():
    lab = torch.tensor([60.0, 90.0, -110.0])[:, None, None]
    out = join_lightness_to_bytes(lab[0], lab[1:], encoding_table())[0, 0]
    xyz = color.lab2xyz(lab[:, 0, 0].double().numpy())
    linear, y = np.linalg.inv(color.colorconv.xyz_from_rgb) @ xyz, xyz[1]
    for share in np.linspace(1, 0, 10_001):  # the first that fits
        mixed = y + share * (linear - y)
        if mixed.min() >= 0 and mixed.max() <= 1:
            break
    expected = np.where(mixed > 0.0031308, 1.055 * mixed ** (1 / 2.4) - 0.055, 12.92 * mixed) * 255
    np.testing.assert_allclose(out, expected, rtol=0, atol=0.6)


def test_bytes_of_grays_are_exact():
    codes = torch.arange(256, dtype=torch.uint8)
    lightness = lightness_of(linear_table(256))[None]
    out = join_lightness_to_bytes(lightness, torch.zeros(2, 1, 256), encoding_table())
    assert torch.equal(out, codes[None, :, None].expand(1, 256, 3))
