"""The command for training on a GPU, as a dry run on the CPU with a few photos."""

import json
import re
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from mmengine.config import Config
from PIL import Image
from processes import FORKED
from skimage.data import astronaut, coffee
from skimage.transform import resize

from dualattn_mm.apis import ColorizationPipeline
from projects.benchmark import training
from projects.gpu_training import run

# Muon orthogonalizes in bfloat16, which most CPUs emulate.
QUICK = 'optim_wrapper.optimizer.ns_steps=1'


@pytest.fixture
def photos(tmp_path):
    """A tar file of six crops of photos, and a folder of two others."""
    for folder, picture, places in (('a', astronaut(), range(6)), ('b', coffee(), range(2))):
        (tmp_path / folder).mkdir()
        for i in places:
            crop = resize(picture[40 * i : 40 * i + 150, 60:260], (60, 80))
            Image.fromarray((255 * crop).astype(np.uint8)).save(tmp_path / folder / f'{i}.png')
    with tarfile.open(tmp_path / 'a.tar', 'w') as archive:
        archive.add(tmp_path / 'a', '.')
    return tmp_path / 'a.tar', tmp_path / 'b'


@pytest.mark.slow
def test_dry_run_from_photos_to_measured_weights(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(run, 'CHECK_STEPS', 2)
    for module in (run, training):
        monkeypatch.setattr(module, 'subprocess', FORKED)
    torch.manual_seed(0)
    teacher = tmp_path / 'teacher.pth'
    torch.save(timm.create_model('lcnet_035').state_dict(), teacher)
    train, test = photos
    out, work = tmp_path / 'out', tmp_path / 'work'
    words = ['--dry', '--seconds', '1', '--held-out', '2', '--teacher', teacher, '-o', out]
    words += ['--photos', train, '--test', test, '--work', work]
    words += ['--cfg-options', 'model.distillation.teacher=lcnet_035', QUICK]
    assert run.main(list(map(str, words))) == 0

    files = {path.name: path for path in out.iterdir()}
    assert sorted(files) == [
        'config.py',
        'figures.json',
        'loss.png',
        'summary.json',
        'train.log',
        'weights.safetensors',
    ]
    summary = json.loads(files['summary.json'].read_text())
    assert (summary['photos'], summary['held_out']) == (4, 2)
    assert summary['steps'] >= 1
    assert summary['check']['photos_per_second'] > 0
    listed = (work / 'train.txt').read_text().split()
    assert len(listed) == len(set(listed)) == 4
    rows = json.loads(files['figures.json'].read_text())[str(test)]
    assert rows['gray']['PSNR'] > 10
    assert all(0 <= row['tinge'] <= 1 for row in rows.values())
    pipe = ColorizationPipeline(files['weights.safetensors'])
    assert pipe.size == summary['image_size']
    assert pipe.generator.saturation == summary['saturation']
    assert Config.fromfile(files['config.py']).model.generator.image_size == pipe.size


@pytest.mark.slow
def test_dry_run_of_a_color_teacher_and_of_its_student(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(run.ROOT)  # where the configs find the other weights
    monkeypatch.setattr(run, 'CHECK_STEPS', 1)
    for module in (run, training):
        monkeypatch.setattr(module, 'subprocess', FORKED)

    def train(name, start, *options):
        folder, out = Path('projects/color_teacher'), tmp_path / name
        words = ['--dry', '--seconds', '1', '--held-out', '2', '--work', tmp_path / f'{name}_work']
        words += ['--config', folder / f'{name}_gpu.py', '--start', start]
        words += ['--photos', photos[1].with_name('a'), '-o', out]
        words += ['--cfg-options', 'train_cfg.max_iters=1', *options]
        assert run.main(list(map(str, words))) == 0
        return out / 'weights.safetensors'

    teacher = train('teacher', 'projects/color_teacher/teacher.safetensors')
    used = f'model.color_distillation.teachers.1.weights={teacher}'
    student = train('student', 'dualattn_mm/assets/mpt_mini.safetensors', used, QUICK)
    assert 'loss_color_distillation' in (tmp_path / 'student/train.log').read_text()
    cfg = Config.fromfile(tmp_path / 'student/config.py')
    assert cfg.model.color_distillation.teachers[1].weights == str(teacher)
    for weights, kind in ((teacher, 'TimmColorizer'), (student, 'MultiscalePyramidTransformer')):
        pipe = ColorizationPipeline(weights)
        assert type(pipe.generator).__name__ == kind
        summary = json.loads((weights.parent / 'summary.json').read_text())
        assert (pipe.size, pipe.generator.saturation) == (
            summary['image_size'],
            summary['saturation'],
        )


def test_held_out_photos_are_in_no_source_and_others_are_repeated(photos, tmp_path, capsys):
    folder = photos[1].parent
    (folder / 'a' / 'damaged.png').write_bytes(b'')
    sources = [folder, folder / 'a', folder / 'b']
    train, held_out = run.split(sources, 1, [1, 3, 1])
    assert not {path.resolve() for path in train} & {path.resolve() for path in held_out}
    assert all(train.count(path) >= 3 for path in train if path.parent.name == 'a')
    assert 'b' in {path.parent.name for path in held_out}
    # Of six good and two damaged photos, seven are chosen, so at least one damaged one is.
    (folder / 'a' / 'broken.png').write_bytes(b'no image')
    capsys.readouterr()
    everything, held_out = run.split([folder / 'a'], 7, [1])
    assert len(everything) == 1
    assert all(path.stem.isdecimal() for path in held_out)
    skipped = capsys.readouterr().out.splitlines()
    assert len(held_out) + len(skipped) == 7
    assert all(re.match(r'skipped .*/(damaged|broken)\.png: ', line) for line in skipped)


def test_a_folder_of_an_earlier_training_is_not_used(photos, tmp_path, capsys):
    work = tmp_path / 'work'
    work.mkdir()
    (work / 'train.txt').touch()
    words = ['--photos', photos[0], '--work', work, '-o', tmp_path / 'out']
    assert run.main(list(map(str, words))) == 2
    assert 'has files, perhaps of another training' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('failing', 'compiled'),
    [({}, True), ({'check_32': 1}, True), ({'check_32': 2}, False)],
    ids=['all at once', 'one after the other', 'eager'],
)
def test_all_sizes_are_compiled_before_giving_up(tmp_path, monkeypatch, failing, compiled):
    calls = Counter()

    def train(tool, config, folder, log, options):
        calls[folder.name] += 1
        if calls[folder.name] <= failing.get(folder.name, 0):
            return 'out of memory'
        lines = folder / 'time' / 'vis_data' / 'scalars.json'
        lines.parent.mkdir(parents=True)
        lines.write_text(json.dumps(dict(time=1.0, data_time=0.1)))
        return ''

    monkeypatch.setattr(run, 'train_with', train)
    cfg = Config(
        dict(
            model=dict(train_sizes=[32, 64], compile=dict(dynamic=False)),
            train_dataloader=dict(batch_size=4),
        )
    )
    found = run.check(cfg, tmp_path / 'config.py', tmp_path)
    assert found['compiled'] == compiled == (cfg.model.compile is not None)
    assert found['check']['photos_per_second'] == 4
    assert calls['check_64'] == 1
    assert calls['check_eager'] == (not compiled)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(photos='none.tar'), 'none.tar is neither a folder nor a tar file'),
        (dict(held_out='6'), 'has only 6 photos, but --held-out is'),
        (dict(repeat='1 2'), '--repeat needs one number per source of --photos: 1'),
        (dict(config='configs/mmagic/color_dualattn_t.py'), 'has no TimeBudgetHook'),
    ],
)
def test_wrong_use_is_reported_in_one_line(photos, tmp_path, capsys, change, message):
    words = dict(photos=str(photos[0]), held_out='2') | change
    options = [
        word
        for name, value in words.items()
        for word in (f'--{name.replace("_", "-")}', *value.split())
    ]
    assert run.main([*options, '-o', str(tmp_path / 'out'), '--work', str(tmp_path / 'work')]) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert message in line
