"""Register the networks as soon as mmengine is imported, without importing it before.

`import dualattn_mm` takes almost no time, so the command line answers at once. Configs, inferencers
and registries, which all come from mmengine, still find the networks.
"""

import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType


def register() -> ModuleType:
    """Import `dualattn_mm.models`, which registers the networks with mmengine.

    Returns:
        The module.
    """
    return importlib.import_module('dualattn_mm.models')


def register_with_mmengine() -> None:
    """Call `register` as soon as mmengine is imported.

    Also let mmengine read the checkpoints that its own hooks wrote, once its loader is imported.
    """
    _after_import('mmengine', register)
    _after_import('mmengine.runner.checkpoint', _read_checkpoints)


def _read_checkpoints() -> None:
    from .utils.checkpoint_file import READS_TRAINING_LOGS

    if READS_TRAINING_LOGS:
        from .utils import checkpoint_loaders

        checkpoint_loaders.register()


def _after_import(module: str, action: Callable[[], object]) -> None:
    """Call the action now if a module is imported already, otherwise right after its import."""
    if sys.modules.get(module) is not None:
        action()
    else:
        sys.meta_path.insert(0, _After(module, action))


class _After:
    """Find a module with the other finders, and call an action once it is imported.

    It has the methods of an importlib finder and loader, but not their base classes, because these
    take long to import.
    """

    def __init__(self, module: str, action: Callable[[], object]) -> None:
        self.module, self.action = module, action

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != self.module:
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        found = (finder.find_spec(name, path, target) for finder in others)
        spec = next(filter(None, found), None)
        if spec is not None:
            self.loader, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__.loader = module.__loader__ = self.loader
        self.loader.exec_module(module)
        sys.meta_path.remove(self)
        self.action()
