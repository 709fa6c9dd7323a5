"""Helpers for processes in tests: timeouts and ports."""

import multiprocessing
import secrets
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress

from torch import multiprocessing as torch_multiprocessing

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


def in_processes(number: int, function: Callable, *args: object) -> None:
    """Call `function(rank, *args)` in several new processes, and raise the error of any of them.

    They are forked from a process that imports PyTorch and mmengine once for all calls.
    """
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['mmengine.runner', 'dualattn_mm.engine.run'])
    torch_multiprocessing.start_processes(function, args, nprocs=number, start_method='forkserver')
