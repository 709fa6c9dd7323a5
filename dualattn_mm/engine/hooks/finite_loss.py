"""Training whose loss or weights are no longer numbers ends, and leaves no checkpoint of it."""

import os
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor

from ...utils.checks import require_natural
from ...utils.errors import RunError
from .safe_checkpoint import last_checkpoint

_REMEDY = (
    'lower the learning rate, clip the gradients (optim_wrapper.clip_grad) or look for wrong data'
)


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stop a training whose loss is NaN or infinite; never write a checkpoint with such weights.

    mmengine goes on to the end, and replaces its checkpoints by useless ones. A step that a
    GradScaler skips because of infinite gradients is not counted: its loss is finite.

    Args:
        patience: the number of steps in a row with such a loss after which training stops.
    """

    priority = 'LOW'  # sees what EMAHook (NORMAL) adds to a checkpoint; before CheckpointHook

    def __init__(self, patience: int = 10) -> None:
        require_natural(patience=patience)
        self.patience = patience
        self._bad_steps = 0

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        losses = outputs if isinstance(outputs, Mapping) else {}
        bad = [name for name, value in losses.items() if 'loss' in name and not _finite(value)]
        self._bad_steps = self._bad_steps + 1 if bad else 0
        if self._bad_steps >= self.patience:
            # The part that is bad says more than the sum.
            name = next((name for name in bad if name != 'loss'), bad[0])
            value = torch.as_tensor(losses[name]).item()
            raise RunError(
                f'step {runner.iter + 1}: {name} is {value}, and the last {self._bad_steps} steps '
                f'had a NaN or infinite loss: {_REMEDY}; {_kept(runner)}'
            )

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        for part in ('state_dict', 'ema_state_dict'):
            for name, value in checkpoint.get(part, {}).items():
                # Infinity can be meant, in a mask for example; NaN never is.
                if isinstance(value, Tensor) and value.is_floating_point() and value.isnan().any():
                    raise RunError(
                        f'step {runner.iter + 1}: the weights {name} are NaN, so no checkpoint is '
                        f'written: {_REMEDY}; {_kept(runner)}'
                    )


def _finite(value: Any) -> bool:
    return bool(torch.as_tensor(value).isfinite().all())


def _kept(runner: Runner) -> str:
    last = last_checkpoint(runner.work_dir)
    return f'the last good checkpoint is {os.fspath(last)}' if last else 'no checkpoint was written'
