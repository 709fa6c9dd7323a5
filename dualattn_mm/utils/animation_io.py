"""Read and write animated GIF, WebP and PNG files."""

import io
import itertools
import struct
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from .atomic import atomic_write_bytes
from .deep_image import is_deep_color
from .encoding import metadata_options, save_options, source_options
from .errors import ColorizeError, TooLargeError
from .image_io import opened_image
from .metadata import pass_metadata
from .pixels import EIGHT_BITS, MAX_PIXELS, SETTING, has_alpha

# Even a frame of one pixel takes memory and time, so each counts as this many pixels more.
FRAME_PIXELS = 2**10
_MOST_LOOPS = 2**16 - 1  # in a GIF or WebP file
ANIMATED_SUFFIXES = {'.gif': 'GIF', '.webp': 'WEBP', '.png': 'PNG'}


class Animation(NamedTuple):
    """The frames of an animated image.

    frames: the frames. Gray ones are of mode L or I;16, others of RGB; if one is transparent, all
        are of LA, I;16 or RGBA.
    milliseconds: duration of each frame.
    plays: how often it is played, where 0 is endless.
    options: the `source_options` of the file.
    remark: says if the frames have more bits than can be stored; empty if not.
    """

    frames: list[Image.Image]
    milliseconds: list[float]
    plays: int
    options: dict[str, Any]
    remark: str = ''


def read_animation(
    path: Path, max_pixels: int = MAX_PIXELS, max_frames: int | None = None
) -> Animation:
    """Read all frames of an animated image.

    Raises:
        ColorizeError: if it cannot be read, has more frames than `max_frames`, or all frames
            together have more pixels than `max_pixels`, where each counts as `FRAME_PIXELS` more.
            The message is one line and does not name the file.
    """

    def load(image: Image.Image) -> Animation:
        options = source_options(image)
        remark = EIGHT_BITS if image.mode.startswith('I') or is_deep_color(image) else ''
        frames: list[Image.Image] = []
        milliseconds, pixels = [], 0
        numbers = _frame_numbers(image)
        stated = len(numbers) if isinstance(numbers, range) else 0
        for index in numbers:
            try:
                image.seek(index)
            except EOFError:
                if image.format != 'GIF':
                    raise
                break
            if max_frames is not None and max(stated, len(frames) + 1) > max_frames:
                raise TooLargeError(f'it has more than {max_frames:,} frames')
            pixels += image.width * image.height + FRAME_PIXELS
            if pixels > max_pixels:
                raise TooLargeError(
                    f'its first {len(frames) + 1} frames of {image.width} x {image.height} exceed '
                    f'the limit of {max_pixels:,} pixels ({SETTING}), where each frame counts as '
                    f'{FRAME_PIXELS:,} more'
                )
            frames.append(_frame(image))
            milliseconds.append(image.info.get('duration', 0))
        if all(map(_is_opaque, frames)):
            frames = [_without_alpha(frame) for frame in frames]
        if image.format == 'PNG':  # whose texts can be behind the frames
            pass_metadata(image, frames[0])
        return Animation(frames, milliseconds, _plays(image), options, remark)

    return opened_image(path, max_pixels, load)


def _plays(image: Image.Image) -> int:
    """Return how often an animation is played: GIF states how often it is repeated."""
    loop = image.info.get('loop')
    if image.format != 'GIF' or loop == 0:
        return loop or 0
    return 1 if loop is None else loop + 1


def _loop_options(plays: int, format_: str) -> dict[str, int]:
    """Return the option of Pillow for the number of plays, which is at most what a file holds."""
    if format_ == 'PNG' or plays == 0:
        return {'loop': plays}
    if format_ == 'WEBP':
        return {'loop': min(plays, _MOST_LOOPS)}
    return {'loop': min(plays - 1, _MOST_LOOPS)} if plays > 1 else {}


def animated_format(path: Path) -> str:
    """Return the format that the suffix of an animated image sets.

    Raises:
        ColorizeError: if it is not that of GIF, WebP or PNG.
    """
    format_ = ANIMATED_SUFFIXES.get(path.suffix.lower())
    if format_ is None:
        raise ColorizeError(
            f'{path.suffix} files have only one frame: choose a .gif, .webp or .png file'
        )
    return format_


def _frame_numbers(image: Image.Image) -> 'range | itertools.count[int]':
    """Return the numbers of the frames; for GIF without end, as it does not state how many."""
    if image.format == 'GIF':
        return itertools.count()
    # A PNG file can have an image for programs that do not support animations.
    return range(bool(getattr(image, 'default_image', False)), getattr(image, 'n_frames', 1))


def _frame(image: Image.Image) -> Image.Image:
    """Return the present frame; of gray ones with 16 bits, the network sees them all."""
    if image.mode.startswith('I'):
        return image.copy()
    frame = image.convert('LA' if image.mode in ('1', 'L', 'LA', 'La') else 'RGBA')
    frame.info.pop('transparency', None)  # it is in the alpha channel
    return frame


def _is_opaque(frame: Image.Image) -> bool:
    if frame.mode.startswith('I'):
        return not has_alpha(frame)
    return frame.getchannel('A').getextrema() == (255, 255)


def _without_alpha(frame: Image.Image) -> Image.Image:
    return frame if frame.mode.startswith('I') else frame.convert(frame.mode[:-1])


def write_animation(
    animation: Animation, path: Path, overwrite: bool, quality: int | None = None
) -> None:
    """Write an animated image atomically; the suffix sets the format.

    Args:
        animation: the frames, of mode RGB or RGBA. The metadata in the `info` of the first one
            (see `Metadata.to_info`) is written to the file.
        path: the file.
        overwrite: whether to replace an existing file.
        quality: 1 to 100, for WebP; None keeps a lossless file lossless.

    Raises:
        ColorizeError: if the suffix is not that of GIF, WebP or PNG, or the format has no room for
            the duration of a frame.
        FileExistsError: if the file exists now and `overwrite` is false.
        OSError: if the folder or the file cannot be written.
    """
    format_ = animated_format(path)
    first, *others = animation.frames
    same = animation.options if format_ == 'WEBP' else None
    options = save_options(format_, quality, same)
    options |= _loop_options(animation.plays, format_)
    options |= metadata_options(first.info, format_)
    if format_ == 'GIF' and first.mode == 'RGBA':
        options['disposal'] = 2  # transparent pixels do not show the previous frame
    buffer = io.BytesIO()
    try:
        first.save(
            buffer,
            format_,
            save_all=True,
            append_images=others,
            duration=animation.milliseconds,
            **options,
        )
    except (OverflowError, struct.error):  # depending on the release of Pillow
        raise ColorizeError(
            f'a {format_} file cannot store how long a frame is shown: choose a .webp file'
        ) from None
    atomic_write_bytes(path, buffer.getvalue(), overwrite)
