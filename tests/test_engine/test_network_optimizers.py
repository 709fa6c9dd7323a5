"""Gradients gathered over several iterations, for each of two networks."""

import os

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner


@pytest.fixture
def train(config, tmp_path):
    """Trains the tiny colorizer and its critic, with a step for every two gradients of each."""

    def train_(name, max_iters, **kwargs):
        cfg = Config.fromfile(config)
        cfg.model.critic = dict(type='WassersteinCritic', channels=(4, 8))
        cfg.model.n_critic = 3
        cfg.train_cfg.max_iters = max_iters
        cfg.optim_wrapper = dict(
            constructor='NetworkOptimWrapperConstructor',
            generator=dict(optimizer=dict(type='Adam', lr=1e-2), accumulative_counts=2),
            critic=dict(optimizer=dict(type='RMSprop', lr=1e-3), accumulative_counts=2),
        )
        cfg.work_dir = str(tmp_path / name)
        cfg.experiment_name = f'{name}-{os.urandom(4).hex()}'
        cfg.merge_from_dict(kwargs)
        Runner.from_cfg(cfg).train()

    return train_


def load(path):
    return torch.load(path, weights_only=True)


def steps(path, network):
    states = load(path)['optimizer'][network]['state'].values()
    return {int(state['step']) for state in states}


def test_the_last_gradients_take_effect(train, tmp_path):
    train('run', 3)
    run = tmp_path / 'run'
    # One and three gradients an iteration, a step for two of them, and one for what is left.
    assert [steps(run / f'iter_{i}.pth', 'generator') for i in (2, 3)] == [{1}, {2}]
    assert [steps(run / f'iter_{i}.pth', 'critic') for i in (2, 3)] == [{3}, {5}]


def test_a_resumed_training_gathers_the_same(train, tmp_path):
    train('whole', 5)
    train('again', 5, resume=True, load_from=str(tmp_path / 'whole' / 'iter_4.pth'))
    whole, again = (load(tmp_path / name / 'iter_5.pth') for name in ('whole', 'again'))
    torch.testing.assert_close(again['state_dict'], whole['state_dict'], rtol=0, atol=0)
    assert steps(tmp_path / 'again' / 'iter_5.pth', 'generator') == {3}
