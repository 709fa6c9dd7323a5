"""The commands that would measure what has not been measured."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from .tables import Row

_TRAIN = ('bash', 'tools/dist_train.sh')
_GPUS = '8'  # the paper's


def train_and_test(row: Row, cfg: Config, table: str) -> str:
    """Train a row's model as published, first what that reads, and measure it.

    Args:
        row: of configs/reproduction.yml.
        cfg: its config.
        table: the table's name, for the folder of a row with options.
    """
    first = [*row.first]
    start = _initial_weights(cfg)
    if start is not None:  # made by the config that its folder is named after
        config = f'configs/mmpretrain/{Path(start).parent.name}.py'
        first.append((start, shlex.join([*_TRAIN, config, _GPUS])))
    folder = Path(row.config).stem
    if row.options:
        folder = re.sub(r'[^0-9A-Za-z]+', '_', f'{table} {row.name}').strip('_')
    folder = f'work_dirs/{folder}'
    train = [*_TRAIN, row.config, _GPUS]
    if row.options:
        train += ['--work-dir', folder, '--cfg-options', *cfg_options(row.options)]
    if 'max_epochs' in cfg.train_cfg:
        checkpoint = f'{folder}/epoch_{cfg.train_cfg.max_epochs}.pth'
    else:
        checkpoint = f'{folder}/iter_{cfg.train_cfg.max_iters}.pth'
    out = f'{folder}/{Path(row.test.config).stem}.json'
    test = ['bash', 'tools/dist_test.sh', row.test.config, checkpoint, _GPUS, '--out', out]
    options = {**row.options, **row.test.options}
    if options:
        test += ['--cfg-options', *cfg_options(options)]
    steps = [f'(test -f {file} || {command})' for file, command in first]
    return ' && '.join([*steps, shlex.join(train), shlex.join(test)])


def benchmark_command(network: str) -> str:
    """Time a colorizer at the size of the paper."""
    return (
        f'python projects/benchmark/run.py colorizer --models {network} --modes infer --sizes '
        '--device cuda -o work_dirs/benchmark'
    )


def _initial_weights(cfg: Config) -> str | None:
    """Of a classifier that is trained on, or of a detector's backbone."""
    if cfg.get('load_from'):
        return cfg.load_from
    init_cfg = (cfg.model.get('backbone') or {}).get('init_cfg') or {}
    return init_cfg.get('checkpoint') if init_cfg.get('type') == 'Pretrained' else None


def cfg_options(options: Mapping[str, Any]) -> list[str]:
    """Options as they follow --cfg-options, KEY=VALUE."""
    return [f'{name}={_text(value)}' for name, value in options.items()]


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f'[{",".join(map(_text, value))}]'
    return str(value)
