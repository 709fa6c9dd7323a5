"""What every command does alike: exit statuses, errors of use in one line, Ctrl-C, closed pipes."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from .errors import UserError
from .terminal import accept_any_text, discard_output, print_line

DONE, FAILED, WRONG_USE = 0, 1, 2
INTERRUPTED, CLOSED_PIPE = 130, 141  # as a shell reports SIGINT and SIGPIPE

# The variable that each launcher sets to the number of the process.
RANK_VARIABLES = dict(pytorch='RANK', slurm='SLURM_PROCID', mpi='OMPI_COMM_WORLD_RANK')


def run_command(call: Callable[[], object]) -> int:
    """Call it, and turn what the user can put right into one line on standard error.

    Args:
        call: returns the exit status, or None for 0.

    Returns:
        The exit status: that of `call`, 2 after an error of use, 1 after one of the system (a full
        disk), 130 when interrupted, 141 when the reader of the output is gone.
    """
    accept_any_text()
    try:
        try:
            with _noted_ctrl_c() as pressed:
                status = call()
        except KeyboardInterrupt:
            status = _interrupted()
        except BrokenPipeError:
            raise
        except ModuleNotFoundError as error:
            where = f'the module {error.name} is missing in {sys.executable}'
            status = _fail(
                f'{where}: install dualattn_mm with pip, or run tools/env.sh in its clone'
            )
        except (UserError, FileNotFoundError) as error:
            status = _fail(error_line(error))
        except OSError as error:
            status = _fail(error_line(error), FAILED)
        except Exception:
            if not pressed:
                raise
            status = _interrupted()  # libraries make other errors of it while they are imported
        sys.stdout.flush()
    except BrokenPipeError:
        discard_output()
        return CLOSED_PIPE
    return status if isinstance(status, int) else DONE


@contextlib.contextmanager
def _noted_ctrl_c() -> Iterator[list[int]]:
    """Gives a list that is no longer empty once Ctrl-C has been pressed."""
    pressed: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        pressed.append(number)
        raise KeyboardInterrupt

    default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not default or threading.current_thread() is not threading.main_thread():
        yield pressed
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupted() -> int:
    print_line('interrupted', sys.stderr)
    return INTERRUPTED


def _fail(message: str, status: int = WRONG_USE) -> int:
    rank = process_rank()
    where = f' (process {rank})' if rank != '0' else ''
    print_line(f'error{where}: {message}', sys.stderr)
    return status


def process_rank() -> str:
    """The number that a launcher gave this process; '0' where there is none."""
    names = RANK_VARIABLES.values()
    return next((os.environ[name] for name in names if name in os.environ), '0')


def error_line(error: BaseException) -> str:
    """An error in one line; one that was not written for the user has its class before it."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f'{os.fsdecode(error.filename)}: {error.strerror}'
    lines = str(error).strip().splitlines()
    if not isinstance(error, UserError | OSError):
        return ': '.join((type(error).__name__, *lines[:1]))
    if lines and lines[0].startswith('Caught ') and lines[0].endswith('.'):
        # Of a data loader's worker: torch puts its whole traceback into the message.
        return lines[-1].partition(': ')[2]
    return str(error) or type(error).__name__
