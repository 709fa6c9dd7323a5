"""A learning rate schedule that follows the time."""

import time

import torch
from mmengine.dist import broadcast
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import IterBasedTrainLoop, Runner

from ...utils.checks import require_positive
from ...utils.errors import RunError

_INFO = 'time_budget'  # key in the message hub, which checkpoints store


@HOOKS.register_module()
class TimeBudgetHook(Hook):
    """Train for a given time, at the end of which the learning rates are almost 0.

    It is meant for a machine that is available for a few minutes, when the number of steps is not
    known. The learning rates follow the schedulers of the config, and fall linearly in the last
    part of the time. A resumed training continues with the remaining time; the time after the
    checkpoint was written is not counted.

    Args:
        seconds: time for training, counted from the first iteration over all calls of
            `Runner.train` that resume it. It includes compiling the network.
        decay: share of the time, at its end, in which the learning rates fall.
        end_factor: factor on the learning rates at the end.
        until: Unix time at which training ends at the latest, whatever preceded it, for example on
            a machine that is lent until then; None for no such limit.
    """

    # After ParamSchedulerHook (LOW), whose schedulers multiply the rates as this hook does, and
    # before CheckpointHook (VERY_LOW).
    priority = 80

    def __init__(
        self,
        seconds: float,
        decay: float = 0.5,
        end_factor: float = 0.01,
        until: float | None = None,
    ) -> None:
        require_positive(seconds=seconds)
        self.seconds = seconds
        self.decay = decay
        self.end_factor = end_factor
        self.until = until

    def before_train(self, runner: Runner) -> None:
        if not isinstance(runner.train_loop, IterBasedTrainLoop):
            raise RunError('TimeBudgetHook needs a training by steps: train_cfg.by_epoch=False')
        seconds, self.factor, *step = runner.message_hub.runtime_info.get(_INFO, (0.0, 1.0))
        self.start = time.monotonic() - seconds
        if self.until is not None:
            # Of the first process, because all must stop after the same step.
            left = torch.tensor(max(1e-3, self.until - time.time()), dtype=torch.float64)
            broadcast(left)
            self.seconds = min(self.seconds, seconds + float(left))
        self.passed = seconds
        # Seconds of the last two steps. The shorter one has no compiling and no validation.
        self.steps = 0.0, *(step or [0.0])

    def before_train_iter(self, runner: Runner, batch_idx, data_batch=None) -> None:
        # Before the step, so that all hooks know that it is the last one. Not `stop_training`,
        # because CheckpointHook would not recognize the last iteration.
        if self.passed + min(self.steps) >= self.seconds and runner.iter + 1 < runner.max_iters:
            runner.train_loop._max_iters = runner.iter + 1
            runner.logger.info(
                f'the time of {self.seconds:.0f} s ends training after step {runner.iter + 1}'
            )

    def after_train_iter(self, runner: Runner, batch_idx, data_batch=None, outputs=None) -> None:
        # Use the clock of the first process, so that all have the same rates and stop together.
        passed = torch.tensor(time.monotonic() - self.start, dtype=torch.float64)
        broadcast(passed)
        seconds = float(passed)
        self.steps = self.steps[1], seconds - self.passed
        self.passed = seconds
        factor = self._factor(seconds / self.seconds)
        for optimizer in _optimizers(runner.optim_wrapper):
            for group in optimizer.param_groups:
                group['lr'] *= factor / self.factor
        self.factor = factor
        runner.message_hub.update_info(_INFO, [seconds, factor, min(self.steps)])

    def _factor(self, share: float) -> float:
        """Return the factor on the learning rates after this share of the time."""
        left = min(1.0, max(0.0, 1 - share) / self.decay) if self.decay else 1.0
        return self.end_factor + (1 - self.end_factor) * left


def _optimizers(wrapper) -> list[torch.optim.Optimizer]:
    """Return the optimizers of a wrapper or of a dict of wrappers."""
    return [w.optimizer for w in (wrapper.values() if hasattr(wrapper, 'values') else [wrapper])]
