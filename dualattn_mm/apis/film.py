"""Colorize videos with the pipeline, and smooth the colors along the motion."""

import dataclasses
import time
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from ..utils.atomic import atomic_file
from ..utils.errors import ColorizeError, InColorError, writing
from ..utils.film_reader import FilmReader
from ..utils.film_writer import FilmOptions, FilmWriter
from ..utils.films import FILM_SUFFIXES, is_film, require_av
from ..utils.yuv import at_chroma_size, gray_of, set_chroma
from .frames import FilmResult, colorize_frames
from .pipeline import ColorizationPipeline, Photo
from .smoothing import DEFAULT_STRENGTH, ColorSmoother


class _Frame(NamedTuple):
    """A frame and its photo for the pipeline."""

    canvas: Any
    photo: Photo


def colorize_film(
    pipe: ColorizationPipeline,
    source: Path,
    target: Path,
    saturation: float | None = None,
    smooth: float = DEFAULT_STRENGTH,
    options: FilmOptions | None = None,
    overwrite: bool = False,
    max_frames: int | None = None,
    recolor: bool = False,
) -> FilmResult:
    """Colorize a video, with a progress bar on a terminal.

    The luma of every frame, the times of the frames, and everything else in the file (sound,
    subtitles, chapters, tags, rotation) are unchanged, or the remark names them. The memory does
    not depend on the length.

    Args:
        pipe: the pipeline.
        source: the video: a .mp4, .m4v, .mov, .mkv, .avi or .webm file.
        target: the file to write atomically; its suffix sets the container.
        saturation: factor on the colors; None uses the factor stored with the weights.
        smooth: strength of the smoothing in [0, 1), as that of `--smooth`; 0 disables it.
        options: the encoder settings.
        overwrite: replace an existing file.
        max_frames: videos with more frames are rejected; None accepts all.
        recolor: replace the color of a video that has color.

    Returns:
        The number of frames, the time, and a remark.

    Raises:
        InColorError: if the video has color and `recolor` is false.
        ColorizeError: if the video cannot be read or written. The message does not name the file.
        UserError: if PyAV is not installed.
    """
    start = time.perf_counter()
    smoother = ColorSmoother(smooth)
    if not is_film(target):
        kinds = ', '.join(FILM_SUFFIXES)
        raise ColorizeError(f'{target.name} cannot be a video: choose a file with one of {kinds}')
    with FilmReader(source, pipe.max_pixels) as film:
        if not recolor and film.in_color():
            raise InColorError
        with (
            writing(require_av().FFmpegError),
            atomic_file(target, overwrite, keep=True) as temporary,
            FilmWriter(temporary, target.suffix, film, options or FilmOptions()) as writer,
        ):
            count = _copy_colorized(pipe, film, writer, smoother, saturation, max_frames)
        remarks = filter(None, (film.health.remark, *writer.remarks))
    return FilmResult(count, time.perf_counter() - start, '; '.join(remarks))


def _copy_colorized(
    pipe: ColorizationPipeline,
    film: FilmReader,
    writer: FilmWriter,
    smoother: ColorSmoother,
    saturation: float | None,
    max_frames: int | None,
) -> int:
    """Write all frames and return how many there were."""
    encoding, turns = writer.encoding, film.quarter_turns

    def load(frame: Any) -> _Frame:
        canvas = writer.canvas(frame)
        # The network was only trained on upright photos.
        gray = np.rot90(gray_of(canvas, encoding), turns)
        photo = pipe.prepare(np.ascontiguousarray(gray))
        lightness = at_chroma_size(photo.lightness.rot90(-turns), canvas).rot90(turns)
        return _Frame(canvas, dataclasses.replace(photo, lightness=lightness))

    def save(frame: _Frame, ab: Tensor) -> Any:
        rgb = np.asarray(pipe.finish(frame.photo, ab, saturation))
        set_chroma(frame.canvas, np.rot90(rgb, -turns), encoding)
        return frame.canvas

    frames = colorize_frames(
        pipe, film.frames(), load, save, smoother, film.frame_count, max_frames
    )
    count = 0
    with closing(frames):
        for frame in frames:
            count += 1
            writer.write(frame)
            writer.others.copy(film.take_packets())
    writer.others.copy(film.take_packets())
    return count
