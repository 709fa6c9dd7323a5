"""Make mmdet3d 1.4.0 work with newer libraries. Configs import this module (custom_imports).

Importing it modifies numpy, spconv, numba and KITTI's metric if needed, and nothing else.
"""

import functools
import importlib.util
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch


def restore_numpy_long() -> None:
    """Add np.long, which mmdet3d's ground-truth sampling uses and numpy 1.24 to 1.26 lack."""
    if 'long' not in vars(np):  # numpy 1.26 warns on hasattr
        np.long = np.int64


def correct_spconv_without_gpu() -> None:
    """Correct two errors of spconv on the CPU.

    It requests the CUDA stream in every backward pass without using it. Without a GPU, this call
    fails; the forward pass passes 0 instead.

    Several threads add to the same sums, and some additions are lost, so results are wrong and
    differ in every run. A single thread is also faster.
    """
    if torch.cuda.is_available() or importlib.util.find_spec('spconv') is None:
        return
    from spconv.pytorch import ops

    ops.get_current_stream = lambda: 0
    ops.indice_conv = _in_one_thread(ops.indice_conv)
    ops.indice_conv_backward = _in_one_thread(ops.indice_conv_backward)


def _in_one_thread(function: Callable) -> Callable:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return function(*args, **kwargs)
        finally:
            torch.set_num_threads(threads)

    return call


def let_numba_simulate_gpu() -> None:
    """Let numba simulate CUDA without a GPU, because KITTI's metric compares boxes with it.

    numba decides when numba.cuda is imported. An existing NUMBA_ENABLE_CUDASIM is kept.
    """
    if torch.cuda.is_available() or 'numba.cuda' in sys.modules:
        return
    os.environ.setdefault('NUMBA_ENABLE_CUDASIM', '1')
    if 'numba' in sys.modules:  # which has read the environment
        from numba.core import config

        config.reload_config()


def let_kitti_metric_know_dont_care() -> None:
    """Add the class DontCare to KITTI's metric, which reads the class names from the info file.

    create_data writes DontCare, which is not evaluated, only if the last frame of a split has such
    a region. The metric looks it up for all frames, and fails at the end of the first evaluation.
    """
    if importlib.util.find_spec('mmdet3d') is None:
        return
    from mmdet3d.evaluation import KittiMetric

    convert = KittiMetric.convert_annos_to_kitti_annos

    @functools.wraps(convert)
    def with_dont_care(self: KittiMetric, infos: dict) -> list[dict]:
        infos['metainfo'].get('categories', {}).setdefault('DontCare', -1)
        return convert(self, infos)

    KittiMetric.convert_annos_to_kitti_annos = with_dont_care


restore_numpy_long()
correct_spconv_without_gpu()
let_numba_simulate_gpu()
let_kitti_metric_know_dont_care()
