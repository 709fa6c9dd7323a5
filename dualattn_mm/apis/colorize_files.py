"""Colorize many files. Reading, inference and writing overlap, and a bad file stops no other."""

import itertools
import sys
import time
from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from ..utils.deep_image import DEEP_FORMATS
from ..utils.encoding import left_out, save_options
from ..utils.errors import ColorizeError, InColorError, writing
from ..utils.image_io import output_format, read_image, read_with_options, write_image
from ..utils.in_color import has_colors, sampled_frames
from ..utils.pixels import quiet
from ..utils.remote import local_copy, url_of
from ..utils.terminal import printable
from .files import Job, Plan
from .overlap import overlap
from .pipeline import ColorizationPipeline, Photo

if TYPE_CHECKING:  # OpenCV is only needed for films
    from .smoothing import ColorSmoother

COMPARE_SIDE = 1024  # pixels; the comparison is a preview, the result has the full resolution


class _Read(NamedTuple):
    """A photo that is ready for the network, and the options with which its result is saved."""

    job: Job
    photo: Photo
    had_colors: bool
    options: dict[str, Any]


class _Written(NamedTuple):
    had_colors: bool
    remark: str  # names the damaged metadata that was not copied; empty if there is none


def say(line: str) -> None:
    """Print a line above the progress bar on standard error."""
    tqdm.write(printable(line), file=sys.stderr)


class FileColorizer:
    """Colorizes the files of a plan, with a progress bar on a terminal.

    Args:
        pipe: the pipeline.
        saturation: factor on the colors; None uses the factor stored with the weights.
        overwrite: replace results that already exist.
        smoother: smooths the colors of photos that are the frames of a film, in order. It restarts
            in each folder.
        quality: 1 to 100, for results in lossy formats; None stores them as their originals were.
        recolor: replace the color of photos that have color, instead of leaving them alone. Of the
            frames of a film, all or none are left alone.

    Attributes:
        done: number of colorized files.
        failed: number of files that failed; each was reported on standard error.
        had_colors: number of colorized files that were color photos before.
        in_color: number of color photos that were left alone.
        had_pages: number of colorized files with more than one page or frame.
    """

    def __init__(
        self,
        pipe: ColorizationPipeline,
        saturation: float | None = None,
        overwrite: bool = False,
        smoother: 'ColorSmoother | None' = None,
        quality: int | None = None,
        recolor: bool = False,
    ):
        self.pipe, self.saturation, self.overwrite = pipe, saturation, overwrite
        self.quality, self.recolor = quality, recolor
        self._smoother, self._folder = smoother, Path()
        self._colored: set[Path] = set()
        self.done = self.failed = self.had_colors = self.had_pages = self.in_color = 0

    def report(self, path: Path, reason: object) -> None:
        """Count a failed file and print the reason in one line."""
        self.failed += 1
        say(f'{url_of(path)}: {reason}')

    def note(self, path: Path, remark: str) -> None:
        """Print what of a colorized file was damaged and not copied."""
        say(f'{url_of(path)}: {remark}')

    def colorize(self, plan: Plan) -> float:
        """Colorize the photos of a plan.

        Returns:
            The elapsed time in seconds.
        """
        start = time.perf_counter()
        if self._smoother is not None and not self.recolor:
            self._find_colored_frames(plan)
        planned = plan.jobs(self.report)
        ahead, jobs = itertools.tee(planned)
        outcomes = overlap(
            ahead,
            self._read,
            self._predict,
            self._write,
            self.pipe.batch_size,
            lambda job: job.pixels,
            plan.remote,
        )
        # disable=None shows the bar only on a terminal.
        bar = tqdm(total=plan.total, unit='image', disable=None)
        with bar, quiet(), closing(planned), closing(outcomes):
            for job, outcome in zip(jobs, outcomes, strict=True):
                self._count(job, outcome)
                bar.total = plan.total
                bar.update()
        return time.perf_counter() - start

    def _read(self, job: Job) -> _Read:
        with local_copy(job.source) as source:
            image, options = read_with_options(source, self.pipe.max_pixels)
        in_color = has_colors(image)
        of_film = self._smoother is not None
        if not self.recolor and (job.source.parent in self._colored if of_film else in_color):
            raise InColorError
        same = job.format == output_format(image)
        kept = save_options(job.format, self.quality, options if same else None)
        photo = self.pipe.prepare(image)
        if job.output and job.format == 'JPEG':
            photo = _without_alpha(photo)
        return _Read(job, photo, in_color, kept)

    def _find_colored_frames(self, plan: Plan) -> None:
        """Find the folders of which some of the photos, the frames of a film, are in color."""
        for folder, names in plan.sources.names_by_folder().items():
            paths = (folder / names[index] for index in sampled_frames(len(names)))
            if any(map(self._has_colors, paths)):
                self._colored.add(folder)

    def _has_colors(self, path: Path) -> bool:
        try:
            with local_copy(path) as copy:
                return has_colors(read_image(copy, self.pipe.max_pixels))
        except ColorizeError:  # reported when it is its turn
            return False

    def _predict(self, batch: list[_Read]) -> Iterable[Tensor]:
        colors = self.pipe.predict([read.photo for read in batch])
        return colors if self._smoother is None else map(self._smooth, batch, colors)

    def _smooth(self, read: _Read, ab: Tensor) -> Tensor:
        assert self._smoother is not None
        if read.job.source.parent != self._folder:
            self._folder = read.job.source.parent
            self._smoother.restart()
        return self._smoother(read.photo.square, ab)

    def _write(self, read: _Read, ab: Tensor) -> _Written:
        job, photo, had_colors, options = read
        remarks = [photo.remark]
        with writing():
            if job.output:
                deep = photo.deep and job.format in DEEP_FORMATS
                finish = self.pipe.finish_deep if deep else self.pipe.finish_image
                image = finish(photo, ab, self.saturation)
                write_image(image, job.output, job.format, self.overwrite, options)
                remarks.append(left_out(image.info, job.format))
            if job.compare:
                saturations = 0.0, self.saturation
                gray, color = (self.pipe.finish_image(photo, ab, s) for s in saturations)
                write_image(side_by_side(gray, color), job.compare, 'PNG', self.overwrite)
        return _Written(had_colors, '; '.join(filter(None, remarks)))

    def _count(self, job: Job, outcome: Future[_Written]) -> None:
        try:
            written = outcome.result()
        except InColorError:
            self.in_color += 1
            return
        except ColorizeError as error:
            self.report(job.source, error)
            return
        self.done += 1
        self.had_colors += written.had_colors
        self.had_pages += job.more_pages
        if written.remark:
            self.note(job.source, written.remark)


def _without_alpha(photo: Photo) -> Photo:
    """Drop an alpha channel that is opaque everywhere.

    Raises:
        ColorizeError: if it is not.
    """
    if photo.alpha is not None and photo.alpha.min() < np.iinfo(photo.alpha.dtype).max:
        raise ColorizeError('JPEG cannot store transparency: choose another --format, such as png')
    return replace(photo, alpha=None)


def side_by_side(left: Image.Image, right: Image.Image) -> Image.Image:
    """Join two images of the same size and mode, each reduced to at most 1024 pixels per side."""
    left, right = left.copy(), right.copy()
    for image in (left, right):
        image.thumbnail((COMPARE_SIDE, COMPARE_SIDE))
    both = Image.new(left.mode, (2 * left.width, left.height))
    both.paste(left, (0, 0))
    both.paste(right, (left.width, 0))
    return both
