"""Errors that a user can put right, and how their messages name many things."""

from collections.abc import Mapping, Sequence


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


def shortened(names: Sequence[object]) -> str:
    """The first three of some names, for a message."""
    return ', '.join(map(str, names[:3])) + ', ...' * (len(names) > 3)


def summarize(kinds: Mapping[str, Sequence[object]]) -> str:
    """One line: how many names there are of each kind, and the first of them; empty if none."""
    return '; '.join(
        f'{len(names)} {kind} ({shortened(names)})' for kind, names in kinds.items() if names
    )
