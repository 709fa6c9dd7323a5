"""The command line of `tools/colorize.py` and `dualattn-colorize`."""

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import NoReturn

from PIL import Image
from torch import Tensor
from tqdm import tqdm

from ..utils.atomic import check_writable
from ..utils.command import DONE, FAILED, INTERRUPTED, WRONG_USE
from ..utils.errors import ColorizeError, first_line
from ..utils.image_io import quiet, read_image, write_image
from .files import Job, plan
from .overlap import overlap
from .pipeline import ColorizationPipeline, Photo, check_saturation

_COMPARE_SIDE = 1024  # pixels; it is for a look, the colorized file has the full resolution


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_USE, f'error: {message} (see --help)\n')


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        description='Colorize photos. Results keep the size, the lightness, the name and the '
        'format of the input (BMP, transparent and 16-bit images become PNG).',
        epilog='Exit status: 0 all done or skipped, 1 some files failed, 2 nothing was done '
        'because something about the call is wrong, 130 interrupted.',
    )
    add = parser.add_argument
    add(
        'inputs',
        nargs='+',
        metavar='INPUT',
        help='image file, folder (with its subfolders; hidden ones are left out) or glob pattern '
        "('**' spans folders). Results of a folder keep their path below it, those of a pattern "
        'their path from the first wildcard on. JPEG, PNG, WebP, TIFF, BMP; first frame',
    )
    add('-o', '--output', required=True, type=Path, metavar='OUTDIR', help='folder for the results')
    add(
        '--weights',
        type=Path,
        metavar='FILE',
        help='safetensors, or an mmengine checkpoint with --config '
        '(default: the weights that come with the package)',
    )
    add(
        '--config',
        type=Path,
        metavar='FILE',
        help='config file that describes the network of --weights; it is Python code that runs',
    )
    add('--device', choices=('auto', 'cpu', 'cuda'), default='auto', help='default: %(default)s')
    add(
        '--size',
        type=int,
        help='side of the square in which colour is predicted, at least 32 (default: what the '
        'weights were trained at, 256 unless they say otherwise)',
    )
    add('--batch-size', type=int, default=8, help='images at once (default: %(default)s)')
    add(
        '--compare',
        action='store_true',
        help=f'also write NAME.compare.png: gray beside colorized, up to {_COMPARE_SIDE} pixels '
        'a side',
    )
    add('--overwrite', action='store_true', help='replace results that exist (inputs never)')
    add(
        '--saturation',
        type=float,
        help='factor on the colours: 0 gray, 1 as the network predicts (default: what suits the '
        'weights, 1 unless they say otherwise)',
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the arguments; None takes those of the process.

    Returns:
        The exit status: 0 all done or skipped, 1 some files failed, 2 wrong use (nothing was
        done), 130 interrupted.

    Raises:
        SystemExit: from argparse, with status 2 for wrong arguments and 0 for --help.
    """
    args = _parser().parse_args(argv)
    try:
        return _run(args)
    except ColorizeError as error:
        print(f'error: {error}', file=sys.stderr)
        return WRONG_USE
    except KeyboardInterrupt:
        print('interrupted: files written so far are whole', file=sys.stderr)
        return INTERRUPTED


def _run(args: argparse.Namespace) -> int:
    if args.saturation is not None:
        check_saturation(args.saturation)
    todo = plan(args.inputs, args.output, args.compare, args.overwrite)
    pipe = ColorizationPipeline(args.weights, args.config, args.device, args.size, args.batch_size)
    check_writable(args.output)
    if todo.skipped:
        print(
            f'{todo.skipped} skipped: the result exists (--overwrite replaces it)', file=sys.stderr
        )
    run = _Run(pipe, args.saturation, args.overwrite, len(todo.jobs))
    for path, reason in todo.failed:
        run.report(path, reason)
    seconds = run.colorize(todo.jobs)
    pace = f', {seconds / run.done:.2f} s per image' if run.done else ''
    print(f'{run.done} done, {todo.skipped} skipped, {run.failed} failed{pace} -> {args.output}')
    return FAILED if run.failed else DONE


class _Run:
    """Colorizes the planned files: read -> network -> write, which overlap."""

    def __init__(
        self, pipe: ColorizationPipeline, saturation: float | None, overwrite: bool, jobs: int
    ):
        self.pipe, self.saturation, self.overwrite = pipe, saturation, overwrite
        self.done = self.failed = 0
        self.bar = tqdm(total=jobs, unit='image', disable=None)  # None: only on a terminal

    def report(self, path: Path, reason: object) -> None:
        """Count a failed file and say why, in one line."""
        self.failed += 1
        self.bar.write(f'{path}: {reason}', file=sys.stderr)

    def colorize(self, jobs: Sequence[Job]) -> float:
        """Returns the seconds it took."""
        start = time.perf_counter()
        outcomes = overlap(
            jobs, self._read, self._predict, self._write, self.pipe.batch_size, lambda j: j.pixels
        )
        with self.bar, quiet(), closing(outcomes):
            for job, outcome in zip(jobs, outcomes, strict=True):
                self._count(job, outcome)
        return time.perf_counter() - start

    def _read(self, job: Job) -> tuple[Job, Photo]:
        return job, self.pipe.prepare(read_image(job.source))

    def _predict(self, batch: list[tuple[Job, Photo]]) -> Tensor:
        return self.pipe.predict([photo for _, photo in batch])

    def _write(self, read: tuple[Job, Photo], ab: Tensor) -> None:
        job, photo = read
        try:
            image = self.pipe.finish(photo, ab, self.saturation)
            if job.output:
                write_image(image, job.output, job.format, self.overwrite)
            if job.compare:
                gray = self.pipe.finish(photo, ab, 0.0)
                write_image(side_by_side(gray, image), job.compare, 'PNG', self.overwrite)
        except ColorizeError:
            raise
        except (OSError, ValueError, MemoryError) as error:
            reason = getattr(error, 'strerror', None) or first_line(error)
            raise ColorizeError(f'the result cannot be written: {reason}') from error

    def _count(self, job: Job, outcome: Future[None]) -> None:
        try:
            outcome.result()
            self.done += 1
        except ColorizeError as error:
            self.report(job.source, error)
        self.bar.update()


def side_by_side(left: Image.Image, right: Image.Image) -> Image.Image:
    """Two images of one size and mode in one, each reduced to at most 1024 pixels a side."""
    left, right = left.copy(), right.copy()
    for image in (left, right):
        image.thumbnail((_COMPARE_SIDE, _COMPARE_SIDE))
    both = Image.new(left.mode, (2 * left.width, left.height))
    both.paste(left, (0, 0))
    both.paste(right, (left.width, 0))
    return both
