"""The defaults of data loaders that mmpretrain's own tools set outside its configs."""

import torch
from mmengine.config import Config


def add_loader_defaults(cfg: Config) -> None:
    """Let the loaders of an mmpretrain config collate tensors and keep their workers.

    mmengine's defaults collate lists, and start new workers for every epoch.

    Args:
        cfg: the config, modified in place. Arguments that its loaders already have remain.
    """
    if cfg.get('default_scope') != 'mmpretrain':
        return
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        if loader := cfg.get(name):
            loader.setdefault('pin_memory', torch.cuda.is_available())
            loader.setdefault('collate_fn', dict(type='default_collate'))
            loader.setdefault('persistent_workers', True)
            if not loader.get('num_workers'):  # torch would reject it
                loader.persistent_workers = False
