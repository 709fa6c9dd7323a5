"""Train and test any config; `dualattn train` and `dualattn test` call these functions.

The default_scope of the config determines its library; without one, only mmengine is needed.
"""

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from ..datasets.checks import coco, lidar
from ..datasets.checks.classes import use_classes
from ..datasets.checks.missing import missing_data_hint
from ..utils.command import RANK_VARIABLES, error_line, process_rank
from ..utils.config_parts import type_name
from ..utils.configs_dir import find_config
from ..utils.errors import RunError, UserError, first_line
from ..utils.folder_lock import locked_folder
from ..utils.parent import end_with_parent
from ..utils.report import check_output
from ..utils.terminal import print_line
from .checkpoints import (
    check_checkpoint,
    check_file,
    check_initial_weights,
    drop_initial_weights,
    is_finished,
    require_fca_scale,
    resume_from,
    use_seed,
    warn_of_other_fca_scale,
)
from .configs import load_config
from .cpu_processes import start_cpu_processes
from .hooks import generator_file
from .hooks.no_initial_weights import NoInitialWeightsHook
from .hooks.pictures import SavePicturesHook
from .hooks.plain_weights import PlainWeightsHook
from .hooks.report import ReportHook
from .loader_defaults import add_loader_defaults

# Wrappers of a single optimizer that --amp replaces by the last one.
_FOR_AMP = ('OptimWrapper', 'AmpOnGpuOptimWrapper', 'AmpOptimWrapper')

# What starts the processes for each launcher.
_STARTERS = dict(
    pytorch='tools/dist_train.sh or tools/dist_test.sh',
    slurm='tools/slurm_train.sh or tools/slurm_test.sh',
    mpi='mpirun',
)

# The default hooks of mmengine that ours replace.
_DEFAULT_HOOKS = dict(
    checkpoint=(dict(type='CheckpointHook', interval=1), 'SafeCheckpointHook'),
    logger=(dict(type='LoggerHook'), 'EarlyLoggerHook'),
)

# Hooks that are added to every run.
_HOOKS = (
    'PlainCheckpointHook',
    'RepeatableHook',
    'StrictLoadHook',
    'FiniteLossHook',
    'DamagedImagesHook',
)


def train(
    config: str,
    work_dir: str | None = None,
    resume: str | None = None,
    amp: bool = False,
    auto_scale_lr: bool = False,
    cfg_options: Mapping[str, Any] | None = None,
    launcher: str = 'none',
) -> None:
    """Train a model from a config.

    Args:
        config: a config file, or the name of a bundled config.
        work_dir: folder for logs and checkpoints; the default is that of the config, or
            work_dirs/NAME.
        resume: a checkpoint, or 'auto' for the last one in `work_dir`.
        amp: use automatic mixed precision.
        auto_scale_lr: scale the learning rate with the batch size (auto_scale_lr of the config).
        cfg_options: values of the config to override, by dotted names.
        launcher: the job launcher: 'none', 'pytorch', 'slurm' or 'mpi'.

    Raises:
        RunError: if the config or an option cannot be used.
    """
    cfg = _prepare_config(config, work_dir, cfg_options, launcher)
    if amp:
        _use_amp(cfg)
    if auto_scale_lr:
        if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
            raise RunError(f'--auto-scale-lr: {config} has no auto_scale_lr.base_batch_size')
        cfg.auto_scale_lr.enable = True
    if resume is not None:
        resume_from(cfg, resume)
    if cfg.get('load_from'):  # also if there is no checkpoint to resume from
        check_file(
            cfg.load_from,
            'load_from',
            'load_from=FILE sets another checkpoint, and load_from=None starts without one',
        )
    hooks: list[Hook] = []
    if (cfg.get('load_from') or '').endswith(generator_file.SUFFIX):
        _need_colorizer(cfg, config, cfg.load_from)
        hooks.append(generator_file.GeneratorFileHook(cfg.load_from, keep_network=True))
        cfg.load_from = None
        drop_initial_weights(cfg.model.generator)
    elif not cfg.get('resume') and cfg.get('load_from'):
        hooks.append(PlainWeightsHook())
    if cfg.get('resume') and cfg.get('load_from'):
        hooks.append(NoInitialWeightsHook())
    else:
        check_initial_weights(cfg.get('model'))
    with locked_folder(cfg.work_dir) if _is_first_process(cfg) else contextlib.nullcontext():
        _run(cfg, 'train', hooks)


def evaluate(
    config: str,
    checkpoint: str,
    work_dir: str | None = None,
    cfg_options: Mapping[str, Any] | None = None,
    launcher: str = 'none',
    out: str | None = None,
    show_dir: str | None = None,
) -> dict[str, float]:
    """Test a checkpoint on the test data of a config, and print the metrics as a table.

    Args:
        checkpoint: an mmengine checkpoint; a colorizer also accepts a file of `save_generator`.
        out: a JSON file for the metrics, with config, cfg_options, checkpoint and number of images.
        show_dir: a folder for the predictions of a colorizer as PNG files.
        config, work_dir, cfg_options, launcher: as in `train`.

    Returns:
        The metrics by name.

    Raises:
        RunError: if the config, the checkpoint or an option cannot be used.
    """
    config = str(find_config(config))
    cfg = _prepare_config(config, work_dir, cfg_options, launcher)
    if not cfg.get('test_dataloader'):
        raise RunError(f'the config {config} has no test_dataloader')
    check_file(checkpoint, 'checkpoint')
    hooks: list[Hook] = [ReportHook(config, checkpoint, out, cfg_options)]
    if out is not None:
        check_output(out)
    if show_dir is not None:
        _need_colorizer(cfg, config, '--show-dir')
        hooks.append(SavePicturesHook(show_dir))
    cfg.load_from, cfg.resume = checkpoint, False
    if checkpoint.endswith(generator_file.SUFFIX):
        _need_colorizer(cfg, config, checkpoint)
        hooks.append(generator_file.GeneratorFileHook(checkpoint))
        cfg.load_from = None
    else:
        hooks.append(PlainWeightsHook())
    return _run(cfg, 'test', hooks)


def _need_colorizer(cfg: Config, config: str, what: str) -> None:
    kind = type_name(cfg.get('model') or {})
    if kind != 'Colorizer':
        raise RunError(f'{what} is for a Colorizer, but the model of {config} is {kind}')


def _prepare_config(
    config: str, work_dir: str | None, cfg_options: Mapping[str, Any] | None, launcher: str
) -> Config:
    cfg = load_config(config, cfg_options)
    cfg.launcher = launcher
    cfg.work_dir = work_dir or cfg.get('work_dir') or str(Path('work_dirs', Path(config).stem))
    _check_processes(launcher)
    add_default_hooks(cfg)
    add_loader_defaults(cfg)
    if not use_classes(cfg) and 'classes' in (cfg_options or {}):
        raise RunError(f'the option classes is for the datasets of mmdet, and {config} has none')
    return cfg


def _check_processes(launcher: str) -> None:
    # mmengine wraps the model for the GPU of LOCAL_RANK, which mpirun does not set.
    local_rank = os.environ.get('OMPI_COMM_WORLD_LOCAL_RANK') if launcher == 'mpi' else None
    os.environ.setdefault('LOCAL_RANK', local_rank or '0')
    if launcher == 'none':
        return
    if RANK_VARIABLES[launcher] not in os.environ:
        raise RunError(
            f'--launcher {launcher}: {RANK_VARIABLES[launcher]} is not set; start the processes '
            f'with {_STARTERS[launcher]}'
        )
    if launcher == 'mpi' and 'MASTER_ADDR' not in os.environ:
        processes = (os.environ.get(f'OMPI_COMM_WORLD_{name}SIZE') for name in ('', 'LOCAL_'))
        if len(set(processes)) > 1:
            raise RunError(
                '--launcher mpi: on several machines, MASTER_ADDR must be the address of the first '
                'one: mpirun -x MASTER_ADDR=ADDRESS'
            )
        os.environ['MASTER_ADDR'] = '127.0.0.1'
    if launcher == 'pytorch':
        end_with_parent()


def _is_first_process(cfg: Config) -> bool:
    """Return whether no other process belongs to this training, or this is the first one."""
    return cfg.launcher == 'none' or process_rank() == '0'


def _use_amp(cfg: Config) -> None:
    if not torch.cuda.is_available():
        raise RunError('--amp needs a GPU')
    wrappers = [cfg.optim_wrapper]
    if 'optimizer' not in cfg.optim_wrapper:  # there is one wrapper per network
        wrappers = [v for v in cfg.optim_wrapper.values() if isinstance(v, ConfigDict)]
    for wrapper in wrappers:
        kind = type_name(wrapper) or 'OptimWrapper'
        if kind not in _FOR_AMP:
            raise RunError(f'--amp does not support optim_wrapper.type {kind}')
        wrapper.type = _FOR_AMP[-1]
        for name in ('enabled', 'on_cpu'):  # of AmpOnGpuOptimWrapper
            wrapper.pop(name, None)
        wrapper.setdefault('loss_scale', 'dynamic')


def _run(cfg: Config, task: str, hooks: Sequence[Hook] = ()) -> Any:
    try:
        return _checked_run(cfg, task, hooks)
    except (FileNotFoundError, UserError) as error:
        line = error_line(error)
        hint = missing_data_hint(cfg, line)
        if not hint:
            raise
        raise RunError(line + hint) from None
    except Exception as error:
        if cfg.launcher == 'none' or not _is_of_other_process(error):
            raise
        raise RunError(
            f'another process has ended or hangs ({first_line(error)}); '
            'env_cfg.dist_cfg.timeout sets the seconds to wait for it'
        ) from None


def _checked_run(cfg: Config, task: str, hooks: Sequence[Hook]) -> Any:
    if _is_first_process(cfg):
        coco.check(cfg, task)
        lidar.check(cfg, task)
    if cfg.get('load_from'):
        meta = check_checkpoint(cfg.load_from, cfg.get('resume', False))
        if 'fca_scale' in meta:
            require_fca_scale(cfg.get('model'), cfg.load_from, meta['fca_scale'])
        elif _is_first_process(cfg):
            warn_of_other_fca_scale(cfg.get('model'), cfg.load_from, meta)
        if cfg.get('resume'):
            use_seed(cfg, meta)
        if cfg.get('resume') and is_finished(cfg, meta) and _is_first_process(cfg):
            print_line(f'the training has already ended: {cfg.load_from} is its last step')
    # torch < 2.6 would otherwise run the code inside a checkpoint.
    os.environ.setdefault('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '1')
    if cfg.launcher != 'none' and not torch.cuda.is_available():
        start_cpu_processes(cfg)
    if cfg.get('runner_type') == 'ClassFolderRunner':
        cfg.task = task
    with contextlib.ExitStack() as patches:
        # The list of hooks is a page long, and would be the last output for minutes.
        patches.enter_context(patch.object(Runner, 'get_hooks_info', _hooks_in_debug_log))
        if task == 'test':
            # It would replace the config that the training saved in the same work_dir. That of the
            # test is in TIME/vis_data below it.
            patches.enter_context(patch.object(Runner, 'dump_config', lambda runner: None))
        runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    for hook in hooks:
        runner.register_hook(hook)
    return getattr(runner, task)()


_all_hooks = Runner.get_hooks_info


def _hooks_in_debug_log(runner: Runner) -> str:
    runner.logger.debug(_all_hooks(runner))
    return "(log_level = 'DEBUG' lists them)"


def _is_of_other_process(error: Exception) -> bool:
    """Return whether communication with other processes failed; gloo raises RuntimeErrors."""
    # torch 2.1 has no DistError.
    kind = getattr(torch.distributed, 'DistError', torch.distributed.DistBackendError)
    return isinstance(error, kind) or (
        isinstance(error, RuntimeError) and 'gloo/transport' in str(error)
    )


def add_default_hooks(cfg: Config) -> None:
    """Add the hooks of every run to a config.

    They provide safe checkpoints, strict loading, exact resuming and early logs, and handle NaN
    losses and damaged images.

    Args:
        cfg: the config, modified in place. Hooks that it already has keep their arguments.
    """
    hooks = list(cfg.get('custom_hooks') or [])
    named = {type_name(hook) for hook in hooks}
    cfg.custom_hooks = hooks + [dict(type=name) for name in _HOOKS if name not in named]

    default = dict(cfg.get('default_hooks') or {})
    for name, (mmengine_s, ours) in _DEFAULT_HOOKS.items():
        hook = dict(default.get(name, mmengine_s) or {})
        if type_name(hook) == mmengine_s['type']:
            default[name] = dict(hook, type=ours)
    cfg.default_hooks = default

    # So that the config that is saved in the work_dir can be run.
    imports = dict(cfg.get('custom_imports') or {})
    names = list(imports.get('imports') or [])
    if 'dualattn_mm.engine' not in names:
        names.append('dualattn_mm.engine')
    cfg.custom_imports = dict(dict(allow_failed_imports=False), **dict(imports, imports=names))
