"""`dualattn colorize`: colorize photos."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..utils.arguments import natural
from ..utils.command import DONE, FAILED
from ..utils.terminal import print_line, warn
from .options import add_network_arguments

if TYPE_CHECKING:
    from ..apis.colorize_files import FileColorizer

EPILOG = (
    'Exit status: 0 if all files were colorized or skipped; 1 if some files failed; 2 if an '
    'argument is wrong and nothing was done; 130 if interrupted (every file written so far is '
    'complete).'
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.description = (
        'Colorize photos and videos. Each result keeps the size, lightness, name and format of its '
        'input. Formats other than JPEG, PNG, WebP and TIFF are saved as PNG.'
    )
    add = parser.add_argument
    add(
        'inputs',
        nargs='+',
        metavar='INPUT',
        help='image file (JPEG, PNG, WebP, TIFF, BMP, GIF or JPEG 2000; AVIF with Pillow >= 11.3; '
        'HEIC with pillow-heif), video (MP4, MOV, MKV, AVI or WebM), folder or glob pattern. '
        'Folders are searched with all subfolders that are not hidden, and a result keeps its path '
        "below the folder. In a pattern, '**' matches any number of folders, and a result keeps "
        'its path from the first wildcard on. All frames of GIF, PNG and WebP animations are '
        'colorized; of other files with several pages only the first one is (see --pages)',
    )
    add(
        '-o',
        '--output',
        default='colorized',
        type=Path,
        metavar='OUTPUT',
        help='folder for the results; for a single input it can also be the file to write '
        '(default: %(default)s)',
    )
    add_network_arguments(parser)
    add('--batch-size', type=int, default=8, help='images per batch (default: %(default)s)')
    add(
        '--saturation',
        type=float,
        help='factor applied to the colors: 0 gives gray, 1 keeps the predicted colors (default: '
        "the factor stored with the weights, which 'dualattn info --weights' shows)",
    )
    add(
        '--format',
        choices=['jpeg', 'png', 'webp', 'tiff', 'avif'],
        help='format of the results of photos (default: that of each input; PNG for BMP, GIF, '
        'AVIF, JPEG 2000 and HEIC)',
    )
    add(
        '--quality',
        type=quality,
        metavar='N',
        help='quality of JPEG, lossy WebP and AVIF results, 1 to 100 (default: a JPEG result has '
        'the quantization tables and the subsampling of its input, a lossless WebP stays lossless; '
        'otherwise 95, and 90 for AVIF)',
    )
    add(
        '--pages',
        choices=['first', 'all'],
        default='first',
        help='which pages of TIFF files to colorize, and those of HEIC and AVIF files if --format '
        'is tiff (default: %(default)s)',
    )
    add(
        '--recolor',
        action='store_true',
        help='also colorize photos that have color, which is replaced; by default they are left '
        'alone and counted',
    )
    add(
        '--compare',
        action='store_true',
        help='for photos, also write NAME.compare.png, which shows the gray and the colorized '
        'image side by side, each at most 1024 pixels per side',
    )
    add(
        '--max-pixels',
        type=natural,
        metavar='N',
        help='reject larger photos, because they need too much memory: about 0.8 GB, and 13 bytes '
        'per pixel, or 25 with 16 bits per channel (default: 100 million)',
    )
    add(
        '--overwrite',
        action='store_true',
        help='replace results that already exist; inputs are never replaced',
    )
    films = parser.add_argument_group('videos')
    add = films.add_argument
    add(
        '--smooth',
        type=float,
        metavar='STRENGTH',
        default=0.85,
        help='temporal smoothing of colors, from 0 (frames are colorized independently) to below 1 '
        '(default: %(default)s)',
    )
    add('--no-smooth', action='store_const', dest='smooth', const=0.0, help='same as --smooth 0')
    add(
        '--frames',
        action='store_true',
        help='the photos of each folder are the frames of a film, in the order of their numbers',
    )
    add(
        '--crf',
        type=float,
        help='encoder quality; a lower value is better (default: 17 for H.264, 20 for HEVC, '
        '24 for VP9 and AV1)',
    )
    add(
        '--preset',
        help='encoder speed: ultrafast to veryslow for H.264 and HEVC, a number for VP9 and AV1 '
        '(default: medium, 4 and 8)',
    )


def quality(text: str) -> int:
    """Parse a quality."""
    value = natural(text)
    if value > 100:
        raise argparse.ArgumentTypeError(f'{text} is not a whole number from 1 to 100')
    return value


def run(args: argparse.Namespace) -> int:
    """Colorize the files named in `args` and print a summary line."""
    from ..apis.colorize_files import FileColorizer
    from ..apis.files import Plan
    from ..apis.pipeline import ColorizationPipeline, check_saturation
    from ..apis.smoothing import ColorSmoother
    from ..apis.sources import find_sources
    from ..utils.atomic import check_writable
    from ..utils.configs_dir import find_config
    from ..utils.errors import shortened
    from ..utils.films import require_av
    from ..utils.pixels import MAX_PIXELS, raise_limit

    if args.saturation is not None:
        check_saturation(args.saturation)
    smoother = ColorSmoother(args.smooth)
    config = None if args.config is None else find_config(args.config)
    limit = args.max_pixels or MAX_PIXELS
    sources = find_sources(args.inputs, args.output, by_number=args.frames)
    format_ = args.format and args.format.upper()
    raise_limit(limit)
    all_pages = args.pages == 'all'
    todo = Plan(sources, args.output, args.compare, args.overwrite, limit, format_, all_pages)
    if sources.has_films:
        require_av()
    pipe = ColorizationPipeline(
        args.weights, config, args.device, args.size, args.batch_size, limit
    )
    check_writable(todo.folder)
    files = FileColorizer(
        pipe,
        args.saturation,
        args.overwrite,
        smoother if args.frames else None,
        args.quality,
        args.recolor or args.frames,  # a film with a part of its frames is none
    )
    for path, reason in sources.failed:
        files.report(path, reason)
    seconds = files.colorize(todo)
    if todo.skipped:
        print_line(
            f'{todo.skipped} skipped: the result already exists (use --overwrite to replace it)',
            sys.stderr,
        )
    films = _colorize_films(args, todo.films, files)
    if files.in_color:
        warn(
            f'{files.in_color} of the photos have color and were left alone (use --recolor to '
            'replace it)'
        )
    if files.had_colors:
        warn(f'{files.had_colors} of the photos had color, which was replaced')
    if files.had_pages:
        warn(
            f'{files.had_pages} of the files had several pages or frames; the first was colorized '
            '(--pages all colorizes all pages of TIFF files)'
        )
    counts = [f'{files.done} done', f'{todo.skipped} skipped', f'{files.failed} failed']
    if files.in_color:
        counts.append(f'{files.in_color} left in color')
    if others := list(sources.passed_over):
        kind = 'ignored because they are not images of a known format'
        counts.append(f'{len(others)} {kind} ({shortened(others)})')
    if files.done:
        counts.append(f'{seconds / files.done:.2f} s per image')
    counts += films
    print_line(f'{", ".join(counts)} -> {args.output}')
    return FAILED if files.failed else DONE


def _colorize_films(
    args: argparse.Namespace, films: list[tuple[Path, Path]], files: 'FileColorizer'
) -> list[str]:
    """Colorize the films and return what the summary line says of them."""
    if not films:
        return []
    from ..apis.animation import colorize_animation
    from ..apis.film import colorize_film
    from ..apis.pages import colorize_pages
    from ..utils.errors import ColorizeError
    from ..utils.film_writer import FilmOptions
    from ..utils.films import is_film
    from ..utils.image_io import SUFFIXES

    done, frames, pages, seconds = 0, 0, 0, 0.0
    options = FilmOptions(args.crf, args.preset)
    for source, target in films:
        common = (files.pipe, source, target, args.saturation)
        document = target.suffix.lower() in SUFFIXES['TIFF']
        try:
            if document:
                film = colorize_pages(*common, args.overwrite, args.recolor)
            elif is_film(source):
                film = colorize_film(*common, args.smooth, options, args.overwrite)
            else:
                film = colorize_animation(*common, args.smooth, args.overwrite)
        except ColorizeError as error:
            files.report(source, error)
            continue
        if film.remark:
            print_line(f'{source}: {film.remark}', sys.stderr)
        if document:
            files.done, pages = files.done + 1, pages + film.frames
        else:
            done, frames, seconds = done + 1, frames + film.frames, seconds + film.seconds
    counts = [f'{pages} pages of TIFF files done'] if pages else []
    if done or not pages:
        counts.append(f'{done} film{"s"[: done != 1]} done')
    return [*counts, f'{frames / seconds:.1f} frames per second'] if done else counts
