"""The metadata of a photo that its colorized version keeps."""

import re
from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple

from PIL import Image, ImageCms

from .errors import first_line, shortened
from .exif import Exif, read_exif
from .pixels import quiet
from .tiff_file import IPTC, X_RESOLUTION, XMP
from .tiff_format import TiffReader

# Key in `info` for the metadata of a TIFF file, which is read before Pillow closes the file.
_METADATA = 'dualattn_metadata'
XMP_OF_JPEG = b'http://ns.adobe.com/xap/1.0/\0'
_MOST_BYTES = 2**24  # of XMP or IPTC data in a TIFF file
_IPTC_OF_PHOTOSHOP = 0x0404
# Texts of a PNG file that stand for other kinds of metadata.
_NO_TEXTS = ('Raw profile type ', 'XML:com.adobe.xmp')
# What links the XMP packet of a JPEG file with segments for more of it, which are not copied.
# A match starts with a run of spaces: tried at each of them, a long run would take quadratic time.
_REST_OF_XMP = re.compile(
    rb'(?<!\s)\s+xmpNote:HasExtendedXMP\s*=\s*("[^"]*"|\'[^\']*\')'
    rb'|<xmpNote:HasExtendedXMP>[^<]*</xmpNote:HasExtendedXMP>'
)
_ORIENTATION_IN_XMP = re.compile(rb'(tiff:Orientation\s*(?:=\s*["\']|>)\s*)[2-8]')


class Metadata(NamedTuple):
    """What a photo says about itself.

    dpi: the resolution in pixels per inch.
    exif: the EXIF data, or None.
    xmp: the XMP packet; it says that the image is upright, and has no extension.
    iptc: the IPTC data (IIM).
    text: the texts of a PNG file, or the comment of another one.
    comment: the bytes of that comment, whose encoding no file states.
    remark: names the metadata that was not copied, as it is damaged or too long; empty if none.
    """

    dpi: tuple[float, float] | None = None
    exif: Exif | None = None
    xmp: bytes = b''
    iptc: bytes = b''
    text: dict[str, str] = {}  # noqa: RUF012, because nothing changes it
    comment: bytes = b''
    remark: str = ''

    def to_info(self, width: int, height: int) -> dict[str, Any]:
        """Return the `info` of an upright sRGB image of this size.

        It holds 'icc_profile' (sRGB), and if they are known, 'dpi', 'exif', 'xmp', 'iptc',
        'comment' (bytes) and 'text' (a dictionary).
        """
        exif = self.exif.to_bytes(width, height) if self.exif else b''
        found: dict[str, Any] = {'dpi': self.dpi, 'exif': exif, 'xmp': self.xmp, 'iptc': self.iptc}
        found |= {'text': self.text, 'comment': self.comment, 'icc_profile': srgb_profile()}
        return {key: value for key, value in found.items() if value}


def keep_metadata(image: Image.Image) -> None:
    """Read the metadata of a TIFF file before Pillow closes the file."""
    if image.format == 'TIFF':
        image.info[_METADATA] = read_metadata(image)


def pass_metadata(image: Image.Image, copy: Image.Image) -> None:
    """Let a copy of an image have its metadata, of which Pillow copies only a part."""
    copy.info[_METADATA] = read_metadata(image)


def read_metadata(image: Image.Image) -> Metadata:
    """Return the metadata of an image from `read_image`, or of one that is not decoded yet."""
    if _METADATA in image.info:
        return image.info[_METADATA]
    remarks: list[str] = []
    with quiet():
        comment = _comment(image)
        text = _text(image, comment)
        if image.format == 'TIFF':
            xmp, iptc, remark = _of_tiff(image)
            remarks += filter(None, [remark])
        else:
            xmp, iptc = _xmp(image), _iptc(image)
        xmp = _ORIENTATION_IN_XMP.sub(rb'\g<1>1', xmp)
        xmp, has_rest = _REST_OF_XMP.subn(b'', xmp)
        if has_rest:
            remarks.append('its extended XMP was not copied')
        try:
            exif = read_exif(image)
        except (ValueError, OSError) as error:
            exif = None
            remarks.append(f'its EXIF data was not copied ({first_line(error)})')
    if exif and exif.left_out:
        names = shortened(exif.left_out)
        remarks.append(f'damaged or too long EXIF data was not copied ({names})')
    return Metadata(_dpi(image), exif, xmp, iptc, text, comment, '; '.join(remarks))


@cache
def srgb_profile() -> bytes:
    """Return the ICC profile of sRGB, always with the same bytes."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes())
    profile[24:36] = bytes.fromhex('07EA 0001 0001 0000 0000 0000')  # made on 1 January 2026
    return bytes(profile)


def _dpi(image: Image.Image) -> tuple[float, float] | None:
    """Return the resolution in dots per inch; None if it is missing or invalid."""
    tags = getattr(image, 'tag_v2', None)
    if image.format == 'TIFF' and tags is not None and X_RESOLUTION not in tags:
        return None  # for which Pillow says 1
    try:
        x, y = (float(value) for value in image.info.get('dpi', ()))
    except (TypeError, ValueError, ArithmeticError):
        return None
    return (x, y) if 0 < x < 65536 and 0 < y < 65536 else None


def _comment(image: Image.Image) -> bytes:
    comment = b'' if image.format == 'PNG' else image.info.get('comment', b'')
    if isinstance(comment, str):
        return comment.encode()
    return comment if isinstance(comment, bytes) else b''


def _text(image: Image.Image, comment: bytes) -> dict[str, str]:
    if image.format == 'PNG':
        texts = getattr(image, 'text', {})
        return {key: text for key, text in texts.items() if not key.startswith(_NO_TEXTS)}
    try:
        words = comment.decode()
    except UnicodeDecodeError:  # an older program wrote it
        words = comment.decode('latin-1')
    words = words.strip('\0')
    return {'Comment': words} if words else {}


def _xmp(image: Image.Image) -> bytes:
    segments = (content for _, content in getattr(image, 'applist', ()))
    of_jpeg = (s[len(XMP_OF_JPEG) :] for s in segments if s.startswith(XMP_OF_JPEG))
    found = image.info.get('xmp') or image.info.get('XML:com.adobe.xmp') or next(of_jpeg, b'')
    return found.encode() if isinstance(found, str) else bytes(found)


def _iptc(image: Image.Image) -> bytes:
    resources = image.info.get('photoshop')
    if isinstance(resources, dict):
        return resources.get(_IPTC_OF_PHOTOSHOP, b'')
    text = image.info.get('Raw profile type iptc')  # ImageMagick's, in PNG
    with suppress(ValueError):
        data = bytes.fromhex(''.join(str(text or '').split('\n')[3:]))
        return _iptc_of_photoshop(data) if data.startswith(b'8BIM') else data
    return b''


def photoshop_resource(iptc: bytes) -> bytes:
    """Return IPTC data as a resource of Photoshop, as JPEG and PNG files store it."""
    head = b'8BIM' + _IPTC_OF_PHOTOSHOP.to_bytes(2, 'big') + bytes(2)  # an empty name
    return head + len(iptc).to_bytes(4, 'big') + iptc + bytes(len(iptc) % 2)


def _iptc_of_photoshop(data: bytes) -> bytes:
    """Return the IPTC data among resources of Photoshop; empty if there is none."""
    while data.startswith(b'8BIM') and len(data) >= 12:
        start = 6 + (data[6] + 2) // 2 * 2 + 4  # after the name, its padding and the size
        end = start + int.from_bytes(data[start - 4 : start], 'big')
        if int.from_bytes(data[4:6], 'big') == _IPTC_OF_PHOTOSHOP:
            return data[start:end]
        data = data[end + end % 2 :]
    return b''


def _of_tiff(image: Image.Image) -> tuple[bytes, bytes, str]:
    """Return the XMP and the IPTC data of a page of a TIFF file, and what is wrong with them."""
    file = getattr(image, 'fp', None)
    if file is None:
        return b'', b'', ''
    position = file.tell()
    try:
        reader = TiffReader(file)
        entries = reader.entries(reader.page(image.tell()), (XMP, IPTC), _MOST_BYTES)
    except ValueError:
        return b'', b'', ''  # the remark about EXIF data states it
    finally:
        file.seek(position)
    xmp, iptc = (entries[tag].data if tag in entries else b'' for tag in (XMP, IPTC))
    names = {XMP: 'XMP', IPTC: 'IPTC'}
    lost = [names[tag] for tag, entry in entries.items() if entry.length and not entry.data]
    return xmp, iptc, f'damaged or too long {" and ".join(lost)} was not copied' if lost else ''
