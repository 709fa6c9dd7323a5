"""The hooks, in real training of a tiny model."""

import pickle
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
import torch
import torch.multiprocessing as mp
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.registry import MODEL_WRAPPERS
from mmengine.runner import load_checkpoint
from torch import distributed, nn

from dualattn_mm.engine.hooks import PlainCheckpointHook, TimeLimitHook
from dualattn_mm.utils.checkpoint_file import READS_TRAINING_LOGS

PLAIN = dict(type='PlainCheckpointHook')


def test_checkpoint_loads_with_weights_only(make_runner, tmp_path):
    make_runner([PLAIN]).train()
    checkpoint = torch.load(tmp_path / 'run' / 'iter_4.pth', weights_only=True)
    assert set(checkpoint) >= {'state_dict', 'optimizer', 'param_schedulers', 'message_hub'}
    # The optimizer's numbers survived, not only its structure.
    assert checkpoint['optimizer']['state'][0]['exp_avg'].abs().sum() > 0


def test_without_the_hook_weights_only_refuses(make_runner, tmp_path):
    make_runner([]).train()
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / 'run' / 'iter_4.pth', weights_only=True)


def test_resumed_training_has_the_complete_log_and_continues(make_runner, tmp_path):
    uninterrupted = make_runner([PLAIN])
    uninterrupted.train()
    resumed = make_runner(
        [PLAIN], name='again', load_from=str(tmp_path / 'run' / 'iter_4.pth'), resume=True
    )
    model = resumed.train()
    logs = [r.message_hub.get_scalar('train/loss').data for r in (resumed, uninterrupted)]
    for numbers, expected in zip(*logs, strict=True):
        assert len(numbers) == 8
        assert numbers == pytest.approx(expected)
    assert resumed.iter == 8
    whole = torch.load(tmp_path / 'run' / 'iter_8.pth', weights_only=True)['state_dict']
    torch.testing.assert_close(model.state_dict(), whole)


@pytest.mark.skipif(not READS_TRAINING_LOGS, reason='needs torch 2.5')
def test_resume_from_a_checkpoint_written_without_our_hooks(make_runner, tmp_path):
    """`import dualattn_mm` alone lets mmengine read its own log, under torch >= 2.6 as well."""
    first = make_runner([])
    first.train()
    checkpoint = str(tmp_path / 'run' / 'iter_4.pth')
    resumed = make_runner([], name='again', load_from=checkpoint, resume=True)
    resumed.train()
    logs = [r.message_hub.get_scalar('train/loss').data[0] for r in (resumed, first)]
    assert len(logs[0]) == 8
    assert logs[0][:4] == pytest.approx(logs[1][:4])
    steps = {int(state['step']) for state in resumed.optim_wrapper.optimizer.state.values()}
    assert steps == {8}


def test_a_checkpoint_written_without_the_hook_is_taken_as_it_is():
    log = HistoryBuffer([3.0, 2.0], [1, 1])
    checkpoint = dict(meta={}, message_hub=dict(log_scalars={'train/loss': log}))
    PlainCheckpointHook().after_load_checkpoint(None, checkpoint)
    assert checkpoint['message_hub']['log_scalars'] == {'train/loss': log}


def test_a_config_inside_a_checkpoint_is_not_executed(make_runner, tmp_path):
    make_runner([PLAIN]).train()
    path, trace = tmp_path / 'run' / 'iter_4.pth', tmp_path / 'executed'
    checkpoint = torch.load(path, weights_only=True)
    checkpoint['meta']['config'] = f'open({str(trace)!r}, "w")'
    torch.save(checkpoint, path)
    make_runner([PLAIN], name='again', load_from=str(path), resume=True).train()
    assert not trace.exists()


@MODEL_WRAPPERS.register_module()
class Wrapper(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x):
        return self.module(x)


class Pair(BaseModel):
    """A model whose parts may be wrapped each, as MMSeparateDistributedDataParallel does."""

    def __init__(self, wrap=nn.Identity):
        super().__init__()
        self.first = wrap(nn.Linear(1, 1))
        self.second = wrap(nn.Linear(1, 1))

    def forward(self, data, mode):
        return dict(loss=(self.second(self.first(data[:, :1])) - data[:, 1:]).square().mean())


def test_a_checkpoint_of_wrapped_parts_loads_everywhere(make_runner, tmp_path):
    trained = make_runner([PLAIN, dict(type='EMAHook')], model=Pair(Wrapper)).train()
    path = str(tmp_path / 'run' / 'iter_8.pth')
    for wrap in (Wrapper, lambda part: part):
        load_checkpoint(Pair(wrap), path, strict=True)
    weights = torch.load(path, weights_only=True)['ema_state_dict']  # EMAHook exchanges the two
    assert torch.equal(weights['module.first.weight'], trained.first.module.weight)


def test_time_limit_ends_training_early(make_runner, tmp_path):
    runner = make_runner([PLAIN, dict(type='TimeLimitHook', seconds=0)])
    runner.train()
    assert runner.iter == 1
    assert (tmp_path / 'run' / 'iter_1.pth').is_file()


def test_time_limit_leaves_a_faster_training_alone(make_runner):
    runner = make_runner([dict(type='TimeLimitHook', seconds=600)])
    runner.train()
    assert runner.iter == 8


def test_progress_bar_shows_steps_and_loss(make_runner, capfd):
    make_runner([dict(type='TrainingProgressHook')]).train()
    err = capfd.readouterr().err
    assert '8/8' in err
    assert 'loss=' in err


def _limited(rank, folder):
    distributed.init_process_group('gloo', f'file://{folder}/store', rank=rank, world_size=2)
    hook = TimeLimitHook(seconds=(600, 0)[rank])
    runner = MagicMock(iter=0, train_loop=SimpleNamespace(stop_training=False))
    hook.before_train(runner)
    for first_is_over in (False, True):
        if first_is_over and rank == 0:
            hook.end = 0
        hook.after_train_iter(runner, 0)
        assert runner.train_loop.stop_training == first_is_over
    distributed.destroy_process_group()


def test_processes_with_different_clocks_stop_together(tmp_path):
    # Nothing is computed there: processes that start as copies need no imports.
    mp.start_processes(_limited, (tmp_path,), nprocs=2, start_method='fork')
