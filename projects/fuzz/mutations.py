"""Change bytes and values with a seeded random number generator."""

import random
from typing import Any

_NUMBERS = (0, 1, 2, 3, 7, 8, 127, 128, 255, 256, 32767, 32768, 65535, 2**31 - 1, 2**31, 2**32 - 1)
_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1,
    10**9,
    10**30,
    2**63,
    0.5,
    float('nan'),
    float('inf'),
    '',
    'os.system',
    'hf_hub:x/y',
    'a' * 9999,
    '\x1b[31m\nerror: forged',
    [],
    {},
    [1] * 999,
    [[[[[]]]]],
    {'type': 'os.mkdir', 'path': 'ran'},
    {'_scope_': 'helper'},
)
_KEYS = ('type', '_scope_', 'init_cfg', 'depths', 'window_size', 'image_size', 'teacher', 'x')


def mutated(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """Apply one to eight changes to a file.

    Args:
        data: the content of the file.
        others: other files, from which pieces are inserted.
        rng: the random number generator.
    """
    content = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5, 8))):
        rng.choice(_CHANGES)(content, others, rng)
        if not content:
            break
    return bytes(content)


def _flip_bit(content: bytearray, others: list[bytes], rng: random.Random) -> None:
    content[_place(content, rng)] ^= 1 << rng.randrange(8)


def _set_byte(content: bytearray, others: list[bytes], rng: random.Random) -> None:
    content[_place(content, rng)] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))


def _set_number(content: bytearray, others: list[bytes], rng: random.Random) -> None:
    size, at = rng.choice((2, 4)), _place(content, rng)
    number = rng.choice(_NUMBERS) % 2 ** (8 * size)
    content[at : at + size] = number.to_bytes(size, rng.choice(('little', 'big')))


def _remove(content: bytearray, others: list[bytes], rng: random.Random) -> None:
    at = _place(content, rng)
    del content[at : at + rng.choice((1, 2, 4, 16, 64, 999))]


def _repeat(content: bytearray, others: list[bytes], rng: random.Random) -> None:
    at = _place(content, rng)
    piece = content[at : at + rng.choice((1, 4, 16, 64, 999))]
    content[at:at] = piece * rng.choice((1, 1, 2, 9))


def _truncate(content: bytearray, others: list[bytes], rng: random.Random) -> None:
    del content[rng.randrange(len(content)) :]


def _insert(content: bytearray, others: list[bytes], rng: random.Random) -> None:
    other = rng.choice(others)
    start = rng.randrange(max(1, len(other)))
    at = _place(content, rng)
    piece = other[start : start + rng.choice((4, 16, 64, 999))]
    content[at : at + rng.choice((0, len(piece)))] = piece


def _noise(content: bytearray, others: list[bytes], rng: random.Random) -> None:
    at = _place(content, rng)
    content[at : at + 16] = rng.randbytes(16)


_CHANGES = (
    *(_flip_bit, _set_byte, _set_number, _set_number, _remove, _repeat, _truncate, _insert, _noise),
)


def _place(content: bytearray, rng: random.Random) -> int:
    """Draw a position, in half of the cases near the start, where formats have their headers."""
    return rng.randrange(min(len(content), rng.choice((64, 512, len(content)))))


def mutated_value(value: Any, rng: random.Random) -> Any:
    """Change one value, key or item in a structure of dicts and lists."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        changed = dict(value)
        action = rng.random()
        if action < 0.1:
            del changed[key]
        elif action < 0.25:
            changed[rng.choice(_KEYS)] = rng.choice(_VALUES)
        else:
            changed[key] = mutated_value(value[key], rng)
        return changed
    if isinstance(value, list) and value and rng.random() < 0.6:
        changed_list = list(value)
        at = rng.randrange(len(value))
        changed_list[at] = mutated_value(value[at], rng)
        return changed_list if rng.random() < 0.8 else changed_list * rng.choice((0, 2, 99))
    return rng.choice(_VALUES)
