import json
import random
from hashlib import sha256

import pytest
from filelock import FileLock

from dualattn_mm.apis.complexity import Complexity
from projects.reproduction.cli import compare
from projects.reproduction.paper import Network, read_paper


@pytest.fixture(scope='session', autouse=True)
def _shared_counts(tmp_path_factory, worker_id):
    """Count each network once for all processes of pytest-xdist; a network takes 2 s."""
    folder = tmp_path_factory.getbasetemp()
    folder = (folder if worker_id == 'master' else folder.parent) / 'counts'
    folder.mkdir(exist_ok=True)
    count = Network.counts.func

    def shared(network):
        name = sha256(f'{network.config} {network.options}'.encode()).hexdigest()
        path = folder / f'{name}.json'
        with FileLock(f'{path}.lock'):
            if not path.exists():
                path.write_text(json.dumps(count(network)))
            counts, size = json.loads(path.read_text())
        return {name: Complexity(*values) for name, values in counts.items()}, tuple(size)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Network.counts, 'func', shared)
        yield


@pytest.fixture(scope='session')
def paper():
    """The paper's tables; the networks are counted once per session."""
    return read_paper()


@pytest.fixture(scope='session')
def tables(paper, openmmlab):
    """The entries of each table, with nothing measured."""
    networks = [row.network for table in paper.values() for row in table.ours.values()]
    # So processes seldom wait for each other. Tests seed the other generators.
    for network in random.SystemRandom().sample(networks, len(networks)):
        _ = network.counts
    return compare(list(paper.values()))


@pytest.fixture(scope='session')
def entries(tables):
    """Return the entries by table, row, column and part."""
    return {entry.figure[:]: entry for own in tables.values() for entry in own}
