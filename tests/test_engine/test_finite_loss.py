"""Losses and weights that are NaN end a training, and never reach a checkpoint."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.model import BaseModel
from torch import nn

from dualattn_mm.engine.hooks.finite_loss import FiniteLossHook
from dualattn_mm.utils.errors import RunError, UserError

NAN, INF = float('nan'), float('inf')


class Scripted(BaseModel):
    """A line, to whose loss a number is added in each step, which leaves the gradients alone.

    Args:
        added: the numbers; after them 0.
        poisoned: the step, from 0, whose loss and gradients are NaN.
    """

    def __init__(self, *added, poisoned=None):
        super().__init__()
        self.linear = nn.Linear(1, 1)
        self.added, self.poisoned, self.step = added, poisoned, 0

    def forward(self, data, mode):
        loss = (self.linear(data[:, :1]) - data[:, 1:]).square().mean()
        loss = loss + (self.added[self.step] if self.step < len(self.added) else 0)
        factor = NAN if self.step == self.poisoned else 1
        self.step += 1
        return dict(loss_line=factor * loss, acc=torch.tensor(NAN))


def hooks(**arguments):
    return [dict(type='PlainCheckpointHook'), dict(type='FiniteLossHook', **arguments)]


SAFE = dict(type='SafeCheckpointHook')


def test_training_stops_after_bad_steps_in_a_row(make_runner, tmp_path):
    """The weights stay good, as a GradScaler keeps them."""
    model = Scripted(NAN, NAN, 0, NAN, INF, NAN)
    runner = make_runner(hooks(patience=3), 8, model=model, checkpoint=SAFE)
    with pytest.raises(RunError) as caught:
        runner.train()
    text = str(caught.value)
    assert text.startswith('step 6: loss_line is nan, and the last 3 steps had a NaN or infinite')
    assert text.endswith(f'the last good checkpoint is {tmp_path}/run/iter_4.pth')
    assert '\n' not in text


class Scaled(Scripted):
    """Skips every step, as in mixed precision at first: its scaled gradients overflow."""

    def train_step(self, data, optim_wrapper):
        scaler = torch.amp.GradScaler('cpu', init_scale=2.0**127)
        optim_wrapper.zero_grad()
        loss = 1e6 * self(**data, mode='loss')['loss_line']
        scaler.scale(loss).backward()
        assert not self.linear.weight.grad.isfinite().any()
        scaler.step(optim_wrapper.optimizer)
        scaler.update()
        return dict(loss=loss.detach())


@pytest.mark.skipif(not hasattr(torch.amp, 'GradScaler'), reason='needs a GradScaler for the CPU')
def test_steps_that_a_grad_scaler_skips_are_not_bad(make_runner, tmp_path):
    runner = make_runner(hooks(patience=1), 4, model=Scaled(), checkpoint=SAFE)
    before = runner.model.linear.weight.clone()
    runner.train()
    assert torch.equal(runner.model.linear.weight, before)
    assert (tmp_path / 'run' / 'iter_4.pth').is_file()


@pytest.mark.parametrize('interval', [1, 2])
def test_weights_that_are_nan_are_not_written(make_runner, tmp_path, interval):
    checkpoint = dict(SAFE, interval=interval, max_keep_ckpts=1)
    runner = make_runner(hooks(), 8, model=Scripted(poisoned=2), checkpoint=checkpoint)
    with pytest.raises(RunError, match=r'the weights linear\.weight are NaN, so no checkpoint is'):
        runner.train()
    (path,) = (tmp_path / 'run').glob('*.pth')
    assert path.name == 'iter_2.pth'
    assert (tmp_path / 'run' / 'last_checkpoint').read_text() == str(path)
    state = torch.load(path, weights_only=True)['state_dict']
    assert all(value.isfinite().all() for value in state.values())


def test_averaged_weights_that_are_nan_are_not_written(make_runner, tmp_path):
    average = dict(ema_state_dict=dict(weight=torch.tensor([1.0, NAN])))
    runner = SimpleNamespace(iter=4, work_dir=str(tmp_path))
    with pytest.raises(RunError, match=r'step 5: the weights weight are NaN.*no checkpoint was wr'):
        FiniteLossHook().before_save_checkpoint(runner, dict(state_dict={}, **average))
    # A mask, and what is no number.
    fine = dict(mask=torch.tensor([0.0, -INF]), count=torch.tensor(3), extra=None)
    FiniteLossHook().before_save_checkpoint(runner, dict(state_dict=fine))


@pytest.mark.parametrize(
    'outputs',
    [
        [dict(loss=torch.tensor(NAN)), dict(loss=torch.tensor(1.0))],  # none two in a row
        [dict(loss=torch.tensor(1.0), acc=torch.tensor(NAN))],  # an accuracy of nothing
        [dict(loss=2.0), None],
    ],
)
def test_training_continues_after_a_finite_step(tmp_path, outputs):
    hook = FiniteLossHook(patience=2)
    runner = SimpleNamespace(iter=0, work_dir=str(tmp_path))
    for output in 4 * outputs:
        hook.after_train_iter(runner, 0, outputs=output)


def test_patience_is_a_natural_number():
    with pytest.raises(UserError, match='patience=0'):
        FiniteLossHook(patience=0)
