"""More blocks for published weights."""

import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from tiny import GENERATOR

from dualattn_mm.apis import load_generator, save_generator
from projects.gpu_training.deepen import main


def with_depths(*depths):
    cfg = copy.deepcopy(GENERATOR)
    cfg['encoder']['arch']['depths'] = depths
    return cfg


def deepen(tmp_path, cfg):
    Config(dict(model=dict(generator=cfg))).dump(tmp_path / 'deeper.py')
    words = [tmp_path / 'weights.safetensors', tmp_path / 'deeper.py', '-o', tmp_path / 'out.st']
    return main(list(map(str, words)))


@pytest.fixture
def network(tmp_path, perturb):
    network = MODELS.build(with_depths(1, 2)).eval()
    perturb(network)
    network.half().float()  # as it is stored
    save_generator(tmp_path / 'weights.safetensors', network, with_depths(1, 2))
    return network


def test_colors_stay_and_every_new_block_learns(network, tmp_path):
    assert deepen(tmp_path, with_depths(3, 5)) == 0
    deeper = load_generator(tmp_path / 'out.st')
    depths = [len(stage.blocks) for stage in deeper.encoder.stages]
    assert depths == [3, 5]
    lightness = 100 * torch.rand(2, 1, 37, 50)
    with torch.no_grad():
        torch.testing.assert_close(deeper(lightness), network(lightness))

    optimizer = torch.optim.SGD(deeper.parameters(), lr=1e-3)
    for _ in range(2):  # in the first step, the zeros hide the layers before them
        optimizer.zero_grad()
        deeper(lightness).square().mean().backward()
        optimizer.step()
    assert all(p.grad.abs().sum() > 0 for p in deeper.encoder.stages.parameters())


def test_networks_that_differ_otherwise_are_rejected(network, tmp_path, capsys):
    wider = with_depths(3, 5)
    wider['num_queries'] = 9
    assert deepen(tmp_path, wider) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert 'weights.safetensors does not fit the network' in line
    assert 'queries' in line


def test_fewer_blocks_are_rejected(network, tmp_path, capsys):
    assert deepen(tmp_path, with_depths(1, 1)) == 2
    assert 'does not fit the network' in capsys.readouterr().err
