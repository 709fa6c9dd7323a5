"""Registers the networks as soon as mmengine is there, and does not load it before.

`import dualattn_mm` costs no time by itself, so that the command line answers at once; a config, an
inferencer or a registry, which all come from mmengine, find the networks nevertheless.
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
    """Call `register` as soon as mmengine is imported, and let it read the checkpoints that its own
    hooks wrote as soon as it can read any.
    """
    _after_import('mmengine', register)
    _after_import('mmengine.runner.checkpoint', _read_checkpoints)


def _read_checkpoints() -> None:
    from .utils.checkpoint_file import READS_TRAINING_LOGS

    if READS_TRAINING_LOGS:
        from .utils import checkpoint_loaders

        checkpoint_loaders.register()


def _after_import(module: str, action: Callable[[], object]) -> None:
    """Act now if a module has been imported, otherwise right after it will be."""
    if sys.modules.get(module) is not None:
        action()
    else:
        sys.meta_path.insert(0, _After(module, action))


class _After:
    """Finds a module as the other finders do, and acts once it is imported.

    A finder and loader of importlib by its methods: their base classes take long to import.
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
