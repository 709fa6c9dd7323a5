import pytest

from projects.reproduction.cli import compare
from projects.reproduction.ours import Ours
from projects.reproduction.paper import read_paper


@pytest.fixture(scope='session')
def paper():
    return read_paper()


@pytest.fixture(scope='session')
def ours(openmmlab):
    """Nothing measured; networks are counted once."""
    return Ours()


@pytest.fixture(scope='session')
def tables(paper, ours):
    """The entries of each table."""
    return compare(list(paper.values()), ours)


@pytest.fixture(scope='session')
def entries(tables):
    """By table, row, column and part."""
    return {entry.figure[:]: entry for own in tables.values() for entry in own}
