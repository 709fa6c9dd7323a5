"""Test the readers with thousands of damaged and hostile files: projects/fuzz/run.py --help."""

import argparse
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tqdm import tqdm

from dualattn_mm.utils.arguments import natural
from dualattn_mm.utils.command import FAILED, run_command
from dualattn_mm.utils.terminal import print_line, printable
from projects.fuzz.cases import KINDS, kind_of, make_case, run_case
from projects.fuzz.worker import Limits, run_cases


def target(seed: int, only: str | None, file: Path | None, number: int) -> str:
    """Make a case, write it to the file if there is one, and run it."""
    kind, content = make_case(number, seed, only)
    if file is not None:
        file.write_bytes(content)
    return f'{kind}: {run_case(kind, content)}'


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description='Read mutations of valid files: images of all formats, animations, videos, '
        'EXIF data, ICC profiles, weights and their descriptions. Each must give a correct result '
        'or a one-line error message; a crash, a hang or excessive memory is a failure.',
        epilog='Exit status: 0 without failures, 1 with failures, which are listed by number.',
    )
    add = parser.add_argument
    add(
        '--cases',
        type=natural,
        default=1000,
        metavar='N',
        help='number of cases (default: %(default)s)',
    )
    add('--first', type=int, default=0, metavar='N', help='number of the first case')
    add('--seed', type=int, default=0, help='random seed (default: %(default)s)')
    add('--only', choices=tuple(KINDS), help='test only this kind of file')
    add('--seconds', type=float, default=20, help='time limit per case (default: %(default)s)')
    add(
        '--megabytes', type=float, default=1500, help='memory limit per case (default: %(default)s)'
    )
    add('--keep', type=Path, metavar='FOLDER', help='save the files of failures in this folder')
    return parser


def main() -> int:
    args = make_parser().parse_args()

    def run() -> int:
        numbers = range(args.first, args.first + args.cases)
        limits = Limits(args.seconds, args.megabytes)
        counts: Counter[str] = Counter()
        failures, most, start = 0, 0.0, time.monotonic()
        file = None
        if args.keep is not None:
            args.keep.mkdir(parents=True, exist_ok=True)
            file = args.keep.absolute() / 'case'
        outcomes = run_cases(partial(target, args.seed, args.only, file), numbers, limits)
        for outcome in tqdm(outcomes, total=args.cases, unit='case', disable=None):
            most = max(most, outcome.megabytes)
            if not outcome.failure:
                counts[outcome.result] += 1
                continue
            failures += 1
            kind = kind_of(outcome.number, args.only)
            tqdm.write(printable(f'case {outcome.number} ({kind}): {outcome.failure}'))
            # The bytes that failed: another process can make others of the same case.
            if file is not None and file.exists():
                file.replace(args.keep / f'{outcome.number}.{kind}')
        if file is not None:
            file.unlink(missing_ok=True)
        for result, count in sorted(counts.items()):
            print_line(f'{count:7,} {result}')
        seconds = time.monotonic() - start
        print_line(
            f'{args.cases:,} cases, {failures} failures, {most:.0f} MB at most, {seconds:.0f} s'
        )
        return FAILED if failures else 0

    return run_command(run)


if __name__ == '__main__':
    sys.exit(main())
