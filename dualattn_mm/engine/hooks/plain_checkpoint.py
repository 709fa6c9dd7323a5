"""Keep checkpoints to tensors and plain values, which torch.load reads with weights_only=True."""

import re
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn

from ...utils.wrappers import unwrapped

_HISTORY = 'history_buffer'


def _to_plain(value: Any) -> Any:
    """Replace objects that are not tensors or plain values, also in dicts, lists and tuples."""
    if isinstance(value, HistoryBuffer):
        log, count = value.data
        plain = dict(log=torch.tensor(log), count=torch.tensor(count), max_length=value.max_length)
        return {_HISTORY: plain}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value)
    if isinstance(value, dict):
        # Callables, which some schedulers have, are code: they are built again and never stored.
        return {k: _to_plain(v) for k, v in value.items() if not callable(v)}
    if isinstance(value, list | tuple):
        return type(value)(_to_plain(v) for v in value)
    return value


def _from_plain(value: Any) -> Any:
    if not isinstance(value, dict) or set(value) != {_HISTORY}:
        return value  # the checkpoint was written without this hook
    plain = value[_HISTORY]
    return HistoryBuffer(plain['log'].tolist(), plain['count'].tolist(), plain['max_length'])


def _keep_steps_on_cpu(value: Any) -> None:
    """Move the step counters of optimizers to the CPU, where torch creates them.

    mmengine loads a checkpoint onto the GPU, and torch leaves the counters there. Every step of
    Adam would then wait for the GPU once per parameter.
    """
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == 'step' and isinstance(inner, torch.Tensor):
                value[key] = inner.cpu()
            else:
                _keep_steps_on_cpu(inner)


def _without_wrappers(state: dict[str, Any], model: nn.Module) -> dict[str, Any]:
    """Name weights as in a single process: `generator.x` instead of `generator.module.x`.

    mmengine unwraps only the whole model when saving, but also its parts when loading.
    """
    whole = unwrapped(model)
    wrapped = [name for name, part in whole.named_modules() if name and is_model_wrapper(part)]
    for name in wrapped:
        # EMAHook stores its copy of the model under `module.`.
        pattern = re.compile(rf'^((?:module\.)?{re.escape(name)})\.module\.')
        state = {pattern.sub(r'\1.', key): value for key, value in state.items()}
    return state


@HOOKS.register_module()
class PlainCheckpointHook(Hook):
    """Keep mmengine's checkpoints free of pickled objects and of the number of processes.

    mmengine stores its log as HistoryBuffer objects, which torch >= 2.6 rejects by default, and
    allowing them would permit arbitrary code execution. This hook stores their numbers instead and
    rebuilds them when training resumes. It also keeps the step counters of optimizers on the CPU.
    """

    # After all hooks that modify the checkpoint (EMAHook is NORMAL, CheckpointHook VERY_LOW).
    priority = 'LOWEST'

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        for key in {'state_dict', 'ema_state_dict'} & set(checkpoint):
            checkpoint[key] = _without_wrappers(checkpoint[key], runner.model)
        for key, value in checkpoint.items():
            if key != 'state_dict':
                checkpoint[key] = _to_plain(value)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        # mmengine would execute a config stored under this key.
        checkpoint.get('meta', {}).pop('config', None)
        _keep_steps_on_cpu(checkpoint.get('optimizer'))
        hub = checkpoint.get('message_hub')
        if hub:
            hub['log_scalars'] = {k: _from_plain(v) for k, v in hub['log_scalars'].items()}
