"""Mixed precision as the default of configs that also train without a GPU."""

from typing import Any

from mmengine.device import is_cuda_available
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module('AmpOnGpuOptimWrapper')
def amp_on_gpu(
    dtype: str | None = None,
    loss_scale: str | float | dict[str, Any] = 'dynamic',
    enabled: bool = True,
    **arguments: Any,
) -> OptimWrapper:
    """Return mmengine's AmpOptimWrapper if there is a GPU, otherwise its OptimWrapper in float32.

    AmpOptimWrapper cannot be built without a GPU.

    Args:
        dtype: dtype of autocast; the default is torch's choice, float16.
        loss_scale: as in AmpOptimWrapper; it has no meaning in float32.
        enabled: False trains in float32 on a GPU as well.
        arguments: arguments of both wrappers.
    """
    if enabled and is_cuda_available():
        return AmpOptimWrapper(loss_scale=loss_scale, dtype=dtype, **arguments)
    return OptimWrapper(**arguments)
