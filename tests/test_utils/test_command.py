import errno
import subprocess
import sys
from pathlib import Path

import pytest
from processes import PATIENCE

from dualattn_mm.utils.command import error_line, process_rank, required_imports, run_command
from dualattn_mm.utils.errors import ColorizeError, RunError

ROOT = Path(__file__).resolve().parents[2]
RANKS = ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK')


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch):
    for name in RANKS:
        monkeypatch.delenv(name, raising=False)


def failing(error):
    def call():
        raise error

    return call


@pytest.mark.parametrize(
    ('error', 'status', 'line'),
    [
        (RunError('no config file x.py'), 2, 'error: no config file x.py'),
        (ColorizeError('no file a\nb\x1b[1m'), 2, r'error: no file a\nb\x1b[1m'),
        (FileNotFoundError(errno.ENOENT, 'No such file', 'a\rb'), 2, r'error: a\rb: No such file'),
        (FileNotFoundError('weights cannot be found'), 2, 'error: weights cannot be found'),
        (OSError(errno.ENOSPC, 'No space left'), 1, 'error: [Errno 28] No space left'),
        (PermissionError(errno.EACCES, 'Permission denied', 'x'), 1, 'error: x: Permission denied'),
        (KeyboardInterrupt(), 130, 'interrupted'),
    ],
)
def test_run_command_reports_an_error_in_one_line(capsys, error, status, line):
    assert run_command(failing(error)) == status
    assert capsys.readouterr() == ('', line + '\n')


def test_run_command_names_the_missing_module(capsys):
    assert run_command(lambda: __import__('no_such_library.inner')) == 2
    message = capsys.readouterr().err
    assert message.startswith(
        f'error: the module no_such_library is not installed for {sys.executable}: '
    )
    assert message.count('\n') == 1


def test_required_imports_name_the_missing_module(capsys):
    with pytest.raises(SystemExit) as end, required_imports():
        import no_such_library  # noqa: F401
    assert end.value.code == 2
    message = capsys.readouterr().err
    assert message.startswith('error: the module no_such_library is not installed for ')
    assert message.count('\n') == 1


def test_run_command_hides_no_mistake_of_a_program():
    with pytest.raises(ZeroDivisionError):
        run_command(lambda: 1 / 0)


@pytest.mark.parametrize(('result', 'status'), [(None, 0), (3, 3), ({'FID': 9.0}, 0)])
def test_run_command_returns_the_status(result, status):
    assert run_command(lambda: result) == status


@pytest.mark.parametrize('name', RANKS)
def test_errors_of_one_of_several_processes_name_it(capsys, monkeypatch, name):
    monkeypatch.setenv(name, '3')
    assert process_rank() == '3'
    run_command(failing(RunError('late')))
    assert capsys.readouterr().err == 'error (process 3): late\n'


def test_mpirun_in_a_slurm_job_tells_the_rank(monkeypatch):
    """All processes that it starts on the first node have the rank of the job's script."""
    monkeypatch.setenv('SLURM_PROCID', '0')
    monkeypatch.setenv('OMPI_COMM_WORLD_RANK', '3')
    assert process_rank() == '3'


def test_error_line_of_a_data_loader_is_its_last():
    text = 'Caught RunError in DataLoader worker process 0.\nTraceback ...\nx.RunError: no photo'
    assert error_line(RunError(text)) == 'no photo'
    assert error_line(KeyError('lr')) == "KeyError: 'lr'"


LONG = 'from dualattn_mm.utils.command import run_command; import sys\n' + (
    'sys.exit(run_command(lambda: [print("x" * 99) for _ in range(9999)] and None))'
)


def test_a_closed_pipe_ends_the_command_in_silence():
    process = subprocess.Popen(
        [sys.executable, '-c', LONG],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    )
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(PATIENCE) == 141
    assert process.stderr.read() == b''
    process.stderr.close()
