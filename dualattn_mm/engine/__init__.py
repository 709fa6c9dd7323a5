"""Hooks of the training loop and its optimizers. Importing this registers them."""

from .class_folder_runner import ClassFolderRunner
from .hooks import (
    ColorGalleryHook,
    DamagedImagesHook,
    EarlyLoggerHook,
    FiniteLossHook,
    GeneratorEMAHook,
    PlainCheckpointHook,
    RepeatableHook,
    SafeCheckpointHook,
    StrictLoadHook,
    TimeBudgetHook,
    TimeLimitHook,
    TrainingProgressHook,
)
from .mixed_precision import amp_on_gpu
from .network_optimizers import NetworkOptimWrapperConstructor

__all__ = [
    'ClassFolderRunner',
    'ColorGalleryHook',
    'DamagedImagesHook',
    'EarlyLoggerHook',
    'FiniteLossHook',
    'GeneratorEMAHook',
    'NetworkOptimWrapperConstructor',
    'PlainCheckpointHook',
    'RepeatableHook',
    'SafeCheckpointHook',
    'StrictLoadHook',
    'TimeBudgetHook',
    'TimeLimitHook',
    'TrainingProgressHook',
    'amp_on_gpu',
]
