"""Read and write animated GIF, WebP and PNG files."""

import io
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from .atomic import atomic_write_bytes
from .encoding import save_options, source_options
from .errors import ColorizeError, TooLargeError
from .image_io import opened_image
from .pixels import MAX_PIXELS

ANIMATED_SUFFIXES = {'.gif': 'GIF', '.webp': 'WEBP', '.png': 'PNG'}


class Animation(NamedTuple):
    """The frames of an animated image.

    frames: the frames, all of the same size and of mode RGB, or RGBA if one is transparent.
    milliseconds: duration of each frame.
    loops: number of loops, where 0 is endless; None if the file does not state it.
    options: the `source_options` of the file.
    """

    frames: list[Image.Image]
    milliseconds: list[float]
    loops: int | None
    options: dict[str, Any]


def read_animation(path: Path, max_pixels: int = MAX_PIXELS) -> Animation:
    """Read all frames of an animated image.

    Raises:
        ColorizeError: if it cannot be read, or all frames together have more pixels than
            `max_pixels`. The message is one line and does not name the file.
    """

    def load(image: Image.Image) -> Animation:
        options = source_options(image)
        count = getattr(image, 'n_frames', 1)
        if count * image.width * image.height > max_pixels:
            raise TooLargeError(
                f'the size of {count} frames of {image.width} x {image.height} exceeds the limit '
                f'of {max_pixels:,} pixels (max_pixels)'
            )
        frames, milliseconds = [], []
        # A PNG file can have an image for programs that do not support animations.
        for index in range(bool(getattr(image, 'default_image', False)), count):
            image.seek(index)
            frames.append(image.convert('RGBA'))
            milliseconds.append(image.info.get('duration', 0))
        if all(frame.getchannel('A').getextrema() == (255, 255) for frame in frames):
            frames = [frame.convert('RGB') for frame in frames]
        return Animation(frames, milliseconds, image.info.get('loop'), options)

    return opened_image(path, max_pixels, load)


def write_animation(animation: Animation, path: Path, overwrite: bool) -> None:
    """Write an animated image atomically; the suffix sets the format.

    Raises:
        ColorizeError: if the suffix is not that of GIF, WebP or PNG.
        FileExistsError: if the file exists now and `overwrite` is false.
        OSError: if the folder or the file cannot be written.
    """
    format_ = ANIMATED_SUFFIXES.get(path.suffix.lower())
    if format_ is None:
        raise ColorizeError(
            f'{path.suffix} files have only one frame: choose a .gif, .webp or .png file'
        )
    first, *others = animation.frames
    options = save_options(format_, source=animation.options if format_ == 'WEBP' else None)
    if animation.loops is not None:
        options['loop'] = animation.loops
    if format_ == 'GIF' and first.mode == 'RGBA':
        options['disposal'] = 2  # transparent pixels do not show the previous frame
    buffer = io.BytesIO()
    first.save(
        buffer,
        format_,
        save_all=True,
        append_images=others,
        duration=animation.milliseconds,
        **options,
    )
    atomic_write_bytes(path, buffer.getvalue(), overwrite)
