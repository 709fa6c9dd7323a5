"""Compare weights of the colorizer with gray, the mean color and the untrained network.

python projects/model_card/measure_weights.py WEIGHTS --config CONFIG \\
    --train FOLDER ... --test FOLDER ... -o OUT
"""

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from dualattn_mm import evaluation
from dualattn_mm.apis import ColorizationPipeline
from dualattn_mm.apis.weights import read_generator_cfg
from dualattn_mm.evaluation.folders import measure
from dualattn_mm.utils.arguments import natural
from dualattn_mm.utils.command import run_command
from dualattn_mm.utils.folders import pictures_below
from dualattn_mm.utils.report import methods_table, print_table, write_json
from dualattn_mm.utils.sampling import spread
from projects.model_card import baselines

CANDIDATES = [1 + step / 10 for step in range(21)]


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add('weights', metavar='WEIGHTS', help='safetensors file or checkpoint')
    add('--config', required=True, help='config file of the training')
    add(
        '--train',
        type=Path,
        nargs='+',
        required=True,
        metavar='FOLDER',
        help='folders of the training photos',
    )
    add('--test', type=Path, nargs='+', metavar='FOLDER', help='folders of test photos')
    add(
        '--luma',
        action='store_true',
        help='use the luma of the photos as the input, like a gray scan (mode L of Pillow), not '
        'their exact CIELAB lightness',
    )
    add(
        '-o', '--output', type=Path, metavar='FOLDER', help='folder for the images and figures.json'
    )
    add(
        '--choose-saturation',
        type=natural,
        metavar='N',
        help='only choose the saturation for publishing the weights, from N photos in each folder '
        'of --train, and print it',
    )
    return parser


def choose(args: argparse.Namespace, pipe: ColorizationPipeline) -> None:
    photos = []
    for folder in args.train:
        found = pictures_below(folder)
        photos += [found[i] for i in spread(args.choose_saturation, len(found))]
    factor = baselines.choose_saturation(pipe, photos, CANDIDATES, args.luma)
    print(f'saturation {factor} ({len(photos)} photos)')


def compare(
    args: argparse.Namespace, pipe: ColorizationPipeline, generator_cfg: dict[str, Any]
) -> None:
    color = baselines.mean_color(args.train)
    wrap = ColorizationPipeline.from_generator
    one_color = wrap(baselines.OneColor(*color), pipe.size)
    untrained = wrap(baselines.untrained(generator_cfg), pipe.size)
    default = pipe.generator.saturation
    methods = {
        'gray': (pipe, 0.0),
        f'mean color of training ({color[0]:.1f}, {color[1]:.1f})': (one_color, 1.0),
        'untrained': (untrained, 1.0),
        'weights, saturation 1': (pipe, 1.0),
        f'weights, saturation {default:g}': (pipe, default),
    }
    figures = {}
    for test in args.test:
        # Two test folders can have the same name or the same parent.
        place = args.output / f'{len(figures)}-{test.resolve().parent.name}-{test.resolve().name}'
        folders = {name: place / str(i) for i, name in enumerate(methods)}
        for name, (method, saturation) in methods.items():
            baselines.colorize_folder(method, test, folders[name], saturation, args.luma)
        rows = measure(test, folders, evaluation.offline_metrics)
        print(f'{test}: {len(pictures_below(test))} photos')
        print_table(methods_table(rows))
        figures[str(test)] = rows
        write_json(args.output / 'figures.json', figures)


def main() -> int:
    parser = make_parser()
    args = parser.parse_args()
    if args.choose_saturation is None and not (args.test and args.output):
        parser.error('--test and --output are required')

    def run() -> None:
        # First, because a config imports the network that the weights describe.
        generator_cfg = read_generator_cfg(args.config)
        # A safetensors file also stores its saturation; a config would replace it.
        described = args.weights.endswith('.safetensors')
        pipe = ColorizationPipeline(args.weights, None if described else args.config)
        if args.choose_saturation:
            choose(args, pipe)
        else:
            compare(args, pipe, generator_cfg)

    return run_command(run)


if __name__ == '__main__':
    sys.exit(main())
