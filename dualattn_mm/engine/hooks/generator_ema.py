"""Moving average of the weights of the generator."""

import torch
from mmengine.hooks import EMAHook
from mmengine.model import MomentumAnnealingEMA
from mmengine.registry import HOOKS, MODELS
from mmengine.runner import Runner
from torch import nn

from ...utils.checkpoint_file import part_of
from ...utils.wrappers import unwrapped

_GENERATOR = 'generator.'


@MODELS.register_module()
class BatchedEMA(MomentumAnnealingEMA):
    """mmengine's MomentumAnnealingEMA, but it averages all parameters in one call.

    mmengine starts two kernels for each of the hundreds of small parameters, in every step.
    """

    def update_parameters(self, model: nn.Module) -> None:
        if self.update_buffers or self.steps == 0 or self.steps % self.interval:
            super().update_parameters(model)
            return
        momentum = max(self.momentum, self.gamma / (self.gamma + self.steps.item()))
        sources = dict(model.named_parameters())
        averages = list(self.avg_parameters.values())
        # They are on another device if the argument `device` says so.
        values = [sources[k].data.to(a.device) for k, a in self.avg_parameters.items()]
        torch._foreach_lerp_(averages, values, momentum)
        for average, source in zip(self.module.buffers(), model.buffers(), strict=True):
            average.copy_(source)
        self.steps += 1


@HOOKS.register_module()
class GeneratorEMAHook(EMAHook):
    """mmengine's EMAHook for only the generator, with the same arguments.

    Validation, testing and the `state_dict` of checkpoints use the average, so everything that
    reads a checkpoint uses it as well. Resuming restores the average and the trained weights. The
    critic is not averaged.
    """

    def before_run(self, runner: Runner) -> None:
        self.src_model = unwrapped(unwrapped(runner.model).generator)
        self.ema_model = MODELS.build(self.ema_cfg, default_args=dict(model=self.src_model))

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if not (runner._resume and 'ema_state_dict' in checkpoint):
            state = checkpoint.get('state_dict', checkpoint)
            checkpoint = dict(state_dict=part_of(state, _GENERATOR))
        super().after_load_checkpoint(runner, checkpoint)

    def _swap_ema_state_dict(self, checkpoint: dict) -> None:
        state, average = checkpoint['state_dict'], checkpoint['ema_state_dict']
        for key in average:
            if key.startswith('module.'):
                own = _GENERATOR + key.removeprefix('module.')
                state[own], average[key] = average[key], state[own]
