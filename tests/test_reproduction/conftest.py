from pathlib import Path

import pytest

from dualattn_mm.reproduction.cli import make_reports
from dualattn_mm.reproduction.results import Results
from dualattn_mm.reproduction.tables import read_tables
from dualattn_mm.utils.configs_dir import configs_dir


@pytest.fixture(scope='session')
def root():
    return Path(__file__).parents[2]


@pytest.fixture(scope='session')
def tables():
    return read_tables(configs_dir() / 'reproduction.yml')


@pytest.fixture(scope='session')
def reports(openmmlab, root, tables):
    """The whole report, with nothing measured."""
    return make_reports(tables, root, Results(None))


@pytest.fixture(scope='session')
def entries(reports):
    """By table, row and figure."""
    return {(r.table, e.row, e.metric): e for r in reports for e in r.entries}
