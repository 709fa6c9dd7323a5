import pytest

from projects.reproduction.cli import compare
from projects.reproduction.paper import read_paper


@pytest.fixture(scope='session')
def paper():
    """The paper's tables; the networks are counted once per session."""
    return read_paper()


@pytest.fixture(scope='session')
def tables(paper, openmmlab):
    """The entries of each table, with nothing measured."""
    return compare(list(paper.values()))


@pytest.fixture(scope='session')
def entries(tables):
    """Return the entries by table, row, column and part."""
    return {entry.figure[:]: entry for own in tables.values() for entry in own}
