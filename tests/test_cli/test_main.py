"""The whole command: its imports and exit statuses."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from processes import PATIENCE

from dualattn_mm import __version__
from dualattn_mm.cli.main import COMMANDS, main

ROOT = Path(__file__).resolve().parents[2]

HELP = """
import sys
from dualattn_mm.cli.main import COMMANDS, main
for argv in [['--help'], ['--version'], *([name, '--help'] for name in COMMANDS)]:
    assert main(argv) == 0, argv
heavy = {'torch', 'mmengine', 'numpy', 'PIL', 'safetensors', 'rich', 'tqdm', 'yaml'}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""


def start(*argv, **options):
    env = dict(os.environ, PYTHONPATH=str(ROOT)) | options.pop('env', {})
    streams = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE) | options
    return subprocess.Popen([sys.executable, *argv], env=env, text=True, **streams)


def call(*argv, **options):
    """Run the command in a separate process; return status, stdout and stderr."""
    process = start('-m', 'dualattn_mm', *argv, **options)
    return process.wait(PATIENCE), *process.communicate()


def test_help_loads_nothing_heavy():
    process = start('-c', HELP)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (0, '')
    assert out.count('usage: dualattn') == 1 + len(COMMANDS)


def test_version(capsys):
    assert main(['--version']) == 0
    assert capsys.readouterr().out == f'dualattn_mm {__version__}\n'


@pytest.mark.parametrize('argv', [[], ['color'], ['--what'], ['info', '--what'], ['train']])
def test_wrong_use_is_reported_in_one_line(capsys, argv):
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ''
    assert re.fullmatch(r'error: .* \(see dualattn( info| train)? --help\)\n', err)


def test_missing_config_is_reported_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(['train', 'mmagic/color_dualattn_minii']) == 2
    out, err = capsys.readouterr()
    assert out == ''
    assert err.startswith('error: mmagic/color_dualattn_minii is neither a config file nor ')
    assert 'did you mean mmagic/color_dualattn_mini or ' in err
    assert err.count('\n') == 1


def test_statuses_of_a_process(tmp_path):
    assert call('info', '--what')[::2] == (
        2,
        'error: unrecognized arguments: --what (see dualattn info --help)\n',
    )
    assert call('info', '--configs', cwd=tmp_path)[::2] == (0, '')


def test_a_closed_pipe_is_silent(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    process = start('-m', 'dualattn_mm', 'info', '--configs', stdout=writer)
    os.close(writer)
    assert process.communicate(timeout=PATIENCE)[1] == ''
    assert process.returncode == 141


INTERRUPTED = """
import os, signal, sys, time
os.kill(os.getpid(), signal.SIGINT)
time.sleep(60)
"""


IN_ANOTHER_ERROR = f"""
try:
    {INTERRUPTED.strip().replace(chr(10), '; ')}
except KeyboardInterrupt:
    raise ImportError('numpy is not installed as it should be')
"""


@pytest.mark.parametrize('torch', [INTERRUPTED, IN_ANOTHER_ERROR])
def test_ctrl_c_while_torch_is_imported(tmp_path, torch):
    (tmp_path / 'torch.py').write_text(torch)
    code = (
        'import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n'
        'from dualattn_mm.cli.main import main; sys.exit(main(["colorize", "x.jpg"]))'
    )
    process = start('-c', code, env=dict(PYTHONPATH=f'{tmp_path}:{ROOT}'))
    assert process.communicate(timeout=PATIENCE) == ('', 'interrupted\n')
    assert process.returncode == 130


def test_missing_torch_is_reported_with_the_remedy(tmp_path):
    (tmp_path / 'torch.py').write_text('raise ModuleNotFoundError("gone", name="torch")')
    status, out, err = call('colorize', 'x.jpg', env=dict(PYTHONPATH=f'{tmp_path}:{ROOT}'))
    assert (status, out, err.count('\n')) == (2, '', 1)
    assert err.startswith(
        f'error: the module torch is not installed for {sys.executable}: install '
    )


TOOLS = dict(colorize='colorize', train='train', test='test', publish_weights='publish')


@pytest.mark.parametrize(('tool', 'name'), [*TOOLS.items(), ('get_flops', 'info')])
def test_tools_are_the_commands(run_script, tool, name):
    status, out, _ = run_script(ROOT / 'tools' / f'{tool}.py', '--help')
    assert status == 0
    assert out.startswith(f'usage: dualattn {name} ')
