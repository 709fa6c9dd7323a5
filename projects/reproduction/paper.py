"""Read the tables of the paper (published.yml), and the config of each row (rows.yml)."""

import importlib.util
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from mmengine.config import Config

from dualattn_mm.apis.complexity import Complexity, complexity_of_config
from dualattn_mm.engine.configs import read_config
from dualattn_mm.utils.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
DASH = 'null'
TRUTH = 'Ground truth (implied)'


class Figure(NamedTuple):
    """The location of a printed figure; `part` distinguishes several figures in a cell."""

    table: str
    row: str
    column: str
    part: str = ''

    @property
    def quantity(self) -> str:
        """The quantity of the figure, such as FID; columns can also be datasets."""
        return self.part or self.column


@dataclass(frozen=True)
class Network:
    """A config with options, and the folder of its training."""

    config: str
    options: Mapping[str, Any]
    work_dir: str

    @cached_property
    def cfg(self) -> Config:
        """Read the config; raise UserError if a library that it needs is not installed."""
        for name in re.findall('mmpretrain|mmdet3d|mmdet', f'{self.config} {self.options}'):
            if importlib.util.find_spec(name) is None:
                raise UserError(f'{self.config} needs {name}: see the README, or use --table')
        cfg = read_config(str(ROOT / self.config), self.options)
        if cfg.model.type == 'Colorizer':
            cfg.default_scope = None  # the network does not need mmagic
        return cfg

    @cached_property
    def counts(self) -> tuple[Mapping[str, Complexity], tuple[int, int]]:
        """Return parameters and MACs by module name ('' for all), and (H, W) of the image."""
        return complexity_of_config(self.cfg)


@dataclass(frozen=True)
class Row:
    """A network and the measurement of its figures; rows.yml describes the fields."""

    network: Network
    data: Mapping[str, Any] = field(default_factory=dict)
    first: Sequence[str] = ()
    losses: float = 0.0
    seconds: float = 0.0
    tests: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    results: Mapping[str, str] = field(default_factory=dict)
    factor: float = 1.0
    kind: str = ''
    direct: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    excluded: Mapping[str, int] = field(default_factory=dict)

    def test_of(self, figure: Figure) -> str:
        """Return the config with which tools/test.py measures a figure."""
        test = self.tests.get(figure.column, self.tests.get('', {}))
        return test.get('config', self.network.config)


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper.

    Attributes:
        name: number of the table.
        title: title of the table.
        columns: names of the columns.
        rows: cells of each row, as a string or a list of strings; DASH for a dash.
        each: names of the parts, if cells have several.
        ours: networks of this project, by row name (or column name in Tables VI and VIII).
        within: allowed difference in percent, by quantity.
    """

    name: str
    title: str
    columns: Sequence[str]
    rows: Mapping[str, Sequence[Any]]
    each: Sequence[str]
    ours: Mapping[str, Row]
    within: Mapping[str, float]

    def figures(self) -> Iterator[tuple[Figure, str, Row | None]]:
        """Yield all printed figures with their network; None for other methods."""
        for row, cells in self.rows.items():
            for column, cell in zip(self.columns, cells, strict=True):
                parts = [('', cell)] if isinstance(cell, str) else zip(self.each, cell, strict=True)
                network = self.ours.get(row) or self.ours.get(column)
                for part, value in parts:
                    if value != DASH:
                        yield Figure(self.name, row, column, part), value, network


def read_paper() -> dict[str, PaperTable]:
    """Return all tables by number."""
    folder = Path(__file__).parent
    printed = yaml.load((folder / 'published.yml').read_text('utf-8'), yaml.BaseLoader)
    mapped = yaml.safe_load((folder / 'rows.yml').read_text('utf-8'))
    truth = colorfulness_of_truth(printed['I'])
    printed['I']['rows'][TRUTH] = [[DASH, f'{cf:.2f}', DASH, DASH] for cf in truth.values()]
    networks: dict[str, Network] = {}
    tables = {}
    for name, content in printed.items():
        shared = dict(mapped['tables'].get(name, {}))
        within = {**mapped['within'], **shared.pop('within', {})}
        rows = shared.pop('rows', {})
        if option := shared.pop('named_by', None):
            rows = {r: rows.get(r, {'options': {option: _named(r)}}) for r in content['rows']}
        ours = {
            title: _row(name, title, {**shared, **own}, shared, networks)
            for title, own in rows.items()
        }
        tables[name] = PaperTable(name, **{'each': (), **content}, ours=ours, within=within)
    return tables


def colorfulness_of_truth(printed: Mapping[str, Any]) -> dict[str, float]:
    """Compute the CF of the photos of each dataset from the rows of Table I.

    Delta-CF is |CF - CF of the photos|. Each row allows two values, and all rows share one of them.
    """
    truth = {}
    for i, column in enumerate(printed['columns']):
        cells = [row[i] for row in printed['rows'].values() if row[i] != DASH]
        pairs = [(float(cell[1]), float(cell[2])) for cell in cells]
        left = [{round(cf - delta, 2), round(cf + delta, 2)} for cf, delta in pairs]
        (truth[column],) = set.intersection(*left)
    return truth


def _named(row: str) -> int | list[str]:
    """Parse the name of a row: 50 for K = 50, [fca, da] for FCA-DA."""
    return int(row[4:]) if row.startswith('K = ') else row.lower().split('-')


def _row(table: str, title: str, values: dict, shared: Mapping, networks: dict) -> Row:
    config = values.pop('config')
    options = {**shared.get('options', {}), **values.pop('options', {})}
    options = {f'model.generator.{name}': value for name, value in options.items()}
    folder = re.sub('[^0-9A-Za-z]+', '_', f'{table} {title}') if options else Path(config).stem
    network = Network(config, options, f'work_dirs/{folder.strip("_")}')
    known = f'{config} {sorted(options.items(), key=str)}'
    return Row(networks.setdefault(known, network), **values)  # one network for all its rows
