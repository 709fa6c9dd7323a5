"""One optimizer for each network of a model."""

from collections.abc import Mapping
from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapperDict
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

from ..utils.wrappers import unwrapped


class NetworkOptimWrapperDict(OptimWrapperDict):
    """An OptimWrapperDict that knows the progress of the training.

    mmengine's does not: accumulated gradients are lost if training ends between two steps, and a
    resumed training accumulates from another iteration on.
    """

    def initialize_count_status(self, model: nn.Module, cur_iter: int, max_iters: int) -> None:
        """Tell each wrapper; called by the Runner before training.

        Args:
            model: the model, whose `n_critic`, if it has one, is the number of calls of the wrapper
                `critic` in an iteration; all others have one.
            cur_iter: iterations done.
            max_iters: iterations in all.
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

    Like mmagic's MultiOptimWrapperConstructor, but without mmagic:
    `optim_wrapper=dict(constructor='NetworkOptimWrapperConstructor', generator=..., critic=...)`.

    Args:
        optim_wrapper_cfg: by the name of the model's submodule, the config of its OptimWrapper.
        paramwise_cfg: must be None, as mmengine passes it; the single configs have their own.
    """

    def __init__(self, optim_wrapper_cfg: Mapping[str, Any], paramwise_cfg: None = None) -> None:
        if paramwise_cfg is not None:
            raise ValueError('paramwise_cfg belongs into the optimizer wrapper of each network')
        self.configs = optim_wrapper_cfg

    def __call__(self, model: nn.Module) -> OptimWrapperDict:
        """Build for a model, whose networks may be wrapped.

        Raises:
            ValueError: if a name is not that of a submodule.
        """
        networks = dict(unwrapped(model).named_children())
        unknown = sorted(set(self.configs) - set(networks))
        if unknown:
            raise ValueError(f'optim_wrapper names {unknown}, the model has {sorted(networks)}')
        wrappers = {}
        for name, config in self.configs.items():
            config = dict(config)
            paramwise_cfg = config.pop('paramwise_cfg', None)
            wrappers[name] = DefaultOptimWrapperConstructor(config, paramwise_cfg)(networks[name])
        return NetworkOptimWrapperDict(**wrappers)
