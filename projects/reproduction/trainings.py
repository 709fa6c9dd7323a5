"""Commands for the training runs and tests that have not been run, and their estimated cost."""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .ours import NOT_RUN, Entry
from .paper import Row

GPUS = '8'  # as in the paper
# Operations per second in the only measured training on a GPU, that of the bundled weights on an
# H100 (docs/model_card.md): 256 crops in 0.17 s; 3 passes of 1.206 GMAC, and 0.83 of the teacher.
RATE = 2 * 256 * (3 * 1.206e9 + 0.83e9) / 0.17


@dataclass(frozen=True)
class Training:
    """A network to train, which has the printed rows in `name`; `table` is the first table.

    `hours` is the estimated time on one H100. `commands` prepare its initial weights, train and
    test it.
    """

    row: Row
    table: str
    name: str
    hours: float
    commands: Sequence[str]


def trainings(entries: Iterable[Entry]) -> list[Training]:
    """Return the training runs that figures need, each once."""
    waiting: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.status == NOT_RUN and not entry.direct:
            waiting.setdefault(entry.row.network.work_dir, []).append(entry)
    found = []
    for group in waiting.values():
        row, table = group[0].row, group[0].figure.table
        name = '; '.join(dict.fromkeys(f'{e.figure.table} {e.figure.row}' for e in group))
        found.append(Training(row, table, name, gpu_hours(row), _commands(group)))
    return found


def gpu_hours(row: Row) -> float:
    """Estimate the hours of a training on one H100; a step costs three times the inference."""
    macs = 0 if row.seconds else 3 * row.network.counts[0][''].macs + 1e9 * row.losses
    cfg = row.network.cfg
    if 'max_iters' in cfg.train_cfg:
        samples = cfg.train_cfg.max_iters * cfg.auto_scale_lr.base_batch_size
    else:
        samples = cfg.train_cfg.max_epochs * row.data['samples']
    return (3 * row.seconds + 2 * macs / RATE) * samples / 3600


def cfg_options(options: Mapping[str, Any]) -> list[str]:
    """Format options for --cfg-options."""
    lists = {k: f'[{",".join(map(str, v))}]' for k, v in options.items() if isinstance(v, list)}
    return [f'{key}={text}' for key, text in {**options, **lists}.items()]


def _commands(group: Sequence[Entry]) -> list[str]:
    row, network = group[0].row, group[0].row.network
    options = ['--cfg-options', *cfg_options(network.options)] if network.options else []

    def command(task: str, *words: str) -> str:
        return shlex.join(['bash', f'tools/dist_{task}.sh', *words, *options])

    files = f'{network.cfg.model} {network.cfg.get("load_from")} {row.first}'
    needed = re.findall(r'work_dirs/(\w+)/epoch_300\.pth', files)
    commands = [
        f'(test -f work_dirs/{name}/epoch_300.pth || '
        f'bash tools/dist_train.sh configs/mmpretrain/{name}.py {GPUS})'
        for name in dict.fromkeys(needed)
    ]
    commands += row.first
    commands.append(command('train', network.config, GPUS, '--work-dir', network.work_dir))
    schedule = network.cfg.train_cfg
    last = 'epoch_{max_epochs}' if 'max_epochs' in schedule else 'iter_{max_iters}'
    weights = f'{network.work_dir}/{last.format(**schedule)}.pth'
    for test in dict.fromkeys(entry.row.test_of(entry.figure) for entry in group):
        out = f'{network.work_dir}/{Path(test).stem}.json'
        commands.append(command('test', test, weights, GPUS, '--out', out))
    return commands
