"""The one exception that means: tell the user, no traceback."""


class ColorizeError(ValueError):
    """Something the user can put right; the message is one clear line."""


def first_line(error: BaseException) -> str:
    """The error's message without what follows its first line (its class where it has none)."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
