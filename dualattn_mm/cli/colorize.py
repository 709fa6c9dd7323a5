"""`dualattn colorize`: photos in, colorized photos out."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..utils.arguments import natural
from ..utils.command import DONE, FAILED
from ..utils.terminal import print_line, warn

if TYPE_CHECKING:
    from ..apis.colorize_files import FileColorizer

EPILOG = (
    'Exit status: 0 all done or skipped, 1 some files failed, 2 nothing was done because something '
    'about the call is wrong, 130 interrupted (the files written so far are whole).'
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.description = (
        'Colorize photos. Results keep the size, the lightness, the name and the format of the '
        'input (BMP, transparent and 16-bit images become PNG).'
    )
    add = parser.add_argument
    add(
        'inputs',
        nargs='+',
        metavar='INPUT',
        help='image file, folder (with its subfolders; hidden ones are left out) or glob pattern '
        "('**' spans folders). Results of a folder keep their path below it, those of a pattern "
        'their path from the first wildcard on. JPEG, PNG, WebP, TIFF, BMP; the first page or '
        'frame of a file is colorized',
    )
    add(
        '-o',
        '--output',
        default='colorized',
        type=Path,
        metavar='OUTPUT',
        help='folder for the results, or for one photo the file to write (default: %(default)s)',
    )
    add(
        '--weights',
        metavar='FILE',
        help='safetensors file, or an mmengine checkpoint with --config '
        '(default: the weights that come with the package)',
    )
    add(
        '--config',
        metavar='CONFIG',
        help='config that describes the network of --weights: a file, which is Python code that '
        "runs, or the name of one that comes with the package (see 'dualattn info --configs')",
    )
    add('--device', default='auto', help='auto, cpu, cuda or cuda:N (default: %(default)s)')
    add(
        '--size',
        type=int,
        help='side of the square in which color is predicted, in pixels, at least 32 (default: '
        'the one stored with the weights)',
    )
    add('--batch-size', type=int, default=8, help='images at once (default: %(default)s)')
    add(
        '--saturation',
        type=float,
        help='factor on the colors: 0 gives gray, 1 the colors that the network predicts (default: '
        "the one stored with the weights, which 'dualattn info --weights' shows)",
    )
    add(
        '--compare',
        action='store_true',
        help='also write NAME.compare.png: gray beside colorized, at most 1024 pixels a side',
    )
    add(
        '--max-pixels',
        type=natural,
        metavar='N',
        help='refuse larger photos, which would take too much memory (default: 100 million)',
    )
    add('--overwrite', action='store_true', help='replace results that exist (never inputs)')
    films = parser.add_argument_group('films')
    add = films.add_argument
    add(
        '--smooth',
        type=float,
        metavar='STRENGTH',
        default=0.85,
        help='how steady colors are over time, from 0 (each frame is colorized alone) to below 1 '
        '(default: %(default)s)',
    )
    add(
        '--no-smooth', action='store_const', dest='smooth', const=0.0, help='the same as --smooth 0'
    )
    add(
        '--crf',
        type=float,
        help='quality of the encoder, where lower is better (default: 17 for H.264, 20 for HEVC, '
        '24 for VP9 and AV1)',
    )
    add(
        '--preset',
        help='speed of the encoder: ultrafast to veryslow for H.264 and HEVC, a number for VP9 '
        'and AV1 (default: medium, 4 and 8)',
    )


def run(args: argparse.Namespace) -> int:
    """Colorize the files that `args` names, and sum up in the last line what became of them."""
    from ..apis.colorize_files import FileColorizer
    from ..apis.files import plan
    from ..apis.pipeline import ColorizationPipeline, check_saturation
    from ..apis.smoothing import check_strength
    from ..utils.atomic import check_writable
    from ..utils.configs_dir import find_config
    from ..utils.errors import shortened
    from ..utils.films import require_av
    from ..utils.pixels import MAX_PIXELS

    if args.saturation is not None:
        check_saturation(args.saturation)
    check_strength(args.smooth)
    config = None if args.config is None else find_config(args.config)
    limit = args.max_pixels or MAX_PIXELS
    todo = plan(args.inputs, args.output, args.compare, args.overwrite, limit)
    if todo.films:
        require_av()
    pipe = ColorizationPipeline(
        args.weights, config, args.device, args.size, args.batch_size, limit
    )
    check_writable(todo.folder)
    if todo.skipped:
        print_line(
            f'{todo.skipped} skipped: the result exists (--overwrite replaces it)', sys.stderr
        )
    files = FileColorizer(pipe, args.saturation, args.overwrite)
    for path, reason in todo.failed:
        files.report(path, reason)
    seconds = files.colorize(todo.jobs)
    films = _colorize_films(args, todo.films, files)
    if files.had_colors:
        warn(f'{files.had_colors} had colors of their own, which the new ones replace')
    if files.had_pages:
        warn(f'{files.had_pages} had more pages or frames than the first, which alone is colorized')
    counts = [f'{files.done} done', f'{todo.skipped} skipped', f'{files.failed} failed']
    if others := todo.passed_over:
        kind = 'passed over as no image of a known format'
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
    from ..apis.film import colorize_film
    from ..utils.errors import ColorizeError
    from ..utils.film_writer import FilmOptions

    done, frames, seconds = 0, 0, 0.0
    options = FilmOptions(args.crf, args.preset)
    for source, target in films:
        try:
            film = colorize_film(
                files.pipe, source, target, args.saturation, args.smooth, options, args.overwrite
            )
        except ColorizeError as error:
            files.report(source, error)
            continue
        if film.remark:
            print_line(f'{source}: {film.remark}', sys.stderr)
        done, frames, seconds = done + 1, frames + film.frames, seconds + film.seconds
    counts = [f'{done} film{"s"[: done != 1]} done']
    return [*counts, f'{frames / seconds:.1f} frames per second'] if done else counts
