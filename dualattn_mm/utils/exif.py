"""Copy the EXIF data of a photo to its colorized version.

EXIF data contains offsets, sizes and maker notes that would be wrong in another file. Only tags
that describe the photo are copied, byte by byte. The tables give the type and the number of values
of each of them, from Exif 2.32 (CIPA DC-008-2019).
"""

import io
import struct
from collections.abc import Container, Mapping
from typing import BinaryIO, NamedTuple

from PIL import ExifTags, Image

_BYTE, _TEXT, _SHORT, _LONG, _RATIO, _BYTES, _SIGNED_RATIO = 1, 2, 3, 4, 5, 7, 10
# Bytes per value for each type of TIFF 6.0 and BigTIFF.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
_WHOLE_NUMBERS = {_SHORT: 'H', _LONG: 'I', 13: 'I', 16: 'Q'}
_EXIF, _GPS = 0x8769, 0x8825
_VERSION, _COLOR_SPACE, _WIDTH, _HEIGHT = 0x9000, 0xA001, 0xA002, 0xA003
_SRGB = 1
# The space in a segment of a JPEG file, without its length and "Exif\0\0".
_MOST_BYTES = 65_527
_ANY = range(1, _MOST_BYTES)


class _Entry(NamedTuple):
    """The values of a tag: their type, their number, and their bytes in the order of the file."""

    type: int
    length: int
    data: bytes


_Entries = dict[int, _Entry]
_Forms = dict[int, tuple[int, Container[int]]]


def _forms(*groups: tuple[int, Container[int], str]) -> _Forms:
    return {int(tag, 16): (kind, counts) for kind, counts, tags in groups for tag in tags.split()}


# The type and the allowed numbers of values of each tag.
_OF_IMAGE = _forms(
    # document name, description, make, model, page, software, date, artist, host, copyright
    (_TEXT, _ANY, '010D 010E 010F 0110 011D 0131 0132 013B 013C 8298'),
    (_RATIO, (1,), '011A 011B'),  # resolution
    (_SHORT, (1,), '0128 4746 4749'),  # its unit; ratings
    (_BYTE, _ANY, '9C9B 9C9C 9C9D 9C9E 9C9F'),  # Windows: title, comment, author, keywords, subject
)
_OF_EXIF = _forms(
    # spectral sensitivity, dates, time zones, fractions of seconds, owner, serial numbers, lens
    (_TEXT, _ANY, '8824 9003 9004 9010 9011 9012 9290 9291 9292 A420 A430 A431 A433 A434 A435'),
    (_SHORT, (1,), '8822 8830 9207 9208 9209 A210 A217 A401 A402 A403 A405 A406 A407 A408 A409'),
    (_SHORT, (1,), 'A40A A40C'),
    (_SHORT, _ANY, '8827'),  # ISO speed
    (_SHORT, (2, 3, 4), '9214'),  # subject area
    (_SHORT, (2,), 'A214'),  # subject location
    (_LONG, (1,), '8831 8832 8833 8834 8835'),
    (_RATIO, (1,), '829A 829D 9202 9205 9206 920A 9401 9402 9404 A20B A20E A20F A215 A404'),
    (_RATIO, (4,), 'A432'),  # lens specification
    (_SIGNED_RATIO, (1,), '9201 9203 9204 9400 9403 9405'),
    (_BYTES, (4,), '9000 A000'),  # versions
    (_BYTES, (1,), 'A300 A301'),  # file source, scene type
    (_BYTES, _ANY, '9286'),  # user comment
)
_OF_GPS = _forms(
    (_BYTE, (4,), '00'),
    (_BYTE, (1,), '05'),
    (_TEXT, _ANY, '01 03 08 09 0A 0C 0E 10 12 13 15 17 19 1D'),
    (_RATIO, (3,), '02 04 07 14 16'),
    (_RATIO, (1,), '06 0B 0D 0F 11 18 1A 1F'),
    (_BYTES, _ANY, '1B 1C'),
    (_SHORT, (1,), '1E'),
)


class Exif(NamedTuple):
    """The values to copy, by directory.

    order: '<' or '>', the byte order.
    unreadable: names of tags that should be copied but are damaged.
    """

    order: str
    image: _Entries
    exif: _Entries
    gps: _Entries
    unreadable: tuple[str, ...] = ()

    def to_bytes(self, width: int, height: int) -> bytes:
        """Return the EXIF data for an upright sRGB image, starting with "Exif" and two zero bytes.

        The longest values are dropped until the rest fits into a JPEG file. The result is empty if
        no value is left.

        Args:
            width, height: size of the image in pixels.
        """
        image, exif, gps = parts = [dict(part) for part in self[1:4]]
        while any(parts):
            described = {
                _VERSION: _Entry(_BYTES, 4, b'0232'),
                **exif,
                _COLOR_SPACE: _number(self.order, _SHORT, _SRGB),
                _WIDTH: _number(self.order, _LONG, width),
                _HEIGHT: _number(self.order, _LONG, height),
            }
            directories = _directories(Exif(self.order, image, described, gps), at=8)
            if len(directories) <= _MOST_BYTES - 8:
                return b'Exif\0\0' + _header(self.order, 8) + directories
            longest, tag = max(
                ((part, tag) for part in parts for tag in part),
                key=lambda found: len(found[0][found[1]].data),
            )
            del longest[tag]
        return b''


def read_exif(image: Image.Image) -> Exif | None:
    """Read the EXIF data of an image that can be copied; None if it has none.

    The directory of a TIFF file counts as EXIF data. It is read from the file, which Pillow closes
    after it has read the pixels.

    Raises:
        ValueError: if all of the data is damaged.
    """
    data = image.info.get('exif')
    text = image.info.get('Raw profile type exif')  # ImageMagick's, in PNG
    if data is None and isinstance(text, str):
        data = bytes.fromhex(''.join(text.split('\n')[3:]))
    if data is not None:
        return _read(io.BytesIO(data.removeprefix(b'Exif\0\0')))
    file = getattr(image, 'fp', None)
    if image.format != 'TIFF' or file is None or image.tell():
        return None
    position = file.tell()
    try:
        return _read(file)
    finally:
        file.seek(position)


def add_to_tiff(tiff: bytes, exif: bytes) -> bytes:
    """Put EXIF data into a TIFF file of 8-bit samples.

    Args:
        tiff: the file.
        exif: the result of `Exif.to_bytes`.

    Returns:
        The file with a new directory at its end, in the byte order of the EXIF data.
    """
    reader = _Reader(io.BytesIO(exif.removeprefix(b'Exif\0\0')))
    image = reader.entries(reader.first)
    of_exif, of_gps = (reader.entries_behind(image, pointer) for pointer in (_EXIF, _GPS))
    own = _Reader(io.BytesIO(tiff))
    entries = own.entries(own.first)
    if own.order != reader.order:
        entries = {tag: _swapped(entry) for tag, entry in entries.items()}
    tiff += bytes(len(tiff) % 2)
    whole = Exif(reader.order, {**image, **entries}, of_exif, of_gps)
    return _header(reader.order, len(tiff)) + tiff[8:] + _directories(whole, len(tiff))


class TiffKind(NamedTuple):
    """The pixel format of a TIFF file: its tags BitsPerSample, SampleFormat and Photometric."""

    bits: tuple[int, ...]
    formats: tuple[int, ...]
    photometric: tuple[int, ...]


def read_tiff_kind(file: BinaryIO) -> TiffKind:
    """Read the first directory of a TIFF file; the value of a missing tag is empty.

    Raises:
        ValueError: if the directory is damaged.
    """
    reader, tags = _Reader(file), (0x0102, 0x0153, 0x0106)
    entries = reader.entries(reader.first, tags)
    return TiffKind(*(reader.numbers(entries[tag]) if tag in entries else () for tag in tags))


class _Reader:
    """Read the directories of EXIF data, TIFF and BigTIFF, which share one format.

    Raises:
        ValueError: if the file has another format or is cut off.
    """

    def __init__(self, file: BinaryIO):
        self._file = file
        self._size = file.seek(0, 2)
        head = self._bytes(0, 8)
        if head[:2] not in (b'II', b'MM'):
            raise ValueError('EXIF data must begin with II or MM')
        self.order = '<' if head[:2] == b'II' else '>'
        self._big = self._unpack('H', head[2:4]) == 43
        self._word = 'Q' if self._big else 'I'
        self.first = self._unpack(self._word, self._bytes(8, 8) if self._big else head[4:])

    def entries(self, at: int, tags: Container[int] | None = None) -> _Entries:
        """Read the entries of a directory. A value outside the file is empty.

        Args:
            at: the offset of the directory.
            tags: the tags to read, for which longer values than EXIF allows are empty; None reads
                all tags.
        """
        counts, step, inline = ('Q', 20, 8) if self._big else ('H', 12, 4)
        start = at + struct.calcsize(counts)
        count = self._unpack(counts, self._bytes(at, start - at))
        if at < 8 or start + step * count > self._size:
            raise ValueError('a directory is outside the EXIF data')
        found: _Entries = {}
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
                fits = offset + size <= self._size and (tags is None or size <= _MOST_BYTES)
                data = self._bytes(offset, size) if fits else b''
            found[tag] = _Entry(kind, values, data)
        return found

    def entries_behind(
        self, entries: _Entries, pointer: int, tags: Container[int] | None = None
    ) -> _Entries:
        """Read the directory that an entry points to; it is empty if that entry is missing."""
        if pointer not in entries:
            return {}
        [at] = self.numbers(entries[pointer])
        return self.entries(at, tags)

    def numbers(self, entry: _Entry) -> tuple[int, ...]:
        """Return the integers of an entry; empty if it has other values."""
        letter = _WHOLE_NUMBERS.get(entry.type)
        if letter is None or not entry.data:
            return ()
        return struct.unpack(f'{self.order}{entry.length}{letter}', entry.data)

    def _bytes(self, at: int, size: int) -> bytes:
        if at + size > self._size:
            raise ValueError('the EXIF data is cut off')
        self._file.seek(at)
        return self._file.read(size)

    def _unpack(self, letter: str, data: bytes) -> int:
        return struct.unpack(self.order + letter, data)[0]


def _read(file: BinaryIO) -> Exif:
    unreadable: list[str] = []
    reader = _Reader(file)
    image = reader.entries(reader.first, {*_OF_IMAGE, _EXIF, _GPS})
    parts = [_copied(image, _OF_IMAGE, ExifTags.TAGS, unreadable)]
    for pointer, forms, names in (
        (_EXIF, _OF_EXIF, ExifTags.TAGS),
        (_GPS, _OF_GPS, ExifTags.GPSTAGS),
    ):
        try:
            entries = reader.entries_behind(image, pointer, forms)
        except ValueError:
            unreadable.append(ExifTags.TAGS[pointer])
            entries = {}
        parts.append(_copied(entries, forms, names, unreadable))
    of_image, of_exif, of_gps = parts
    return Exif(reader.order, of_image, of_exif, of_gps, tuple(unreadable))


def _copied(
    entries: _Entries, forms: _Forms, names: Mapping[int, str], unreadable: list[str]
) -> _Entries:
    """Return the entries that conform to the standard; texts get a single terminating zero."""
    copied = {}
    for tag, entry in entries.items():
        if tag not in forms:
            continue
        kind, counts = forms[tag]
        if entry.type != kind or entry.length not in counts or not entry.data:
            unreadable.append(names[tag])
        elif kind == _TEXT:
            text = entry.data.rstrip(b'\0') + b'\0'
            copied[tag] = _Entry(kind, len(text), text)
        else:
            copied[tag] = entry
    return copied


def _number(order: str, kind: int, value: int) -> _Entry:
    return _Entry(kind, 1, struct.pack(order + _WHOLE_NUMBERS[kind], value))


def _swapped(entry: _Entry) -> _Entry:
    """Return the same values in the other byte order; a ratio consists of two numbers."""
    size = 4 if entry.type in (_RATIO, _SIGNED_RATIO) else _SIZES[entry.type]
    numbers = (entry.data[i : i + size][::-1] for i in range(0, len(entry.data), size))
    return entry._replace(data=b''.join(numbers))


def _header(order: str, first: int) -> bytes:
    return (b'II' if order == '<' else b'MM') + struct.pack(f'{order}HI', 42, first)


def _directories(whole: Exif, at: int) -> bytes:
    """Return the image's directory followed by the others, for the offset `at` in a file."""
    order, image = whole.order, dict(whole.image)
    others = {tag: part for tag, part in ((_EXIF, whole.exif), (_GPS, whole.gps)) if part}
    image.update(dict.fromkeys(others, _number(order, _LONG, 0)))
    end = at + len(_directory(image, order, at))
    written = b''
    for tag, part in others.items():
        image[tag] = _number(order, _LONG, end + len(written))
        written += _directory(part, order, end + len(written))
    return _directory(image, order, at) + written


def _directory(entries: _Entries, order: str, at: int) -> bytes:
    table, values = struct.pack(f'{order}H', len(entries)), b''
    start = at + 2 + 12 * len(entries) + 4
    for tag, (kind, count, data) in sorted(entries.items()):
        field = data.ljust(4, b'\0')
        if len(data) > 4:
            field = struct.pack(f'{order}I', start + len(values))
            values += data + bytes(len(data) % 2)
        table += struct.pack(f'{order}HHI', tag, kind, count) + field
    return table + bytes(4) + values
