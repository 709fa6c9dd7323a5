"""What is published, what ours is, and whether the one reproduces the other."""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..apis.complexity import Complexity, complexity_of_config
from ..engine.run import read_config
from ..utils.errors import UserError
from .commands import benchmark_command, train_and_test
from .results import Results
from .tables import Metric, PaperTable, Published, Row

REPRODUCED = 'reproduced'
NOT_REPRODUCED = 'not reproduced'  # ours is known, and off
NOT_REPRODUCIBLE = 'not reproducible'
NOT_RUN = 'not run'
NOT_COMPARED = 'not compared'  # no published figure is recorded
STATUSES = (REPRODUCED, NOT_REPRODUCED, NOT_REPRODUCIBLE, NOT_RUN, NOT_COMPARED)

COMPUTED, MEASURED = 'computed', 'measured'
_COMPUTED = ('count', 'setting')
_UNITS = dict(parameters=1e6, macs=1e9)  # of what is counted


@dataclass(frozen=True)
class Entry:
    """One figure of the report.

    Attributes:
        row: of the table.
        metric: its name.
        published: the paper's figure; None where none is recorded.
        value: ours; None where there is none.
        error: of ours relative to the published; None where that says nothing.
        kind: how ours is had, 'computed' or 'measured'.
        status: one of `STATUSES`.
        command: what would measure it.
        reason: why the status is what it is.
        source: the file that a measured figure is from.
        note: what else to know.
    """

    row: str
    metric: str
    published: float | str | None
    value: float | str | None
    error: float | None
    kind: str
    status: str
    command: str | None = None
    reason: str | None = None
    source: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class TableReport:
    """The figures of one table of the paper."""

    table: str
    title: str
    entries: tuple[Entry, ...]


class Reporter:
    """Makes the reports of tables.

    Args:
        root: the folder that the configs' paths are relative to.
        results: what was measured.
    """

    def __init__(self, root: Path, results: Results) -> None:
        self.root = root
        self.results = results
        self._counted: dict[str, Mapping[str, Complexity]] = {}

    def report(self, table: PaperTable) -> TableReport:
        """All figures of a table.

        Raises:
            UserError: if a config or its options cannot be used.
        """
        entries = [entry for row in table.rows for entry in self._of_row(row, table.name)]
        return TableReport(table.name, table.title, tuple(entries))

    def _of_row(self, row: Row, table: str) -> list[Entry]:
        absent = next((name for name in row.needs if importlib.util.find_spec(name) is None), None)
        where = f'table {table}, {row.name}'
        cfg = None if absent or row.config is None else self._config(row, where)
        entries = []
        for name, metric in row.metrics.items():
            published = row.published.get(name)
            notes = [note for note in (row.note, published and published.note) if note]
            about: dict[str, Any] = dict(note='; '.join(notes) or None)
            value = None
            if metric is None:
                about.update(status=NOT_RUN, reason=published.not_run)
            elif absent:
                about.update(status=NOT_RUN, reason=f'{absent} is not installed')
            elif metric.source in ('result', 'benchmark'):
                value, more = self._measured(row, metric, cfg, table)
                about.update(more)
            else:
                value = self._computed(metric, cfg, where)
            if value is not None:
                about.update(_verdict(published, value))
            entries.append(
                Entry(
                    row=row.name,
                    metric=name,
                    published=published.figure if published else None,
                    value=value,
                    error=_error(published, value),
                    kind=COMPUTED if metric and metric.source in _COMPUTED else MEASURED,
                    **about,
                )
            )
        return entries

    def _config(self, row: Row, where: str) -> Config:
        try:
            cfg = read_config(str(self.root / row.config), row.options)
        except UserError as error:
            raise UserError(f'{where}: {error}') from None
        if cfg.get('model', {}).get('type') == 'Colorizer':
            cfg.default_scope = None  # its network alone needs nothing of mmagic
        return cfg

    def _computed(self, metric: Metric, cfg: Config, where: str) -> float | str:
        if metric.source == 'setting':
            return _setting(cfg, metric.of, where)
        parts = self._parts(cfg, where)
        if metric.of in _UNITS:
            return getattr(parts[''], metric.of) / _UNITS[metric.of]
        children = [name for name in parts if name.rpartition('.')[0] == metric.of]
        if not children:
            raise UserError(f'{where}: the model has nothing in {metric.of}')
        return len(children)

    def _parts(self, cfg: Config, where: str) -> Mapping[str, Complexity]:
        """Counts of a model; one that several tables have is counted once."""
        network = cfg.model.get('generator', cfg.model)
        key = f'{network} {cfg.get("test_dataloader")}'
        if key not in self._counted:
            try:
                self._counted[key], _ = complexity_of_config(cfg)
            except UserError as error:
                raise UserError(f'{where}: {error}') from None
            except Exception as error:  # what an option can do to a model is anyone's guess
                what = f'{type(error).__name__}: {" ".join(str(error).split())}'
                raise UserError(f'{where}: its model cannot be counted: {what}') from error
        return self._counted[key]

    def _measured(
        self, row: Row, metric: Metric, cfg: Config, table: str
    ) -> tuple[float | None, dict[str, Any]]:
        if metric.source == 'benchmark':
            found, command = self.results.of_benchmark(metric.of), benchmark_command(metric.of)
        else:
            found = self.results.of_test(metric, row.test, row.options)
            command = train_and_test(row, cfg, table)
        if found.value is not None:
            return found.value, dict(source=found.source)
        return None, dict(status=NOT_RUN, command=command, reason=found.instead)


def _setting(cfg: Config, name: str, where: str) -> Any:
    value: Any = cfg
    for part in name.split('.'):
        try:
            value = value[int(part)] if part.isdigit() else value[part]
        except (KeyError, IndexError, TypeError):
            raise UserError(f'{where}: the config has no {name}') from None
    return value


def _error(published: Published | None, value: float | str | None) -> float | None:
    if published is None or not isinstance(value, int | float) or not published.figure:
        return None
    if isinstance(published.figure, str):
        return None
    return value / published.figure - 1


def _verdict(published: Published | None, value: float | str) -> dict[str, Any]:
    """Status and reason."""
    if published is None:
        return dict(status=NOT_COMPARED)
    if published.not_reproducible is not None:
        return dict(status=NOT_REPRODUCIBLE, reason=published.not_reproducible)
    if published.at_least:
        if value >= published.figure:
            return dict(status=REPRODUCED)
        return dict(status=NOT_REPRODUCED, reason='less than published')
    error = _error(published, value)
    close = value == published.figure if error is None else abs(error) <= published.within / 100
    if close:
        return dict(status=REPRODUCED)
    return dict(status=NOT_REPRODUCED, reason=f'more than {published.within}% off')
