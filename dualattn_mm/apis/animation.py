"""Colorize animated GIF, WebP and PNG files."""

import time
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from torch import Tensor

from ..utils.animation_io import animated_format, read_animation, write_animation
from ..utils.atomic import check_free
from ..utils.encoding import left_out
from ..utils.errors import InColorError, writing
from ..utils.in_color import has_colors, sampled_frames
from ..utils.pixels import quiet
from .frames import FilmResult, colorize_frames
from .pipeline import ColorizationPipeline, Photo
from .smoothing import DEFAULT_STRENGTH, ColorSmoother


class _Frame(NamedTuple):
    photo: Photo


def colorize_animation(
    pipe: ColorizationPipeline,
    source: Path,
    target: Path,
    saturation: float | None = None,
    smooth: float = DEFAULT_STRENGTH,
    overwrite: bool = False,
    max_frames: int | None = None,
    recolor: bool = False,
    quality: int | None = None,
) -> FilmResult:
    """Colorize all frames of an animated image, with a progress bar on a terminal.

    Durations, loops, transparency and metadata are unchanged. All frames are held in memory;
    together they may have as many pixels as a photo, and each counts as `FRAME_PIXELS` more.

    Args:
        pipe, saturation, smooth, overwrite, max_frames, recolor: as in `colorize_film`.
        source: a GIF, WebP or PNG file with several frames.
        target: the file to write atomically: .gif, .webp or .png.
        quality: 1 to 100, for WebP; None keeps a lossless file lossless.

    Raises:
        InColorError: if it has color and `recolor` is false.
        ColorizeError: if the file cannot be read or written. The message does not name the file.
    """
    start = time.perf_counter()
    format_ = animated_format(target)
    with writing():
        check_free(target, overwrite)
    smoother = ColorSmoother(smooth)
    animation = read_animation(source, pipe.max_pixels, max_frames)
    count = len(animation.frames)
    sampled = (animation.frames[index] for index in sampled_frames(count))
    if not recolor and any(map(has_colors, sampled)):
        raise InColorError
    remarks = {animation.remark}

    def load(image: Image.Image) -> _Frame:
        photo = pipe.prepare(image)
        remarks.add(photo.remark)
        return _Frame(photo)

    def save(frame: _Frame, ab: Tensor) -> Image.Image:
        return pipe.finish_image(frame.photo, ab, saturation)

    with quiet():  # the remarks say what is damaged
        frames = list(colorize_frames(pipe, animation.frames, load, save, smoother, count))
    remarks.add(left_out(frames[0].info, format_))
    with writing():
        write_animation(animation._replace(frames=frames), target, overwrite, quality)
    remark = '; '.join(sorted(filter(None, remarks)))
    return FilmResult(count, time.perf_counter() - start, remark)
