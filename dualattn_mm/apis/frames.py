"""Colorize consecutive frames, and smooth their colors over time."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from typing import NamedTuple, Protocol, TypeVar

from torch import Tensor
from tqdm import tqdm

from ..utils.errors import TooLargeError
from .overlap import overlap
from .pipeline import ColorizationPipeline, Photo
from .smoothing import ColorSmoother


class FilmResult(NamedTuple):
    """The result for a video or an animation.

    Attributes:
        frames: how many were colorized.
        seconds: how long it took.
        remark: what of the video was damaged or could not be kept; empty if nothing.
    """

    frames: int
    seconds: float
    remark: str


class HasPhoto(Protocol):
    """A frame that is ready for the network."""

    @property
    def photo(self) -> Photo:
        """The result of `ColorizationPipeline.prepare`."""


class Sized(Protocol):
    """A frame or an image."""

    @property
    def width(self) -> int:
        """The width in pixels."""

    @property
    def height(self) -> int:
        """The height in pixels."""


Stored = TypeVar('Stored', bound=Sized)
Loaded = TypeVar('Loaded', bound=HasPhoto)
Result = TypeVar('Result')


def colorize_frames(
    pipe: ColorizationPipeline,
    frames: Iterable[Stored],
    load: Callable[[Stored], Loaded],
    save: Callable[[Loaded, Tensor], Result],
    smoother: ColorSmoother,
    total: int | None,
    max_frames: int | None = None,
) -> Generator[Result, None, None]:
    """Colorize frames in order, with a progress bar on a terminal.

    Args:
        pipe: the pipeline.
        frames: the frames, taken when they are needed.
        load, save: called from several threads at once (see `overlap`).
        smoother: smooths the colors.
        total: number of frames for the progress bar; None if unknown.
        max_frames: the most frames; None for any number.

    Yields:
        What `save` returns for each frame. Errors of all steps are raised.

    Raises:
        TooLargeError: if there are more frames than `max_frames`.
    """
    if max_frames is not None:
        frames = _at_most(max_frames, frames, total)

    def work(loaded: Sequence[Loaded]) -> Iterator[Tensor]:
        photos = [frame.photo for frame in loaded]
        return map(smoother, (photo.square for photo in photos), pipe.predict(photos))

    outcomes = overlap(
        frames, load, work, save, pipe.batch_size, lambda frame: frame.width * frame.height
    )
    # disable=None shows the bar only on a terminal.
    with tqdm(total=total, unit='frame', disable=None) as bar, closing(outcomes):
        for outcome in outcomes:
            yield outcome.result()
            bar.update()


def _at_most(most: int, frames: Iterable[Stored], total: int | None) -> Iterator[Stored]:
    """Yield the frames, of which there may be more or fewer than the file states."""
    for index, frame in enumerate(frames):
        if max(index + 1, total or 0) > most:
            raise TooLargeError(f'it has more than {most:,} frames')
        yield frame
