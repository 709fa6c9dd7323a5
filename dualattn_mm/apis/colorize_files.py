"""Colorize many files. Reading, inference and writing overlap, and a bad file stops no other."""

import itertools
import sys
import time
from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image
from torch import Tensor
from tqdm import tqdm

from ..utils.colorfulness import has_colors
from ..utils.errors import ColorizeError, first_line
from ..utils.image_io import quiet, read_image, write_image
from ..utils.terminal import printable
from .files import Job, Plan
from .overlap import overlap
from .pipeline import ColorizationPipeline, Photo

if TYPE_CHECKING:  # OpenCV is only needed for films
    from .smoothing import ColorSmoother

COMPARE_SIDE = 1024  # pixels; the comparison is a preview, the result has the full resolution


class _Written(NamedTuple):
    had_colors: bool
    remark: str  # names the damaged metadata that was not copied; empty if there is none


def _say(line: str) -> None:
    tqdm.write(printable(line), file=sys.stderr)  # above the progress bar


class FileColorizer:
    """Colorizes the files of a plan, with a progress bar on a terminal.

    Args:
        pipe: the pipeline.
        saturation: factor on the colors; None uses the factor stored with the weights.
        overwrite: replace results that already exist.
        smoother: smooths the colors of photos that are the frames of a film, in order. It restarts
            in each folder.

    Attributes:
        done: number of colorized files.
        failed: number of files that failed; each was reported on standard error.
        had_colors: number of colorized files that were color photos before.
        had_pages: number of colorized files with more than one page or frame.
    """

    def __init__(
        self,
        pipe: ColorizationPipeline,
        saturation: float | None = None,
        overwrite: bool = False,
        smoother: 'ColorSmoother | None' = None,
    ):
        self.pipe, self.saturation, self.overwrite = pipe, saturation, overwrite
        self._smoother, self._folder = smoother, Path()
        self.done = self.failed = self.had_colors = self.had_pages = 0

    def report(self, path: Path, reason: object) -> None:
        """Count a failed file and print the reason in one line."""
        self.failed += 1
        _say(f'{path}: {reason}')

    def colorize(self, plan: Plan) -> float:
        """Colorize the photos of a plan.

        Returns:
            The elapsed time in seconds.
        """
        start = time.perf_counter()
        ahead, jobs = itertools.tee(plan.jobs(self.report))
        outcomes = overlap(
            ahead, self._read, self._predict, self._write, self.pipe.batch_size, lambda j: j.pixels
        )
        # disable=None shows the bar only on a terminal.
        bar = tqdm(total=plan.total, unit='image', disable=None)
        with bar, quiet(), closing(outcomes):
            for job, outcome in zip(jobs, outcomes, strict=True):
                self._count(job, outcome)
                bar.total = plan.total
                bar.update()
        return time.perf_counter() - start

    def _read(self, job: Job) -> tuple[Job, Photo, bool]:
        image = read_image(job.source, self.pipe.max_pixels)
        return job, self.pipe.prepare(image), has_colors(image)

    def _predict(self, batch: list[tuple[Job, Photo, bool]]) -> Iterable[Tensor]:
        colors = self.pipe.predict([photo for _, photo, _ in batch])
        return colors if self._smoother is None else map(self._smooth, batch, colors)

    def _smooth(self, read: tuple[Job, Photo, bool], ab: Tensor) -> Tensor:
        job, photo, _ = read
        assert self._smoother is not None
        if job.source.parent != self._folder:
            self._folder = job.source.parent
            self._smoother.restart()
        return self._smoother(photo.square, ab)

    def _write(self, read: tuple[Job, Photo, bool], ab: Tensor) -> _Written:
        job, photo, had_colors = read
        try:
            image = self.pipe.finish_image(photo, ab, self.saturation)
            if job.output:
                if job.format == 'JPEG' and image.mode == 'RGBA':
                    raise ColorizeError(
                        'JPEG cannot store transparency: choose an output file that ends in .png'
                    )
                write_image(image, job.output, job.format, self.overwrite)
            if job.compare:
                gray = self.pipe.finish_image(photo, ab, 0.0)
                write_image(side_by_side(gray, image), job.compare, 'PNG', self.overwrite)
        except ColorizeError:
            raise
        except (OSError, ValueError, MemoryError) as error:
            reason = getattr(error, 'strerror', None) or first_line(error)
            raise ColorizeError(f'the result cannot be written: {reason}') from error
        return _Written(had_colors, photo.remark)

    def _count(self, job: Job, outcome: Future[_Written]) -> None:
        try:
            written = outcome.result()
        except ColorizeError as error:
            self.report(job.source, error)
            return
        self.done += 1
        self.had_colors += written.had_colors
        self.had_pages += job.more_pages
        if written.remark:
            _say(f'{job.source}: {written.remark}')


def side_by_side(left: Image.Image, right: Image.Image) -> Image.Image:
    """Join two images of the same size and mode, each reduced to at most 1024 pixels per side."""
    left, right = left.copy(), right.copy()
    for image in (left, right):
        image.thumbnail((COMPARE_SIDE, COMPARE_SIDE))
    both = Image.new(left.mode, (2 * left.width, left.height))
    both.paste(left, (0, 0))
    both.paste(right, (left.width, 0))
    return both
