"""A progress bar for training."""

from collections.abc import Sequence

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from tqdm import tqdm


@HOOKS.register_module()
class TrainingProgressHook(Hook):
    """Show the completed iterations, the remaining time and smoothed values from the log.

    Args:
        keys: names of the values that the loss of the model returns.
    """

    priority = 'VERY_LOW'

    window = 20  # number of iterations to average

    def __init__(self, keys: Sequence[str] = ('loss',)) -> None:
        self.keys = keys

    def before_train(self, runner: Runner) -> None:
        self.bar = tqdm(
            total=runner.max_iters,
            initial=runner.iter,
            desc='training',
            unit='step',
            disable=not is_main_process(),
            mininterval=1,
        )

    def after_train_iter(self, runner: Runner, batch_idx, data_batch=None, outputs=None) -> None:
        scalars = runner.message_hub.log_scalars
        means = {k: f'{scalars[f"train/{k}"].mean(self.window):.2f}' for k in self.keys}
        self.bar.set_postfix(means, refresh=False)
        self.bar.update()

    def after_train(self, runner: Runner) -> None:
        self.bar.close()
