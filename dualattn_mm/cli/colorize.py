"""`dualattn colorize`: colorize photos and videos."""

import argparse
import sys
from typing import TYPE_CHECKING

from ..utils.arguments import natural
from ..utils.command import DONE, FAILED
from ..utils.remote import local_name, url_of
from ..utils.terminal import print_line, warn
from .options import add_network_arguments, output_path

if TYPE_CHECKING:
    from ..apis.sources import Sources
    from .colorize_steps import Tally

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
        type=local_name,
        metavar='INPUT',
        help='image file (JPEG, PNG, WebP, TIFF, BMP, GIF or JPEG 2000; AVIF with Pillow >= 11.3; '
        'HEIC with pillow-heif), video (MP4, MOV, MKV, AVI or WebM), folder or glob pattern, or '
        'the URL of one, such as s3://bucket/photos. '
        'Folders are searched with all subfolders that are not hidden, and a result keeps its path '
        "below the folder. In a pattern, '**' matches any number of folders, and a result keeps "
        'its path from the first wildcard on. All frames of GIF, PNG and WebP animations are '
        'colorized; of other files with several pages only the first one is (see --pages)',
    )
    add(
        '-o',
        '--output',
        default='colorized',
        type=output_path,
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
        help='which pages of a file to colorize; all pages need a TIFF result, so HEIC and AVIF '
        'files also need --format tiff (default: %(default)s)',
    )
    add(
        '--recolor',
        action='store_true',
        help='also colorize photos and videos that have color, which is replaced; by default they '
        'are left alone and counted',
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
        'per pixel, 15 if it is gray with 16 bits, 25 in color with 16 bits (default: 100 million)',
    )
    add(
        '--overwrite',
        action='store_true',
        help='replace results that already exist; inputs are never replaced',
    )
    add(
        '--ray',
        nargs='?',
        const='local',
        metavar='ADDRESS',
        help='colorize on all machines of the Ray cluster at this address, or with a new Ray on '
        'this machine; files that fail are listed in failed.jsonl beside the results',
    )
    videos = parser.add_argument_group('videos')
    add = videos.add_argument
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
        help='the photos of each folder are the frames of a video, in the order of their numbers',
    )
    add(
        '--crf',
        type=float,
        help='encoder quality; a lower value is better (default: 17 for H.264, 20 for HEVC, '
        '24 for VP9 and AV1; 6 less if the input has at least one bit per pixel)',
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
    from ..apis.pipeline import check_saturation
    from ..apis.sources import find_sources
    from ..utils.atomic import check_writable
    from .colorize_steps import colorize, colorizer_options, make_pipeline, make_plan

    if args.saturation is not None:
        check_saturation(args.saturation)
    options = colorizer_options(args)
    sources = find_sources(args.inputs, args.output, by_number=args.frames)
    todo = make_plan(args, sources)
    if args.ray is not None:
        from .colorize_ray import colorize_with_ray

        return _summarize(args, sources, colorize_with_ray(args, sources, todo))
    pipe = make_pipeline(args)
    check_writable(todo.folder)
    files = FileColorizer(pipe, **options)
    for path, reason in sources.failed:
        files.report(path, reason)
    return _summarize(args, sources, colorize(args, todo, files))


def _summarize(args: argparse.Namespace, sources: 'Sources', tally: 'Tally') -> int:
    """Print what became of the files, and return the exit status."""
    from ..utils.errors import shortened

    if tally.skipped:
        print_line(
            f'{tally.skipped} skipped: the result already exists (use --overwrite to replace it)',
            sys.stderr,
        )
    if tally.in_color:
        warn(f'photos and videos in color that were left alone: {tally.in_color} (see --recolor)')
    if tally.had_colors:
        warn(f'{tally.had_colors} of the photos had color, which was replaced')
    if tally.had_pages:
        warn(
            f'{tally.had_pages} of the files had several pages or frames; the first was colorized '
            '(--pages all colorizes all pages, and files other than TIFF also need --format tiff)'
        )
    done = tally.done + tally.films
    counts = [f'{done} done', f'{tally.skipped} skipped', f'{tally.failed} failed']
    if tally.in_color:
        counts.append(f'{tally.in_color} left in color')
    if others := list(sources.passed_over):
        kind = 'ignored because they are not images or videos of a known format'
        counts.append(f'{len(others)} {kind} ({shortened(others)})')
    if tally.done:
        images = tally.done - tally.documents + tally.pages  # each page is one
        counts.append(f'{tally.seconds / images:.2f} s per image')
    if tally.pages:
        counts.append(f'{tally.pages} pages of TIFF files done')
    if tally.films:
        kind = '1 of them a video' if tally.films == 1 else f'{tally.films} of them videos'
        counts.append(f'{kind} at {tally.frames / tally.film_seconds:.1f} frames per second')
    print_line(f'{", ".join(counts)} -> {url_of(args.output)}')
    return FAILED if tally.failed else DONE
