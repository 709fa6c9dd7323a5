"""Encode images in each format, as well as their originals were, with their metadata."""

import io
from collections.abc import Mapping
from typing import Any, BinaryIO

from PIL import Image, JpegImagePlugin, PngImagePlugin

from .metadata import XMP_OF_JPEG, photoshop_resource
from .tiff_file import exif_with_resolution, write_tiff

# How Pillow stores an image whose original had another format.
DEFAULT_OPTIONS: dict[str, dict[str, Any]] = {
    'JPEG': {'quality': 95, 'subsampling': 0},  # 4:4:4, because color is what this program adds
    'WEBP': {'quality': 95, 'method': 2},  # takes half the time of the default, no larger
    'TIFF': {},  # uncompressed
    'PNG': {'compress_level': 3},  # takes half the time of the default, 6% larger
    'AVIF': {'quality': 90, 'subsampling': '4:4:4'},
}
LOSSY_FORMATS = ('JPEG', 'WEBP', 'AVIF')
# Lossless compressions of TIFF files that are kept. Those for black and white images, and those
# that lose something, are replaced.
_KEPT = ('tiff_lzw', 'packbits', 'tiff_adobe_deflate', 'zstd', 'lzma')
_REPLACED = {
    'tiff_deflate': 'tiff_adobe_deflate',
    'group3': 'tiff_lzw',
    'group4': 'tiff_lzw',
    'tiff_ccitt': 'tiff_lzw',
    'jpeg': 'tiff_adobe_deflate',
    'tiff_jpeg': 'tiff_adobe_deflate',
    'webp': 'tiff_adobe_deflate',
}
_PREDICTOR, _DIFFERENCES = 317, 2  # of neighbors, which compress better
_MOST_OF_SEGMENT = 65_533  # bytes in a segment of a JPEG file
_MOST_XMP = _MOST_OF_SEGMENT - len(XMP_OF_JPEG)
_PHOTOSHOP = b'Photoshop 3.0\0'
_MOST_IPTC = (_MOST_OF_SEGMENT - len(_PHOTOSHOP + photoshop_resource(b''))) // 2 * 2  # padded


def source_options(image: Image.Image) -> dict[str, Any]:
    """Return the options of Pillow that store a colorized image as its original was stored.

    They are the quantization tables and the chroma subsampling of a JPEG file, the compression of
    a TIFF file, and whether a WebP file is lossless.

    Args:
        image: an image as Pillow opened it, whose file is still open.
    """
    if image.format in ('JPEG', 'MPO') and image.mode in ('L', 'RGB'):
        # A gray photo has no chroma, and -1 is an unusual subsampling.
        sampling = max(0, JpegImagePlugin.get_sampling(image)) if image.mode == 'RGB' else 0
        tables = getattr(image, 'quantization', {})  # by number, in the order of the file
        in_order = [tables[number] for number in sorted(tables)]
        return {'qtables': in_order, 'subsampling': sampling} if tables else {}
    if image.format == 'WEBP' and _is_lossless(getattr(image, 'fp', None)):
        return {'lossless': True, 'exact': True, 'method': 2}
    if image.format == 'TIFF':
        stored = str(image.info.get('compression'))
        compression = stored if stored in _KEPT else _REPLACED.get(stored)
        if compression == 'packbits':
            return {'compression': compression}
        if compression:
            return {'compression': compression, 'tiffinfo': {_PREDICTOR: _DIFFERENCES}}
    return {}


def save_options(
    format_: str, quality: int | None = None, source: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return how Pillow stores an image.

    Args:
        format_: the format of the result.
        quality: 1 to 100, for a format of `LOSSY_FORMATS`.
        source: `source_options` of the original, if it has this format.
    """
    defaults = DEFAULT_OPTIONS.get(format_, {})
    if quality is not None and format_ in LOSSY_FORMATS:
        return {**defaults, 'quality': quality}
    return dict(source or defaults)


def _is_lossless(file: BinaryIO | None) -> bool:
    """Return whether the first image of a WebP file has the lossless format."""
    if file is None:
        return False
    position, at = file.tell(), 12
    try:
        while True:
            file.seek(at)
            head = file.read(8)
            if len(head) < 8 or head[:4] in (b'VP8L', b'VP8 '):
                return head[:4] == b'VP8L'
            size = int.from_bytes(head[4:], 'little')
            # A frame of an animation contains chunks, after 16 bytes.
            at += 24 if head[:4] == b'ANMF' else 8 + size + size % 2
    finally:
        file.seek(position)


def encode(
    image: Image.Image, out: BinaryIO, format_: str, options: Mapping[str, Any] | None = None
) -> None:
    """Encode an image with the metadata in its `info` (see `Metadata.to_info`).

    Args:
        image: the image.
        out: an empty file, open for writing.
        format_: a format of `OUTPUT_FORMATS`.
        options: `save_options`; None uses the defaults of the format.
    """
    buffer = io.BytesIO()  # because Pillow does not notice if the disk is full
    given = save_options(format_) if options is None else options
    if format_ != 'TIFF':
        image.save(buffer, format_, **given, **metadata_options(image.info, format_))
        out.write(buffer.getbuffer())
        return
    try:
        image.save(buffer, 'TIFF', **given)
    except (OSError, ValueError):  # this build of Pillow cannot write the compression
        buffer = io.BytesIO()
        image.save(buffer, 'TIFF', compression='tiff_adobe_deflate')
    write_tiff(out, [(buffer, image.info)])


def metadata_options(info: Mapping[Any, Any], format_: str) -> dict[str, Any]:
    """Return the options with which Pillow stores metadata in a format other than TIFF."""
    kept = {'exif', 'icc_profile', 'dpi'} | ({'xmp'} if format_ in ('WEBP', 'AVIF') else set())
    options = {key: info[key] for key in kept & info.keys()}
    if format_ in ('WEBP', 'AVIF') and 'dpi' in info:  # which have no other place for it
        options['exif'] = exif_with_resolution(info.get('exif', b''), info['dpi'])
    if format_ == 'PNG':
        options['pnginfo'] = _png_texts(info)
    if format_ == 'JPEG':
        options['extra'] = _jpeg_segments(info)
        options['comment'] = _comment(info)[:_MOST_OF_SEGMENT]
    if format_ == 'GIF':
        options['comment'] = _comment(info)
    return options


def left_out(info: Mapping[Any, Any], format_: str) -> str:
    """Name the metadata that a format cannot hold; empty if there is none."""
    missing = []
    if format_ == 'JPEG':
        if len(info.get('xmp', b'')) > _MOST_XMP:
            missing.append('XMP (too long)')
        if len(info.get('iptc', b'')) > _MOST_IPTC:
            missing.append('IPTC (too long)')
        if len(_comment(info)) > _MOST_OF_SEGMENT:
            missing.append('the end of the comment')
    if 'iptc' in info and format_ in ('WEBP', 'AVIF'):
        missing.append('IPTC')
    if format_ == 'GIF':
        names = {'exif': 'EXIF', 'xmp': 'XMP', 'iptc': 'IPTC', 'dpi': 'resolution'}
        missing += [name for key, name in names.items() if key in info]
    texts = {'PNG': None, 'JPEG': ['Comment'], 'GIF': ['Comment']}.get(format_, [])
    if texts is not None and not info.get('text', {}).keys() <= set(texts):
        missing.append('text')
    lost = ', '.join(missing)
    return f'{format_} cannot hold all of its metadata: {lost} was not copied' if lost else ''


def _comment(info: Mapping[Any, Any]) -> bytes:
    return info.get('comment', info.get('text', {}).get('Comment', '').encode())


def _jpeg_segments(info: Mapping[Any, Any]) -> bytes:
    """Return the segments APP1 with XMP and APP13 with IPTC data."""
    found = []
    if 'xmp' in info and len(info['xmp']) <= _MOST_XMP:
        found.append((b'\xff\xe1', XMP_OF_JPEG + info['xmp']))
    if 'iptc' in info and len(info['iptc']) <= _MOST_IPTC:
        found.append((b'\xff\xed', _PHOTOSHOP + photoshop_resource(info['iptc'])))
    return b''.join(name + (len(d) + 2).to_bytes(2, 'big') + d for name, d in found)


def _png_texts(info: Mapping[Any, Any]) -> PngImagePlugin.PngInfo:
    texts = PngImagePlugin.PngInfo()
    for key, text in info.get('text', {}).items():
        texts.add_text(key, text)
    if 'xmp' in info:
        texts.add_itxt('XML:com.adobe.xmp', info['xmp'].decode('utf-8', 'replace'))
    if 'iptc' in info:  # as ImageMagick and ExifTool store it
        data = photoshop_resource(info['iptc'])
        rows = data.hex('\n', -36)
        texts.add_text('Raw profile type iptc', f'\niptc\n{len(data):8}\n{rows}\n', zip=True)
    return texts
