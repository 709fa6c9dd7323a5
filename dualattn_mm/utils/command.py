"""Common behavior of all commands: exit statuses, one-line errors, Ctrl-C and closed pipes."""

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
INTERRUPTED, CLOSED_PIPE = 130, 141  # the statuses with which a shell reports SIGINT and SIGPIPE

# The variable that each launcher sets to the rank of the process. In a Slurm job, processes of the
# others have the variable of Slurm as well.
RANK_VARIABLES = dict(pytorch='RANK', mpi='OMPI_COMM_WORLD_RANK', slurm='SLURM_PROCID')


def run_command(call: Callable[[], object]) -> int:
    """Run a command, and print errors that the user can fix in one line on standard error.

    Args:
        call: the command; it returns the exit status, or None for 0.

    Returns:
        The exit status: that of `call`; 2 after a usage error; 1 after a system error, such as a
        full disk; 130 if interrupted; 141 if the output pipe was closed.
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
            status = _not_installed(error)
        except (UserError, FileNotFoundError) as error:
            status = _fail(error_line(error))
        except OSError as error:
            status = _fail(error_line(error), FAILED)
        except Exception:
            if not pressed:
                raise
            status = _interrupted()  # libraries can turn Ctrl-C into another error during import
        sys.stdout.flush()
    except BrokenPipeError:
        discard_output()
        return CLOSED_PIPE
    return status if isinstance(status, int) else DONE


@contextlib.contextmanager
def required_imports() -> Iterator[None]:
    """Exit with a one-line error if a module that a script imports in this block is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        sys.exit(_not_installed(error))


@contextlib.contextmanager
def _noted_ctrl_c() -> Iterator[list[int]]:
    """Provide a list that is not empty once Ctrl-C has been pressed."""
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


def _not_installed(error: ModuleNotFoundError) -> int:
    where = f'the module {error.name} is not installed for {sys.executable}'
    return _fail(f'{where}: install dualattn_mm with pip, or run tools/env.sh in its clone')


def _fail(message: str, status: int = WRONG_USE) -> int:
    rank = process_rank()
    where = f' (process {rank})' if rank != '0' else ''
    print_line(f'error{where}: {message}', sys.stderr)
    return status


def process_rank() -> str:
    """Return the rank that a launcher gave this process; '0' without a launcher."""
    names = RANK_VARIABLES.values()
    return next((os.environ[name] for name in names if name in os.environ), '0')


def error_line(error: BaseException) -> str:
    """Return an error as one line; errors not written for users start with their class name."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f'{os.fsdecode(error.filename)}: {error.strerror}'
    lines = str(error).strip().splitlines()
    if not isinstance(error, UserError | OSError):
        return ': '.join((type(error).__name__, *lines[:1]))
    if lines and lines[0].startswith('Caught ') and lines[0].endswith('.'):
        # Raised in a data loader's worker: torch puts the whole traceback into the message.
        return lines[-1].partition(': ')[2]
    return str(error) or type(error).__name__
