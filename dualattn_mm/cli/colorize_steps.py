"""The steps of `dualattn colorize`, for all files of a run or for a part of them."""

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..apis.colorize_files import FileColorizer
    from ..apis.files import Plan
    from ..apis.pipeline import ColorizationPipeline
    from ..apis.sources import Sources


@dataclass
class Tally:
    """What became of the files of a run, or of a part of it.

    seconds: how long photos took, and files of which all pages were colorized.
    documents: how many of those that are done are such files.
    pages: how many pages they have.
    failures: (path, reason) of those that a worker of Ray could not colorize.
    remarks: (path, remark) of those that it colorized.
    """

    done: int = 0
    skipped: int = 0
    failed: int = 0
    in_color: int = 0
    had_colors: int = 0
    had_pages: int = 0
    seconds: float = 0.0
    documents: int = 0
    pages: int = 0
    films: int = 0
    frames: int = 0
    film_seconds: float = 0.0
    failures: list[tuple[str, str]] = field(default_factory=list)
    remarks: list[tuple[str, str]] = field(default_factory=list)

    def add(self, other: 'Tally') -> None:
        """Add those of another part."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


def make_plan(args: argparse.Namespace, sources: 'Sources') -> 'Plan':
    """Return the plan for all files, or for a part of them."""
    from ..apis.files import Plan
    from ..utils.pixels import MAX_PIXELS

    format_ = args.format and args.format.upper()
    limit = args.max_pixels or MAX_PIXELS
    all_pages = args.pages == 'all'
    return Plan(sources, args.output, args.compare, args.overwrite, limit, format_, all_pages)


def make_pipeline(args: argparse.Namespace) -> 'ColorizationPipeline':
    """Load the network."""
    from ..apis.pipeline import ColorizationPipeline
    from ..utils.configs_dir import find_config
    from ..utils.pixels import MAX_PIXELS

    config = None if args.config is None else find_config(args.config)
    limit = args.max_pixels or MAX_PIXELS
    return ColorizationPipeline(
        args.weights, config, args.device, args.size, args.batch_size, limit
    )


def colorizer_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of `FileColorizer` after the pipeline."""
    from ..apis.smoothing import ColorSmoother, check_strength

    check_strength(args.smooth)  # also if there are no frames
    return dict(
        saturation=args.saturation,
        overwrite=args.overwrite,
        smoother=ColorSmoother(args.smooth) if args.frames else None,
        quality=args.quality,
        recolor=args.recolor,
    )


def colorize(args: argparse.Namespace, todo: 'Plan', files: 'FileColorizer') -> Tally:
    """Colorize the photos of a plan, and then its films."""
    tally = Tally(seconds=files.colorize(todo), skipped=todo.skipped)
    if todo.films:
        _colorize_films(args, todo.films, files, tally)
    for name in ('done', 'failed', 'in_color', 'had_colors', 'had_pages'):
        setattr(tally, name, getattr(files, name))
    return tally


def _colorize_films(
    args: argparse.Namespace,
    films: list[tuple[Path, Path]],
    files: 'FileColorizer',
    tally: Tally,
) -> None:
    from ..apis.animation import colorize_animation
    from ..apis.film import colorize_film
    from ..apis.pages import colorize_pages
    from ..utils.errors import InColorError, UserError
    from ..utils.film_writer import FilmOptions
    from ..utils.films import is_film
    from ..utils.image_io import SUFFIXES
    from ..utils.remote import local_copy

    options = FilmOptions(args.crf, args.preset)
    for source, target in films:
        document = target.suffix.lower() in SUFFIXES['TIFF']
        try:
            with local_copy(source) as copy:
                common = (files.pipe, copy, target, args.saturation)
                replace = dict(overwrite=args.overwrite, recolor=args.recolor)
                if document:
                    film = colorize_pages(*common, **replace)
                elif is_film(source):
                    film = colorize_film(*common, args.smooth, options, **replace)
                else:
                    film = colorize_animation(*common, args.smooth, **replace, quality=args.quality)
        except InColorError:
            files.in_color += 1
            continue
        except UserError as error:  # also if PyAV is not installed
            files.report(source, error)
            continue
        if film.remark:
            files.note(source, film.remark)
        if document:
            files.done += 1
            tally.documents += 1
            tally.pages += film.frames
            tally.seconds += film.seconds
            continue
        tally.films += 1
        tally.frames += film.frames
        tally.film_seconds += film.seconds
