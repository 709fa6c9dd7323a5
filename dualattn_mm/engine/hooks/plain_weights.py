"""Train or test with a file that holds a state dict alone."""

import copy

from mmengine.hooks import Hook
from mmengine.runner import Runner


class PlainWeightsHook(Hook):
    """Give a loaded state dict the form of a checkpoint, which mmengine's EMAHook needs."""

    # Before EMAHook (NORMAL) copies the weights.
    priority = 'VERY_HIGH'

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if 'state_dict' not in checkpoint:
            state = copy.copy(checkpoint)  # with its _metadata
            checkpoint.clear()
            checkpoint['state_dict'] = state
