"""Compute metrics of saved results: python tools/measure.py TRUTH NAME=FOLDER ... (see --help)."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dualattn_mm.utils.arguments import named_folder, natural
from dualattn_mm.utils.command import required_imports, run_command

with required_imports():
    import torch

    from dualattn_mm import evaluation
    from dualattn_mm.evaluation.folders import measure
    from dualattn_mm.utils.report import check_output, methods_table, print_table, write_json


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description='Compare folders of colorized images with a folder of the originals. '
        'Images belong together if their paths below the folders are equal, except for the '
        'suffix.'
    )
    add = parser.add_argument
    add('truth', type=Path, metavar='TRUTH', help='folder of the originals')
    add('methods', type=named_folder, nargs='+', metavar='NAME=FOLDER', help='results of a method')
    add(
        '--size',
        type=natural,
        help='resize all images to this square first (256 in the published protocol); without it, '
        'results must have the size of their originals',
    )
    add('--out', type=Path, metavar='FILE', help='write the figures to this JSON file')
    add(
        '--variant',
        choices=evaluation.VARIANTS,
        default='signed',
        help='definition of CF (default: %(default)s)',
    )
    add('--fid', action='store_true', help='also compute FID')
    add('--fid-weights', metavar='FILE', help='weights of Inception for --fid (default: download)')
    add('--lpips', action='store_true', help='also compute LPIPS')
    add(
        '--lpips-weights', metavar='FILE', help='weights of AlexNet for --lpips (default: download)'
    )
    return parser


def main() -> int:
    parser = make_parser()
    args = parser.parse_args()
    methods = dict(args.methods)
    if len(methods) < len(args.methods):
        parser.error('two methods have the same name')

    def metrics() -> list[evaluation.ImageMetric]:
        chosen = evaluation.offline_metrics(args.variant)
        if args.fid or args.fid_weights:
            chosen.append(evaluation.ColorizationFID(args.fid_weights))
        if args.lpips or args.lpips_weights:
            chosen.append(evaluation.ColorizationLPIPS(args.lpips_weights))
        return chosen

    def run() -> None:
        if args.out is not None:
            check_output(args.out)
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
        rows = measure(args.truth, methods, metrics, args.size, device)
        print_table(methods_table(rows))
        if args.out is not None:
            about = dict(truth=args.truth, size=args.size, variant=args.variant)
            folders = {name: dict(folder=methods[name], metrics=rows[name]) for name in rows}
            write_json(args.out, dict(about, methods=folders))

    return run_command(run)


if __name__ == '__main__':
    sys.exit(main())
