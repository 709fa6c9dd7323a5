"""Mixed precision by default, in configs that train without a GPU as well."""

from typing import Any

from mmengine.device import is_cuda_available
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module('AmpOnGpuOptimWrapper')
def amp_on_gpu(dtype: str | None = None, **arguments: Any) -> OptimWrapper:
    """mmengine's AmpOptimWrapper where there is a GPU, else its OptimWrapper, in float32.

    AmpOptimWrapper refuses to be built without a GPU. `type=OptimWrapper` trains in float32 there
    too.

    Args:
        dtype: of autocast, by default torch's choice, float16.
        arguments: those that both take.
    """
    if is_cuda_available():
        return AmpOptimWrapper(loss_scale='dynamic', dtype=dtype, **arguments)
    return OptimWrapper(**arguments)
