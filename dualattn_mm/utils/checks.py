"""One clear line for an argument that cannot be."""

from collections.abc import Sequence

from .errors import UserError


def require(ok: bool, name: str, value: object, allowed: str) -> None:
    """Raise UserError, naming the argument, its value and what is allowed, unless `ok`."""
    if not ok:
        raise _refusal(name, value, allowed)


def _refusal(name: str, value: object, allowed: str) -> UserError:
    return UserError(f'{name}={value!r} is not possible: it must be {allowed}')


def require_natural(**arguments: object) -> None:
    """Raise UserError, a ValueError, unless every argument is a whole number of at least 1."""
    for name, value in arguments.items():
        require(_is_natural(value), name, value, 'a whole number of at least 1')


def natural_numbers(name: str, value: object, length: int | None = None) -> tuple[int, ...]:
    """Check a sequence (config files have lists) of whole numbers of at least 1.

    Returns:
        It as a tuple.

    Raises:
        ValueError: if it is something else, empty, or not of the length given.
    """
    numbers = as_tuple(name, value)
    require(
        bool(numbers) and all(map(_is_natural, numbers)),
        name,
        numbers,
        'a sequence of whole numbers of at least 1',
    )
    require(length in (None, len(numbers)), name, numbers, f'{length} numbers, one per stage')
    return numbers


def as_tuple(name: str, value: object) -> tuple:
    """Check that an argument is a sequence and no string."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(value)
    raise _refusal(name, value, 'a sequence')


def _is_natural(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
