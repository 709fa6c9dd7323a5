"""The baselines of the model card, against scikit-image and calculations by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.color import lab2rgb, rgb2lab
from skimage.data import astronaut, coffee
from tiny import GENERATOR

from dualattn_mm.apis import ColorizationPipeline, save_generator
from dualattn_mm.evaluation import ColorizationHue
from dualattn_mm.utils.errors import UserError
from projects.model_card.baselines import (
    OneColor,
    choose_saturation,
    colorize_folder,
    mean_color,
    untrained,
)

TOOL = Path(__file__).resolve().parents[3] / 'projects' / 'model_card' / 'measure_weights.py'
TINY = dict(GENERATOR, image_size=32, saturation=1.5)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / 'data' / 'photos'
    (folder / 'sub').mkdir(parents=True)
    Image.fromarray(astronaut()[::4, ::4]).save(folder / 'a.png')
    Image.fromarray(coffee()[::4, ::5]).save(folder / 'sub' / 'b.png')
    return folder


class Faded(torch.nn.Module):
    """The true colors of one image at some strength: what the best network would give."""

    def __init__(self, image, strength):
        super().__init__()
        lab = rgb2lab(image)[..., 1:].transpose(2, 0, 1) * strength
        self.ab = torch.from_numpy(lab).float()

    def forward(self, lightness):
        size = lightness.shape[2:]
        return torch.nn.functional.interpolate(self.ab[None], size).expand(len(lightness), 2, *size)


def test_mean_color(photos):
    expected = np.mean(
        [
            rgb2lab(np.asarray(Image.open(path).resize((64, 64), Image.Resampling.BILINEAR)))[
                ..., 1:
            ].mean((0, 1))
            for path in photos.rglob('*.png')
        ],
        axis=0,
    )
    np.testing.assert_allclose(mean_color([photos]), expected, atol=0.1)
    np.testing.assert_allclose(mean_color([photos, photos]), expected, atol=0.1)


def test_one_color_in_a_folder(photos, tmp_path):
    pipe = ColorizationPipeline.from_generator(OneColor(20.0, -10.0), size=32)
    colorize_folder(pipe, photos, tmp_path / 'out')
    result = np.asarray(Image.open(tmp_path / 'out' / 'sub' / 'b.png'))
    assert result.shape == np.asarray(Image.open(photos / 'sub' / 'b.png')).shape
    lab = rgb2lab(result)
    middle = (lab[..., 0] > 40) & (lab[..., 0] < 70)
    assert np.abs(lab[middle][:, 1:] - (20, -10)).max() < 1.5


def test_untrained_is_the_same_again_and_leaves_the_random_state():
    state = torch.get_rng_state()
    first, second, other = untrained(TINY), untrained(TINY), untrained(TINY, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.head.queries, second.head.queries)
    assert not torch.equal(first.head.queries, other.head.queries)


def test_choose_saturation(photos):
    path = photos / 'a.png'
    image = np.asarray(Image.open(path))

    def chosen(strength, candidates):
        pipe = ColorizationPipeline.from_generator(Faded(image, strength), size=128)
        return choose_saturation(pipe, [path], candidates)

    # At twice the true colors the image is as far off as gray is, and too colorful before that.
    assert chosen(1.0, [0.5, 0.9, 1.3, 1.8]) == 0.9
    assert chosen(0.5, [1.0, 1.8, 2.6]) == 1.8
    # The opposite colors are worse than gray at any strength.
    with pytest.raises(UserError, match='gray'):
        chosen(-1.0, [0.5, 1.0])


def test_hue():
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, (16, 16))
    chroma = rng.choice([8.0, 25.0], (16, 16))

    def image(shift, factor):
        lab = np.full((16, 16, 3), 60.0)
        lab[..., 1] = factor * chroma * np.cos(angle + shift)
        lab[..., 2] = factor * chroma * np.sin(angle + shift)
        return torch.from_numpy(lab2rgb(lab) * 255).permute(2, 0, 1).float()

    def hue(prediction, **kwargs):
        metric = ColorizationHue(**kwargs)
        metric.process(None, [dict(pred_img=prediction, gt_img=image(0, 1))])
        return metric.evaluate(1)['hue']

    assert hue(image(0, 1)) == 1
    assert hue(image(0, 0.5)) == 1
    assert hue(image(np.pi, 1)) == 0
    assert hue(image(0, 0)) == 0  # gray
    assert hue(image(np.radians(20), 1)) == 1
    assert hue(image(np.radians(40), 1)) == 0
    assert hue(image(np.radians(40), 1), tolerance=60) == 1
    half = image(np.pi, 1)
    half[:, :8] = image(0, 1)[:, :8]
    strong = chroma == 25
    assert hue(half) == pytest.approx(strong[:8].sum() / strong.sum(), abs=0.02)
    assert hue(half, least_chroma=1) == pytest.approx(0.5, abs=0.02)


def test_tool(photos, tmp_path, run_script):
    weights, config = tmp_path / 'w.safetensors', tmp_path / 'config.py'
    save_generator(weights, untrained(TINY, seed=3), TINY)
    # The file's own saturation counts, not the config's.
    config.write_text(f'model = dict(type="Colorizer", generator={dict(TINY, saturation=1)!r})')
    common = (weights, '--config', config, '--train', photos)
    beside = photos.with_name('beside')  # of the same parent
    beside.mkdir()
    Image.fromarray(astronaut()[::8, ::8]).save(beside / 'a.png')
    words = ('--test', photos, beside, '-o', tmp_path / 'out')
    status, out, err = run_script(TOOL, *common, *words)
    assert status == 0, err
    assert 'saturation 1.5' in out
    figures = json.loads((tmp_path / 'out' / 'figures.json').read_text())
    assert list(figures) == [str(photos), str(beside)]
    assert len(list((tmp_path / 'out').rglob('a.png'))) == 2 * 5
    rows, others = figures.values()
    assert rows['gray']['CF_truth'] != others['gray']['CF_truth']
    gray, one_color, random, plain, strong = rows.values()
    assert gray['CF'] < 0.1
    assert gray['hue'] == 0
    assert len({row['PSNR'] for row in rows.values()}) == 5
    assert one_color['ab_error'] < gray['ab_error']
    assert random['CF_truth'] == plain['CF_truth'] > 30
    assert strong['CF'] > plain['CF']

    assert run_script(TOOL, *common)[0] == 2
    status, _, err = run_script(TOOL, *common, '--test', 'none', '-o', tmp_path / 'out')
    assert (status, err.splitlines()[-1]) == (2, 'error: folder none does not exist')
