"""Mixed precision as the default of configs that also train without a GPU."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.device import is_cuda_available
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn


class _BFloat16OnCpu(OptimWrapper):
    """Mixed precision on a CPU, for which mmengine has no wrapper."""

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        with torch.autocast('cpu', torch.bfloat16), super().optim_context(model):
            yield


@OPTIM_WRAPPERS.register_module('AmpOnGpuOptimWrapper')
def amp_on_gpu(
    dtype: str | None = None,
    loss_scale: str | float | dict[str, Any] = 'dynamic',
    enabled: bool = True,
    on_cpu: bool = False,
    **arguments: Any,
) -> OptimWrapper:
    """Return mmengine's AmpOptimWrapper if there is a GPU, otherwise its OptimWrapper.

    AmpOptimWrapper cannot be built without a GPU.

    Args:
        dtype: dtype of autocast; the default is torch's choice, float16.
        loss_scale: as in AmpOptimWrapper; it has no meaning in float32.
        enabled: False trains in float32 on a GPU as well.
        on_cpu: use bfloat16 on a CPU as well, which saves time if it has instructions for it
            (`avx512_bf16` or `amx_bf16` in /proc/cpuinfo); by default, a CPU trains in float32.
        arguments: arguments of both wrappers.
    """
    if enabled and is_cuda_available():
        return AmpOptimWrapper(loss_scale=loss_scale, dtype=dtype, **arguments)
    return _BFloat16OnCpu(**arguments) if enabled and on_cpu else OptimWrapper(**arguments)
