"""Hooks of the training loop and its optimizers. Importing this registers them."""

from . import hooks
from .class_folder_runner import ClassFolderRunner
from .mixed_precision import amp_on_gpu
from .network_optimizers import NetworkOptimWrapperConstructor

__all__ = ['ClassFolderRunner', 'NetworkOptimWrapperConstructor', 'amp_on_gpu', 'hooks']
