"""The exception of colorizing, and of reading and writing pictures."""

from ..errors import UserError


class ColorizeError(UserError):
    """A file, an option or weights that cannot be used."""


def first_line(error: BaseException) -> str:
    """The error's message without what follows its first line (its class where it has none)."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
