"""Set up distributed training on a machine without a GPU."""

from unittest.mock import patch

import torch
from mmengine.config import Config
from mmengine.dist import get_dist_info, init_dist
from mmengine.utils.dl_utils import set_multi_processing


def start_cpu_processes(cfg: Config) -> None:
    """Connect the processes of `cfg.launcher` with gloo; nccl and mmengine's defaults need GPUs.

    Args:
        cfg: the config, modified in place for mmengine's Runner.
    """
    env_cfg = cfg.get('env_cfg') or {}
    dist_cfg = dict(env_cfg.get('dist_cfg') or {}, backend='gloo')
    # The Runner does the same before it connects the processes.
    set_multi_processing(**env_cfg.get('mp_cfg') or {}, distributed=True)
    # mmengine would select a CUDA device, even for gloo.
    with patch('torch.cuda.set_device'):
        init_dist(cfg.launcher, **dist_cfg)
    cfg.merge_from_dict(dict(env_cfg=dict(dist_cfg=dist_cfg)))
    wrapper = dict(
        type='MMDistributedDataParallel',
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False),
    )
    cfg.model_wrapper_cfg = dict(cfg.get('model_wrapper_cfg') or wrapper, device_ids=None)
    rank, world_size = get_dist_info()
    if rank == 0:
        threads = torch.get_num_threads()
        print(f'no GPU: {world_size} processes on the CPU (gloo), {threads} threads', flush=True)
