"""Write TIFF files with metadata: one page or many, each encoded by a library."""

import io
import shutil
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO, NamedTuple

from .tiff_format import (
    BYTE,
    BYTES,
    EXIF,
    GPS,
    LONG,
    RATIO,
    SHORT,
    Directories,
    Entries,
    Entry,
    TiffReader,
    directories,
    header,
    in_order,
    number,
)

XMP, IPTC, PROFILE = 0x02BC, 0x83BB, 0x8773
_OFFSETS = (0x0111, 0x0144)  # of strips and of tiles
_SAMPLES, _EXTRA_SAMPLES, _ALPHA = 0x0115, 0x0152, 2
X_RESOLUTION, _Y_RESOLUTION, _UNIT = 0x011A, 0x011B, 0x0128
_NO_UNIT, _INCH = 1, 2
_MOST_BYTES = 2**32 - 1  # offsets in a TIFF file have 32 bits


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
    reader, tags = TiffReader(file), (0x0102, 0x0153, 0x0106)
    entries = reader.entries(reader.first, tags, 2**16)
    return TiffKind(*(reader.numbers(entries[tag]) if tag in entries else () for tag in tags))


def write_tiff(out: BinaryIO, pages: Iterable[tuple[BinaryIO, Mapping[Any, Any]]]) -> None:
    """Join TIFF files of one page each, and add their metadata.

    Args:
        out: an empty file, open for writing.
        pages: for each page, the file, and an `info` as in `Metadata.to_info`. Metadata that is
            not in it is kept.

    Raises:
        ValueError: if a page is not a complete TIFF file.
        OSError: if the result has more than 4 GB, or cannot be written.
    """
    pointer, order = 4, ''  # where the offset of the next directory belongs
    for file, info in pages:
        reader = TiffReader(file)
        order = order or reader.order
        if reader.order != order:
            raise ValueError('the pages of a TIFF file must have one byte order')
        start = out.tell() + out.tell() % 2
        # The first page brings the header, in whose place the others have nothing.
        moved = max(0, start - 8)
        at = moved + file.seek(0, 2)
        at += at % 2
        # Before any offset is calculated, as one that is too large cannot be stored.
        if at > _MOST_BYTES or at + _size_of_directories(reader, info) > _MOST_BYTES:
            raise OSError('a TIFF file cannot have more than 4 GB')
        file.seek(8 if start else 0)
        out.seek(start)
        shutil.copyfileobj(file, out)
        out.seek(at)
        data = directories(_of_page(reader, info, moved), at)
        out.write(data)
        end = out.tell()
        out.seek(pointer)
        out.write(struct.pack(f'{order}I', at))
        out.seek(end)
        pointer = at + 2 + 12 * struct.unpack(f'{order}H', data[:2])[0]
    out.flush()


def _size_of_directories(reader: TiffReader, info: Mapping[Any, Any]) -> int:
    return len(directories(_of_page(reader, info, 0), 0))


def _of_page(reader: TiffReader, info: Mapping[Any, Any], moved: int) -> Directories:
    """Return the directories of a page whose file begins `moved` bytes later in the result."""
    order = reader.order
    entries = reader.entries(reader.first)
    for tag in _OFFSETS:
        if tag in entries:
            offsets = (offset + moved for offset in reader.numbers(entries[tag]))
            entries[tag] = number(order, LONG, *offsets)
    if entries.get(_SAMPLES) == number(order, SHORT, 4):
        entries[_EXTRA_SAMPLES] = number(order, SHORT, _ALPHA)
    for tag, key, kind in (
        (XMP, 'xmp', BYTE),
        (IPTC, 'iptc', BYTES),
        (PROFILE, 'icc_profile', BYTES),
    ):
        if data := info.get(key):
            entries[tag] = Entry(kind, len(data), data)
    if 'exif' in info:
        found = in_order(order, _of_exif(info['exif']))
    else:
        found = Directories(order, {}, *_pointed_to(reader, entries))
    image = {**found.image, **entries}
    if 'dpi' in info:
        image |= _resolution(order, info['dpi'], _INCH)
    elif X_RESOLUTION not in image:
        image |= _resolution(order, (1, 1), _NO_UNIT)  # TIFF requires these tags
    return found._replace(order=order, image=image)


def _resolution(order: str, per_unit: Iterable[float], unit: int) -> Entries:
    thousandths = (struct.pack(f'{order}2I', round(1000 * value), 1000) for value in per_unit)
    x, y = (Entry(RATIO, 1, data) for data in thousandths)
    return {X_RESOLUTION: x, _Y_RESOLUTION: y, _UNIT: number(order, SHORT, unit)}


def exif_with_resolution(exif: bytes, dpi: tuple[float, float]) -> bytes:
    """Return EXIF data with a resolution, unless it has one.

    Args:
        exif: EXIF data, starting with "Exif" and two zero bytes; may be empty.
        dpi: the resolution in pixels per inch.
    """
    found = _of_exif(exif) if exif else Directories('<', {}, {}, {})
    image = {**_resolution(found.order, dpi, _INCH), **found.image}
    data = directories(found._replace(image=image), at=8)
    return b'Exif\0\0' + header(found.order, 8) + data


def _of_exif(data: bytes) -> Directories:
    reader = TiffReader(io.BytesIO(data.removeprefix(b'Exif\0\0')))
    image = reader.entries(reader.first)
    return Directories(reader.order, image, *_pointed_to(reader, image))


def _pointed_to(reader: TiffReader, image: Entries) -> Iterator[Entries]:
    return (reader.entries_behind(image, pointer) for pointer in (EXIF, GPS))
