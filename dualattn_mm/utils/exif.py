"""Copy the EXIF data of a photo to its colorized version.

EXIF data contains offsets, sizes and maker notes that would be wrong in another file. Only tags
that describe the photo are copied, byte by byte. The tables give the type and the number of values
of each of them, from Exif 2.32 (CIPA DC-008-2019). Exif 3.0 also allows texts in UTF-8.
"""

import io
from collections.abc import Container, Mapping
from typing import BinaryIO, NamedTuple

from PIL import ExifTags, Image

from .tiff_format import (
    BYTE,
    BYTES,
    EXIF,
    GPS,
    LONG,
    RATIO,
    SHORT,
    SIGNED_RATIO,
    TEXT,
    UTF8,
    Directories,
    Entries,
    Entry,
    TiffReader,
    directories,
    header,
    number,
)

_VERSION, _COLOR_SPACE, _WIDTH, _HEIGHT = 0x9000, 0xA001, 0xA002, 0xA003
_SRGB = 1
# The space in a segment of a JPEG file, without its length and "Exif\0\0".
_MOST_BYTES = 65_527
_ANY = range(1, _MOST_BYTES)

_Forms = dict[int, tuple[int, Container[int]]]


def _forms(*groups: tuple[int, Container[int], str]) -> _Forms:
    return {int(tag, 16): (kind, counts) for kind, counts, tags in groups for tag in tags.split()}


# The type and the allowed numbers of values of each tag.
_OF_IMAGE = _forms(
    # document name, description, make, model, page, software, date, artist, host, copyright
    (TEXT, _ANY, '010D 010E 010F 0110 011D 0131 0132 013B 013C 8298'),
    (RATIO, (1,), '011A 011B'),  # resolution
    (SHORT, (1,), '0128 4746 4749'),  # its unit; ratings
    (BYTE, _ANY, '9C9B 9C9C 9C9D 9C9E 9C9F'),  # Windows: title, comment, author, keywords, subject
)
_OF_EXIF = _forms(
    # spectral sensitivity, dates, time zones, fractions of seconds, owner, serial numbers, lens
    (TEXT, _ANY, '8824 9003 9004 9010 9011 9012 9290 9291 9292 A420 A430 A431 A433 A434 A435'),
    (SHORT, (1,), '8822 8830 9207 9208 9209 A210 A217 A401 A402 A403 A405 A406 A407 A408 A409'),
    (SHORT, (1,), 'A40A A40C'),
    (SHORT, _ANY, '8827'),  # ISO speed
    (SHORT, (2, 3, 4), '9214'),  # subject area
    (SHORT, (2,), 'A214'),  # subject location
    (LONG, (1,), '8831 8832 8833 8834 8835'),
    (RATIO, (1,), '829A 829D 9202 9205 9206 920A 9401 9402 9404 A20B A20E A20F A215 A404'),
    (RATIO, (4,), 'A432'),  # lens specification
    (SIGNED_RATIO, (1,), '9201 9203 9204 9400 9403 9405'),
    (BYTES, (4,), '9000 A000'),  # versions
    (BYTES, (1,), 'A300 A301'),  # file source, scene type
    (BYTES, _ANY, '9286'),  # user comment
)
_OF_GPS = _forms(
    (BYTE, (4,), '00'),
    (BYTE, (1,), '05'),
    (TEXT, _ANY, '01 03 08 09 0A 0C 0E 10 12 13 15 17 19 1D'),
    (RATIO, (3,), '02 04 07 14 16'),
    (RATIO, (1,), '06 0B 0D 0F 11 18 1A 1F'),
    (BYTES, _ANY, '1B 1C'),
    (SHORT, (1,), '1E'),
)


class Exif(NamedTuple):
    """The values to copy, by directory.

    order: '<' or '>', the byte order.
    left_out: names of tags that should be copied but are damaged or too long.
    """

    order: str
    image: Entries
    exif: Entries
    gps: Entries
    left_out: tuple[str, ...] = ()

    def to_bytes(self, width: int, height: int) -> bytes:
        """Return the EXIF data for an upright sRGB image, starting with "Exif" and two zero bytes.

        The result is empty if there are no values.

        Args:
            width, height: size of the image in pixels.
        """
        if not any(self[1:4]):
            return b''
        described = {
            _VERSION: Entry(BYTES, 4, b'0232'),
            **self.exif,
            _COLOR_SPACE: number(self.order, SHORT, _SRGB),
            _WIDTH: number(self.order, LONG, width),
            _HEIGHT: number(self.order, LONG, height),
        }
        found = Directories(self.order, self.image, described, self.gps)
        return b'Exif\0\0' + header(self.order, 8) + directories(found, at=8)


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
    if image.format != 'TIFF' or file is None:
        return None
    position = file.tell()
    try:
        return _read(file, image.tell())
    finally:
        file.seek(position)


def _read(file: BinaryIO, page: int = 0) -> Exif:
    left_out: list[str] = []
    reader = TiffReader(file)
    image = reader.entries(reader.page(page), {*_OF_IMAGE, EXIF, GPS}, _MOST_BYTES)
    parts = [_copied(image, _OF_IMAGE, ExifTags.TAGS, left_out)]
    for pointer, forms, names in (
        (EXIF, _OF_EXIF, ExifTags.TAGS),
        (GPS, _OF_GPS, ExifTags.GPSTAGS),
    ):
        try:
            entries = reader.entries_behind(image, pointer, forms, _MOST_BYTES)
        except ValueError:
            left_out.append(ExifTags.TAGS[pointer])
            entries = {}
        parts.append(_copied(entries, forms, names, left_out))
    of_image, of_exif, of_gps = parts
    found = Exif(reader.order, of_image, of_exif, of_gps)
    while len(found.to_bytes(0, 0)) > len(b'Exif\0\0') + _MOST_BYTES:
        left_out.append(_drop_longest(found))
    return found._replace(left_out=tuple(left_out))


def _drop_longest(found: Exif) -> str:
    """Drop the longest value and return the name of its tag."""
    part, tag = max(
        ((part, tag) for part in found[1:4] for tag in part),
        key=lambda place: len(place[0][place[1]].data),
    )
    del part[tag]
    return (ExifTags.GPSTAGS if part is found.gps else ExifTags.TAGS)[tag]


def _copied(
    entries: Entries, forms: _Forms, names: Mapping[int, str], left_out: list[str]
) -> Entries:
    """Return the entries that conform to the standard; texts get a single terminating zero."""
    copied = {}
    for tag, entry in entries.items():
        if tag not in forms:
            continue
        kind, counts = forms[tag]
        kinds = (TEXT, UTF8) if kind == TEXT else (kind,)
        if entry.type not in kinds or entry.length not in counts or not entry.data:
            left_out.append(names[tag])
        elif kind == TEXT:
            text = entry.data.rstrip(b'\0') + b'\0'
            copied[tag] = Entry(entry.type, len(text), text)
        else:
            copied[tag] = entry
    return copied
