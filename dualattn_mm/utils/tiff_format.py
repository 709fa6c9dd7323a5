"""The directories of tags that TIFF files, BigTIFF files and EXIF data consist of."""

import struct
from collections.abc import Container
from typing import BinaryIO, NamedTuple

BYTE, TEXT, SHORT, LONG, RATIO, BYTES, SIGNED_RATIO, UTF8 = 1, 2, 3, 4, 5, 7, 10, 129
# Bytes per value for each type of TIFF 6.0, BigTIFF and Exif 3.0.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
_SIZES[UTF8] = 1
_WHOLE_NUMBERS = {SHORT: 'H', LONG: 'I', 13: 'I', 16: 'Q'}
EXIF, GPS = 0x8769, 0x8825  # pointers to directories
_USER_COMMENT, _UNICODE = 0x9286, b'UNICODE\0'


class Entry(NamedTuple):
    """The values of a tag: their type, their number, and their bytes in the order of the file."""

    type: int
    length: int
    data: bytes


Entries = dict[int, Entry]


class Directories(NamedTuple):
    """The directory of an image and the two that it points to.

    order: '<' or '>', the byte order.
    """

    order: str
    image: Entries
    exif: Entries
    gps: Entries


class TiffReader:
    """Read the directories of EXIF data, TIFF and BigTIFF, which share one format.

    Raises:
        ValueError: if the data has another format or is cut off.
    """

    def __init__(self, file: BinaryIO):
        self._file = file
        self._size = file.seek(0, 2)
        head = self._bytes(0, 8)
        if head[:2] not in (b'II', b'MM'):
            raise ValueError('the data does not begin with II or MM')
        self.order = '<' if head[:2] == b'II' else '>'
        self._big = self._unpack('H', head[2:4]) == 43
        self._word = 'Q' if self._big else 'I'
        self.first = self._unpack(self._word, self._bytes(8, 8) if self._big else head[4:])

    def page(self, index: int) -> int:
        """Return the offset of the directory of a page."""
        at = self.first
        for _ in range(index):
            start, count, step, _ = self._table(at)
            at = self._unpack(self._word, self._bytes(start + step * count, 8 if self._big else 4))
        return at

    def entries(self, at: int, tags: Container[int] | None = None, longest: int = 2**32) -> Entries:
        """Read the entries of a directory.

        Args:
            at: the offset of the directory.
            tags: the tags to read; None reads all tags.
            longest: the most bytes of a value. A longer one, or one outside the file, is empty.
        """
        start, count, step, inline = self._table(at)
        found: Entries = {}
        for i in range(count):
            raw = self._bytes(start + step * i, step)
            tag, kind = struct.unpack(f'{self.order}HH', raw[:4])
            if tag in found or (tags is not None and tag not in tags):
                continue
            values = self._unpack(self._word, raw[4:-inline])
            size = _SIZES.get(kind, 0) * values
            data = raw[-inline:][:size]
            if size > inline:
                offset = self._unpack(self._word, raw[-inline:])
                fits = offset + size <= self._size and size <= longest
                data = self._bytes(offset, size) if fits else b''
            found[tag] = Entry(kind, values, data)
        return found

    def head(self, first: int) -> bytes:
        """Return the beginning of the file with the offset of another directory as the first."""
        size = 8 if self._big else 4
        return self._bytes(0, size) + struct.pack(self.order + self._word, first)

    def place_of(self, at: int, tag: int) -> int | None:
        """Return where the value of a short entry is, in the directory at an offset, or None."""
        start, count, step, inline = self._table(at)
        for place in range(start, start + step * count, step):
            if self._unpack('H', self._bytes(place, 2)) == tag:
                return place + step - inline
        return None

    def entries_behind(
        self,
        entries: Entries,
        pointer: int,
        tags: Container[int] | None = None,
        longest: int = 2**32,
    ) -> Entries:
        """Read the directory that an entry points to; it is empty if that entry is missing."""
        if pointer not in entries:
            return {}
        [at] = self.numbers(entries[pointer])
        return self.entries(at, tags, longest)

    def numbers(self, entry: Entry) -> tuple[int, ...]:
        """Return the integers of an entry; empty if it has other values."""
        letter = _WHOLE_NUMBERS.get(entry.type)
        if letter is None or not entry.data:
            return ()
        return struct.unpack(f'{self.order}{entry.length}{letter}', entry.data)

    def _table(self, at: int) -> tuple[int, int, int, int]:
        """Return where the entries begin, how many they are, and the sizes of one and its value."""
        counts, step, inline = ('Q', 20, 8) if self._big else ('H', 12, 4)
        start = at + struct.calcsize(counts)
        count = self._unpack(counts, self._bytes(at, start - at))
        if at < 8 or start + step * count > self._size:
            raise ValueError('a directory is outside the data')
        return start, count, step, inline

    def _bytes(self, at: int, size: int) -> bytes:
        if at + size > self._size:
            raise ValueError('the data is cut off')
        self._file.seek(at)
        return self._file.read(size)

    def _unpack(self, letter: str, data: bytes) -> int:
        return struct.unpack(self.order + letter, data)[0]


def number(order: str, kind: int, *values: int) -> Entry:
    """Make an entry of whole numbers."""
    data = struct.pack(f'{order}{len(values)}{_WHOLE_NUMBERS[kind]}', *values)
    return Entry(kind, len(values), data)


def in_order(order: str, found: Directories) -> Directories:
    """Return the same values in a byte order."""
    if found.order == order:
        return found
    parts = ({tag: _swapped(tag, entry) for tag, entry in part.items()} for part in found[1:])
    return Directories(order, *parts)


def _swapped(tag: int, entry: Entry) -> Entry:
    head = b''
    size = 4 if entry.type in (RATIO, SIGNED_RATIO) else _SIZES[entry.type]  # of two numbers
    if tag == _USER_COMMENT and entry.data.startswith(_UNICODE) and entry.length % 2 == 0:
        head, size = _UNICODE, 2  # UTF-16 in the byte order of the file
    data = entry.data[len(head) :]
    values = (data[i : i + size][::-1] for i in range(0, len(data), size))
    return entry._replace(data=head + b''.join(values))


def header(order: str, first: int) -> bytes:
    """Return the first 8 bytes of a file whose first directory is at the offset `first`."""
    return (b'II' if order == '<' else b'MM') + struct.pack(f'{order}HI', 42, first)


def directories(whole: Directories, at: int) -> bytes:
    """Return the image's directory followed by the others, for the offset `at` in a file."""
    order, image = whole.order, dict(whole.image)
    others = {tag: part for tag, part in ((EXIF, whole.exif), (GPS, whole.gps)) if part}
    image.update(dict.fromkeys(others, number(order, LONG, 0)))
    end = at + len(_directory(image, order, at))
    written = b''
    for tag, part in others.items():
        image[tag] = number(order, LONG, end + len(written))
        written += _directory(part, order, end + len(written))
    return _directory(image, order, at) + written


def _directory(entries: Entries, order: str, at: int) -> bytes:
    table, values = struct.pack(f'{order}H', len(entries)), b''
    start = at + 2 + 12 * len(entries) + 4
    for tag, (kind, count, data) in sorted(entries.items()):
        field = data.ljust(4, b'\0')
        if len(data) > 4:
            field = struct.pack(f'{order}I', start + len(values))
            values += data + bytes(len(data) % 2)
        table += struct.pack(f'{order}HHI', tag, kind, count) + field
    return table + bytes(4) + values
