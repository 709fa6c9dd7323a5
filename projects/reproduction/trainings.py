"""The commands that train and test what has not been run, and what that would cost."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .ours import NOT_RUN, Entry, Ours
from .paper import Row

GPUS = '8'  # the paper's
# Operations a second in the one training on a GPU that has been measured, of the bundled weights on
# an H100 (docs/model_card.md): 256 crops in 0.17 s; 3 passes of 1.206 GMAC, and the teacher's 0.83.
RATE = 2 * 256 * (3 * 1.206e9 + 0.83e9) / 0.17


@dataclass(frozen=True)
class Training:
    """A network to be trained.

    Attributes:
        row: the network.
        table: the first table that it is in.
        name: all printed rows that it is.
        hours: of one H100, estimated.
        commands: what trains and tests it, after what it starts from.
    """

    row: Row
    table: str
    name: str
    hours: float
    commands: Sequence[str]


def trainings(entries: Iterable[Entry], ours: Ours) -> list[Training]:
    """The trainings that figures wait for, each once."""
    waiting: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.status == NOT_RUN and not entry.direct:
            waiting.setdefault(entry.row.work_dir, []).append(entry)
    found = []
    for group in waiting.values():
        row = group[0].row
        names = dict.fromkeys(f'{e.figure.table} {e.figure.row}' for e in group)
        hours = gpu_hours(row, ours)
        found.append(
            Training(row, group[0].figure.table, '; '.join(names), hours, _commands(group, ours))
        )
    return found


def gpu_hours(row: Row, ours: Ours) -> float:
    """Hours of one H100 for a training, estimated; a step costs three times what inference does."""
    macs = 0 if row.seconds else 3 * ours.counts(row)[0][''].macs + 1e9 * row.losses
    cfg = ours.config(row)
    if 'max_iters' in cfg.train_cfg:
        samples = cfg.train_cfg.max_iters * cfg.auto_scale_lr.base_batch_size
    else:
        samples = cfg.train_cfg.max_epochs * row.data['samples']
    return (3 * row.seconds + 2 * macs / RATE) * samples / 3600


def _commands(group: Sequence[Entry], ours: Ours) -> list[str]:
    row = group[0].row
    schedule = ours.config(row).train_cfg
    epochs = schedule.get('max_epochs')
    weights = f'{row.work_dir}/{f"epoch_{epochs}" if epochs else f"iter_{schedule.max_iters}"}.pth'
    commands = [*row.first, _command('train', row.config, '--work-dir', row.work_dir, row.options)]
    for test in dict.fromkeys(entry.row.test_of(entry.figure) for entry in group):
        out = f'{row.work_dir}/{Path(test).stem}.json'
        commands.append(_command('test', f'{test} {weights}', '--out', out, row.options))
    return commands


def _command(task: str, files: str, option: str, value: str, options: Mapping[str, Any]) -> str:
    words = ['bash', f'tools/dist_{task}.sh', *files.split(), GPUS, option, value]
    if options:
        words += ['--cfg-options', *cfg_options(options)]
    return shlex.join(words)


def cfg_options(options: Mapping[str, Any]) -> list[str]:
    """Options as they follow --cfg-options."""
    texts = {
        k: f'[{",".join(map(str, v))}]' if isinstance(v, list) else v for k, v in options.items()
    }
    return [f'{key}={text}' for key, text in texts.items()]
