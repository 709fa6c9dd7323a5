"""Helpers for processes in tests: timeouts and ports."""

import importlib
import multiprocessing
import os
import runpy
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from subprocess import CompletedProcess
from types import SimpleNamespace
from typing import Any, BinaryIO

from torch import multiprocessing as torch_multiprocessing

# What every training imports, some of it late: 5 s for each process that does it anew.
PRELOADED = ['mmengine.runner', 'dualattn_mm.engine.run', 'torchvision.transforms.v2', 'mmcv.ops']
PRELOADED += ['matplotlib.backends.backend_agg']
# Seconds after which a process counts as stuck. It is long, because the machine may be busy.
PATIENCE = 900


def free_port() -> str:
    """Return a free port outside the range that the system assigns automatically.

    Therefore no other process gets this port by chance.
    """
    while True:
        port = secrets.choice(range(10_000, 30_000))
        with suppress(OSError), socket.create_server(('', port)):
            return str(port)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait until the condition is true; fail with `what` after `PATIENCE`."""
    limit = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < limit, f'not after {PATIENCE} s: {what}'
        time.sleep(0.005)


def finish(process: subprocess.Popen, status: int = 0) -> str:
    """Wait until the process ends, check its exit status, and return its output."""
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == status, output
    return output


def in_processes(
    number: int, function: Callable, *args: object, libraries: Sequence[str] = ()
) -> None:
    """Call `function(rank, *args)` in several new processes, and raise the error of any of them.

    They are forked from a process that imports PyTorch and mmengine once for all calls. Pass
    `libraries` to import these as well, once for all processes of this call.
    """
    _forkserver()
    if libraries:
        number, function, args = 1, _in_forks, (number, function, args, libraries)
    torch_multiprocessing.start_processes(function, args, nprocs=number, start_method='forkserver')


def _in_forks(
    _: int, number: int, function: Callable, args: tuple, libraries: Sequence[str]
) -> None:
    for name in libraries:
        importlib.import_module(name)
    torch_multiprocessing.start_processes(function, args, nprocs=number, start_method='fork')


def _forkserver() -> ForkServerContext:
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(PRELOADED)
    return context


def ranks(number: int, port: str) -> list[dict[str, str]]:
    """Return what torchrun adds to the environment of each of several processes."""
    common = dict(WORLD_SIZE=str(number), MASTER_ADDR='127.0.0.1', MASTER_PORT=port)
    return [dict(common, RANK=str(rank), LOCAL_RANK=str(rank)) for rank in range(number)]


def dualattn_in_processes(
    environments: list[dict[str, str]],
    folder: Path,
    *argv: object,
    libraries: Sequence[str] = (),
    status: int = 0,
) -> str:
    """Run the command `dualattn` with `argv` in `folder`, in a process for each environment.

    Unlike tools/dist_*.sh, this does not import PyTorch in each process. All must end with
    `status`. Returns all output.
    """
    words = list(map(str, argv))
    arguments = environments, folder, words, status
    in_processes(len(environments), _run_dualattn, *arguments, libraries=libraries)
    outputs = [folder / f'output{rank}.txt' for rank in range(len(environments))]
    return ''.join(path.read_text() for path in outputs)


def start_dualattn(folder: Path, *argv: object) -> BaseProcess:
    """Start the command `dualattn` in `folder`, in a process that Ctrl-C can stop."""
    process = _forkserver().Process(target=_dualattn, args=(folder, list(map(str, argv))))
    process.start()
    return process


def _dualattn(folder: Path, argv: list[str]) -> None:
    from dualattn_mm.cli.main import main

    signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored in the background
    os.chdir(folder)
    sys.exit(main(argv))


class ForkedScript:
    """A Python script in a fork that has imported PyTorch, in place of `subprocess.Popen`."""

    def __init__(self, command: Sequence[object], stdout: BinaryIO, **_: object):
        python, *argv = map(str, command)
        assert python == sys.executable
        context = _forkserver()
        self.process = context.Process(target=_run_script, args=(argv, stdout.name))
        self.process.start()

    def wait(self) -> int:
        """Wait for the end of the script, and return its exit status."""
        self.process.join(PATIENCE)
        return self.process.exitcode


def _run_forked(command: Sequence[object], check: bool, **streams: Any) -> CompletedProcess:
    assert not check
    return CompletedProcess(command, ForkedScript(command, **streams).wait())


# Replaces the module `subprocess` where Python scripts are started: each saves 8 s of imports.
FORKED = SimpleNamespace(Popen=ForkedScript, run=_run_forked, STDOUT=subprocess.STDOUT)


def _run_script(argv: list[str], log: str) -> None:
    with open(log, 'ab') as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
    sys.argv = argv
    runpy.run_path(argv[0], run_name='__main__')


def _run_dualattn(
    rank: int, environments: list, folder: Path, argv: list[str], expected: int
) -> None:
    from dualattn_mm.cli.main import main

    os.environ |= environments[rank]
    os.chdir(folder)
    with open(f'output{rank}.txt', 'w') as out, redirect_stdout(out), redirect_stderr(out):
        status = main(argv)
    assert status == expected, Path(f'output{rank}.txt').read_text()
