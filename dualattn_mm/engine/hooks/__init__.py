"""Hooks for training and testing. Importing this registers the hooks that configs use."""

from .color_gallery import ColorGalleryHook
from .damaged_images import DamagedImagesHook
from .early_logger import EarlyLoggerHook
from .finite_loss import FiniteLossHook
from .generator_ema import GeneratorEMAHook
from .generator_file import GeneratorFileHook
from .pictures import SavePicturesHook
from .plain_checkpoint import PlainCheckpointHook
from .progress import TrainingProgressHook
from .repeatable import RepeatableHook
from .report import ReportHook
from .safe_checkpoint import SafeCheckpointHook
from .strict_load import StrictLoadHook
from .time_budget import TimeBudgetHook
from .time_limit import TimeLimitHook

__all__ = [
    'ColorGalleryHook',
    'DamagedImagesHook',
    'EarlyLoggerHook',
    'FiniteLossHook',
    'GeneratorEMAHook',
    'GeneratorFileHook',
    'PlainCheckpointHook',
    'RepeatableHook',
    'ReportHook',
    'SafeCheckpointHook',
    'SavePicturesHook',
    'StrictLoadHook',
    'TimeBudgetHook',
    'TimeLimitHook',
    'TrainingProgressHook',
]
