"""The command line from end to end, on tiny images."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dualattn_mm.models import DualAttention
from projects.benchmark import cli, peers
from projects.benchmark.memory import peak_memory
from projects.benchmark.peers import BEV_CASES, NETWORKS, Case

ROOT = Path(__file__).parents[3]
QUICK = ['--repeats', '2', '--min-seconds', '0', '--device', 'cpu']


def run(*args):
    return cli.main([str(arg) for arg in args])


def read(folder):
    return json.loads((folder / 'results.json').read_text())


@pytest.fixture
def two(monkeypatch, tiny):
    """Two tiny networks in place of the backbones; returns a function that changes the second."""

    def put(second):
        monkeypatch.setitem(NETWORKS, 'backbone', {'ours': tiny('ours'), 'peer': second})

    put(tiny('peer'))
    return put


def test_backbone(tmp_path, capsys, two):
    settings = ['--dtypes', 'bfloat16', '--batch-sizes', 1, 3, '--train-batch-sizes', 2]
    assert run('backbone', *QUICK, *settings, '--side', 8, '--sizes', 8, 16, '-o', tmp_path) == 0
    out, err = capsys.readouterr()
    assert err == ''
    assert out.count('x ours') == 2 + 1 + 1  # inference at two batch sizes, training, 16 x 16
    assert 'cost per pixel' in out
    assert max(len(line) for line in out.splitlines()) <= 110

    results = read(tmp_path)
    assert results['task'] == 'backbone'
    assert results['command'][:2] == ['projects/benchmark/run.py', 'backbone']
    assert results['machine']['packages']['torch']
    assert results['machine']['threads'] >= 1
    assert len(results['measurements']) == 2 * 4
    for m in results['measurements']:
        assert len(m['seconds']) == 2
        assert m['peak_memory'] > 0
    for name in ('throughput.png', 'cost_vs_size.png'):
        Image.open(tmp_path / name).verify()


def test_no_sweep(tmp_path, capsys, two):
    assert run('backbone', *QUICK, '--modes', 'train', '--side', 8, '--sizes', '-o', tmp_path) == 0
    assert 'cost per pixel' not in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {'results.json', 'throughput.png'}


def test_images_that_are_no_squares(tmp_path, capsys, two):
    options = ['--modes', 'train', '--train-batch-sizes', 2, '--side', 8, '-o', tmp_path]
    assert run('backbone', *QUICK, *options, '--sizes', '30x20', 8, '8x16') == 0
    cases = [m['setting']['case'] for m in read(tmp_path)['measurements']]
    assert [(c['height'], c['width']) for c in cases[::2]] == [(8, 8), (8, 16), (30, 20)]
    assert {m['setting']['mode'] for m in read(tmp_path)['measurements']} == {'train'}
    sweep = capsys.readouterr().out.split('cost per pixel')[1]
    assert re.search('8 x 8 .*8 x 16 .*30 x 20', sweep)
    Image.open(tmp_path / 'cost_vs_size.png').verify()


@pytest.mark.parametrize('size', ['8x', '8x8x8', '0x8', 'x'])
def test_sizes_that_are_none(capsys, size):
    with pytest.raises(SystemExit) as ended:
        run('backbone', '--sizes', size)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith('error: argument --sizes: ')


def test_checkpointing_takes_less_memory():
    arch = dict(embed_dims=(32, 32, 32, 32), depths=(2, 2, 2, 2), stem_channels=4)
    image = torch.rand(1, 3, 128, 128)

    def peak(with_cp):
        network = DualAttention(arch, out_indices=(3,), with_cp=with_cp)
        return peak_memory(lambda: network(image)[0].mean().backward(), torch.device('cpu'))

    assert peak(True) < 0.6 * peak(False)


def test_interrupted_run_is_kept(tmp_path, capsys, two, tiny):
    two(tiny('peer', fails_at=6, error=KeyboardInterrupt()))
    assert run('backbone', *QUICK, '-o', tmp_path) == 130
    assert capsys.readouterr().err == 'interrupted: the completed measurements are saved\n'
    assert [len(m['seconds']) for m in read(tmp_path)['measurements']] == [1, 1]


def test_missing_package_is_reported_in_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, 'timm', None)
    names = ['dualattn_tiny', 'timm_davit_tiny', 'timm_swin_tiny']
    options = ['--modes', 'infer', '--batch-sizes', 1, '--side', 32, '--sizes', '-o', tmp_path]
    assert run('backbone', *QUICK, '--models', *names, *options) == 0
    assert capsys.readouterr().err == (
        'timm is not installed (pip install -r requirements/benchmark.txt): '
        'skipping timm_davit_tiny, timm_swin_tiny\n'
    )
    assert [m['network'] for m in read(tmp_path)['measurements']] == ['dualattn_tiny']
    assert run('backbone', *QUICK, '--models', *names[1:], *options) == 1
    assert capsys.readouterr().err.endswith('nothing was measured\n')


@pytest.mark.slow
def test_colorizer(tmp_path, capsys):
    options = ['--models', 'mpt_mini', '--side', 32, '--sizes', 64, '-o', tmp_path]
    assert run('colorizer', *QUICK, '--batch-sizes', 1, *options) == 0
    assert {m['setting']['mode'] for m in read(tmp_path)['measurements']} == {'infer', 'train'}


@pytest.mark.integration
def test_bev(tmp_path, capsys, monkeypatch):
    pytest.importorskip('mmdet3d')
    monkeypatch.setitem(BEV_CASES, 'kitti', Case('kitti', 16, 16, BEV_CASES['kitti'].config))
    options = ['--models', 'dualattn_bev', 'second', '--maps', 'kitti', '-o', tmp_path]
    assert run('bev', *QUICK, *options) == 0
    names = [m['network'] for m in read(tmp_path)['measurements']]
    assert names == ['dualattn_bev', 'second'] * 2


@pytest.mark.integration
def test_detector(tmp_path, capsys, monkeypatch):
    pytest.importorskip('mmdet3d')
    pytest.importorskip('spconv')
    narrow = 'second_dualattn_kitti_narrow_overfit'
    monkeypatch.setitem(peers.DETECTOR_CONFIGS, 'kitti', (narrow, 'there is none'))
    points = np.random.default_rng(0).uniform((0, -40, -3, 0), (70, 40, 1, 1), (2000, 4))
    points.astype(np.float32).tofile(tmp_path / 'frame.bin')
    (tmp_path / 'cut.bin').write_bytes(b'12345')
    options = ['--maps', 'kitti', '--repeats', 1, '--min-seconds', 0, '-o', tmp_path / 'out']
    assert run('detector', *options, '--points', tmp_path / 'frame.bin') == 0
    assert capsys.readouterr().err.startswith('skipping second (kitti, infer, float32')
    (found,) = read(tmp_path / 'out')['measurements']
    assert found['network'] == 'dualattn_bev'
    assert len(found['seconds']) == 1
    for name, said in (('cut', '5 bytes are not a multiple of a point'), ('no', 'does not exist')):
        capsys.readouterr()
        assert run('detector', *options, '--points', tmp_path / f'{name}.bin') == 1
        assert said in capsys.readouterr().err


def test_script_lists_networks(run_script):
    status, out, _ = run_script(ROOT / 'projects' / 'benchmark' / 'run.py', 'backbone', '--list')
    assert status == 0
    assert all(name in out for name in NETWORKS['backbone'])


@pytest.mark.parametrize(
    ('args', 'named'),
    [
        ([], 'backbone'),
        (['backbone', '--models', 'resnet'], 'dualattn_tiny'),
        (['backbone', '--repeats', '0'], 'is not a positive integer'),
        (['backbone', '--min-seconds', 'nan'], 'number of seconds'),
        (['bev', '--side', '64'], '--side'),
        (['bev', '--maps', 'waymo'], 'kitti'),
        (['detector', '--maps', 'kitti'], '--points'),
        (['backbone', '--device', 'cpu', '--dtypes', 'tf32'], 'tf32 needs a CUDA device'),
        (['backbone', '--device', 'cpu', '--executions', 'graph'], 'graph needs a CUDA device'),
        (['gpu', '--seconds', '0'], 'is not a positive integer'),
        (['gpu', '--dry', '--kitti', 'no.bin'], 'the frame no.bin does not exist'),
    ],
)
def test_wrong_use_is_reported_in_one_line(capsys, args, named):
    with pytest.raises(SystemExit) as stop:
        run(*args)
    assert stop.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith('error: ')
    assert err.count('\n') == 1
    assert named in err


def test_folder_that_cannot_be_made(tmp_path, capsys):
    (tmp_path / 'file').touch()
    with pytest.raises(SystemExit) as stop:
        run('backbone', '-o', tmp_path / 'file' / 'out')
    assert stop.value.code == 2
    assert 'cannot create the folder' in capsys.readouterr().err
