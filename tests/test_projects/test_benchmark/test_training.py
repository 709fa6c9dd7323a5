"""Comparison of training runs, with a stand-in for tools/train.py that logs like mmengine."""

import json
from pathlib import Path

import pytest

from dualattn_mm.utils.errors import UserError
from projects.benchmark.training import Variant, compare_trainings, trainings_table

TOOL = Path(__file__).resolve().parents[3] / 'tools' / 'compare_training.py'
CONFIG = """
model = dict(
    type='DualAttention',
    arch=dict(embed_dims=(8, 8, 8, {width}), depths=(1, 1, 1, 1), stem_channels=8),
    window_size=2, head_dim=8, group_dim=8,
)
custom_imports = dict(imports=['dualattn_mm'])
test_dataloader = dict(dataset=dict(pipeline=[dict(type='Crop', size=32)]))
"""
TRAIN = """
import json, pathlib, shutil, sys
config, folder = sys.argv[1], pathlib.Path(sys.argv[3])
options = dict(option.split('=') for option in sys.argv[sys.argv.index('--cfg-options') + 1 :])
if 'fail' in options:
    sys.exit('error: no such folder')
shutil.copy(config, folder)
log = folder / 'time' / 'vis_data' / 'scalars.json'
log.parent.mkdir(parents=True, exist_ok='--resume' in sys.argv)
value = 10 * int(options['randomness.seed']) + (config.endswith('b.py'))
value += int(options.get('more', 0))
logged = () if 'silent' in options else ((2, 9.0), (4, 0.5), (6, 0.5))
lines = [dict(lr=1, time=t, iter=n, epoch=n // 2) for n, t in logged]
lines += [dict(accuracy=v, loss=0.25, time=7, step=n) for n, v in ((1, 0), (3, value))]
log.write_text(''.join(json.dumps(line) + '\\n' for line in lines))
"""


@pytest.fixture
def compare(tmp_path):
    (tmp_path / 'train.py').write_text(TRAIN)
    configs = [tmp_path / 'a.py', tmp_path / 'b.py']
    for config, width in zip(configs, (8, 16), strict=True):
        config.write_text(CONFIG.format(width=width))
    both = [Variant(config.stem, config) for config in configs]
    said = []

    def compare_(*options, metrics=('accuracy',), seeds=(1, 2), jobs=1, variants=both):
        said.clear()
        out = tmp_path / 'out'
        tool = tmp_path / 'train.py'
        rows = compare_trainings(variants, seeds, metrics, out, options, jobs, tool, said.append)
        return rows, said

    return compare_


@pytest.mark.parametrize('jobs', [1, 3])
def test_table(compare, capsys, jobs):
    rows, said = compare(jobs=jobs)
    assert [row['name'] for row in rows] == ['a', 'b']
    assert [{s: r['accuracy'] for s, r in row['runs'].items()} for row in rows] == [
        {1: 10, 2: 20},
        {1: 11, 2: 21},
    ]
    assert rows[0]['parameters'] < rows[1]['parameters']
    assert rows[0]['macs'] < rows[1]['macs']
    assert sorted(said)[0] == 'a, seed 1: accuracy 10'
    table = trainings_table(rows, ['accuracy'])
    cells = [list(column.cells) for column in table.columns]
    assert cells[3] == ['15 (10 to 20)', '16 (11 to 21)']
    assert cells[4] == ['1.00', '1.00']  # 0.5 s for each of 2 steps
    assert table.columns[4].header == 's/epoch'


def test_done_is_done(compare, tmp_path):
    compare(seeds=(1,))
    folder = tmp_path / 'out' / 'a' / 'seed_1'
    trained = (folder / 'output.log').stat().st_mtime_ns
    rows, _ = compare(seeds=(1, 2), metrics=('accuracy', 'loss'))
    assert (folder / 'output.log').stat().st_mtime_ns == trained
    assert sorted(rows[0]['runs']) == [1, 2]
    assert rows[0]['runs'][1]['loss'] == 0.25  # of the log, though it was not asked for then
    content = json.loads((tmp_path / 'out' / 'results.json').read_text())
    assert content['rows'][1]['runs']['2']['accuracy'] == 21
    with pytest.raises(UserError, match=r'other options \(none\): choose another folder'):
        compare('more=1', seeds=(1,))
    (tmp_path / 'a.py').write_text(CONFIG.format(width=24))
    with pytest.raises(UserError, match=r'seed_1 has a training with an earlier version of .*a.py'):
        compare(seeds=(1,))


def test_an_interrupted_training_is_not_resumed_with_other_options(compare, tmp_path):
    with pytest.raises(UserError):
        compare('fail=1', seeds=(1,))
    (tmp_path / 'out' / 'a' / 'seed_1' / 'last_checkpoint').touch()
    with pytest.raises(UserError, match=r'other options \(fail=1\): choose another folder'):
        compare(seeds=(1,))


def test_variants_of_one_config(compare, tmp_path):
    config = tmp_path / 'a.py'
    variants = [Variant(f'K = {k}, x', config, (f'more={k}',)) for k in (2, 3)]
    rows, said = compare('other=1', seeds=(1,), variants=variants)
    assert [(row['name'], row['runs'][1]['accuracy']) for row in rows] == [
        ('K = 2, x', 12),
        ('K = 3, x', 13),
    ]
    assert said[0] == 'K = 2, x, seed 1: accuracy 12'
    assert (tmp_path / 'out' / 'K_2_x' / 'seed_1' / 'done.json').is_file()


def test_failing_trainings_raise(compare):
    with pytest.raises(UserError, match=r'a.py failed, see .*output.log: error: no such folder'):
        compare('fail=1', seeds=(1,))
    with pytest.raises(UserError, match="did not log 'top1': the metrics are accuracy, loss, time"):
        compare(metrics=('top1',))  # after the failure, the same folder
    with pytest.raises(UserError, match=r'a.py logged no step .*: default_hooks.logger.interval=1'):
        compare('silent=1', seeds=(3,))


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        (['no.py'], 'config file no.py does not exist'),
        ([TOOL, TOOL], 'the same name'),
    ],
)
def test_the_tool(arguments, said, tmp_path, run_script):
    status, _, err = run_script(TOOL, *arguments, '--metrics', 'x', '-o', tmp_path / 'out')
    assert status == 2
    assert said in err
