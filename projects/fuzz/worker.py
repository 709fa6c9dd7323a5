"""Run cases in a separate process, because they can crash, hang or take too much memory."""

import multiprocessing
import re
import resource
import traceback
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

_STATUS, _CLEAR_REFS = Path('/proc/self/status'), Path('/proc/self/clear_refs')


class Limits(NamedTuple):
    """The limits of a case.

    seconds: time limit.
    megabytes: limit of the additional memory.
    """

    seconds: float = 20.0
    megabytes: float = 1500.0


class Outcome(NamedTuple):
    """The outcome of a case.

    result: the return value of the target, or empty.
    failure: the reason of a failure; empty if there was none.
    megabytes: additional memory.
    """

    number: int
    result: str
    failure: str
    megabytes: float


def run_cases(
    target: Callable[[int], str], numbers: Iterable[int], limits: Limits
) -> Iterator[Outcome]:
    """Call the target for each number in a separate process.

    The process ends if a case crashes, hangs or takes too much memory, and the next case gets a new
    process. Memory is only measured on Linux.

    Args:
        target: a module-level function.
        numbers: the arguments of the calls.
        limits: the limits of each call.
    """
    context = multiprocessing.get_context('forkserver')
    # PyTorch is imported once for all processes.
    context.set_forkserver_preload(['torch', 'dualattn_mm.apis.pipeline'])
    process, connection = None, None
    try:
        for number in numbers:
            if process is None:
                connection, theirs = context.Pipe()
                process = context.Process(target=_serve, args=(theirs, target, limits), daemon=True)
                process.start()
                theirs.close()
                connection.recv()  # wait until the process has imported its modules
            outcome = _ask(connection, number, limits)
            if outcome.failure:
                process.kill()
                process.join()
                if outcome.failure == _ENDED:
                    outcome = outcome._replace(failure=f'{_ENDED} (status {process.exitcode})')
                process = None
            yield outcome
    finally:
        if process is not None:
            process.kill()
            process.join()


_ENDED = 'the process ended'


def _ask(connection: Connection, number: int, limits: Limits) -> Outcome:
    try:
        connection.send(number)
        if not connection.poll(limits.seconds):
            return Outcome(number, '', f'more than {limits.seconds:g} seconds', 0.0)
        result, failure, megabytes = connection.recv()
    except (EOFError, OSError):
        return Outcome(number, '', _ENDED, 0.0)
    if not failure and megabytes > limits.megabytes:
        failure = f'{megabytes:.0f} MB of memory'
    return Outcome(number, result, failure, megabytes)


def _serve(connection: Connection, target: Callable[[int], str], limits: Limits) -> None:
    _limit_address_space(limits)
    connection.send('ready')
    while True:
        try:
            number = connection.recv()
        except EOFError:
            return
        before = _start_measuring()
        try:
            reply = target(number), ''
        except BaseException as error:
            reply = '', _described(error)
        connection.send((*reply, _peak() - before))


def _described(error: BaseException) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f'{type(error).__name__}: {error} ({Path(frame.filename).name}:{frame.lineno})'


def _limit_address_space(limits: Limits) -> None:
    """Limit the address space, so that a case gets a MemoryError before the machine is full."""
    used = _megabytes('VmSize')
    if used:
        most = int((used + 3 * limits.megabytes) * 2**20)
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))


def _start_measuring() -> float:
    try:
        _CLEAR_REFS.write_text('5')  # reset the peak to the current use
    except OSError:
        return _peak()
    return _megabytes('VmRSS')


def _peak() -> float:
    return _megabytes('VmHWM')


def _megabytes(name: str) -> float:
    try:
        found = re.search(rf'{name}:\s*(\d+) kB', _STATUS.read_text())
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0
