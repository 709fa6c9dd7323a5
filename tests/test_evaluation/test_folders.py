"""tools/measure.py and tools/colorfulness.py on small folders."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

TOOLS = Path(__file__).parents[2] / 'tools'


@pytest.fixture
def folders(tmp_path, rng):
    """Two originals, and two methods' results of them, one in another format."""
    photo = data.astronaut()
    (tmp_path / 'truth' / 'sub').mkdir(parents=True)
    for name, crop in {'a.png': photo[:40, 100:160], 'sub/b.png': photo[50:90, :50]}.items():
        for folder, sigma in {'truth': 0, 'near': 5, 'far': 40}.items():
            noisy = (crop + rng.normal(0, sigma, crop.shape)).round().clip(0, 255).astype(np.uint8)
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noisy).save(path)
    Image.open(tmp_path / 'far' / 'a.png').save(tmp_path / 'far' / 'a.bmp')
    (tmp_path / 'far' / 'a.png').unlink()
    return tmp_path


@pytest.fixture
def tool(monkeypatch, run_script, folders):
    """Calls a tool in this process, in the folder; gives status, stdout and stderr."""

    def call(name, *words):
        monkeypatch.chdir(folders)
        return run_script(TOOLS / name, *words)

    return call


def test_a_row_per_method(tool, folders):
    words = ['truth', 'near=near', 'far=far', '--out', 'out/figures.json']
    status, stdout, stderr = tool('measure.py', *words)
    assert status == 0, stderr
    result = json.loads((folders / 'out' / 'figures.json').read_text())
    for method, suffix in (('near', 'png'), ('far', 'bmp')):
        pairs = [
            ('truth/a.png', f'{method}/a.{suffix}'),
            ('truth/sub/b.png', f'{method}/sub/b.png'),
        ]
        pixels = [[np.array(Image.open(folders / path)) for path in pair] for pair in pairs]
        expected = np.mean([peak_signal_noise_ratio(*pair) for pair in pixels])
        metrics = result['methods'][method]['metrics']
        assert metrics['PSNR'] == pytest.approx(expected, abs=1e-3)
        names = 'CF CF_truth Delta_CF PSNR PSNR_over_gray SSIM ab_error hue tinge dull'
        assert list(metrics) == names.split()
        assert metrics['CF'] == pytest.approx(np.mean([cv_colorfulness(p) for _, p in pixels]))
        (row,) = [line for line in stdout.splitlines() if f' {method} ' in line]
        assert f'{metrics["PSNR"]:.2f}' in row
        assert f'{metrics["SSIM"]:.4f}' in row


def test_another_size_needs_size(tool, folders):
    picture = Image.open(folders / 'near' / 'a.png')
    picture.resize((30, 20)).save(folders / 'near' / 'a.png')
    status, _, stderr = tool('measure.py', 'truth', 'near=near')
    assert status == 2
    assert stderr.startswith('error: near/a.png is 30x20, but truth/a.png is 60x40: use --size')
    status, stdout, _ = tool('measure.py', 'truth', 'near=near', '--size', '16')
    assert status == 0
    assert ' near ' in stdout


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['truth', 'x=nix'], 'error: folder nix does not exist'),
        (['truth', 'x=empty'], 'error: no image in empty or its subfolders'),
        (['truth', 'x=far/sub'], 'error: x (far/sub): 2 of 2 are missing (a, sub/b); 1 have no'),
        (['far/sub', 'x=far'], 'x (far): 1 of 1 are missing (b); 2 have no original in far/sub ('),
        (['truth', 'x=far', '--fid-weights', 'nix.pth'], 'error: nix.pth does not exist'),
        (
            ['truth', 'x=far', '--lpips', '--lpips-weights', 'nix.pth'],
            'error: nix.pth does not exist',
        ),
        (['truth', 'x=far', '--out', 'far'], 'error: far is a folder: pass the path of a file'),
        (['double', 'x=far'], 'double/a.bmp and double/a.png differ only in their suffix'),
        (['broken', 'x=broken'], 'error: broken/a.png: not a JPEG'),
    ],
)
def test_errors_of_use_are_reported_in_one_line(tool, folders, words, message):
    for name in ('empty', 'double', 'broken'):
        (folders / name).mkdir()
    for name in ('double/a.bmp', 'double/a.png'):
        Image.new('RGB', (12, 12)).save(folders / name)
    (folders / 'broken' / 'a.png').write_text('no photo')
    status, _, stderr = tool('measure.py', *words)
    assert status == 2
    assert message in stderr
    assert stderr.count('\n') == 1


@pytest.mark.parametrize(
    'words', [['truth', 'x'], ['truth', 'x=a', 'x=b'], ['truth', 'x=a', '--size=0']]
)
def test_words_that_cannot_be_used(tool, words):
    assert tool('measure.py', *words)[0] == 2


def cv_colorfulness(pixels, change=lambda x: x):
    red, green, blue = cv2.split(pixels.astype(float))
    rg, yb = change(red - green), change(0.5 * (red + green) - blue)
    (means, deviations) = zip(*(cv2.meanStdDev(channel) for channel in (rg, yb)), strict=True)
    return np.linalg.norm(deviations) + 0.3 * np.linalg.norm(means)


def test_colorfulness_of_a_folder(tool, folders):
    pixels = [np.array(Image.open(p)) for p in (folders / 'truth').rglob('*.png')]
    assert len(pixels) == 2
    expected = np.mean([cv_colorfulness(p) for p in pixels])
    assert tool('colorfulness.py', 'truth') == (0, f'CF {expected:.2f} (signed), 2 images\n', '')
    expected = np.mean([cv_colorfulness(p, np.abs) for p in pixels])
    _, stdout, _ = tool('colorfulness.py', 'truth', '--variant', 'absolute')
    assert stdout == f'CF {expected:.2f} (absolute), 2 images\n'


def test_images_that_colorformer_skips_are_not_counted(tool, folders):
    Image.new('RGB', (9, 9), (90, 90, 90)).save(folders / 'truth' / 'gray.png')
    pixels = [np.array(Image.open(folders / 'truth' / name)) for name in ('a.png', 'sub/b.png')]
    expected = np.mean([cv_colorfulness(p, np.abs) for p in pixels])
    _, stdout, _ = tool('colorfulness.py', 'truth', '--variant', 'colorformer')
    assert stdout == f'CF {expected:.2f} (colorformer), 2 of 3 images\n'
    _, stdout, _ = tool('colorfulness.py', 'truth', '--variant', 'absolute')
    assert stdout.endswith(', 3 images\n')


def test_colorfulness_of_squashed_pictures(tool, folders):
    # Stripes one pixel wide are gray when they are averaged.
    stripes = np.zeros((12, 12, 3), np.uint8)
    stripes[:, ::2], stripes[:, 1::2] = (200, 0, 100), (0, 200, 100)
    (folders / 'stripes').mkdir()
    Image.fromarray(stripes).save(folders / 'stripes' / 'x.png')
    assert tool('colorfulness.py', 'stripes')[1].startswith('CF 200.00 ')
    value = float(tool('colorfulness.py', 'stripes', '--size', '3')[1].split()[1])
    assert value < 40


def test_pictures_that_cannot_be_read_are_reported(tool, folders):
    (folders / 'truth' / 'c.jpg').write_bytes(b'no photo')
    status, stdout, stderr = tool('colorfulness.py', 'truth')
    assert status == 1
    assert stdout.endswith('2 images\n')
    assert re.fullmatch('truth/c.jpg: not a JPEG, PNG, .* or HEIC image\n', stderr)
    status, _, stderr = tool('colorfulness.py', 'nix')
    assert (status, stderr) == (2, 'error: folder nix does not exist\n')
    (folders / 'none').mkdir()
    (folders / 'none' / 'c.jpg').write_bytes(b'no photo')
    status, _, stderr = tool('colorfulness.py', 'none')
    assert status == 2
    assert stderr.startswith('error: no image in none can be read: none/c.jpg')
