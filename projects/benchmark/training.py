"""Several configs trained with several seeds, each in a process, and their metrics in one table."""

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


@dataclass(frozen=True)
class Variant:
    """What is trained: a config, with values of it replaced.

    Attributes:
        name: in the table; its letters and digits name the folder.
        config: the config file.
        options: replace values of the config, KEY=VALUE.
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
        seed: replaces the config's randomness.seed.
        options: replace further values of the config, KEY=VALUE.
        folder: gets the log, the checkpoints and what came out.
    """

    config: Path
    seed: int
    options: tuple[str, ...]
    folder: Path

    def run(self, train_tool: Path, metrics: Sequence[str]) -> dict[str, Any]:
        """Train, unless that has been done; a training that was interrupted is resumed.

        Returns:
            The last value of each metric, `steps`, `epochs` (None if it counts none) and `seconds`:
            the median time of a step, as logged.

        Raises:
            UserError: if training fails, gives no such metric, or was done with other options or
                with what the config was before.
        """
        done = self.folder / _DONE
        config = json.loads(json.dumps(Config.fromfile(self.config).to_dict(), default=str))
        if done.is_file():
            content = json.loads(done.read_text())
            if content['options'] != list(self.options):
                raise UserError(
                    f'{self.folder} holds a training with other options '
                    f'({" ".join(content["options"]) or "none"}): name another folder'
                )
            if content.get('config') != config:
                raise UserError(
                    f'{self.folder} holds a training from before {self.config} was changed: name '
                    'another folder'
                )
            return self._figures(metrics)
        resume = ['--resume'] if self.folder.is_dir() else []
        self.folder.mkdir(parents=True, exist_ok=True)
        options = [f'randomness.seed={self.seed}', *self.options]
        command = [sys.executable, str(train_tool), str(self.config), '--work-dir']
        command += [str(self.folder), *resume, '--cfg-options', *options]
        log = self.folder / 'output.log'
        with log.open('wb') as file:
            status = subprocess.run(
                command, stdout=file, stderr=subprocess.STDOUT, check=False
            ).returncode
        if status:
            last = log.read_text(errors='replace').strip().splitlines()[-1:]
            raise UserError(f'{self.config} failed, see {log}: {"".join(last)}')
        figures = self._figures(metrics)
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
                raise UserError(f'{self.config} logged no {metric!r}, but {", ".join(known)}')
            figures[metric] = values[-1]
        return figures | dict(
            steps=steps[-1]['iter'],
            epochs=steps[-1].get('epoch'),
            seconds=statistics.median(line['time'] for line in steps),
        )


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
        variants: configs, perhaps with options.
        seeds: for each variant.
        metrics: names, as the log has them.
        out: folder for the trainings, out/VARIANT/seed_N, and results.json.
        options: replace values in all of them, KEY=VALUE.
        jobs: how many at a time, each with its share of the CPU's threads.
        train_tool: tools/train.py.
        say: is told, in a line, what has ended.

    Returns:
        A row per variant: its name, parameters, MACs (of its test images), and the runs' figures.

    Raises:
        UserError: if there is no such config, two have the same name, or a training fails.
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
        for seed in seeds  # before the next seed all variants, so that a few are comparable early
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
        # As it was trained: what the runner and the options made of it.
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
    """A row per variant; of each metric the mean over the seeds, the least and the largest."""
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
