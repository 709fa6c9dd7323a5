"""`dualattn colorize` on a GPU against the CPU, with TF32 in cuDNN as users have it."""

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut, chelsea, coffee

from dualattn_mm.apis import ColorizationPipeline
from dualattn_mm.cli.main import main

pytestmark = pytest.mark.gpu


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
    """Photos of different sizes, more than a batch."""
    folder = tmp_path_factory.mktemp('photos')
    for photo in (astronaut, chelsea, coffee):
        gray = Image.fromarray(photo()).convert('L')
        gray.save(folder / f'{photo.__name__}.png')
        gray.rotate(90, expand=True).save(folder / f'{photo.__name__}-turned.png')
    return folder


def test_colorized_photos_equal_the_cpu_s(photos, device, tmp_path):
    folders = {tmp_path / 'expected': 'cpu', tmp_path / 'found': str(device)}
    for folder, name in folders.items():
        argv = ['colorize', photos, '-o', folder, '--device', name, '--batch-size', '4']
        assert main(list(map(str, argv))) == 0
    paths = list((tmp_path / 'found').iterdir())
    assert len(paths) == 6
    for path in paths:
        found, expected = (
            np.asarray(Image.open(folder / path.name)).astype(int)
            for folder in (tmp_path / 'found', tmp_path / 'expected')
        )
        assert np.ptp(expected, axis=2).max() > 40, 'a colorful result'
        assert np.abs(found - expected).max() <= 1


def test_kernels_are_drawn(photos, device, tmp_path):
    from dualattn_mm.visualization.kernels import visualize_kernels

    pipe = ColorizationPipeline(device=str(device))
    shown = visualize_kernels(pipe, photos / 'chelsea.png', tmp_path / 'k.png', strongest=2)
    assert len(shown) == 2
    assert Image.open(tmp_path / 'k.png').size[0] > 400
