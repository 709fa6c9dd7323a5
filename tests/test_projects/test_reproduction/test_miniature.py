"""The rows of Tables III and IV as small networks, trained for equal times."""

import json
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from PIL import Image
from processes import FORKED

from dualattn_mm.engine.configs import read_config
from projects.benchmark import training
from projects.reproduction import miniature


def test_rows_are_fifteen_networks_of_the_small_config():
    rows = miniature.rows_of_the_paper()
    assert len(rows) == 15
    for name, options in rows.items():
        cfg = read_config(str(miniature.CONFIG), options)
        with torch.device('meta'):
            generator = MODELS.build(cfg.model.generator)
        kinds, queries = ('FCA-SDA', int(name[4:])) if name.startswith('K') else (name, 150)
        assert len(generator.head.queries) == queries
        (block,) = generator.encoder.stages[0].blocks
        assert '-'.join(kind.rstrip('2') for kind, _ in block.named_children()).upper() == kinds


@pytest.fixture
def photos(tmp_path):
    """A folder of three photos of 16 x 16, which are half orange and half blue."""
    folder = tmp_path / 'photos'
    folder.mkdir()
    for i in range(3):
        pixels = np.zeros((16, 16, 3), np.uint8)
        pixels[:, :8], pixels[:, 8:] = (200, 120, 40 + i), (40, 120, 200 + i)
        Image.fromarray(pixels).save(folder / f'{i}.png')
    return folder


def test_psnr_of_one_color_agrees_with_scikit_image(photos):
    from skimage.color import lab2rgb, rgb2lab

    rgb = np.stack([np.asarray(Image.open(path)) / 255 for path in photos.iterdir()])
    lab = rgb2lab(rgb)
    lab[..., 1:] = lab[..., 1:].mean((0, 1, 2))
    error = ((lab2rgb(lab).clip(0, 1) * 255).round() / 255 - rgb) ** 2
    expected = (-10 * np.log10(error.mean((1, 2, 3)))).mean()
    assert miniature.psnr_of_one_color(photos, 16) == pytest.approx(expected, abs=0.01)


@pytest.mark.slow
def test_cheaper_networks_take_more_steps(photos, tmp_path, monkeypatch, capsys):
    def step_seconds(configs):
        assert [cfg.train_dataloader.batch_size for cfg in configs.values()] == [2, 2, 2]
        return dict(zip(configs, (2.0, 1.0, 1.0), strict=True))

    monkeypatch.setattr(miniature, 'step_seconds', step_seconds)
    monkeypatch.setattr(training, 'subprocess', FORKED)
    config = tmp_path / 'tiny.py'
    config.write_text(
        f"""
_base_ = r'{miniature.CONFIG}'
image_size = 32
arch = dict(embed_dims=(24, 24, 24, 24), depths=(1, 1, 1, 1), stem_channels=8)
model = dict(
    generator=dict(
        image_size=image_size,
        encoder=dict(arch=arch),
        neck=dict(in_channels=arch['embed_dims'], out_channels=(16, 16, 16)),
        head=dict(in_channels=16, num_layers=1, feedforward_channels=16),
    ),
)
train_dataloader = dict(num_workers=0, persistent_workers=False)
"""
    )
    monkeypatch.setattr(miniature, 'CONFIG', config)
    arguments = [
        '--cfg-options',
        'train_dataloader.batch_size=2',
        '--train',
        photos,
        '--test',
        photos,
    ]
    arguments += ['-o', tmp_path / 'out', '--seconds', 5, '--rows', 'FCA-SDA', 'SDA', 'K = 64']
    assert miniature.main([*map(str, arguments)]) == 0
    assert json.loads((tmp_path / 'out' / 'steps.json').read_text())['steps'] == {
        'FCA-SDA': 2,
        'SDA': 5,
        'K = 64': 5,
    }
    out = capsys.readouterr().out
    (line,) = (line for line in out.splitlines() if line.startswith('| SDA '))
    cells = [cell.strip() for cell in line.split('|')[1:-1]]
    assert (cells[0], cells[1], cells[3]) == ('SDA', '3.95', '5')
    assert 'One color for everything: ' in out
    (log,) = (tmp_path / 'out' / 'SDA').rglob('scalars.json')
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert (tmp_path / 'out' / 'SDA' / 'seed_0' / 'iter_5.pth').is_file()
    assert lines[-1]['PSNR'] == pytest.approx(float(cells[4]), abs=0.01)
    assert miniature.main([*map(str, arguments[:-6]), '--seconds', '6']) == 2
    assert 'has training runs of 5 s' in capsys.readouterr().err


def test_report_compares_the_order_of_the_rows():
    psnr = {'FCA-SDA': 23.0, 'FCA-DA': 22.9, 'SDA': 22.0, 'K = 50': 22.5, 'K = 500': 22.6}
    trained = [
        dict(name=name, parameters=1, runs={0: dict(PSNR=p, ab_error=1, CF=1, Delta_CF=1)})
        for name, p in psnr.items()
    ]
    text = miniature.report(trained, dict.fromkeys(psnr, 9), 21.5)
    assert 'Table III: rank correlation of FID and minus PSNR here 1.00' in text
    assert 'Table IV: rank correlation of FID and minus PSNR here 1.00' in text
    assert 'One color for everything: 21.50 dB; the best row, FCA-SDA: 23.00 dB.' in text


@pytest.mark.slow
def test_step_is_timed_for_each_network(monkeypatch):
    colorizer = MODELS.get('Colorizer')
    seconds, steps, train_step = 0.0, Counter(), colorizer.train_step

    def timed_step(model, data, wrapper):
        nonlocal seconds
        batch = len(data['inputs'])
        steps[batch] += 1
        # Slow at first, when memory is allocated, and later when the machine is busy.
        seconds += 100 if steps[batch] in (1, 2, 4, 6) else batch
        return train_step(model, data, wrapper)

    clock = SimpleNamespace(process_time=lambda: seconds, perf_counter=lambda: seconds)
    monkeypatch.setattr(miniature, 'time', clock)
    monkeypatch.setattr(colorizer, 'train_step', timed_step)
    configs = {
        name: Config(
            dict(
                image_size=32,
                train_dataloader=dict(batch_size=batch),
                model=read_config(str(miniature.CONFIG)).model,
                optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-3)),
            )
        )
        for name, batch in (('small', 1), ('large', 12))
    }
    assert miniature.step_seconds(configs) == {'small': 1, 'large': 12}
