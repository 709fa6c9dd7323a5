"""Hooks of the training loop and its optimizers. Importing this registers them."""

from .class_folders import ClassFolderRunner
from .color_gallery import ColorGalleryHook
from .generator_ema import GeneratorEMAHook
from .mixed_precision import amp_on_gpu
from .network_optimizers import NetworkOptimWrapperConstructor
from .plain_checkpoint import PlainCheckpointHook
from .progress import TrainingProgressHook
from .repeatable import RepeatableHook
from .safe_checkpoint import SafeCheckpointHook
from .strict_load import StrictLoadHook
from .time_limit import TimeLimitHook

__all__ = [
    'ClassFolderRunner',
    'ColorGalleryHook',
    'GeneratorEMAHook',
    'NetworkOptimWrapperConstructor',
    'PlainCheckpointHook',
    'RepeatableHook',
    'SafeCheckpointHook',
    'StrictLoadHook',
    'TimeLimitHook',
    'TrainingProgressHook',
    'amp_on_gpu',
]
