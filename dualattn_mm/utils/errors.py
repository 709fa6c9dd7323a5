"""Errors that a user can put right."""


class UserError(ValueError):
    """Something the user can put right; the message is one clear line, and needs no traceback."""


class ColorizeError(UserError):
    """A file, an option or weights that cannot be used."""


def first_line(error: BaseException) -> str:
    """The error's message without what follows its first line (its class where it has none)."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


class RunError(UserError):
    """A config, an option or a file that training and testing cannot use."""
