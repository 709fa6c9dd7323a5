"""Models that are wrapped for several processes."""

from mmengine.model import is_model_wrapper
from torch import nn


def unwrapped(model: nn.Module) -> nn.Module:
    """The model itself, whether or not it is wrapped, as DistributedDataParallel does."""
    return model.get_submodule('module') if is_model_wrapper(model) else model
