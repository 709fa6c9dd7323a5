"""Resume a training whose files of initial weights may no longer exist."""

from mmengine.hooks import Hook
from mmengine.model import BaseModule
from mmengine.runner import Runner

from ...models.backbones.pretrained import pretrained_cfgs


class NoInitialWeightsHook(Hook):
    """Do not read the files of init_cfg, whose weights the checkpoint overwrites.

    mmengine initializes the model before it resumes. `StrictLoadHook` checks that the checkpoint
    has all weights. The rest of the initialization remains, because losses load their teachers in
    it, and so does the config, which is saved.
    """

    def before_run(self, runner: Runner) -> None:
        for module in runner.model.modules():
            if isinstance(module, BaseModule) and (read := pretrained_cfgs(module.init_cfg)):
                cfgs = [module.init_cfg] if isinstance(module.init_cfg, dict) else module.init_cfg
                module.init_cfg = [cfg for cfg in cfgs if cfg not in read] or None
