"""The demo from end to end: real photos and training loop, with few steps and pixels."""

import numpy as np
import pytest
import torch
from PIL import Image

from dualattn_mm import Colorizer
from dualattn_mm.apis import ColorizationPipeline
from dualattn_mm.utils.configs_dir import configs_dir
from tools import demo

NAMES = ['astronaut', 'chelsea', 'china', 'coffee', 'flower', 'rocket']


@pytest.fixture
def short(tmp_path, monkeypatch):
    """Make the demo's config one of two steps; returns a function that changes it further.

    The photos have a sixteenth of their pixels.
    """

    base = configs_dir() / demo.CONFIG
    config = tmp_path / 'short.py'

    def write(more=''):
        config.write_text(
            f'_base_ = {str(base)!r}\n'
            'max_iters = 2\n'
            'train_cfg = dict(max_iters=2)\n'
            'model = dict(generator=dict(image_size=64))\n'
            'pipeline = [dict(type="LoadPhoto"), dict(type="ColorizationCrop", size=64),\n'
            '    dict(type="PackColorization")]\n'
            'train_dataloader = dict(batch_size=2, dataset=dict(pipeline=pipeline))\n'
            'default_hooks = dict(checkpoint=dict(interval=1))\n' + more
        )
        monkeypatch.setattr(demo, 'CONFIG', config)

    photos = {name: photo[::4, ::4] for name, photo in demo.packaged_photos().items()}
    monkeypatch.setattr(demo, 'packaged_photos', lambda: photos)
    write()
    return write


def test_with_the_weights_that_ship(tmp_path, capsys):
    demo.run_demo(tmp_path)
    rows = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()[2:8]}
    assert sorted(rows) == NAMES
    for name, row in rows.items():
        assert float(row[3]) > 5, name  # colorfulness
        assert (tmp_path / 'colorized' / f'{name}.png').is_file()


@pytest.mark.slow
def test_training_from_nothing_and_again(tmp_path, short, capsys):
    out = tmp_path / 'out'
    demo.train_demo(out)
    printed = capsys.readouterr().out
    for name in NAMES:
        original = Image.open(out / 'photos' / f'{name}.png')
        colorized = Image.open(out / 'colorized' / f'{name}.png')
        assert colorized.size == original.size
        assert colorized.mode == 'RGB'
        assert Image.open(out / 'gray' / f'{name}.png').mode == 'L'
        row = next(line for line in printed.splitlines() if line.startswith(name))
        figures = [float(word) for word in row.split()[1:]]
        assert len(figures) == 5
        assert figures[2] == 0 < figures[4]  # the gray input has no color, the original has
    sheet = np.asarray(Image.open(out / 'gallery.png'))
    assert sheet.shape[0] > 6 * 240
    assert np.ptp(sheet.astype(int), axis=2).max() > 100  # the originals' colors are in it
    assert str(out / 'gallery.png') in printed

    weights = out / 'mpt.safetensors'
    before = weights.read_bytes()
    ColorizationPipeline(weights)  # they describe their own network
    demo.train_demo(out)
    assert 'complete' in capsys.readouterr().out
    assert weights.read_bytes() == before
    weights.write_bytes(b'of an earlier training')
    demo.train_demo(out, fresh=True)
    ColorizationPipeline(weights)
    assert 'complete' not in capsys.readouterr().out


@pytest.mark.parametrize(
    ('checkpoint', 'said'),
    [
        (None, 'before the first checkpoint: run it again to start from the beginning'),
        ('iter_40.pth', 'interrupted: run it again to continue from iter_40.pth'),
    ],
)
def test_message_after_ctrl_c_matches_the_next_run(tmp_path, monkeypatch, capsys, checkpoint, said):
    def interrupted(outdir, fresh):
        (outdir / 'training').mkdir(parents=True)
        if checkpoint:
            pointer = outdir / 'training' / 'last_checkpoint'
            pointer.write_text(str(pointer.with_name(checkpoint)))
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, 'train_demo', interrupted)
    monkeypatch.setattr(demo, '__file__', str(tmp_path / 'tools' / 'demo.py'))
    monkeypatch.setattr('sys.argv', ['demo.py', '--train'])
    assert demo.main() == 130
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_interrupted_training_resumes(tmp_path, short, capsys, monkeypatch):
    steps = []
    train_step = Colorizer.train_step
    monkeypatch.setattr(
        Colorizer, 'train_step', lambda *args, **kw: steps.append(1) or train_step(*args, **kw)
    )
    short(
        "custom_hooks = [dict(type='PlainCheckpointHook'), dict(type='TimeLimitHook', seconds=0)]"
    )
    photos, weights = tmp_path / 'photos', tmp_path / 'w.safetensors'
    photos.mkdir()
    Image.new('RGB', (40, 30), 'teal').save(photos / 'x.png')
    demo.train(tmp_path, weights, fresh=False)
    assert '1 of 2 steps' in capsys.readouterr().out
    short()
    demo.train(tmp_path, weights, fresh=False)
    last = torch.load(tmp_path / 'training' / 'iter_2.pth', weights_only=True)
    assert last['meta']['iter'] == 2
    assert len(steps) == 2  # none was taken twice
    counts = {int(state['step']) for state in last['optimizer']['state'].values()}
    assert counts == {2}  # the optimizer's state went on too
