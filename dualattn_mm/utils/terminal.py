"""Print text safely: file names cannot fake lines of output, and any encoding works."""

import os
import sys
import unicodedata
from typing import TextIO

# Zero-width joiners, which occur in Persian words and in emoji.
_HARMLESS = ('\u200c', '\u200d')


def printable(text: object) -> str:
    """Return a text as one line without characters that control the terminal.

    Control characters (such as line breaks and the escape character of terminal codes), marks that
    change the writing direction, and bytes that are not text become escapes such as `\\x1b`.
    """
    return ''.join(map(_shown, str(text)))


def _shown(character: str) -> str:
    if (
        character.isprintable()
        or character in _HARMLESS
        or unicodedata.category(character) == 'Zs'  # spaces
    ):
        return character
    return character.encode('unicode_escape').decode('ascii')


def print_line(text: object, file: TextIO | None = None) -> None:
    """Print a text as one line, escaped by `printable`, and flush the output.

    Args:
        text: the text.
        file: where to print it; None is standard output.
    """
    print(printable(text), file=file, flush=True)


def warn(text: object) -> None:
    """Print a warning as one line to standard error."""
    print_line(f'warning: {text}', sys.stderr)


def accept_any_text() -> None:
    """Print characters that the terminal's encoding lacks as escapes instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, 'reconfigure'):
            stream.reconfigure(errors='backslashreplace')


def discard_output() -> None:
    """Discard all further output, because the pipe that reads it was closed."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(devnull, stream.fileno())
    os.close(devnull)
