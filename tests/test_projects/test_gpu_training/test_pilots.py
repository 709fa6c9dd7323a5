"""Pilots: short training runs of equal length for variants of a config, on a few photos."""

import json

import numpy as np
import pytest
from PIL import Image
from processes import FORKED
from tiny import GENERATOR

from dualattn_mm.utils.configs_dir import configs_dir
from projects.benchmark import training
from projects.gpu_training import pilots


@pytest.fixture
def config(tmp_path):
    """The recipe with a tiny network."""
    for folder in ('train', 'held_out'):
        (tmp_path / folder).mkdir()
        for i in range(4):
            pixels = np.random.default_rng(i).integers(0, 256, (40, 50, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / folder / f'{i}.png')
    path = tmp_path / 'small.py'
    base = configs_dir() / 'mmagic' / 'color_dualattn_mini.py'
    path.write_text(f"""
_base_ = {str(base)!r}
model = dict(generator=dict(_delete_=True, **{dict(GENERATOR, image_size=32)!r}), train_sizes=(32,))
train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False)
test_dataloader = dict(num_workers=0, dataset=dict(pipeline=[
    dict(type='LoadPhoto'), dict(type='ColorizationSquash', size=32), dict(type='PackColorization'),
]))
""")
    return path


@pytest.mark.slow
def test_variants_of_a_config_get_a_table_of_held_out_figures(
    config, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(training, 'subprocess', FORKED)
    words = [config, '--train', tmp_path / 'train', '--held-out', tmp_path / 'held_out']
    words += ['--steps', '2', '--only', 'config', 'neutral', '-o', tmp_path / 'out']
    assert pilots.main(list(map(str, words))) == 0
    out = capsys.readouterr().out
    assert 'neutral' in out
    assert 'PSNR_over_gray' in out
    content = json.loads((tmp_path / 'out' / 'results.json').read_text())
    for row in content['rows']:
        run = row['runs']['0']
        assert run['steps'] == 2
        assert all(0 <= run[name] <= 1 for name in ('hue', 'tinge', 'dull'))
        assert abs(run['PSNR_over_gray']) < 20


def test_another_setting_wants_another_folder(config, tmp_path, capsys):
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / 'pilot.py').write_text('a = 1')
    words = [config, '--train', tmp_path / 'train', '--held-out', tmp_path / 'held_out']
    assert pilots.main(list(map(str, [*words, '--steps', '2', '-o', tmp_path / 'out']))) == 2
    assert 'choose another folder' in capsys.readouterr().err
