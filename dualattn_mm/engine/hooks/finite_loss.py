"""Stop training if the loss or the weights are NaN, without saving them in a checkpoint."""

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

_REMEDY = 'lower the learning rate, clip the gradients (optim_wrapper.clip_grad) or check the data'


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stop training if the loss is NaN or infinite, and never save weights with NaN.

    mmengine would continue to the end and replace its checkpoints by unusable ones. Steps that a
    GradScaler skips because of infinite gradients do not count, because their loss is finite.

    Args:
        patience: number of consecutive steps with such a loss after which training stops.
    """

    priority = (
        'LOW'  # after EMAHook (NORMAL) has modified the checkpoint, and before CheckpointHook
    )

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
            # Name the bad term, which is more informative than the sum.
            name = next((name for name in bad if name != 'loss'), bad[0])
            value = torch.as_tensor(losses[name]).item()
            raise RunError(
                f'step {runner.iter + 1}: {name} is {value}, and the last {self._bad_steps} steps '
                f'had a NaN or infinite loss: {_REMEDY}; {_kept(runner)}'
            )

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        for part in ('state_dict', 'ema_state_dict'):
            for name, value in checkpoint.get(part, {}).items():
                # Infinity can be intended, for example in a mask, but NaN cannot.
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
