"""Errors that a user can fix, and helpers for their messages."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager


class UserError(ValueError):
    """An error that the user can fix. Its message is one line and needs no traceback."""


class ColorizeError(UserError):
    """An error in a file, an option or weights for colorizing."""


class TooLargeError(ColorizeError):
    """A file has too many pixels or frames."""


class InColorError(ColorizeError):
    """A file has color, which is not to be replaced."""

    def __init__(self) -> None:
        super().__init__('it has color (use --recolor to replace it)')


class UnsupportedError(ColorizeError):
    """A file has a format that is not supported."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its class name if the message is empty."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def reason_of(error: BaseException) -> str:
    """Return why the system or a library failed in one line, without the name of the file."""
    return getattr(error, 'strerror', None) or first_line(error)


@contextmanager
def writing(*others: type[Exception]) -> Iterator[None]:
    """Report an error of the system or a library, while a result is written, in one line.

    Args:
        others: more classes of errors that the library raises.

    Raises:
        ColorizeError: in place of such an error; one that is raised within is kept.
    """
    kinds: tuple[type[Exception], ...] = (OSError, ValueError, MemoryError, *others)
    try:
        yield
    except ColorizeError:
        raise
    except kinds as error:
        raise ColorizeError(f'the result cannot be written: {reason_of(error)}') from error


@contextmanager
def writing_to(path: str | os.PathLike, *others: type[Exception]) -> Iterator[None]:
    """Report an error of the system while a file is written in one line that names the file.

    Args:
        path: the file.
        others: more classes of errors that a library raises.

    Raises:
        UserError: in place of such an error.
    """
    kinds: tuple[type[Exception], ...] = (OSError, *others)
    try:
        yield
    except kinds as error:
        raise UserError(f'cannot write {path}: {reason_of(error)}') from None


class RunError(UserError):
    """An error in a config, an option or a file for training or testing."""


def shortened(names: Sequence[object]) -> str:
    """Join the first three names for a message."""
    return ', '.join(map(str, names[:3])) + ', ...' * (len(names) > 3)


def summarize(kinds: Mapping[str, Sequence[object]]) -> str:
    """Return the number of names of each kind and the first of them in one line; empty if none."""
    return '; '.join(
        f'{len(names)} {kind} ({shortened(names)})' for kind, names in kinds.items() if names
    )
