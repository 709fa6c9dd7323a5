"""What mmdet3d 1.4.0 lacks beside newer libraries. Its configs import this (custom_imports).

Importing it changes numpy and spconv where that is needed, and nothing anywhere else.
"""

import importlib.util

import numpy as np
import torch


def restore_numpy_long() -> None:
    """mmdet3d's ground-truth sampling uses np.long, which numpy 1.24 to 1.26 have not."""
    if 'long' not in vars(np):  # hasattr would make numpy 1.26 warn
        np.long = np.int64


def let_spconv_train_without_gpu() -> None:
    """spconv asks CUDA for its stream in every backward pass, and makes no use of it on the CPU.

    Without a GPU that question alone fails; its own forward pass passes 0 there.
    """
    if torch.cuda.is_available() or importlib.util.find_spec('spconv') is None:
        return
    from spconv.pytorch import ops

    ops.get_current_stream = lambda: 0


restore_numpy_long()
let_spconv_train_without_gpu()
