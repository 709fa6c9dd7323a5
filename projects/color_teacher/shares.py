"""Measure the mean of two teachers' colors for several shares of the second one.

python projects/color_teacher/shares.py CONFIG --test FOLDER --shares 0 0.4 1 -o OUT
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mmengine.config import Config
from mmengine.registry import MODELS
from torch import Tensor, nn

from dualattn_mm import evaluation
from dualattn_mm.apis import ColorizationPipeline
from dualattn_mm.evaluation.folders import measure
from dualattn_mm.models import ColorDistillation
from dualattn_mm.utils.command import run_command
from dualattn_mm.utils.errors import UserError
from dualattn_mm.utils.report import check_output, methods_table, print_table, write_json
from projects.model_card.baselines import colorize_folder


class Mean(nn.Module):
    """A generator that predicts the mean color of two teachers.

    Args:
        teachers: a distillation with two teachers; their shares are set at each prediction.
        share: of the second one.
    """

    def __init__(self, teachers: ColorDistillation, share: float) -> None:
        super().__init__()
        self.teachers = teachers
        self.share = share

    def forward(self, lightness: Tensor) -> Tensor:
        """Map (B, 1, H, W) to (B, 2, H, W)."""
        first, second = self.teachers.teachers
        first.share, second.share = 1 - self.share, self.share
        return self.teachers.targets(lightness)


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('config', metavar='CONFIG', help='a config with two teachers, such as student.py')
    add('--test', type=Path, required=True, metavar='FOLDER', help='photos to measure on')
    add('--shares', type=_share, nargs='+', required=True, metavar='SHARE', help='from 0 to 1')
    add('-o', '--output', type=Path, required=True, metavar='OUT', help='folder of the results')
    return parser


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError
    return value


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; None uses `sys.argv`."""
    args = make_parser().parse_args(argv)

    def run() -> None:
        check_output(args.output / 'figures.json')
        cfg = Config.fromfile(args.config)
        distillation = cfg.get('model', {}).get('color_distillation') or {}
        if len(distillation.get('teachers', ())) != 2:
            raise UserError(f'{args.config}: model.color_distillation must have two teachers')
        teachers = MODELS.build(distillation)
        teachers.init_weights()
        folders = {f'{share:g}': args.output / f'{share:g}' for share in args.shares}
        for share, folder in zip(args.shares, folders.values(), strict=True):
            pipe = ColorizationPipeline.from_generator(
                Mean(teachers, share), cfg.model.generator.image_size
            )
            colorize_folder(pipe, args.test, folder, 1.0, luma=True)
        rows = measure(args.test, folders, evaluation.offline_metrics)
        print_table(methods_table(rows))
        write_json(args.output / 'figures.json', rows)

    return run_command(run)


if __name__ == '__main__':
    sys.exit(main())
