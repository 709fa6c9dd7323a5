"""Train the colorizer on a GPU for a given time, from photos to tested weights in one command.

python projects/gpu_training/run.py --photos train.tar photos/ --test val.tar --teacher \\
    efficientnet-lite0-57934424.pth --start WEIGHTS --seconds 580 -o OUT
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from mmengine.config import Config, DictAction

from dualattn_mm.apis import ColorizationPipeline
from dualattn_mm.apis.weights import publish
from dualattn_mm.engine.configs import load_config
from dualattn_mm.engine.hooks.safe_checkpoint import last_checkpoint
from dualattn_mm.utils.arguments import natural
from dualattn_mm.utils.command import run_command
from dualattn_mm.utils.errors import ColorizeError, UserError
from dualattn_mm.utils.folders import pictures_below, read_picture
from dualattn_mm.utils.report import write_json
from dualattn_mm.utils.terminal import printable
from projects.benchmark.training import train_with
from projects.gpu_training.loss_plot import plot_loss
from projects.model_card.baselines import choose_saturation, measure_factors
from projects.model_card.measure_weights import CANDIDATES

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / 'tools' / 'train.py'
CONFIG = ROOT / 'configs' / 'mmagic' / 'color_dualattn_mini_gpu.py'
SIZES = (128, 160, 192, 224, 256)
CHECK_STEPS = 20
# Seconds after the training for its last checkpoint and the published weights.
PUBLISHING = 25
LEAST = 10  # seconds of training that are worth starting
# Options for a small run on the CPU that only checks that everything works.
DRY = {
    'model.data_preprocessor.size': 64,
    'model.train_sizes': [32, 64],
    'model.compile': None,
    'train_cfg.max_iters': 4,
    'train_dataloader.batch_size': 2,
    'train_dataloader.num_workers': 0,
    'train_dataloader.persistent_workers': False,
    'train_dataloader.pin_memory': False,
    'train_dataloader.dataset.cache_gib': 0.01,
    'train_dataloader.dataset.cache_side': 48,
    'train_dataloader.dataset.pipeline.2.size': 48,
    'default_hooks.logger.interval': 1,
}


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    photos = dict(type=Path, nargs='+', metavar='PHOTOS')
    add('--photos', required=True, **photos, help='tar files or folders to train on')
    add(
        '--test',
        default=[],
        **photos,
        help='tar files or folders for testing, not used in training',
    )
    add('--teacher', metavar='FILE', help='weights of the teacher (default: no distillation)')
    add('--start', metavar='WEIGHTS', help='initial weights (default: random)')
    add(
        '--repeat',
        type=natural,
        nargs='+',
        metavar='N',
        help='how many times an epoch uses each photo, one number per source (default: once)',
    )
    add(
        '--seconds',
        type=float,
        default=580,
        help='time of this command until the weights are saved; training gets what remains after '
        'unpacking and the check (default: %(default)s)',
    )
    add(
        '--held-out',
        type=natural,
        default=200,
        metavar='N',
        help='number of photos per source that are not used for training but to choose the size '
        'and the saturation (default: %(default)s)',
    )
    add('--config', type=Path, default=CONFIG, help='config file (default: %(default)s)')
    add('--cfg-options', nargs='+', action=DictAction, default={}, metavar='KEY=VALUE')
    add('--work', type=Path, help='folder for unpacked photos and checkpoints (default: temporary)')
    add(
        '--dry',
        action='store_true',
        help='use tiny crops and batches to check that everything works',
    )
    add('-o', '--output', type=Path, required=True, metavar='OUT', help='folder for the results')
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; None uses `sys.argv`."""
    args = make_parser().parse_args(argv)
    return run_command(lambda: run(args))


def run(args: argparse.Namespace) -> None:
    """Unpack the photos, check the training, train, publish the weights and test them.

    Raises:
        UserError: if photos are missing or training fails. In the latter case, the weights of the
            last checkpoint are published first.
    """
    end = time.time() + args.seconds - PUBLISHING
    repeats = args.repeat or [1] * len(args.photos)
    if len(repeats) != len(args.photos):
        raise UserError(f'--repeat needs one number per source of --photos: {len(args.photos)}')
    args.output.mkdir(parents=True, exist_ok=True)
    work = args.work or Path(tempfile.mkdtemp(prefix='gpu_training_'))
    work.mkdir(parents=True, exist_ok=True)
    if any(work.iterdir()):
        raise UserError(f'{work} has files, perhaps of another training: choose another --work')
    sources = [unpack(path, work / 'photos' / str(i)) for i, path in enumerate(args.photos)]
    tests = [unpack(path, work / 'test' / str(i)) for i, path in enumerate(args.test)]
    train, held_out = split(sources, args.held_out, repeats)
    print(f'{len(set(train))} photos for training, {len(held_out)} held out', flush=True)
    listed = work / 'train.txt'
    lines = ''.join(f'{path.resolve()}\n' for path in train)
    # File names can contain any bytes.
    listed.write_text(lines, encoding='utf-8', errors='surrogateescape')

    cfg = training_config(args, listed)
    config = args.output / 'config.py'
    cfg.dump(config)
    summary = dict(photos=len(set(train)), held_out=len(held_out), seconds=args.seconds)
    summary |= check(cfg, config, work)
    write_json(args.output / 'summary.json', summary)

    left = end - time.time()
    if left < LEAST and not args.dry:
        raise UserError(f'nothing remains of --seconds {args.seconds:g} for training: increase it')
    index = [hook['type'] for hook in cfg.custom_hooks].index('TimeBudgetHook')
    options = [] if args.dry else [f'custom_hooks.{index}.until={end}']
    error = train_with(TOOL, config, work / 'train', args.output / 'train.log', options)
    checkpoint = last_checkpoint(work / 'train')
    if not checkpoint:
        raise UserError(f'training failed before its first checkpoint: {error}')
    weights = args.output / 'weights.safetensors'
    publish(config, checkpoint, weights, half=True)
    lines = log_lines(work / 'train')
    plot_loss(lines, args.output / 'loss.png')
    summary |= speed(lines, cfg.train_dataloader.batch_size)
    summary['steps'] = int(Path(checkpoint).stem.rpartition('_')[2])
    if error:
        write_json(args.output / 'summary.json', summary)
        raise UserError(f'training failed, its last checkpoint was saved as {weights}: {error}')

    size, saturation = choose(weights, held_out, SIZES[:1] if args.dry else SIZES)
    cfg.model.generator.image_size = size
    cfg.dump(config)
    publish(config, checkpoint, weights, saturation, half=True)
    summary |= dict(image_size=size, saturation=saturation)
    write_json(args.output / 'summary.json', summary)
    print(json.dumps(summary), flush=True)
    if tests:
        write_json(args.output / 'figures.json', measure(weights, config, sources, tests, work))


def unpack(path: Path, folder: Path) -> Path:
    """Return a folder of photos; a tar file is unpacked to `folder` first.

    Raises:
        UserError: if `path` is neither a folder nor a tar file.
    """
    if path.is_dir():
        return path
    if not path.is_file() or not tarfile.is_tarfile(path):
        raise UserError(f'{path} is neither a folder nor a tar file')
    try:
        with tarfile.open(path) as archive:
            archive.extractall(folder, filter='data')
    except (tarfile.TarError, EOFError) as error:
        raise UserError(f'{path} is damaged: {error}') from None
    return folder


def split(
    sources: Sequence[Path], count: int, repeats: Sequence[int]
) -> tuple[list[Path], list[Path]]:
    """Split the photos into those for training and `count` held-out ones per source.

    The photos for training are repeated as often as `repeats` says for their source. The result is
    the same in every call.
    """
    train: list[Path] = []
    held_out: list[Path] = []
    for folder, times in zip(sources, repeats, strict=True):
        photos = pictures_below(folder)
        if len(photos) <= count:
            raise UserError(
                f'{folder} has only {len(photos)} photos, but --held-out is {count}: decrease it'
            )
        chosen = set(random.Random(7).sample(photos, count))
        held_out += [photo for photo in photos if photo in chosen and readable(photo)]
        train += [photo for photo in photos if photo not in chosen] * times
    # A source can be a part of another one.
    left_out = {photo.resolve() for photo in held_out}
    return [photo for photo in train if photo.resolve() not in left_out], held_out


def readable(photo: Path) -> bool:
    """Return whether a photo can be read; if not, say why."""
    try:
        read_picture(photo)
    except ColorizeError as error:
        print(f'skipped {printable(photo)}: {error}', flush=True)
        return False
    return True


def training_config(args: argparse.Namespace, listed: Path) -> Config:
    """Return the config of this training."""
    cfg = load_config(str(args.config), DRY if args.dry else None)
    cfg.train_dataloader.dataset.update(data_root='', ann_file=str(listed.resolve()))
    cfg.train_dataloader.num_workers = min(
        cfg.train_dataloader.num_workers, max(1, (os.cpu_count() or 1) - 2)
    ) * (not args.dry)
    if args.teacher and not cfg.model.get('distillation'):
        raise UserError(f'{args.config} has no model.distillation for --teacher')
    if args.teacher:
        cfg.model.distillation.weights = str(Path(args.teacher).resolve())
    else:
        cfg.model.distillation = None
    if 'TimeBudgetHook' not in [hook['type'] for hook in cfg.custom_hooks]:
        raise UserError(f'{args.config} has no TimeBudgetHook: use a config that trains for a time')
    cfg.load_from = args.start and str(Path(args.start).resolve())
    for hook in cfg.custom_hooks:
        if hook['type'] == 'TimeBudgetHook':
            hook['seconds'] = args.seconds
    cfg.merge_from_dict(args.cfg_options)
    return cfg


def check(cfg: Config, config: Path, work: Path) -> dict[str, Any]:
    """Train for a few steps. If this fails with a compiled network, try without compiling.

    The network is compiled for all sizes at the same time, in a process for each, and the training
    finds the results in torch's cache.

    Returns:
        The result of `speed` (of one of the processes), and whether the network is compiled.

    Raises:
        UserError: if training fails; the message has the last line of the log.
    """
    compiled = cfg.model.get('compile') is not None
    options = [f'train_cfg.max_iters={CHECK_STEPS}', 'default_hooks.logger.interval=1']
    sizes = cfg.model.train_sizes if compiled else ()
    runs = {work / f'check_{size}': [*options, f'model.train_sizes=[{size}]'] for size in sizes}
    runs = runs or {work / f'check_{"compiled" if compiled else "eager"}': options}

    def train_in(folder: Path) -> str:
        return train_with(TOOL, config, folder, folder.with_suffix('.log'), runs[folder])

    with ThreadPoolExecutor(len(runs)) as pool:
        errors = dict(zip(runs, pool.map(train_in, runs), strict=True))
    if len(runs) > 1:  # the memory of the GPU can be too small for all at once
        errors = {folder: error and train_in(folder) for folder, error in errors.items()}
    for folder, error in errors.items():
        if error and not compiled:
            raise UserError(f'{CHECK_STEPS} steps failed, see {folder}.log: {error}')
        if error:
            print(f'training the compiled network failed ({error}): not compiling it', flush=True)
            cfg.model.compile = None
            cfg.dump(config)
            return check(cfg, config, work)
    lines = log_lines(next(iter(runs)))
    found = dict(
        compiled=compiled,
        # The first steps include starting the workers and compiling.
        check=speed(lines[len(lines) // 2 :], cfg.train_dataloader.batch_size),
    )
    print(json.dumps(found), flush=True)
    return found


def log_lines(folder: Path) -> list[dict[str, Any]]:
    """Return the logged values of every step by name."""
    last = max(folder.glob('*/vis_data/scalars.json'))
    return [json.loads(line) for line in last.read_text().splitlines()]


def speed(lines: Sequence[dict[str, Any]], batch_size: int) -> dict[str, Any]:
    """Return the median seconds of a step and of waiting for its data, and photos per second."""
    step = statistics.median(line['time'] for line in lines)
    return dict(
        step_seconds=step,
        data_seconds=statistics.median(line['data_time'] for line in lines),
        photos_per_second=batch_size / step,
        gpu_mib=max((line.get('memory', 0) for line in lines), default=0),
        device=torch.cuda.get_device_name() if torch.cuda.is_available() else 'cpu',
    )


def choose(weights: Path, photos: Sequence[Path], sizes: Sequence[int]) -> tuple[int, float]:
    """Return the size with the best PSNR at saturation 1, and the saturation for this size.

    The saturation is 1 if no factor is as good as gray, for example after a minute of training.
    """
    psnr = {}
    for size in sizes:
        pipe = ColorizationPipeline(weights, size=size)
        psnr[size] = measure_factors(pipe, photos, [1.0])[1.0]['PSNR']
        print(f'{size} px: PSNR {psnr[size]:.3f}', flush=True)
    best = max(psnr, key=psnr.get)
    try:
        return best, choose_saturation(ColorizationPipeline(weights, size=best), photos, CANDIDATES)
    except UserError as error:
        print(error, flush=True)
        return best, 1.0


def measure(
    weights: Path, config: Path, sources: Sequence[Path], tests: Sequence[Path], work: Path
) -> dict[str, Any]:
    """Compute the figures of each test folder in a separate process.

    Raises:
        UserError: if a process fails.
    """
    tool = ROOT / 'projects' / 'model_card' / 'measure_weights.py'
    processes = []
    for i, test in enumerate(tests):
        out = work / 'measured' / str(i)
        command = [sys.executable, tool, weights, '--config', config, '--luma', '--test', test]
        command += ['--train', *sources, '--output', out]
        log = (work / f'measure_{i}.log').open('wb')
        processes.append((out, subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)))
    figures = {}
    for out, process in processes:
        if process.wait():
            raise UserError(f'testing failed: see {work}/measure_{out.name}.log')
        figures |= json.loads((out / 'figures.json').read_text())
    return figures


if __name__ == '__main__':
    sys.exit(main())
