"""Measure how many photos per second a data pipeline delivers per CPU core, without the network.

python projects/gpu_training/data_speed.py CONFIG --photos FOLDER
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from mmengine.config import DictAction
from mmengine.dataset import default_collate
from mmengine.registry import DATASETS, MODELS

from dualattn_mm.engine.configs import load_config
from dualattn_mm.utils.arguments import natural
from dualattn_mm.utils.command import run_command


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; None uses `sys.argv`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('config', metavar='CONFIG', help='config file of a training')
    add('--photos', required=True, metavar='FOLDER', help='photos to read')
    add(
        '--batches',
        type=natural,
        default=4,
        metavar='N',
        help='number of batches (default: %(default)s)',
    )
    add('--cfg-options', nargs='+', action=DictAction, default={}, metavar='KEY=VALUE')
    args = parser.parse_args(argv)
    return run_command(lambda: measure(args))


def measure(args: argparse.Namespace) -> None:
    """Print the speed of one core, from its CPU time, which other programs hardly affect."""
    cfg = load_config(args.config, args.cfg_options)
    cfg.train_dataloader.dataset.data_root = args.photos
    torch.set_num_threads(1)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    preprocessor = MODELS.build(
        cfg.model.get('data_preprocessor')
        or dict(type='mmengine.ImgDataPreprocessor', mean=[0.0], std=[255.0])
    )
    size = cfg.train_dataloader.batch_size
    count = min(args.batches * size, len(dataset))
    for name in ('reading the files', 'again'):
        loading = preprocessing = 0.0
        for start in range(0, count, size):
            begin = time.process_time()
            samples = [dataset[i] for i in range(start, min(start + size, count))]
            batch = default_collate(samples)
            loaded = time.process_time()
            batch = preprocessor(batch, training=True)
            loading += loaded - begin
            preprocessing += time.process_time() - loaded
        shape = 'x'.join(map(str, batch['inputs'].shape[1:]))
        print(
            f'{name}: {count / loading:.0f} photos/s in a worker, '
            f'{count / preprocessing:.0f} photos/s in the preprocessor on the CPU, to {shape}',
            flush=True,
        )


if __name__ == '__main__':
    sys.exit(main())
