"""A learning rate that ends with the time."""

import time

import torch
from mmengine.dist import broadcast
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

_INFO = 'time_budget'  # in the message hub, which checkpoints keep


@HOOKS.register_module()
class TimeBudgetHook(Hook):
    """Train by iterations for a given time; at its end the learning rates are almost nothing.

    For a machine that is there for some minutes, where nobody knows how many steps that is. The
    learning rates stay as the config's schedulers set them, then fall linearly in the last part of
    the time. A resumed training goes on with the time that is left; a checkpoint loses the time
    since it was written.

    Args:
        seconds: time for training, counted from its first iteration over all calls of
            `Runner.train` that resume it. Compiling the network is part of it.
        decay: the share of it, at its end, in which the learning rates fall.
        end_factor: what is left of them in the end.
    """

    # After ParamSchedulerHook (LOW), whose schedulers multiply the rates as this hook does, and
    # before CheckpointHook (VERY_LOW).
    priority = 80

    def __init__(self, seconds: float, decay: float = 0.5, end_factor: float = 0.01) -> None:
        self.seconds = seconds
        self.decay = decay
        self.end_factor = end_factor

    def before_train(self, runner: Runner) -> None:
        seconds, self.factor = runner.message_hub.runtime_info.get(_INFO, (0.0, 1.0))
        self.start = time.monotonic() - seconds

    def after_train_iter(self, runner: Runner, batch_idx, data_batch=None, outputs=None) -> None:
        # By the first process's clock, so that all have the same rates and end together.
        passed = torch.tensor(time.monotonic() - self.start, dtype=torch.float64)
        broadcast(passed)
        seconds = float(passed)
        factor = self._factor(seconds / self.seconds)
        for optimizer in _optimizers(runner.optim_wrapper):
            for group in optimizer.param_groups:
                group['lr'] *= factor / self.factor
        self.factor = factor
        runner.message_hub.update_info(_INFO, [seconds, factor])
        if seconds >= self.seconds and runner.iter + 1 < runner.max_iters:
            # Not `stop_training`, with which CheckpointHook does not know the last iteration.
            runner.train_loop._max_iters = runner.iter + 1
            runner.logger.info(f'{self.seconds:.0f} s are over at step {runner.iter + 1}')

    def _factor(self, share: float) -> float:
        """What the rates are multiplied by when this share of the time has passed."""
        left = min(1.0, max(0.0, 1 - share) / self.decay) if self.decay else 1.0
        return self.end_factor + (1 - self.end_factor) * left


def _optimizers(wrapper) -> list[torch.optim.Optimizer]:
    """Those of one wrapper or of a dict of wrappers."""
    return [w.optimizer for w in (wrapper.values() if hasattr(wrapper, 'values') else [wrapper])]
