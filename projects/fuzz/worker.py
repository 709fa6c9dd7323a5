"""Cases in a process of their own, which may crash, hang or take too much memory."""

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
    """seconds: of a case. megabytes: of memory that a case takes beside what was there."""

    seconds: float = 20.0
    megabytes: float = 1500.0


class Outcome(NamedTuple):
    """What became of a case.

    result: what the target returned, or empty.
    failure: why it failed; empty if it did not.
    megabytes: of memory that it took.
    """

    number: int
    result: str
    failure: str
    megabytes: float


def run_cases(
    target: Callable[[int], str], numbers: Iterable[int], limits: Limits
) -> Iterator[Outcome]:
    """Call the target for each number, in one process after the other.

    A process ends with a case that crashes, hangs or takes too much memory; the next case gets a
    new one. Memory is measured on Linux alone.

    Args:
        target: a function of a module.
        numbers: what it is called with.
        limits: of each call.
    """
    context = multiprocessing.get_context('spawn')
    process, connection = None, None
    try:
        for number in numbers:
            if process is None:
                connection, theirs = context.Pipe()
                process = context.Process(target=_serve, args=(theirs, target, limits), daemon=True)
                process.start()
                theirs.close()
                connection.recv()  # it has imported what it needs
            outcome = _ask(connection, number, limits)
            if outcome.failure:
                process.kill()
                process.join()
                if not outcome.result and outcome.failure == _ENDED:
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
    """A case that runs wild gets a MemoryError before the machine is out of memory."""
    used = _megabytes('VmSize')
    if used:
        most = int((used + 3 * limits.megabytes) * 2**20)
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))


def _start_measuring() -> float:
    try:
        _CLEAR_REFS.write_text('5')  # the peak starts anew from what is in use
    except OSError:
        return 0.0
    return _megabytes('VmRSS')


def _peak() -> float:
    return _megabytes('VmHWM')


def _megabytes(name: str) -> float:
    try:
        found = re.search(rf'{name}:\s*(\d+) kB', _STATUS.read_text())
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0
