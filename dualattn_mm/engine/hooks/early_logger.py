"""Log from the first to the last step."""

from collections.abc import Callable, Sequence
from typing import Any

from mmengine.hooks import LoggerHook
from mmengine.registry import HOOKS
from mmengine.runner import Runner


@HOOKS.register_module()
class EarlyLoggerHook(LoggerHook):
    """mmengine's LoggerHook, which also logs steps 1, 2, 5, 10, 20, 50, ... before its interval.

    A step can take seconds, and mmengine logs nothing during the whole first interval. Steps are
    counted from the start of this run, and each line has the remaining time. The last step of
    training is also logged.
    """

    def before_train(self, runner: Runner) -> None:
        self._start = runner.iter

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict | None = None,
    ) -> None:
        done = runner.iter - self._start
        is_last = runner.iter + 1 == runner.max_iters
        self._log(super().after_train_iter, done, runner, batch_idx, is_last)

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence | None = None,
    ) -> None:
        self._log(super().after_val_iter, batch_idx, runner, batch_idx)

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence | None = None,
    ) -> None:
        self._log(super().after_test_iter, batch_idx, runner, batch_idx)

    def _log(
        self,
        log: Callable[[Runner, int], None],
        done: int,
        runner: Runner,
        batch_idx: int,
        is_last: bool = False,
    ) -> None:
        interval = self.interval
        # Depends only on the number of steps, because all processes must log the same steps.
        if is_last or (done + 1 < interval and str(done + 1).rstrip('0') in ('1', '2', '5')):
            self.interval = 1
        try:
            log(runner, batch_idx)
        finally:
            self.interval = interval
