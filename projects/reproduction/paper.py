"""The paper's tables as printed (published.yml), and which config is which row (rows.yml)."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

DASH = 'null'
TRUTH = 'Ground truth (implied)'


class Figure(NamedTuple):
    """The place of a printed figure; `part` tells those of a cell with several apart."""

    table: str
    row: str
    column: str
    part: str = ''

    @property
    def quantity(self) -> str:
        """What the figure is of, such as FID; columns can also be data sets."""
        return self.part or self.column


@dataclass(frozen=True)
class Row:
    """A network, and how its figures are had: rows.yml describes the fields."""

    config: str
    options: Mapping[str, Any]
    work_dir: str
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
        """The config that tools/test.py measures a figure with."""
        return self.tests.get(figure.column, self.tests.get('', {})).get('config', self.config)


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper.

    Attributes:
        name: its number.
        title: what it is about.
        columns: their names.
        rows: the cells of each row, as text or as a list of texts; DASH for a dash.
        each: what the parts of a cell are, where cells have several.
        ours: the rows that are a network of this project.
        networks: the columns that are one, in a table whose rows are what is read from them.
        within: by how many percent ours may be off, by quantity.
    """

    name: str
    title: str
    columns: Sequence[str]
    rows: Mapping[str, Sequence[Any]]
    each: Sequence[str]
    ours: Mapping[str, Row]
    networks: Mapping[str, Row]
    within: Mapping[str, float]

    def figures(self) -> Iterator[tuple[Figure, str, Row | None]]:
        """All printed figures, and the network that each is of; None for another method's."""
        for row, cells in self.rows.items():
            for column, cell in zip(self.columns, cells, strict=True):
                parts = [('', cell)] if isinstance(cell, str) else zip(self.each, cell, strict=True)
                for part, value in parts:
                    if value != DASH:
                        network = self.networks.get(column) or self.ours.get(row)
                        yield Figure(self.name, row, column, part), value, network


def read_paper() -> dict[str, PaperTable]:
    """All tables, by their numbers."""
    folder = Path(__file__).parent
    printed = yaml.load((folder / 'published.yml').read_text('utf-8'), yaml.BaseLoader)
    mapped = yaml.safe_load((folder / 'rows.yml').read_text('utf-8'))
    truth = colorfulness_of_truth(printed['I'])
    printed['I']['rows'][TRUTH] = [[DASH, f'{cf:.2f}', DASH, DASH] for cf in truth.values()]
    work_dirs: dict[str, str] = {}
    return {
        name: _table(name, content, mapped['tables'].get(name, {}), mapped['within'], work_dirs)
        for name, content in printed.items()
    }


def colorfulness_of_truth(printed: Mapping[str, Any]) -> dict[str, float]:
    """The CF of each data set's photos, which the rows of Table I imply.

    Delta-CF is |CF - CF of the photos|: each row leaves two values, of which all rows share one.
    """
    truth = {}
    for i, column in enumerate(printed['columns']):
        cells = [row[i] for row in printed['rows'].values() if row[i] != DASH]
        pairs = [(float(cell[1]), float(cell[2])) for cell in cells]
        left = [{round(cf - delta, 2), round(cf + delta, 2)} for cf, delta in pairs]
        (truth[column],) = set.intersection(*left)
    return truth


def _table(
    name: str, printed: Mapping, mapped: Mapping, within: Mapping, work_dirs: dict[str, str]
) -> PaperTable:
    shared = {key: mapped[key] for key in mapped if key not in ('rows', 'columns', 'within')}

    def row(title: str, own: Mapping) -> Row:
        values = {**shared, **own}
        options = {**shared.get('options', {}), **own.get('options', {})}
        folder = f'{name} {title}' if options else Path(values['config']).stem
        folder = re.sub(r'[^0-9A-Za-z]+', '_', folder).strip('_')
        network = f'{values["config"]} {sorted(options.items(), key=str)}'
        folder = work_dirs.setdefault(network, f'work_dirs/{folder}')  # one for each network
        return Row(**{**values, 'options': options, 'work_dir': folder})

    return PaperTable(
        name=name,
        **{'each': (), **printed},
        ours={key: row(key, own) for key, own in mapped.get('rows', {}).items()},
        networks={key: row(key, dict(config=c)) for key, c in mapped.get('columns', {}).items()},
        within={**within, **mapped.get('within', {})},
    )
