"""Ask people which results are best (Fig. 7); see README.md.

projects/user_study/run.py make ours=FOLDER theirs=FOLDER -o STUDY
projects/user_study/run.py score STUDY/key.json ANSWERS
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from dualattn_mm.utils.arguments import named_folder, natural
from dualattn_mm.utils.atomic import atomic_write_bytes
from dualattn_mm.utils.command import run_command
from dualattn_mm.utils.report import check_output, print_table, write_json
from projects.user_study import preference_score, preference_study


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    tasks = parser.add_subparsers(dest='task', required=True, metavar='{make,score}')
    make = tasks.add_parser('make', help='write a page for participants and its key')
    add = make.add_argument
    add('methods', type=named_folder, nargs='+', metavar='NAME=FOLDER', help='results of a method')
    add(
        '-o', '--output', required=True, type=Path, metavar='STUDY', help='new folder for the study'
    )
    add('--images', type=natural, default=50, help='number of random images (default: %(default)s)')
    add('--seed', type=int, default=0, help='random seed (default: %(default)s)')
    add(
        '--gray',
        type=Path,
        metavar='PHOTOS',
        help='folder of the photos, each of which is shown in gray above its results',
    )
    add('--question', default=preference_study.QUESTION, help='question (default: %(default)s)')
    add('--height', type=natural, default=512, help='largest image height (default: %(default)s)')
    score = tasks.add_parser('score', help='count the choices of the participants')
    add = score.add_argument
    add('key', type=Path, metavar='KEY', help='key.json of the study')
    add(
        'answers',
        type=Path,
        nargs='+',
        metavar='ANSWERS',
        help='files from the participants, or folders of them',
    )
    add(
        '--confidence',
        type=float,
        default=0.95,
        help='confidence level of the intervals (default: %(default)s)',
    )
    add('--out', type=Path, metavar='FILE', help='write the figures to this JSON file')
    add('--boxplot', type=Path, metavar='FILE', help='write a box plot to this PNG file')
    return parser


def make(args: argparse.Namespace) -> None:
    options = {name: value for name, value in vars(args).items() if name != 'task'}
    study = preference_study.make_study(**options)
    print(
        f'study {study}: {args.images} images of {len(args.methods)} methods\n'
        f'for participants: {args.output}/page (the whole folder; they open index.html)\n'
        f'for you only: {args.output}/key.json'
    )


def score(args: argparse.Namespace) -> None:
    for out in filter(None, (args.out, args.boxplot)):
        check_output(out)
    result = preference_score.score(args.key, args.answers, args.confidence)
    print_table(preference_score.score_table(result, args.confidence))
    if args.out is not None:
        methods = {name: found._asdict() for name, found in result.methods.items()}
        write_json(args.out, dict(result._asdict(), confidence=args.confidence, methods=methods))
    if args.boxplot is not None:
        atomic_write_bytes(args.boxplot, preference_score.boxplot(result))


def main() -> int:
    args = make_parser().parse_args()
    return run_command(lambda: dict(make=make, score=score)[args.task](args))


if __name__ == '__main__':
    sys.exit(main())
