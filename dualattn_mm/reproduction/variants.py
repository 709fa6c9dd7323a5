"""Rows of the paper's tables as variants of another config, such as one for a small machine."""

from collections.abc import Sequence
from pathlib import Path

from projects.benchmark.training import Variant

from .commands import cfg_options
from .tables import PaperTable


def variants_of(config: Path, tables: Sequence[PaperTable]) -> list[Variant]:
    """The config with the options of each row, as Table III's and IV's rows differ by them alone.

    Rows that have the same options are one variant, which has all their names.

    Args:
        config: the config file; it takes the place of the rows' own.
        tables: of configs/reproduction.yml.
    """
    names: dict[tuple[str, ...], list[str]] = {}
    for table in tables:
        for row in table.rows:
            names.setdefault(tuple(cfg_options(row.options)), []).append(row.name)
    return [Variant(', '.join(rows), config, options) for options, rows in names.items()]
