"""A separate optimizer for each network of a model."""

from collections.abc import Mapping
from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapperDict
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

from ..utils.wrappers import unwrapped


class NetworkOptimWrapperDict(OptimWrapperDict):
    """An OptimWrapperDict that knows the progress of the training.

    With mmengine's class, accumulated gradients are lost if training ends between two steps, and a
    resumed training accumulates from another iteration on.
    """

    def initialize_count_status(self, model: nn.Module, cur_iter: int, max_iters: int) -> None:
        """Initialize the counts of each wrapper. The Runner calls this before training.

        Args:
            model: the model. Its optional `n_critic` is the number of calls of the wrapper `critic`
                in an iteration; all others have one call.
            cur_iter: number of completed iterations.
            max_iters: total number of iterations.
        """
        whole = unwrapped(model)
        for name, wrapper in self.items():
            calls = getattr(whole, 'n_critic', 1) if name == 'critic' else 1
            wrapper.initialize_count_status(
                getattr(whole, name), calls * cur_iter, calls * max_iters
            )


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class NetworkOptimWrapperConstructor:
    """Build an OptimWrapperDict, with which mmengine logs and schedules every learning rate.

    It works like mmagic's MultiOptimWrapperConstructor, but without mmagic:
    `optim_wrapper=dict(constructor='NetworkOptimWrapperConstructor', generator=..., critic=...)`.

    Args:
        optim_wrapper_cfg: the config of an OptimWrapper for each submodule of the model, by name.
        paramwise_cfg: must be None, as mmengine passes it; each config has its own.
    """

    def __init__(self, optim_wrapper_cfg: Mapping[str, Any], paramwise_cfg: None = None) -> None:
        if paramwise_cfg is not None:
            raise ValueError('set paramwise_cfg in the optimizer wrapper of each network')
        self.configs = optim_wrapper_cfg

    def __call__(self, model: nn.Module) -> OptimWrapperDict:
        """Build the wrappers for a model, whose networks may be wrapped in DDP.

        Raises:
            ValueError: if a name is not the name of a submodule.
        """
        networks = dict(unwrapped(model).named_children())
        unknown = sorted(set(self.configs) - set(networks))
        if unknown:
            raise ValueError(f'optim_wrapper has {unknown}, but the model has {sorted(networks)}')
        wrappers = {}
        for name, config in self.configs.items():
            config = dict(config)
            paramwise_cfg = config.pop('paramwise_cfg', None)
            wrappers[name] = DefaultOptimWrapperConstructor(config, paramwise_cfg)(networks[name])
        return NetworkOptimWrapperDict(**wrappers)
