"""Compare variants of a colorizer training in short runs of equal length.

python projects/gpu_training/pilots.py CONFIG --train PHOTOS --held-out PHOTOS --steps 500 -o OUT
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mmengine.config import Config

from dualattn_mm.engine.configs import load_config
from dualattn_mm.utils.arguments import natural
from dualattn_mm.utils.command import run_command
from dualattn_mm.utils.errors import UserError
from dualattn_mm.utils.folders import pictures_below
from dualattn_mm.utils.report import print_table
from projects.benchmark.training import Variant, compare_trainings, trainings_table

METRICS = ('PSNR_over_gray', 'hue', 'tinge', 'dull')
# Each variant changes one part of the config.
VARIANTS = {
    'config': (),
    'uniform 0.9': ('model.color.uniform=0.9',),
    'uniform 0.98': ('model.color.uniform=0.98',),
    'uniform 1': ('model.color.uniform=1.0',),
    'chroma': ('model.chroma.type=ChromaLoss',),
    'neutral': (
        'model.chroma.type=ChromaLoss',
        'model.chroma.neutral_weight=0.02',
        'model.chroma.most=0',
        'model.chroma.vivid_weight=0',
    ),
    'perceptual': (
        'model.perceptual.type=TeacherPerceptualLoss',
        'model.perceptual.weights=data/efficientnet-lite0-57934424.pth',
        'model.perceptual.loss_weight=5',
    ),
    'one size': ('model.train_sizes=[160]',),
    'no teacher': ('model.distillation=None',),
    'half the teacher': ('model.distillation.share=0.5',),
    'eager': ('model.compile=None',),
    # With the 13 blocks of color_dualattn_mini.py: 18,058,736 parameters, 36.1 MB in float16.
    'wider': (
        'model.generator.encoder.arch.embed_dims=[72,144,192,264]',
        'model.generator.neck.in_channels=[72,144,192,264]',
        'model.generator.neck.out_channels=[192,144,144]',
        'model.generator.head.in_channels=144',
        'model.generator.head.feedforward_channels=576',
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; None uses `sys.argv`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('config', type=Path, metavar='CONFIG', help='config file of a training')
    add('--train', required=True, metavar='FOLDER', help='photos to train on')
    add(
        '--held-out',
        type=Path,
        required=True,
        metavar='FOLDER',
        help='other photos, for the metrics',
    )
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument('--steps', type=natural, metavar='N', help='length of each training')
    length.add_argument(
        '--seconds', type=float, metavar='S', help='time of each training instead of steps'
    )
    add('--seeds', type=int, nargs='+', default=[0], metavar='N', help='random seeds (default: 0)')
    add(
        '--only',
        nargs='+',
        choices=VARIANTS,
        default=['config'],
        metavar='NAME',
        help=f'variants (default: config): {", ".join(VARIANTS)}',
    )
    add(
        '--variant',
        nargs='+',
        action='append',
        default=[],
        metavar=('NAME', 'KEY=VALUE'),
        help='add another variant; can be repeated',
    )
    add(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='overrides for all variants',
    )
    add(
        '-o',
        '--output',
        type=Path,
        required=True,
        metavar='OUT',
        help='folder for the results; a repeated call resumes',
    )
    args = parser.parse_args(argv)
    return run_command(lambda: compare(args))


def compare(args: argparse.Namespace) -> None:
    """Train the variants and print their table.

    Raises:
        UserError: if a folder has no photo, or a training fails.
    """
    pictures_below(args.held_out)
    config = args.output / 'pilot.py'
    content = pilot_config(args)
    if config.is_file() and Config.fromfile(config).to_dict() != content.to_dict():
        raise UserError(f'{args.output} has pilots with other settings: choose another folder')
    config.parent.mkdir(parents=True, exist_ok=True)
    content.dump(config)
    own = {name: tuple(options) for name, *options in args.variant}
    variants = [
        Variant(name, config, options)
        for name, options in {**{n: VARIANTS[n] for n in args.only}, **own}.items()
    ]
    rows = compare_trainings(
        variants,
        args.seeds,
        METRICS,
        args.output,
        args.cfg_options,
        1,
        Path(__file__).resolve().parents[2] / 'tools' / 'train.py',
        say=lambda line: print(line, flush=True),
    )
    print_table(trainings_table(rows, METRICS))


def pilot_config(args: argparse.Namespace) -> Config:
    """Return the config with the pilot's length and with metrics on held-out photos at its end."""
    cfg = load_config(str(args.config))
    cfg.train_dataloader.dataset.data_root = args.train
    test = cfg.test_dataloader
    test.dataset.data_root = str(args.held_out)
    cfg.val_dataloader, cfg.val_cfg = test, dict()
    cfg.val_evaluator = [
        dict(type=f'Colorization{name}') for name in ('PSNROverGray', 'Hue', 'Tinge', 'Dull')
    ]
    hooks = [hook for hook in cfg.custom_hooks if hook['type'] != 'TimeBudgetHook']
    for hook in hooks:
        if hook['type'] == 'GeneratorEMAHook':  # an average that also works in a short training
            hook.update(ema_type='MomentumAnnealingEMA', gamma=50)
    warm_up = dict(type='LinearLR', start_factor=0.05, by_epoch=False, end=50)
    if args.steps is None:
        steps = 1_000_000
        hooks.append(dict(type='TimeBudgetHook', seconds=args.seconds, decay=0.7))
        cfg.param_scheduler = [warm_up]
    else:
        steps = args.steps
        warm_up['end'] = max(1, steps // 20)
        fall = dict(start_factor=1.0, end_factor=0.01, begin=warm_up['end'], end=steps)
        cfg.param_scheduler = [warm_up, dict(type='LinearLR', by_epoch=False, **fall)]
    cfg.custom_hooks = hooks
    cfg.train_cfg = dict(by_epoch=False, max_iters=steps, val_interval=steps)
    cfg.default_hooks.logger.interval = max(1, min(50, steps // 2))
    return cfg


if __name__ == '__main__':
    sys.exit(main())
