"""tools/reproduce.py: what it prints and writes, and what it says of wrong use."""

import json
import subprocess
import sys

import pytest

from dualattn_mm.reproduction import render, report
from dualattn_mm.reproduction.cli import END, START, main
from dualattn_mm.utils.configs_dir import configs_dir
from dualattn_mm.utils.report import write_json

FILE = configs_dir() / 'reproduction.yml'
# Of the core environment, and quickly counted.
SMALL = """
metrics:
  params (M): {count: parameters}
  FID: {result: FID}
  batch: {setting: auto_scale_lr.base_batch_size}
tables:
  - table: A
    title: About it
    config: configs/mmagic/color_dualattn_mini.py
    rows:
      - row: one
        metrics: [params (M), FID]
        test: {images: 5}
        published:
          params (M): {figure: 5.7, within: 1, note: to know}
          FID: {figure: 3.5, within: 10}
      - row: two
        metrics: [params (M)]
        published: {params (M): {figure: 7, not_reproducible: it is 5.7}}
      - row: three
        options: {model.generator.num_queries: 8}
        metrics: [params (M), FID]
  - table: B
    title: About that
    rows:
      - row: four
        config: configs/mmagic/color_dualattn_mini.py
        metrics: [batch]
        published: {batch: {figure: 17, within: 5}}
      - row: five
        metrics: [speed]
        published: {speed: {figure: 9, not_run: no such machine}}
"""


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Runs the tool on a small file, in a folder of its own."""
    path = tmp_path / 'small.yml'
    path.write_text(SMALL)
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: main(['--config', str(path), *map(str, arguments)])


def rows(out):
    return {
        (table['table'], row['row'], row['metric']): row
        for table in json.loads(out)['tables']
        for row in table['rows']
    }


def test_json(small, capsys):
    assert small('--json') == 0
    found = rows(capsys.readouterr().out)
    counted = found['A', 'one', 'params (M)']
    assert counted == dict(
        row='one',
        metric='params (M)',
        published=5.7,
        value=5.67,
        error=-0.0056,
        kind='computed',
        status='reproduced',
        note='to know',
    )
    waiting = found['A', 'one', 'FID']
    assert (waiting['published'], waiting['value'], waiting['kind']) == (3.5, None, 'measured')
    assert waiting['status'] == 'not run'
    assert waiting['command'].startswith('bash tools/dist_train.sh configs/mmagic/color_dualattn_')
    assert found['A', 'two', 'params (M)']['status'] == 'not reproducible'
    assert found['A', 'two', 'params (M)']['reason'] == 'it is 5.7'
    fewer = found['A', 'three', 'params (M)']
    assert (fewer['published'], fewer['status']) == (None, 'not compared')
    assert fewer['value'] < counted['value']
    off = found['B', 'four', 'batch']
    assert (off['value'], off['status'], off['reason']) == (
        16,
        'not reproduced',
        'more than 5% off',
    )
    assert found['B', 'five', 'speed']['reason'] == 'no such machine'


@pytest.mark.parametrize('folder', ['work_dirs', 'elsewhere'])
@pytest.mark.parametrize(('value', 'status'), [(3.6, 'reproduced'), (4.0, 'not reproduced')])
def test_results_of_tests(small, capsys, tmp_path, folder, value, status):
    out = tmp_path / folder / 'a' / 'figures.json'
    about = dict(config='configs/mmagic/color_dualattn_mini.py', cfg_options={}, checkpoint='x')
    write_json(out, dict(about, images=5, metrics=dict(FID=value)))
    assert small('--json', '--table', 'a', '--results', folder) == 0
    found = rows(capsys.readouterr().out)
    assert {table for table, _, _ in found} == {'A'}
    assert found['A', 'one', 'FID']['value'] == value
    assert found['A', 'one', 'FID']['status'] == status
    assert found['A', 'one', 'FID']['source'] == f'{folder}/a/figures.json'
    assert found['A', 'three', 'FID']['status'] == 'not run'


def test_screen_and_markdown(small, capsys, tmp_path):
    readme = tmp_path / 'README.md'
    readme.write_text(f'before\n{START}\nold\n{END}\nafter\n')
    assert small('--markdown', 'new/report.md', '--readme', readme) == 0
    screen = capsys.readouterr().out
    for word in ('Table A: About it', '5.67', 'not reproducible [3]', '[3] it is 5.7'):
        assert word in screen
    written = (tmp_path / 'new' / 'report.md').read_text()
    assert '| one | params (M) | 5.7 | 5.67 | -0.6% | reproduced [1] |' in written
    assert '|  | FID | 3.5 |  |  | not run [2] |' in written
    assert '\n2. `bash tools/dist_train.sh configs/mmagic/color_dualattn_mini.py 8 && ' in written
    before, table, after = (readme.read_text().partition(f'{START}\n')[i] for i in (0, 2, 2))
    assert (before, after.partition(END)[2]) == ('before\n', '\nafter\n')
    assert '| A | About it | 1 |  | 1 | 2 | 1 |' in table


def test_measured_figures_that_wait_share_a_line():
    def entry(metric, **more):
        about = dict(row='x', published=None, value=None, error=None, kind='measured')
        return report.Entry(metric=metric, **{**about, 'status': 'not run', 'command': 'c', **more})

    entries = [entry('a'), entry('b'), entry('c', published=1.0), entry('d'), entry('e', row='y')]
    text = render.markdown([report.TableReport('T', 't', tuple(entries))])
    lines = [line for line in text.splitlines() if 'not run [' in line]
    cells = [[cell.strip() for cell in line.split('|')[1:3]] for line in lines]
    assert cells == [['x', 'a, b'], ['', 'c'], ['', 'd'], ['y', 'e']]
    assert text.count('`c`') == 1


def test_library_that_is_not_installed(root, tables, monkeypatch, capsys):
    find_spec = report.importlib.util.find_spec
    absent = {'mmdet', 'mmpretrain', 'mmdet3d'}
    monkeypatch.setattr(
        report.importlib.util,
        'find_spec',
        lambda name, *more: None if name in absent else find_spec(name, *more),
    )
    assert main(['--json', '--table', 'V', 'vii', 'XIII']) == 0
    found = rows(capsys.readouterr().out)
    assert len(found) > 20
    for (table, _, _), row in found.items():
        library = dict(V='mmpretrain', VII='mmdet', XIII='mmdet3d')[table]
        assert (row['status'], row['value']) == ('not run', None)
        assert row['reason'] == f'{library} is not installed'


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        (('color_dualattn_mini.py', 'none.py'), 'table A, one: no config file'),
        (('num_queries: 8', 'num_queries: -8'), 'table A, three: num_queries=-8 is not possible'),
        (('num_queries: 8', 'queries: 8'), "unexpected keyword argument 'queries'"),
        (('auto_scale_lr.base', 'auto_scale_lr.no'), 'the config has no auto_scale_lr.no_batch'),
        (('tables:', 'table:'), "unknown 'table'"),
    ],
)
def test_a_wrong_file_is_one_line(small, capsys, tmp_path, change, said):
    (tmp_path / 'small.yml').write_text(SMALL.replace(*change))
    assert small('--json') == 2
    out, err = capsys.readouterr()
    assert not out
    assert said in err.splitlines()[-1]
    assert err.splitlines()[-1].startswith('error: ')
    assert 'Traceback' not in err


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        (['--table', 'XIV'], 'there is no table XIV: A, B'),
        (['--results', 'none'], 'no folder none'),
        (['--readme', 'small.yml'], f'small.yml has no lines {START}'),
        (['--readme', 'none.md'], 'none.md'),
        (['--readme', 'small.yml', '--table', 'A'], 'needs all tables'),
    ],
)
def test_wrong_use_is_one_line(small, capsys, tmp_path, arguments, said):
    assert small(*arguments) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith('error: ')
    assert said in err
    assert err.count('\n') == 1
    assert (tmp_path / 'small.yml').read_text() == SMALL


def test_the_tool_as_a_process(root, tmp_path):
    done = subprocess.run(
        [sys.executable, str(root / 'tools' / 'reproduce.py'), '--table', 'none'],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=600,
    )
    assert done.returncode == 2
    assert done.stderr.startswith('error: there is no table none: I, II, ')
    assert not done.stdout
