"""Hooks of the training loop. Importing this registers them."""

from .plain_checkpoint import PlainCheckpointHook
from .progress import TrainingProgressHook
from .time_limit import TimeLimitHook

__all__ = ['PlainCheckpointHook', 'TimeLimitHook', 'TrainingProgressHook']
