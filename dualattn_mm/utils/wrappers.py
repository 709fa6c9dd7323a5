"""Unwrap models that are wrapped for distributed training."""

from mmengine.model import is_model_wrapper
from torch import nn


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model without its wrapper, such as DistributedDataParallel."""
    return model.get_submodule('module') if is_model_wrapper(model) else model
