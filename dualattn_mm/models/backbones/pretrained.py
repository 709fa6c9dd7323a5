"""Initial weights of a backbone: those that fit, or none."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from ...utils.checkpoint_file import state_differences
from ...utils.errors import UserError, summarize


def pretrained_cfgs(init_cfg: Any, name: str = 'init_cfg') -> list[Mapping[str, Any]]:
    """The parts of an init_cfg that name a checkpoint.

    Args:
        init_cfg: mmengine's: None, a dict, or a sequence of dicts.
        name: its name, for errors.

    Raises:
        UserError: if it is something else.
    """
    cfgs = [init_cfg] if isinstance(init_cfg, Mapping) else init_cfg or []
    if isinstance(cfgs, str) or not all(isinstance(c, Mapping) and 'type' in c for c in cfgs):
        raise UserError(
            f'{name} is {init_cfg!r}, which is no dict with a type: '
            f'{name}.type=Pretrained {name}.checkpoint=FILE sets one'
        )
    found = [cfg for cfg in cfgs if cfg['type'] == 'Pretrained']
    if not all(isinstance(cfg.get('checkpoint'), str) for cfg in found):
        raise UserError(f'{name}.checkpoint must be a file or a URL: {name} is {init_cfg!r}')
    return found


def require_pretrained_fits(
    module: nn.Module, init_cfg: dict | Sequence[dict] | None, free: str
) -> None:
    """Check that the checkpoint of `init_cfg` has the weights of a module, and no others.

    mmengine's initialization of type 'Pretrained' only logs what does not fit, and leaves the
    rest of the module at random.

    Args:
        module: what will be initialized.
        init_cfg: mmengine's; those of other types than 'Pretrained' are not looked at.
        free: regular expression; weights whose names start with it may be missing on either side.

    Raises:
        UserError: if a weight is missing, unexpected or of another shape, or init_cfg is no dict.
        FileNotFoundError: if there is no such file.
    """
    for cfg in pretrained_cfgs(init_cfg):
        found = _weights(cfg['checkpoint'], cfg.get('prefix') or '')
        kinds = state_differences(module.state_dict(), found)
        for kind in ('missing', 'unexpected'):
            kinds[kind] = [name for name in kinds[kind] if not re.match(free, name)]
        differences = summarize(kinds)
        if differences:
            where = f'the weights {cfg["prefix"]}* of ' if cfg.get('prefix') else ''
            hint = ''
            if not cfg.get('prefix') and any(name.startswith('backbone.') for name in found):
                hint = "; init_cfg takes those of a whole model with prefix='backbone.'"
            raise UserError(
                f'{where}{cfg["checkpoint"]} do{"es" * (not where)} not fit '
                f'{type(module).__name__}: {differences}{hint}'
            )


def _weights(file: str, prefix: str) -> dict[str, Tensor]:
    """What mmengine will load: it strips prefixes likewise."""
    from mmengine.runner import CheckpointLoader  # brings in OpenCV

    checkpoint = CheckpointLoader.load_checkpoint(file, map_location='cpu', logger=None)
    prefix = prefix and prefix.rstrip('.') + '.'
    state = checkpoint.get('state_dict', checkpoint)
    names = {
        name.removeprefix('module.'): value
        for name, value in state.items()
        if isinstance(value, Tensor)
    }
    return {name[len(prefix) :]: value for name, value in names.items() if name.startswith(prefix)}
