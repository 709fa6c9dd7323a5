"""Check that pretrained weights fit a backbone."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from ...utils.checkpoint_file import part_of, require_checkpoint, state_differences
from ...utils.errors import UserError, summarize

_TYPES = ('Pretrained', 'PretrainedInit')


def pretrained_cfgs(init_cfg: Any, name: str = 'init_cfg') -> list[Mapping[str, Any]]:
    """Return the parts of an init_cfg that have a checkpoint.

    Args:
        init_cfg: mmengine's initialization config: None, a dict, or a sequence of dicts.
        name: its name, for error messages.

    Raises:
        UserError: if it has another type.
    """
    cfgs = [init_cfg] if isinstance(init_cfg, Mapping) else init_cfg or []
    if isinstance(cfgs, str) or not all(isinstance(c, Mapping) and 'type' in c for c in cfgs):
        raise UserError(
            f'{name} is {init_cfg!r}, which is not a dict with a type: '
            f'set {name}.type=Pretrained {name}.checkpoint=FILE'
        )
    # mmengine's pure Python configs name the class.
    found = [c for c in cfgs if getattr(c['type'], '__name__', c['type']) in _TYPES]
    if not all(isinstance(cfg.get('checkpoint'), str) for cfg in found):
        raise UserError(f'{name}.checkpoint must be a file or a URL, but {name} is {init_cfg!r}')
    return found


def require_pretrained_fits(
    module: nn.Module,
    init_cfg: dict | Sequence[dict] | None,
    free: str = '(?!)',
    convert: Callable[[dict[str, Tensor]], None] | None = None,
    fca_scale: str | None = None,
) -> None:
    """Check that the checkpoint in `init_cfg` has exactly the weights of a module.

    mmengine's initialization of type 'Pretrained' only logs weights that do not fit, and leaves the
    rest of the module at its random initialization.

    Args:
        module: the module to initialize.
        init_cfg: mmengine's initialization config; types other than 'Pretrained' are not checked.
        free: regular expression for the start of names that may be missing on either side; by
            default there are none.
        convert: changes the weights in place first, as the module does when it loads them.
        fca_scale: the argument of the module, on which no weight depends; a checkpoint that states
            its own must agree.

    Raises:
        UserError: if a weight is missing, unexpected or has another shape, if fca_scale differs, or
            if init_cfg is not a dict.
        FileNotFoundError: if the checkpoint does not exist.
    """
    for cfg in pretrained_cfgs(init_cfg):
        found, meta = _weights(cfg['checkpoint'], cfg.get('prefix') or '')
        if convert is not None:
            convert(found)
        kinds = state_differences(module.state_dict(), found)
        for kind in ('missing', 'unexpected'):
            kinds[kind] = [name for name in kinds[kind] if not re.match(free, name)]
        differences = summarize(kinds)
        if differences:
            where = f'the weights {cfg["prefix"]}* of ' if cfg.get('prefix') else ''
            hint = ''
            if not cfg.get('prefix') and any(name.startswith('backbone.') for name in found):
                hint = "; for the checkpoint of a whole model, set prefix='backbone.' in init_cfg"
            raise UserError(
                f'{where}{cfg["checkpoint"]} do{"es" * (not where)} not fit '
                f'{type(module).__name__}: {differences}{hint}'
            )
        needed = meta.get('fca_scale')
        if None not in (needed, fca_scale) and needed != fca_scale:
            raise UserError(
                f'{cfg["checkpoint"]} needs fca_scale={needed!r}, but the {type(module).__name__} '
                f'has {fca_scale!r}, with which the same weights compute something else: set '
                f'fca_scale={needed!r} beside init_cfg'
            )


def _weights(file: str, prefix: str) -> tuple[dict[str, Tensor], Mapping[str, Any]]:
    """Return the weights that mmengine will load, with the prefix stripped as mmengine does.

    The second result is the `meta` of the checkpoint.
    """
    from mmengine.runner import CheckpointLoader  # imported late, because it loads OpenCV

    checkpoint = CheckpointLoader.load_checkpoint(file, map_location='cpu', logger=None)
    prefix = prefix and prefix.rstrip('.') + '.'
    require_checkpoint(checkpoint, file)
    state, meta = checkpoint.get('state_dict', checkpoint), checkpoint.get('meta', {})
    tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    if not prefix:
        return {name.removeprefix('module.'): value for name, value in tensors.items()}, meta
    return part_of(tensors, prefix), meta
