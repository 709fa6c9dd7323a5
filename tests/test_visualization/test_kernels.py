"""The figure of color kernels, against the head with all other kernels set to zero."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS
from PIL import Image
from tiny import GENERATOR

from dualattn_mm.apis import ColorizationPipeline, ColorizeError
from dualattn_mm.models import ColorAttention
from dualattn_mm.visualization.kernels import kernels_of, visualize_kernels

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'visualize_kernels.py'


@pytest.fixture
def head():
    torch.manual_seed(0)
    head = ColorAttention(16, num_queries=5, num_layers=2, num_heads=2, feedforward_channels=32)
    with torch.no_grad():
        head.to_ab.bias.normal_()
    return head.eval()


@pytest.fixture
def pipe():
    torch.manual_seed(0)
    return ColorizationPipeline.from_generator(MODELS.build(GENERATOR), size=64)


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'photo.png')
    return tmp_path / 'photo.png'


def test_kernels_and_bias_add_up_to_the_prediction(head):
    x = torch.randn(1, 16, 9, 7)
    with torch.no_grad():
        parts = kernels_of(head, x)
        expected = head(x)[0]
    torch.testing.assert_close(parts.colors.sum(0) + parts.bias, expected)


def test_kernel_part_is_the_difference_without_it(head):
    x = torch.randn(1, 16, 6, 8)
    with torch.no_grad():
        parts = kernels_of(head, x)
        whole = head(x)[0]
        kernels = head.color_kernels(x)[0]
        for k in range(5):
            activation = (kernels[k].view(-1, 1, 1) * x[0]).sum(0)
            torch.testing.assert_close(parts.activations[k], activation, rtol=1e-4, atol=1e-4)
            kept = head.to_ab.weight.clone()
            head.to_ab.weight[:, k] = 0
            difference = whole - head(x)[0]
            head.to_ab.weight.copy_(kept)
            torch.testing.assert_close(parts.colors[k], difference, rtol=1e-3, atol=1e-4)


def test_the_strongest_are_drawn_in_their_order(pipe, photo, tmp_path):
    with torch.no_grad():
        for k, factor in ((6, 50.0), (3, 10.0)):
            pipe.generator.head.to_ab.weight[:, k] *= factor
    drawn = visualize_kernels(pipe, photo, tmp_path / 'k.png', strongest=2, height=30)
    assert drawn == [6, 3]


def test_figure_has_a_column_per_kernel_and_its_heat(pipe, photo, tmp_path):
    out = tmp_path / 'new' / 'k.png'
    assert visualize_kernels(pipe, photo, out, kernels=(4, 1, 0), height=100) == [4, 1, 0]
    with Image.open(out) as sheet:
        pixels = np.asarray(sheet.convert('RGB')).astype(int)
    # Five columns of 150 pixels, 8 apart.
    assert sheet.width == 5 * 150 + 6 * 8

    def place(column, row):
        top, left = 24 + 8 + row * 132, 8 + column * 158
        return pixels[top : top + 100, left : left + 150]

    gray = place(0, 0)
    assert np.ptp(gray, axis=2).max() <= 1
    # The kernel's map decides between red and blue in the heat: they go together.
    photo_of = pipe.prepare(Image.open(photo))
    seen = []
    hook = pipe.generator.head.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    pipe.predict([photo_of])
    hook.remove()
    with torch.no_grad():
        kernels = pipe.generator.head.color_kernels(seen[0])[0]
    activation = torch.einsum('c,chw->hw', kernels[4], seen[0][0])[None, None]
    activation = torch.nn.functional.interpolate(activation, (100, 150), mode='bilinear')
    heat = place(2, 0)
    redness = (heat[..., 0] - heat[..., 2]).ravel()
    assert np.corrcoef(redness, activation.numpy().ravel())[0, 1] > 0.8


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(kernels=(0, 8)), 'there is no kernel 8: the kernels are 0 to 7'),
        (dict(kernels=(-1,)), 'there is no kernel -1'),
        (dict(strongest=9), 'cannot show 9 kernels: the network has 8'),
        (dict(strongest=0), 'cannot show 0 kernels'),
        (dict(output='k.jpg'), r'k\.jpg must end in \.png'),
        (dict(output='photo.png'), 'would be overwritten'),
        (dict(image='none.png'), r'none\.png'),
    ],
)
def test_wrong_use_is_reported_and_writes_nothing(pipe, photo, tmp_path, change, message):
    paths = {k: tmp_path / v for k, v in change.items() if k in ('image', 'output')}
    before = photo.read_bytes()
    args = dict(dict(image=photo, output=tmp_path / 'k.png'), **change) | paths
    with pytest.raises(ColorizeError, match=message) as error:
        visualize_kernels(pipe, **args)
    assert '\n' not in str(error.value)
    assert sorted(tmp_path.iterdir()) == [photo]
    assert photo.read_bytes() == before


def test_another_head_has_no_kernels(photo, tmp_path):
    pipe = ColorizationPipeline.from_generator(torch.nn.Conv2d(1, 2, 1), size=32)
    with pytest.raises(ColorizeError, match='no color kernels'):
        visualize_kernels(pipe, photo, tmp_path / 'k.png')


def test_the_tool_draws_the_first_four_with_the_weights_that_ship(
    photo, tmp_path, run_script, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    status, said, _ = run_script(TOOL, 'photo.png', '--device', 'cpu')
    assert status == 0
    assert said == 'kernels 0, 1, 2, 3 -> photo_kernels.png\n'
    assert Image.open('photo_kernels.png').format == 'PNG'
    status, _, said = run_script(TOOL, 'photo.png', '--kernels', 64)
    assert (status, said.count('\n')) == (2, 1)
    assert 'there is no kernel 64' in said
