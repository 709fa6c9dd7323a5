"""The run on a GPU: dry run with networks of one convolution, time limits and targets."""

import json
import math
import os
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from torch import nn

from projects.benchmark import cli, gpu
from projects.benchmark.aims import AIMS, judge
from projects.benchmark.frames import kitti_frame, nuscenes_frame
from projects.benchmark.measure import Effort, Measurement, Results, measure, time_limit
from projects.benchmark.peers import NETWORKS, Case, random_map

ROOT = Path(__file__).parents[3]
BROKEN = 'timm_swin_tiny'


def one_convolution(name, case):
    if name == BROKEN:
        raise RuntimeError('out of memory\nand a long story')
    return nn.Conv2d(3, 2, 3, stride=16)


@pytest.fixture(scope='module')
def dry(tmp_path_factory):
    """The folder of a dry run of the whole plan."""
    out = tmp_path_factory.mktemp('dry')
    with pytest.MonkeyPatch.context() as patch:
        for networks in NETWORKS.values():
            for name, network in networks.items():

                def build(case, name=name):
                    return one_convolution(name, case)

                patch.setitem(networks, name, replace(network, build=build, make_input=random_map))
        # A part of the panels, because all of them take longer than everything else.
        plot = gpu.plots.throughput
        patch.setattr(gpu.plots, 'throughput', lambda found, title: plot(found[:2], title))
        assert cli.main(['gpu', '--dry', '-o', str(out)]) == 0
    return out


@pytest.fixture(scope='module')
def found(dry):
    return json.loads((dry / 'results.json').read_text())


def planned():
    """Yield what a dry run of the plan measures."""
    for section in map(gpu.shrunk, gpu.PLAN):
        for setting in section.settings:
            for name in section.networks:
                if not NETWORKS[section.task][name].large:
                    yield section.subject, setting, name


@pytest.mark.slow
def test_dry_run_measures_the_whole_plan(found):
    expected = {(subject, s.execution, str(s), name) for subject, s, name in planned()}
    measured = set()
    for subject, results in found['subjects'].items():
        for m in results['measurements']:
            s = m['setting']
            assert len(m['seconds']) == 1
            assert s['case']['height'] <= 512
            case = replace(Case.square(1), name=s['case']['name'])
            text = str(gpu.Setting(**s | {'case': case}))
            measured.add((subject, s['execution'], text, m['network']))
    assert measured == {row for row in expected if row[-1] != BROKEN}
    assert found['skipped'] == []
    assert {execution for _, execution, *_ in measured} == {'eager', 'compile', 'graph'}


@pytest.mark.slow
def test_dry_run_names_the_network_that_fails_in_one_line(found, dry):
    left_out = found['subjects']['backbone']['left_out']
    settings = {str(s) for subject, s, name in planned() if subject == 'backbone'}
    assert {left['network'] for left in left_out} == {BROKEN}
    assert {left['reason'] for left in left_out} == {'out of memory'}
    assert {left['setting'] for left in left_out} == settings
    assert f'- {BROKEN} (' in (dry / 'tables.md').read_text()


@pytest.mark.slow
def test_dry_run_compiles_everything_beforehand(found):
    jobs = [(job['network'], job['setting']) for job in found['compiled']]
    assert sorted(jobs) == sorted(
        (name, str(s)) for _, s, name in planned() if s.execution == 'compile'
    )
    assert {job['failure'] for job in found['compiled'] if job['network'] != BROKEN} == {''}


@pytest.mark.slow
def test_dry_run_writes_tables_and_plots(found, dry):
    assert {path.name for path in dry.iterdir()} == {
        'results.json',
        'tables.md',
        *(f'{subject}.png' for subject in gpu.SUBJECTS),
    }
    for path in dry.glob('*.png'):
        Image.open(path).verify()
    tables = (dry / 'tables.md').read_text()
    assert 'the figures mean nothing' in tables
    assert tables.count('\n## ') == 1 + len(gpu.SUBJECTS)
    rows = [line for line in tables.splitlines() if line.startswith('| 2 x 32 x 32 |')]
    assert any('dualattn_tiny' in row for row in rows)


@pytest.mark.slow
def test_dry_run_judges_every_aim(found):
    swin = f'dualattn_tiny at least 1.25 times as fast as {BROKEN}'
    assert [v for v in found['aims'] if v['aim'] == swin] == [
        dict(aim=swin, setting='', figure=[], met=None)
    ]
    for aim in AIMS:
        verdicts = [v for v in found['aims'] if v['aim'] == str(aim)]
        assert verdicts, aim
        for verdict in verdicts:
            if verdict['figure']:
                assert verdict['met'] == (verdict['figure'][1] >= aim.least)


# ---- limits of time ----


def test_time_limit_ends_what_is_running():
    with pytest.raises(TimeoutError), time_limit(time.monotonic() + 0.1):
        time.sleep(600)


def test_networks_are_left_out_after_the_deadline(setting, tiny, cpu):
    effort = Effort(repeats=1, warmup=1, min_seconds=0, deadline=time.monotonic())
    results = Results()
    assert measure([tiny('ours'), tiny('peer')], setting, effort, cpu, results, print) == []
    assert [left['network'] for left in results.left_out] == ['ours', 'peer']
    assert {left['reason'] for left in results.left_out} == {'the time of this section was over'}


def test_complete_rounds_are_kept_at_the_deadline(setting, tiny, cpu, monkeypatch):
    calls = []
    # Each of two networks is called twice before the rounds and once in each round.
    clock = SimpleNamespace(
        monotonic=lambda: 0.0 if len(calls) < 8 else 100.0, perf_counter=time.perf_counter
    )
    monkeypatch.setattr('projects.benchmark.measure.time', clock)
    effort = Effort(repeats=5, warmup=1, min_seconds=0, memory=False, deadline=99.0)
    networks = [tiny('ours', calls), tiny('peer', calls)]
    measured = measure(networks, setting, effort, cpu, Results(), print)
    assert [len(m.seconds) for m in measured] == [2, 2]


def test_sections_that_do_not_fit_are_skipped(tmp_path):
    said = []
    about = dict(started='today', machine=dict(cpu='none'))
    run = gpu.Run(tmp_path, dry=False, seconds=0, about=about, say=said.append)
    run.measure_all(gpu.PLAN)
    run.save()
    found = json.loads((tmp_path / 'results.json').read_text())
    assert len(found['skipped']) == len(said) == sum(len(s.settings) for s in gpu.PLAN)
    assert said[0] == f'no time left for {found["skipped"][0]}'
    assert {verdict['met'] for verdict in found['aims']} == {None}


# ---- targets ----


def measured(network, setting, seconds):
    return Measurement(network, '', setting, 1, None, 0.0, 0, 1, seconds)


def test_aims_are_judged_by_the_median_of_the_rounds(setting):
    setting = replace(setting, dtype='bfloat16')
    results = {subject: Results() for subject in gpu.SUBJECTS}
    results['backbone'].measurements[:] = [
        measured('dualattn_tiny', setting, [1.0, 2.0, 4.0]),
        measured('timm_swin_tiny', setting, [1.2, 3.0, 6.0]),
        measured('timm_davit_tiny', setting, [2.0, 1.9, 3.9]),
        measured('timm_maxvit_tiny', replace(setting, dtype='float32'), [9.0, 9.0, 9.0]),
    ]
    small, large = (replace(setting, case=Case.square(side)) for side in (10, 20))
    results['sizes'].measurements[:] = [
        measured('dualattn_tiny', replace(small, batch_size=4), [4.0]),
        measured('dualattn_tiny', replace(large, batch_size=1), [4.8]),
    ]
    davit, swin, maxvit, *others, growth = judge(results)
    assert (davit.met, davit.figure[1]) == (False, pytest.approx(0.975))
    assert (swin.met, swin.figure[1]) == (True, 1.5)
    assert swin.setting == str(setting)
    assert maxvit.met is None
    assert {verdict.met for verdict in others} == {None}
    assert (growth.met, growth.figure) == (False, (pytest.approx(1.2),))


# ---- frames ----


@pytest.mark.parametrize(
    ('points', 'number', 'values'), [(kitti_frame(), 20_000, 4), (nuscenes_frame(), 275_000, 5)]
)
def test_frames_have_the_size_and_extent_of_their_dataset(points, number, values):
    assert points.shape == (pytest.approx(number, rel=0.05), values)
    assert points.dtype == 'float32'
    assert -1.9 < points[:, 2].min() < -1.7  # the ground
    assert points[:, 2].max() < 1.3  # the upper edge of the walls
    assert math.hypot(*abs(points[:, :2]).max(0)) < 2 * 80


def test_frame_like_kittis_is_ahead_of_the_car():
    points = torch.from_numpy(kitti_frame())
    angle = torch.atan2(points[:, 1], points[:, 0]).rad2deg()
    assert angle.abs().max() < 40.01


# ---- the folder for a machine without internet ----

CARRY = ROOT / 'projects' / 'benchmark' / 'carry.sh'


def carry(*arguments):
    command = ['bash', CARRY, *arguments]
    path = f'{Path(sys.executable).parent}:{os.environ["PATH"]}'
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | {'PATH': path})


@pytest.mark.skipif(not (ROOT / '.git').exists(), reason='it copies the files that git knows')
def test_folder_has_packages_code_and_commit(tmp_path):
    wheel = tmp_path / 'wheels' / 'carried-1.0-py3-none-any.whl'
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, 'w') as file:
        file.writestr('carried.py', '')
        file.writestr('carried-1.0.dist-info/METADATA', 'Name: carried\nVersion: 1.0\n')
        file.writestr('carried-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\nTag: py3-none-any\n')
        file.writestr('carried-1.0.dist-info/RECORD', '')
    out = tmp_path / 'out'
    done = carry(out, wheel.parent)
    assert done.returncode == 0, done.stderr
    assert f'{out} has ' in done.stdout
    assert (out / 'packages' / 'carried.py').is_file()
    assert (out / 'projects' / 'benchmark' / 'run.py').is_file()
    assert (out / 'dualattn_mm' / '__init__.py').is_file()
    assert not (out / 'dualattn_mm' / 'assets').exists()
    assert (out / 'COMMIT').read_text().strip()


@pytest.mark.parametrize('arguments', [[], ['out', '.'], ['.', '..']])
def test_wrong_folders_are_reported_in_one_line(tmp_path, monkeypatch, arguments):
    (tmp_path / 'x.whl').touch()
    (tmp_path / 'here').mkdir()
    monkeypatch.chdir(tmp_path / 'here')
    done = carry(*arguments)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith('error: ')
    assert list(Path().iterdir()) == []
