"""Images with 16 bits per channel, which Pillow can neither hold nor write in color."""

import contextlib
import io
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from .atomic import scratch_file
from .encoding import metadata_options
from .errors import ColorizeError
from .libraries import opencv
from .pixels import ADVICE, turned
from .tiff_file import write_tiff
from .tiff_page import upright_page

DEEP_FORMATS = ('PNG', 'TIFF')
_USER = 'images with 16 bits per channel'  # of OpenCV
# The numbers of compressions in TIFF files.
_COMPRESSIONS = {'tiff_lzw': 5, 'tiff_adobe_deflate': 8, 'packbits': 32773}
_PNG_HEAD = 33  # bytes of the signature and of the chunk IHDR
_PNG_END = b'\0\0\0\0IEND\xaeB`\x82'
_CODESTREAM = b'\xff\x4f\xff\x51'  # the first markers of JPEG 2000
_BAND = 64  # rows
_MOST_IN_MEMORY = 2**31 - 1  # bytes of a file that OpenCV reads from memory
_COLOR_MODES = ('RGB', 'RGBA', 'LA')
# Tags of TIFF files: BitsPerSample, Orientation, PlanarConfiguration and ExtraSamples
_BITS, _ORIENTATION, _PLANES, _SEPARATE, _EXTRA, _PREMULTIPLIED = 258, 274, 284, 2, 338, 1


class DeepImage(NamedTuple):
    """An image in sRGB.

    pixels: (H, W, 3 or 4) uint16, RGB or RGBA.
    info: the metadata, as in `Metadata.to_info`.
    """

    pixels: np.ndarray
    info: dict[str, Any]


def is_deep_color(image: Image.Image) -> bool:
    """Return whether Pillow keeps only 8 of the bits per channel of an image that it opened."""
    if image.mode not in (*_COLOR_MODES, 'CMYK'):
        return False
    if image.format == 'PNG':
        return ';16' in str(getattr(image, 'tile', ''))
    if image.format == 'JPEG2000':
        return _bits_of_jpeg2000(image) > 8
    return max(getattr(image, 'tag_v2', {}).get(_BITS, (8,))) == 16


def read_deep_color(
    image: Image.Image, path: Path, page: int = 1, at: int | None = None
) -> np.ndarray | None:
    """Read a color image with 16 bits per channel, of which Pillow would keep 8.

    Args:
        image: the image as Pillow opened it.
        path: its file.
        page: the number of its page, from 1.
        at: the offset of the directory of that page in a TIFF file; None for the first page.

    Returns:
        (H, W, 3 or 4) uint16, RGB or RGBA, from a TIFF file upright, as Pillow's are; None if the
        file has no such image, is JPEG 2000, or OpenCV cannot read it.

    Raises:
        ColorizeError: if Pillow would read it wrong, too.
        UserError: if OpenCV cannot be imported.
    """
    if image.mode not in _COLOR_MODES or not is_deep_color(image):
        return None
    if image.format == 'JPEG2000':  # whose color spaces OpenCV would not all apply
        return None
    tags = getattr(image, 'tag_v2', {})  # of a TIFF file
    if tags.get(_PLANES) == _SEPARATE:  # Pillow reads something else
        raise ColorizeError(f'16-bit color in separate planes is not supported: {ADVICE}')
    if tags.get(_EXTRA, (0,))[0] == _PREMULTIPLIED:  # OpenCV would take the colors as they are
        return None
    orientation = tags.get(_ORIENTATION, 1)
    cv2 = opencv(_USER)
    cv2.setLogLevel(0)  # OpenCV would print what is wrong with a file; Pillow's error says it
    try:
        if at is None and orientation == 1:
            with _utf8_name(path) as name:
                pixels = cv2.imread(name, cv2.IMREAD_UNCHANGED)
        elif path.stat().st_size <= _MOST_IN_MEMORY:
            # OpenCV applies the orientation to some images only.
            pixels = cv2.imdecode(upright_page(path, at), cv2.IMREAD_UNCHANGED)
            pixels = None if pixels is None else turned(pixels, orientation)
        elif orientation == 1:
            with _utf8_name(path) as name:
                _, (pixels,) = cv2.imreadmulti(name, page - 1, 1, flags=cv2.IMREAD_UNCHANGED)
        else:
            return None
    except (cv2.error, ValueError):
        return None
    # OpenCV makes a channel of the transparent color of a PNG file.
    opaque = image.mode == 'RGB' and 'transparency' not in image.info
    shape = (*image.size[::-1], 3 if opaque else 4)
    if pixels is None or pixels.dtype != np.uint16 or pixels.shape != shape:
        return None
    _swap_red_and_blue(pixels)
    return pixels


def _bits_of_jpeg2000(image: Image.Image) -> int:
    """Return the most bits per channel of a JPEG 2000 file; 8 if it does not state them.

    They are in the first marker of the codestream, which is the file or one of its boxes
    (ISO/IEC 15444-1, A.5.1 and I.4).
    """
    file = getattr(image, 'fp', None)
    if file is None:
        return 8
    position, at = file.tell(), 0
    try:
        while True:
            file.seek(at)
            head = file.read(16)
            if head.startswith(_CODESTREAM):
                file.seek(at + 40)
                count = int.from_bytes(file.read(2), 'big')
                return max(((bits & 127) + 1 for bits in file.read(3 * count)[::3]), default=8)
            size, kind, start = int.from_bytes(head[:4], 'big'), head[4:8], 8
            if size == 1:
                size, start = int.from_bytes(head[8:], 'big'), 16
            if kind != b'jp2c' and size < start:
                return 8
            at += start if kind == b'jp2c' else size
    finally:
        file.seek(position)


@contextlib.contextmanager
def _utf8_name(path: Path) -> Iterator[str]:
    """Give a file a name in UTF-8 for a while. With any other, OpenCV ends the process."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        with tempfile.TemporaryDirectory() as folder:
            link = Path(folder, 'image').with_suffix('.tif' if path.suffix == '.tif' else '.png')
            link.symlink_to(path.absolute())
            yield str(link)
    else:
        yield str(path)


def encode_deep(
    image: DeepImage, out: BinaryIO, format_: str, options: Mapping[str, Any], beside: Path
) -> None:
    """Encode an image with OpenCV, and add its metadata. The pixels are overwritten.

    Args:
        image: the image.
        out: an empty file, open for writing.
        format_: one of `DEEP_FORMATS`.
        options: `save_options`, of which the compression of a TIFF file is used.
        beside: a file in whose folder another one can be written: it holds what OpenCV encoded, so
            that a large image needs no more memory.

    Raises:
        OSError: if the file cannot be written.
        UserError: if OpenCV cannot be imported.
    """
    cv2 = opencv(_USER)
    _swap_red_and_blue(image.pixels)
    if format_ == 'TIFF':
        compression = _COMPRESSIONS.get(options.get('compression', ''), 1)
        if compression == 1 and 'compression' in options:
            compression = _COMPRESSIONS['tiff_adobe_deflate']
        parameters = [cv2.IMWRITE_TIFF_COMPRESSION, compression]
    else:
        parameters = [cv2.IMWRITE_PNG_COMPRESSION, options.get('compress_level', 3)]
    with scratch_file(beside.parent, '.tif' if format_ == 'TIFF' else '.png') as scratch:
        try:
            with _utf8_name(scratch) as name:
                written = cv2.imwrite(name, image.pixels, parameters)
        except cv2.error as error:
            raise OSError(f'OpenCV cannot encode it ({error.err})') from error
        if not written:
            raise OSError('OpenCV could not write the file: is the disk full?')
        with scratch.open('rb') as file:
            if format_ == 'TIFF':
                write_tiff(out, [(file, image.info)])
            else:
                _join_png(file, out, image.info)


def _join_png(file: BinaryIO, out: BinaryIO, info: Mapping[str, Any]) -> None:
    """Copy a PNG file and insert chunks with metadata, which Pillow makes."""
    file.seek(-len(_PNG_END), 2)
    if file.read() != _PNG_END:
        raise OSError('only a part of the file was written')
    file.seek(0)
    out.write(file.read(_PNG_HEAD))
    buffer = io.BytesIO()
    Image.new('L', (1, 1)).save(buffer, 'PNG', **metadata_options(info, 'PNG'))
    data, at = buffer.getvalue(), _PNG_HEAD
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], 'big')
        if data[at + 4 : at + 8] not in (b'IDAT', b'IEND'):
            out.write(data[at:end])
        at = end
    shutil.copyfileobj(file, out)


def _swap_red_and_blue(pixels: np.ndarray) -> None:
    """Swap these channels in place, in bands, which takes no memory."""
    for top in range(0, len(pixels), _BAND):
        band = pixels[top : top + _BAND]
        band[..., :3] = band[..., 2::-1].copy()
