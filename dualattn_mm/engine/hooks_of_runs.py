"""The hooks that every run of the tools has, whatever its config says."""

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

_HOOKS = ('PlainCheckpointHook', 'RepeatableHook', 'StrictLoadHook')


def add_to(cfg: Config) -> None:
    """Add safe checkpoints, strict loading and exact resuming to a config that has them not.

    Args:
        cfg: is changed. A hook that it names already keeps its arguments.
    """
    hooks = list(cfg.get('custom_hooks') or [])
    named = {_type_name(hook) for hook in hooks}
    cfg.custom_hooks = hooks + [dict(type=name) for name in _HOOKS if name not in named]

    default = dict(cfg.get('default_hooks') or {})
    checkpoint = dict(default.get('checkpoint', dict(type='CheckpointHook', interval=1)) or {})
    if _type_name(checkpoint) == 'CheckpointHook':
        cfg.default_hooks = dict(default, checkpoint=dict(checkpoint, type='SafeCheckpointHook'))

    # For who runs the config that the work folder keeps.
    imports = dict(cfg.get('custom_imports') or {})
    names = list(imports.get('imports') or [])
    if 'dualattn_mm.engine' not in names:
        names.append('dualattn_mm.engine')
    cfg.custom_imports = dict(dict(allow_failed_imports=False), **dict(imports, imports=names))


def _type_name(hook: Any) -> str | None:
    """The class's name, which a config gives with or without a scope, or as the class itself."""
    kind = hook.get('type') if isinstance(hook, Mapping) else type(hook)
    return kind.rsplit('.')[-1] if isinstance(kind, str) else getattr(kind, '__name__', None)
