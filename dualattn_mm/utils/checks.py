"""Check arguments, and report invalid ones in one line."""

import math
from collections.abc import Sequence

from .errors import UserError

_LONGEST = 200  # letters of a value; the config of a part of a network has fewer


def require(ok: bool, name: str, value: object, allowed: str) -> None:
    """Raise UserError unless `ok`; it names the argument, its value and the allowed values.

    A long value is shortened, because it can come from anyone's file.
    """
    if not ok:
        raise _refusal(name, value, allowed)


def _refusal(name: str, value: object, allowed: str) -> UserError:
    try:
        shown = repr(value)
    except (ValueError, RecursionError):  # an integer with thousands of digits, or nested lists
        shown = type(value).__name__
    shown = shown if len(shown) <= _LONGEST else f'{shown[:_LONGEST]}...'
    return UserError(f'{name}={shown} is invalid: it must be {allowed}')


def require_natural(**arguments: object) -> None:
    """Raise UserError, a ValueError, unless every argument is a positive integer."""
    for name, value in arguments.items():
        require(_is_natural(value), name, value, 'a positive integer')


def require_positive(**arguments: object) -> None:
    """Raise UserError, a ValueError, unless every argument is a finite number above 0."""
    for name, value in arguments.items():
        positive = isinstance(value, (int, float)) and 0 < value < math.inf
        require(positive, name, value, 'a number above 0')


def natural_numbers(name: str, value: object, length: int | None = None) -> tuple[int, ...]:
    """Check a sequence of positive integers; config files have lists.

    Returns:
        The sequence as a tuple.

    Raises:
        ValueError: if it is not such a sequence, is empty, or does not have the given length.
    """
    numbers = as_tuple(name, value)
    require(
        bool(numbers) and all(map(_is_natural, numbers)),
        name,
        numbers,
        'a sequence of positive integers',
    )
    require(length in (None, len(numbers)), name, numbers, f'{length} numbers, one per stage')
    return numbers


def as_tuple(name: str, value: object) -> tuple:
    """Check that an argument is a sequence but not a string."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(value)
    raise _refusal(name, value, 'a sequence')


def _is_natural(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
