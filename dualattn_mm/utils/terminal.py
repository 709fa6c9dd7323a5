"""Text for a terminal: names of strangers' files cannot forge lines, and any encoding will do."""

import os
import sys
import unicodedata
from typing import TextIO

# Zero-width joiners, which are part of Persian words and of emoji.
_HARMLESS = ('\u200c', '\u200d')


def printable(text: object) -> str:
    """A text as one line that a terminal shows as it is.

    Control characters (line breaks and the escape character of terminal codes among them), marks
    that turn the direction of writing, and bytes that are no text become escapes such as `\\x1b`.
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
    """Print a text as one line, at once, escaped by `printable`.

    Args:
        text: the text.
        file: where it is printed; None is standard output.
    """
    print(printable(text), file=file, flush=True)


def warn(text: object) -> None:
    """Print a warning as one line to standard error."""
    print_line(f'warning: {text}', sys.stderr)


def accept_any_text() -> None:
    """Print what the terminal's encoding (ASCII, Latin-1) lacks as escapes; it is no error."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, 'reconfigure'):
            stream.reconfigure(errors='backslashreplace')


def discard_output() -> None:
    """Let what is still to be printed vanish: its reader is gone."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(devnull, stream.fileno())
    os.close(devnull)
