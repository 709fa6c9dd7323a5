"""Training by the clock: one that a test moves by hand."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook

from dualattn_mm.engine.hooks import time_budget
from dualattn_mm.utils.errors import RunError

PLAIN = dict(type='PlainCheckpointHook')
WARM_UP = dict(type='LinearLR', start_factor=0.25, begin=0, end=3, by_epoch=False)


class Clock(Hook):
    """Moves on by a second in each step, and remembers the learning rates."""

    priority = 'VERY_HIGH'

    def __init__(self, stop_at=None, long=None):
        self.now = 1000.0
        self.rates = []
        self.stop_at = stop_at
        self.long = long  # the step that takes 6 s

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.stop_at:
            raise KeyboardInterrupt
        self.rates.append(runner.optim_wrapper.param_groups[0]['lr'])

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.now += 6 if runner.iter == self.long else 1


@pytest.fixture
def train(make_runner, monkeypatch):
    def train_(clock, name='run', until=None, **kwargs):
        clocks = SimpleNamespace(monotonic=lambda: clock.now, time=lambda: 7e8 + clock.now)
        monkeypatch.setattr(time_budget, 'time', clocks)
        budget = dict(seconds=10, decay=0.5, end_factor=0.1, until=until)
        runner = make_runner(
            [PLAIN, clock, dict(type='TimeBudgetHook', **budget)],
            name=name,
            max_iters=1000,
            checkpoint=dict(interval=4),
            param_scheduler=[WARM_UP],
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
            **kwargs,
        )
        runner.train()
        return runner

    return train_


def expected_rates():
    """Warm-up by steps; from 5 s on a line from 1 to 0.1 at 10 s."""
    warm_up = [0.25, 0.625, 1.0]
    return [
        0.01
        * (warm_up[step] if step < 3 else 1)
        * (1 if step <= 5 else 0.1 + 0.9 * (10 - step) / 5)
        for step in range(10)
    ]


def test_learning_rates_fall_with_the_time_and_training_ends_with_it(train, tmp_path):
    clock = Clock()
    runner = train(clock)
    assert runner.iter == 10
    assert clock.rates == pytest.approx(expected_rates())
    assert runner.optim_wrapper.param_groups[0]['lr'] == pytest.approx(0.001)
    assert (tmp_path / 'run' / 'iter_10.pth').is_file()  # though 10 is no multiple of 4


@pytest.mark.parametrize('long', [0, 1])
def test_one_long_step_does_not_end_training(train, long):
    """The first one compiles, and a later one follows a validation."""
    assert train(Clock(long=long)).iter == 5


@pytest.mark.parametrize(('until', 'steps'), [(7e8 + 1006, 6), (7e8 + 1100, 10), (7e8, 2)])
def test_training_ends_at_a_given_time_at_the_latest(train, until, steps):
    runner = train(Clock(), until=until)
    assert runner.iter == steps
    assert runner.optim_wrapper.param_groups[0]['lr'] <= 0.0011


def test_trainings_by_epochs_are_rejected(make_runner):
    by_epochs = dict(by_epoch=True, max_epochs=1)
    runner = make_runner([dict(type='TimeBudgetHook', seconds=9)], train_cfg=by_epochs)
    with pytest.raises(RunError, match='needs a training by steps'):
        runner.train()


def test_a_resumed_training_has_the_time_that_is_left(train, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(Clock(stop_at=9))
    resumed = Clock()
    resumed.now = 5.0  # of another machine
    train(resumed, resume=True)  # from step 8
    assert resumed.rates == pytest.approx(expected_rates()[8:])
    train(Clock(), name='whole')
    parts, whole = (
        torch.load(tmp_path / name / 'iter_10.pth', weights_only=True)['state_dict']
        for name in ('run', 'whole')
    )
    assert all(torch.allclose(parts[key], whole[key]) for key in whole)


def test_a_training_that_is_faster_ends_by_itself(make_runner):
    runner = make_runner([dict(type='TimeBudgetHook', seconds=1e6)])
    runner.train()
    assert runner.iter == 8
