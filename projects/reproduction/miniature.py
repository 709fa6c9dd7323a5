"""Train the rows of Tables III and IV as small networks for equal times, and compare them.

python projects/reproduction/miniature.py --train PHOTOS --test PHOTOS -o OUT
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from mmengine.config import Config, DictAction
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS
from scipy.stats import spearmanr

from dualattn_mm.engine.configs import read_config
from dualattn_mm.utils.arguments import natural
from dualattn_mm.utils.color_space import lab_to_rgb, rgb_to_lab
from dualattn_mm.utils.command import run_command
from dualattn_mm.utils.errors import UserError
from dualattn_mm.utils.folders import pictures_by_name, read_picture
from dualattn_mm.utils.report import write_json
from projects.benchmark.training import Variant, compare_trainings
from projects.reproduction.page import grid
from projects.reproduction.paper import ROOT, read_paper
from projects.reproduction.trainings import cfg_options

CONFIG = ROOT / 'configs' / 'mmagic' / 'ablation_small.py'
METRICS = ('PSNR', 'ab_error', 'CF', 'Delta_CF')
_TIMED = 7  # number of timed steps per row


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; None uses `sys.argv`."""
    rows = rows_of_the_paper()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('--train', required=True, metavar='FOLDER', help='photos to train on')
    add('--test', required=True, metavar='FOLDER', help='other photos, for testing')
    add(
        '-o',
        '--output',
        type=Path,
        required=True,
        metavar='FOLDER',
        help='output folder; a repeated call resumes',
    )
    add('--seconds', type=float, default=40, help='time of each training (default: %(default)s)')
    add('--seeds', type=int, nargs='+', default=[0], help='random seeds (default: 0)')
    add('--rows', nargs='+', choices=[*rows], default=[*rows], metavar='NAME', help=', '.join(rows))
    add('--jobs', type=natural, default=1, help='training runs in parallel (default: %(default)s)')
    add('--cfg-options', nargs='+', action=DictAction, default={}, help='KEY=VALUE of the config')
    args = parser.parse_args(argv)
    return run_command(lambda: _run(args, {name: rows[name] for name in args.rows}))


def rows_of_the_paper() -> dict[str, dict]:
    """Return the config options of each row of Table III, which has 150 queries, and Table IV.

    K = 150 is the same as FCA-SDA. K = 64, the number in the text of the paper, has no printed
    figures.
    """
    paper = read_paper()
    rows = {
        name: dict(row.network.options)
        for t in ('III', 'IV')
        for name, row in paper[t].ours.items()
    }
    del rows['K = 150']
    return rows | {'K = 64': {'model.generator.num_queries': 64}}


def step_seconds(configs: Mapping[str, Config]) -> dict[str, float]:
    """Measure the median time of a training step of each config, alternately, without data loading.

    On a CPU it is the CPU time of the process, which other programs do not affect.
    """
    has_gpu = torch.cuda.is_available()
    device, now = ('cuda', time.perf_counter) if has_gpu else ('cpu', time.process_time)
    networks, times = {}, {name: [] for name in configs}
    for name, cfg in configs.items():
        model = MODELS.build(cfg.model).to(device).train()
        networks[name] = model, build_optim_wrapper(model, cfg.optim_wrapper)
    for _ in range(_TIMED):
        for name, (model, wrapper) in networks.items():
            side, batch = configs[name].image_size, configs[name].train_dataloader.batch_size
            photos = torch.randint(0, 256, (batch, 3, side, side), dtype=torch.uint8)
            start = now()
            loss = model.train_step(dict(inputs=list(photos)), wrapper)['loss']
            loss.item()  # wait for the GPU
            times[name].append(now() - start)
    return {name: statistics.median(seconds[2:]) for name, seconds in times.items()}


def psnr_of_one_color(folder: Path, side: int) -> float:
    """Return the PSNR in dB if every pixel gets the mean color of all photos, as a baseline."""
    paths = pictures_by_name(folder).values()
    rgb = torch.stack([read_picture(path, side) for path in paths]) / 255
    lab = rgb_to_lab(rgb)
    ab = lab[:, 1:].mean((0, 2, 3), keepdim=True).expand_as(lab[:, 1:])
    colored = (lab_to_rgb(torch.cat((lab[:, :1], ab), 1)).clamp(0, 1) * 255).round() / 255
    return (-10 * (colored - rgb).square().mean((1, 2, 3)).clamp(min=1e-10).log10()).mean().item()


def _run(args: argparse.Namespace, rows: Mapping[str, dict]) -> None:
    given = [
        f'train_dataloader.dataset.data_root={args.train}',
        f'val_dataloader.dataset.data_root={args.test}',
    ]
    rows = {name: {**options, **args.cfg_options} for name, options in rows.items()}
    steps = _steps(rows, args.seconds, args.output / 'steps.json')
    variants = [
        Variant(name, CONFIG, (*cfg_options(options), *_schedule(steps[name])))
        for name, options in rows.items()
    ]
    tool = ROOT / 'tools' / 'train.py'
    trained = compare_trainings(
        variants, args.seeds, METRICS, args.output, given, args.jobs, tool, print
    )
    one_color = psnr_of_one_color(Path(args.test), Config.fromfile(CONFIG).image_size)
    print(report(trained, steps, one_color))


def _steps(rows: Mapping[str, dict], seconds: float, file: Path) -> dict[str, int]:
    """Return the number of steps that fit the time; a file of an earlier call takes precedence."""
    known = json.loads(file.read_text()) if file.is_file() else dict(seconds=seconds, steps={})
    if known['seconds'] != seconds:
        raise UserError(
            f'{file.parent} has training runs of {known["seconds"]:g} s: choose another folder'
        )
    new = {name: options for name, options in rows.items() if name not in known['steps']}
    if new:
        configs = {name: read_config(str(CONFIG), options) for name, options in new.items()}
        for name, step in step_seconds(configs).items():
            known['steps'][name] = max(2, round(seconds / step))
        write_json(file, known)
    return known['steps']


def report(trained: Sequence[Mapping], steps: Mapping[str, int], one_color: float) -> str:
    """Compare the rows with the figures of the paper, and return the rank correlation as well.

    Args:
        trained: the result of `compare_trainings`.
        steps: number of steps of each row.
        one_color: PSNR of a single color for all pixels.
    """
    paper = read_paper()
    fids = {t: {row: cells[0] for row, cells in paper[t].rows.items()} for t in ('III', 'IV')}
    known = fids['III'] | fids['IV']
    lines = [['row', 'FID in the paper', 'parameters', 'steps', *METRICS]]
    means, orders = {}, []
    for row in trained:
        name, runs = row['name'], list(row['runs'].values())
        cells = []
        for metric in METRICS:
            values = [run[metric] for run in runs]
            spread = f' ({min(values):.2f} to {max(values):.2f})' if len(values) > 1 else ''
            cells.append(f'{statistics.mean(values):.2f}{spread}')
        means[name] = statistics.mean(run['PSNR'] for run in runs)
        size = f'{row["parameters"]:,}'
        lines.append([name, known.get(name, ''), size, str(steps[name]), *cells])
    psnr = means | ({'K = 150': means['FCA-SDA']} if 'FCA-SDA' in means else {})  # one network
    for table, fid in fids.items():
        pairs = [(float(fid[row]), -psnr[row]) for row in fid if row in psnr]
        if len(pairs) > 2:
            rho, p = spearmanr(*zip(*pairs, strict=True))
            orders.append(
                f'Table {table}: rank correlation of FID and minus PSNR here {rho:.2f} '
                f'(p = {p:.2f}; 1 is the order of the paper).'
            )
    best = max(means, key=means.get)
    orders.append(
        f'One color for everything: {one_color:.2f} dB; the best row, {best}: {means[best]:.2f} dB.'
    )
    return '\n'.join([grid(lines), *orders])


def _schedule(steps: int) -> list[str]:
    """Return the options that set the schedule of the config to a number of steps."""
    warm_up = max(1, steps // 20)
    return [
        f'train_cfg.max_iters={steps}',
        f'train_cfg.val_interval={steps}',
        f'default_hooks.checkpoint.interval={steps}',
        f'default_hooks.logger.interval={max(1, min(50, steps // 2))}',
        f'param_scheduler.0.end={warm_up}',
        f'param_scheduler.1.begin={warm_up}',
        f'param_scheduler.1.end={steps}',
    ]


if __name__ == '__main__':
    sys.exit(main())
