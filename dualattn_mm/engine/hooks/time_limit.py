"""Stop training after a time limit."""

import time

import torch
from mmengine.dist import broadcast
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import IterBasedTrainLoop, Runner


@HOOKS.register_module()
class TimeLimitHook(Hook):
    """Stop training after some time. CheckpointHook saves the last step of a training by steps.

    A training by epochs ends with the epoch, because mmengine cannot stop in its middle.

    Args:
        seconds: time for one call of `Runner.train`, counted from its first iteration.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def before_train(self, runner: Runner) -> None:
        self.end = time.monotonic() + self.seconds

    def after_train_iter(self, runner: Runner, batch_idx, data_batch=None, outputs=None) -> None:
        # Use the clock of the first process, because all processes must stop together.
        over = torch.tensor(time.monotonic() >= self.end, dtype=torch.int)
        broadcast(over)
        loop = runner.train_loop
        if not over or loop.stop_training or runner.iter + 1 == runner.max_iters:
            return
        end = ''
        if isinstance(loop, IterBasedTrainLoop):
            loop._max_iters = runner.iter + 1  # by which CheckpointHook knows the last step
        else:
            loop.stop_training = True
            end = ', training ends with this epoch'
        runner.logger.info(
            f'time limit of {self.seconds:.0f} s reached at step {runner.iter + 1}{end}'
        )
