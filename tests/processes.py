"""Other processes in tests: how long they may take, and where they listen."""

import multiprocessing
import secrets
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress

from torch import multiprocessing as torch_multiprocessing

# Seconds until what should have ended counts as stuck. Not how long it takes: a machine may be busy
# with other things.
PATIENCE = 900


def free_port() -> str:
    """A port to listen on, out of those that the system gives to nobody unasked.

    So no process that takes any port gets it before the one that it is for.
    """
    while True:
        port = secrets.choice(range(10_000, 30_000))
        with suppress(OSError), socket.create_server(('', port)):
            return str(port)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Look again and again until it is so; fails with `what` after `PATIENCE`."""
    limit = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < limit, f'not after {PATIENCE} s: {what}'
        time.sleep(0.005)


def finish(process: subprocess.Popen, status: int = 0) -> str:
    """Wait for its end; fails where that is another than `status`. Gives what it has written."""
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == status, output
    return output


def in_processes(number: int, function: Callable, *args: object) -> None:
    """Call `function(rank, *args)` in each of new processes; raises what one of them raises.

    They are forked from one that has imported PyTorch and mmengine, once for all calls.
    """
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['mmengine.runner', 'dualattn_mm.engine.run'])
    torch_multiprocessing.start_processes(function, args, nprocs=number, start_method='forkserver')
