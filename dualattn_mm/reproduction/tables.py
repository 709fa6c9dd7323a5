"""configs/reproduction.yml: the paper's tables, each row as a config with options."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..utils.errors import UserError

# A metric is obtained in one of these ways.
SOURCES = ('count', 'setting', 'result', 'benchmark')
# What is needed to build a config's model, by the folder that the config lies in. A colorizer needs
# nothing of mmagic's.
_NEEDED = dict(
    mmagic=(),
    mmpretrain=('mmpretrain', 'mmcv'),
    mmdet=('mmdet', 'mmcv'),
    mmdet3d=('mmdet3d', 'mmdet', 'mmcv'),
)


@dataclass(frozen=True)
class Metric:
    """How a figure is obtained.

    Attributes:
        source: one of `SOURCES`.
        of: what is counted, the setting's dotted name, the results' names, or the network.
        times: factor on a result.
    """

    source: str
    of: str | tuple[str, ...]
    times: float = 1


@dataclass(frozen=True)
class Published:
    """A figure of the paper, and when ours counts as its reproduction.

    Attributes:
        figure: as printed.
        within: by how many percent ours may be off.
        at_least: ours may not be below it.
        not_reproducible: why no consistent network can have it.
        not_run: why it cannot be measured here.
        note: what to know.
    """

    figure: float | str
    within: float | None = None
    at_least: bool = False
    not_reproducible: str | None = None
    not_run: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class Evaluation:
    """How a row is measured.

    Attributes:
        config: what tools/test.py is called with.
        options: those that it needs beside the row's.
        images: how many it must see; None takes any number.
    """

    config: str
    options: Mapping[str, Any]
    images: int | None


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        name: of the row.
        config: path of the config below the repository; None for figures that are only shown.
        options: values that replace the config's, by dotted names.
        needs: packages without which its model cannot be built.
        first: files that its training reads, and the command that makes each.
        test: how it is measured.
        metrics: what is told of it, by name.
        published: figures of the paper, by metric.
        note: what to know.
    """

    name: str
    config: str | None
    options: Mapping[str, Any]
    needs: tuple[str, ...]
    first: tuple[tuple[str, str], ...]
    test: Evaluation | None
    metrics: Mapping[str, Metric | None]
    published: Mapping[str, Published]
    note: str | None


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper: its number, what it is about, and its rows."""

    name: str
    title: str
    rows: tuple[Row, ...]


def read_tables(path: Path) -> list[PaperTable]:
    """Read the file of all tables.

    Raises:
        UserError: if it cannot be read, or says something that is not understood.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
    except OSError as error:
        raise UserError(f'cannot read {path}: {error.strerror}') from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f'{path} is no YAML: {" ".join(str(error).split())}') from None
    where = path.name
    content = _mapping(content, where, {'metrics', 'tables'}, needed={'metrics', 'tables'})
    metrics = {}
    for name, how in _mapping(content['metrics'], f'{where}: metrics').items():
        metrics[name] = _metric(how, f'{where}: metric {name!r}')
    tables = [
        _table(table, metrics, f'{where}: table {i}')
        for i, table in enumerate(_list(content['tables'], f'{where}: tables'), 1)
    ]
    _require_different([table.name for table in tables], f'{where}: tables')
    return tables


def choose_tables(tables: Sequence[PaperTable], names: Sequence[str] | None) -> list[PaperTable]:
    """Those of some names, in their order, each once; None chooses all.

    Raises:
        UserError: if there is none of a name.
    """
    if names is None:
        return list(tables)
    known = {table.name.lower(): table for table in tables}
    for name in names:
        if name.lower() not in known:
            there = ', '.join(table.name for table in tables)
            raise UserError(f'there is no table {name}: {there}')
    return [known[name] for name in dict.fromkeys(map(str.lower, names))]


def _table(content: Any, metrics: Mapping[str, Metric], where: str) -> PaperTable:
    shared = {'config', 'test', 'metrics'}
    content = _mapping(content, where, {'table', 'title', 'rows', *shared}, {'table', 'title'})
    name = str(content['table'])
    where = f'{where.rpartition(" ")[0]} {name}'
    rows = [
        _row(row, content, metrics, f'{where}, row {i}')
        for i, row in enumerate(_list(content.get('rows'), f'{where}: rows'), 1)
    ]
    _require_different([row.name for row in rows], f'{where}: rows')
    return PaperTable(name, str(content['title']), tuple(rows))


def _row(content: Any, table: Mapping, metrics: Mapping[str, Metric], where: str) -> Row:
    keys = {'row', 'config', 'options', 'needs', 'first', 'test', 'metrics', 'published', 'note'}
    content = _mapping(content, where, keys, {'row'})
    where = f'{where} ({content["row"]})'

    def value(key: str, default: Any = None) -> Any:
        return content.get(key, table.get(key, default))

    config = value('config')
    names = _list(value('metrics'), f'{where}: metrics')
    published = {}
    for metric, figure in _mapping(content.get('published', {}), f'{where}: published').items():
        published[metric] = _published(figure, f'{where}: published {metric}')
        if metric not in names:
            raise UserError(f'{where}: published {metric} is not among its metrics')
    found = {name: _named(name, metrics, f'{where}: metrics') if config else None for name in names}
    needs = list(content.get('needs', []))
    if config:
        library = Path(config).parent.name
        if library not in _NEEDED:
            raise UserError(f'{where}: config {config} is in none of {sorted(_NEEDED)}')
        needs += _NEEDED[library]
    return Row(
        name=str(content['row']),
        config=config,
        options=_mapping(content.get('options', {}), f'{where}: options'),
        needs=tuple(dict.fromkeys(needs)),
        first=tuple(_first(file, f'{where}: first') for file in content.get('first', [])),
        test=_test(value('test', {}), config, where) if config else None,
        metrics=found,
        published=published,
        note=content.get('note'),
    )


def _first(content: Any, where: str) -> tuple[str, str]:
    keys = {'file', 'command'}
    content = _mapping(content, where, keys, keys)
    return content['file'], content['command']


def _test(content: Any, config: str, where: str) -> Evaluation:
    content = _mapping(content, f'{where}: test', {'config', 'options', 'images'})
    options = _mapping(content.get('options', {}), f'{where}: options of the test')
    return Evaluation(content.get('config', config), options, content.get('images'))


def _metric(content: Any, where: str) -> Metric:
    content = _mapping(content, where, {*SOURCES, 'times'})
    sources = [key for key in content if key in SOURCES]
    if len(sources) != 1:
        raise UserError(f'{where} needs one of {", ".join(SOURCES)}')
    of = content[sources[0]]
    return Metric(sources[0], tuple(of) if isinstance(of, list) else of, content.get('times', 1))


def _named(name: str, metrics: Mapping[str, Metric], where: str) -> Metric:
    """The metric of a name; 'AP: car' may be that of 'AP: *'."""
    if name in metrics:
        return metrics[name]
    for pattern, metric in metrics.items():
        start, star, _ = pattern.partition('*')
        if star and name.startswith(start):
            of = (metric.of,) if isinstance(metric.of, str) else metric.of
            own = name.removeprefix(start)
            return Metric(metric.source, tuple(x.replace('*', own) for x in of), metric.times)
    raise UserError(f'{where}: {name!r} is no metric')


def _published(content: Any, where: str) -> Published:
    keys = set(Published.__dataclass_fields__)
    content = _mapping(content, where, keys, {'figure'})
    verdicts = [key for key in content if key not in ('figure', 'note')]
    if len(verdicts) != 1:
        raise UserError(f'{where} needs one of within, at_least, not_reproducible, not_run')
    return Published(**content)


def _mapping(
    content: Any, where: str, known: Collection[str] = (), needed: Collection[str] = ()
) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise UserError(f'{where} must be a mapping, not {content!r}')
    unknown = [str(key) for key in content if known and key not in known]
    if unknown:
        raise UserError(f'{where}: unknown {unknown[0]!r}; known are {", ".join(sorted(known))}')
    missing = sorted(key for key in needed if key not in content)
    if missing:
        raise UserError(f'{where} has no {missing[0]!r}')
    return content


def _list(content: Any, where: str) -> list:
    if not isinstance(content, list) or not content:
        raise UserError(f'{where} must be a list that is not empty, not {content!r}')
    return content


def _require_different(names: list[str], where: str) -> None:
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UserError(f'{where}: {twice[0]!r} is there twice')
