"""Find and check the files of weights with which a run starts, before it is built."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..models.backbones.pretrained import pretrained_cfgs
from ..utils.checkpoint_file import read_checkpoint, require_checkpoint
from ..utils.config_parts import type_name
from ..utils.errors import RunError, UserError
from ..utils.stored_config import stored_model
from ..utils.terminal import print_line
from .hooks.generator_file import SUFFIX
from .hooks.safe_checkpoint import last_checkpoint

_FCA_SCALE = 'channel'  # the default of DualAttention


def check_file(path: str, what: str, remedy: str = '') -> None:
    """Check that a file exists, unless it is at a URL.

    Args:
        path: the file.
        what: what it is, for the message.
        remedy: config options that set another one, for the message.

    Raises:
        RunError: if there is no such file.
    """
    file = Path(path).expanduser()
    if '://' not in path and not file.is_file():
        reason = 'is a folder' if file.is_dir() else 'does not exist'
        raise RunError(f'{what} {path} {reason}' + (f'; --cfg-options {remedy}' if remedy else ''))


def check_initial_weights(model: Any) -> None:
    """Check that the files of init_cfg exist, before the datasets are built, which is slow.

    Args:
        model: the config of a model.

    Raises:
        RunError: if a file does not exist; the message names the option.
        UserError: if an init_cfg cannot be used.
    """
    for option, part in _parts(model, 'model'):
        option = f'{option}.init_cfg'
        for cfg in pretrained_cfgs(part.get('init_cfg'), option):
            check_file(
                cfg['checkpoint'],
                'initial weights file',
                f'{option}.checkpoint=FILE sets another file, and {option}=None trains from '
                'scratch',
            )


def drop_initial_weights(network: Any) -> None:
    """Remove every init_cfg, whose files are not needed beside those of `GeneratorFileHook`."""
    for _, part in _parts(network, 'network'):
        part.pop('init_cfg', None)


def _parts(part: Any, option: str) -> Iterator[tuple[str, dict]]:
    """Yield a config and all dicts in it, each with its option."""
    if isinstance(part, list | tuple):
        part = dict(enumerate(part))
    if isinstance(part, dict):
        yield option, part
        for name, inner in part.items():
            if name != 'init_cfg':
                yield from _parts(inner, f'{option}.{name}')


def resume_from(cfg: Config, resume: str) -> None:
    """Let a training continue from a checkpoint.

    Args:
        cfg: the config, modified in place.
        resume: a checkpoint, or 'auto' for the last one in `cfg.work_dir`, if there is one.

    Raises:
        RunError: if there is no such checkpoint.
    """
    cfg.resume = True
    if resume != 'auto':
        if Path(resume).expanduser().is_dir():
            raise RunError(
                f'cannot resume: {resume} is a folder; --work-dir {resume} --resume continues from '
                'its last checkpoint'
            )
        check_file(resume, 'checkpoint')
        if resume.endswith(SUFFIX):
            raise RunError(
                f'cannot resume: {resume} contains only weights; --cfg-options load_from={resume} '
                'starts a training from them'
            )
        cfg.load_from = resume
        return
    work_dir = Path(cfg.work_dir)
    if not work_dir.is_dir():
        raise RunError(f'cannot resume: the folder {work_dir} does not exist')
    if not (work_dir / 'last_checkpoint').is_file():
        if earlier := _newest_checkpoint(work_dir):
            raise RunError(
                f'cannot resume: {work_dir}/last_checkpoint does not exist; --resume {earlier} '
                'continues from the newest checkpoint, and a start without --resume begins anew'
            )
        # An earlier run may have ended before its first checkpoint.
        print_line(f'no checkpoint in {work_dir} yet: training starts from the beginning')
        cfg.resume = False
        return
    try:
        last = Path(last_checkpoint(work_dir) or '')
    except UnicodeDecodeError:
        last = Path()
    if not last.name:
        raise RunError(
            f'cannot resume: {work_dir}/last_checkpoint is damaged; pass the checkpoint with '
            '--resume FILE'
        )
    # The stored path can be outdated if the folder was moved, or relative to another folder.
    found = next((path for path in (work_dir / last.name, last) if path.is_file()), None)
    if found is None:
        raise RunError(
            f'cannot resume: {last}, which is in {work_dir}/last_checkpoint, does not exist'
            f'{_name_previous(work_dir / last.name)}'
        )
    cfg.load_from = str(found)


def check_checkpoint(path: str, resume: bool = False) -> dict[str, Any]:
    """Check a checkpoint before the run is built, which can take minutes; return its `meta`.

    Args:
        path: the file, which is not checked if it is at a URL.
        resume: whether the training continues from it.

    Raises:
        RunError: if it cannot be read, or is not such a checkpoint.
    """
    if '://' in path:
        return {}
    try:
        checkpoint = read_checkpoint(Path(path).expanduser())
        require_checkpoint(checkpoint, path, resume)
    except UserError as error:
        raise RunError(f'{error}{_name_previous(Path(path)) if resume else ""}') from None
    return checkpoint.get('meta', {})


def require_fca_scale(model: Any, path: str, needed: str) -> None:
    """Check that backbones have the fca_scale that converted weights need.

    No weight depends on it, so another one would silently change the result.

    Args:
        model: the config of the model.
        path: the checkpoint with the weights.
        needed: the value in its `meta`.

    Raises:
        RunError: if a backbone has another one; the message names the option.
    """
    for option, part in _parts(model, 'model'):
        scale = part.get('fca_scale', _FCA_SCALE)
        if type_name(part) == 'DualAttention' and scale != needed:
            raise RunError(
                f'{path} needs fca_scale={needed}, but the config has {scale}: '
                f'--cfg-options {option}.fca_scale={needed}'
            )


def warn_of_other_fca_scale(model: Any, path: str, meta: Mapping[str, Any]) -> None:
    """Print where the fca_scale of a model differs from that with which it was trained.

    Args:
        model: the config of the model.
        path: its checkpoint.
        meta: that of the checkpoint.
    """
    trained = dict(_parts(stored_model(meta), 'model'))
    for option, part in _parts(model, 'model'):
        # A model with test-time augmentation contains the trained one.
        other = trained.get(option.replace('model.module.', 'model.', 1), part)
        scales = [p.get('fca_scale', _FCA_SCALE) for p in (part, other)]
        if scales[0] != scales[1] and type_name(part) == type_name(other):
            print_line(
                f'warning: {path} was trained with fca_scale={scales[1]}, but the config has '
                f'{scales[0]}: --cfg-options {option}.fca_scale={scales[1]} sets the same'
            )


def use_seed(cfg: Config, meta: Mapping[str, Any]) -> None:
    """Let a resumed training build its datasets with the seed of its checkpoint.

    mmengine sets this seed only afterwards, but mmdet3d's CBGSDataset draws samples when it is
    built.

    Args:
        cfg: the config, modified in place. A seed that it already has remains.
        meta: that of the checkpoint.
    """
    randomness = dict(cfg.get('randomness') or {})
    if randomness.get('seed') is None and 'seed' in meta:
        cfg.randomness = dict(randomness, seed=meta['seed'])


def is_finished(cfg: Config, meta: Mapping[str, Any]) -> bool:
    """Return whether a checkpoint is at the end of the training."""
    schedule = cfg.get('train_cfg') or {}
    return any(
        schedule.get(end) is not None and meta.get(done, 0) >= schedule[end]
        for done, end in (('epoch', 'max_epochs'), ('iter', 'max_iters'))
    )


def _name_previous(before: Path) -> str:
    """Name the last complete checkpoint before another, such as iter_200.pth for iter_300.pth."""
    found = []
    for path in before.parent.glob('*.pth'):
        names = [re.fullmatch(r'(.*_)(\d+)\.pth', name) for name in (path.name, before.name)]
        if all(names) and names[0][1] == names[1][1] and int(names[0][2]) < int(names[1][2]):
            found.append((int(names[0][2]), path))
    for _, path in sorted(found, reverse=True):
        with contextlib.suppress(UserError):
            require_checkpoint(read_checkpoint(path), path, resume=True)
            return f'; the previous one is complete: --resume {path}'
    return ''


def _newest_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint that was written last, such as iter_300.pth; None if there is none."""
    found = [path for path in folder.glob('*.pth') if re.fullmatch(r'(iter|epoch)_\d+', path.stem)]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)
