"""Train several configs with several seeds in separate processes, and compare their metrics."""

import json
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config
from rich.table import Table

from dualattn_mm.apis.complexity import complexity_of_config
from dualattn_mm.utils.errors import UserError
from dualattn_mm.utils.report import show, write_json

_DONE = 'done.json'
_STARTED = 'started.json'


@dataclass(frozen=True)
class Variant:
    """A config with some of its values overridden.

    Attributes:
        name: name in the table; its letters and digits are the name of the folder.
        config: the config file.
        options: values of the config to override, KEY=VALUE.
    """

    name: str
    config: Path
    options: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        return re.sub(r'[^0-9A-Za-z]+', '_', self.name).strip('_')


@dataclass(frozen=True)
class Training:
    """One variant with one seed.

    Attributes:
        config: the config file.
        seed: overrides randomness.seed in the config.
        options: other values of the config to override, KEY=VALUE.
        folder: the folder for the log, the checkpoints and the results.
    """

    config: Path
    seed: int
    options: tuple[str, ...]
    folder: Path

    def run(self, train_tool: Path, metrics: Sequence[str]) -> dict[str, Any]:
        """Train unless this training is complete; an interrupted training is resumed.

        Returns:
            The last value of each metric, `steps`, `epochs` (None if training counts steps) and
            `seconds`, which is the median logged time of a step.

        Raises:
            UserError: if training fails, a metric is not in the log, or the folder has a training
                with other options or with an earlier version of the config.
        """
        done, started = self.folder / _DONE, self.folder / _STARTED
        config = json.loads(json.dumps(Config.fromfile(self.config).to_dict(), default=str))
        saved = (self.folder / 'last_checkpoint').is_file()
        if done.is_file() or (saved and started.is_file()):
            content = json.loads((done if done.is_file() else started).read_text())
            if content['options'] != list(self.options):
                raise UserError(
                    f'{self.folder} has a training with other options '
                    f'({" ".join(content["options"]) or "none"}): choose another folder'
                )
            if content.get('config') != config:
                raise UserError(
                    f'{self.folder} has a training with an earlier version of {self.config}: '
                    'choose another folder'
                )
        if done.is_file():
            return self._figures(metrics)
        resume = self.folder.is_dir()
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(started, dict(config=config, options=self.options))
        options = [f'randomness.seed={self.seed}', *self.options]
        log = self.folder / 'output.log'
        if error := train_with(train_tool, self.config, self.folder, log, options, resume):
            raise UserError(f'training {self.config} failed, see {log}: {error}')
        try:
            figures = self._figures(metrics)
        except UserError as error:
            if not resume:
                raise
            raise UserError(
                f'{error}; if the training was interrupted during its last validation, delete '
                f'{self.folder}'
            ) from None
        write_json(done, dict(config=config, options=self.options))
        return figures

    def _figures(self, metrics: Sequence[str]) -> dict[str, Any]:
        lines = [
            json.loads(line)
            for file in sorted(self.folder.glob('*/vis_data/scalars.json'))
            for line in file.read_text().splitlines()
        ]
        steps = [line for line in lines if 'lr' in line]
        if not steps:
            raise UserError(
                f'{self.config} logged no step of its training: default_hooks.logger.interval=1 '
                'lets it log each'
            )
        figures: dict[str, Any] = {}
        for metric in metrics:
            values = [line[metric] for line in lines if metric in line]
            if not values:
                known = sorted({k for line in lines if 'lr' not in line for k in line} - {'step'})
                raise UserError(
                    f'{self.config} did not log {metric!r}: the metrics are {", ".join(known)}'
                )
            figures[metric] = values[-1]
        return figures | dict(
            steps=steps[-1]['iter'],
            epochs=steps[-1].get('epoch'),
            seconds=statistics.median(line['time'] for line in steps),
        )


def train_with(
    train_tool: Path,
    config: Path,
    folder: Path,
    log: Path,
    options: Sequence[str] = (),
    resume: bool = False,
) -> str:
    """Train in a separate process and write its output to a file.

    Args:
        train_tool: path of tools/train.py.
        config: the config file.
        folder: the folder for checkpoints and the results.
        log: the file for the output.
        options: values of the config to override, KEY=VALUE.
        resume: whether to continue the training in the folder.

    Returns:
        An empty string, or the last line of the output if training failed.
    """
    command = [sys.executable, str(train_tool), str(config), '--work-dir', str(folder)]
    command += ['--resume'] * resume + (['--cfg-options', *options] if options else [])
    with log.open('wb') as file:
        status = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False)
    lines = log.read_text(errors='replace').strip().splitlines() or ['it printed nothing']
    return lines[-1] if status.returncode else ''


def compare_trainings(
    variants: Sequence[Variant],
    seeds: Sequence[int],
    metrics: Sequence[str],
    out: Path,
    options: Sequence[str],
    jobs: int,
    train_tool: Path,
    say: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Train every variant with every seed.

    Args:
        variants: configs, with optional changes.
        seeds: seeds for each variant.
        metrics: names of metrics in the log.
        out: folder for results.json and the training runs, which are in out/VARIANT/seed_N.
        options: values to override in all configs, KEY=VALUE.
        jobs: number of parallel training runs; they share the threads of the CPU.
        train_tool: path of tools/train.py.
        say: called with one line when a training ends.

    Returns:
        One row per variant with its name, parameters, MACs (for its test images) and the figures
        of all runs.

    Raises:
        UserError: if a config does not exist, two have the same name, or a training fails.
    """
    for variant in variants:
        if not variant.config.is_file():
            raise UserError(f'config file {variant.config} does not exist')
    if len({variant.folder for variant in variants}) < len(variants):
        raise UserError('two of the configs have the same name')
    os.environ.setdefault('OMP_NUM_THREADS', str(max(1, (os.cpu_count() or 1) // jobs)))
    trainings = {
        (variant, seed): Training(
            variant.config,
            seed,
            (*options, *variant.options),
            out / variant.folder / f'seed_{seed}',
        )
        for seed in seeds  # all variants of a seed come first, so that they can be compared early
        for variant in variants
    }

    def run(key: tuple[Variant, int]) -> dict[str, Any]:
        variant, seed = key
        figures = trainings[key].run(train_tool, metrics)
        shown = ', '.join(f'{name} {show(figures[name])}' for name in metrics)
        say(f'{variant.name}, seed {seed}: {shown}')
        return figures

    with ThreadPoolExecutor(jobs) as pool:
        figures = dict(zip(trainings, pool.map(run, trainings), strict=True))
    rows = []
    for variant in variants:
        # The config as it was trained, after the runner and the options changed it.
        dumped = trainings[variant, seeds[0]].folder / variant.config.name
        parts, shape = complexity_of_config(Config.fromfile(dumped))
        count = parts['']
        rows.append(
            dict(
                name=variant.name,
                parameters=count.parameters,
                macs=count.macs,
                shape=shape,
                runs={seed: figures[variant, seed] for seed in seeds},
            )
        )
    write_json(out / 'results.json', dict(options=list(options), metrics=list(metrics), rows=rows))
    return rows


def trainings_table(rows: Sequence[dict[str, Any]], metrics: Sequence[str]) -> Table:
    """Make a table with mean, minimum and maximum of each metric over the seeds, per variant."""
    table = Table()
    table.add_column('config', no_wrap=True)
    by_epoch = rows[0]['runs'] and all(r['epochs'] for row in rows for r in row['runs'].values())
    for name in ('parameters', 'MMACs', *metrics, 's/epoch' if by_epoch else 's/step'):
        table.add_column(name, justify='right', no_wrap=True)
    for row in rows:
        runs = list(row['runs'].values())
        cells = [f'{row["parameters"]:,}', f'{row["macs"] / 1e6:.1f}']
        for metric in metrics:
            values = [run[metric] for run in runs]
            mean = statistics.mean(values)
            cells.append(f'{show(mean)} ({show(min(values))} to {show(max(values))})')
        seconds = [r['seconds'] * (r['steps'] / r['epochs'] if by_epoch else 1) for r in runs]
        table.add_row(row['name'], *cells, show(statistics.median(seconds)))
    return table
