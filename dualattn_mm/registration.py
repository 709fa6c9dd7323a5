"""Registers the networks as soon as mmengine is there, and does not load it before.

`import dualattn_mm` costs no time by itself, so that the command line answers at once; a config, an
inferencer or a registry, which all come from mmengine, find the networks nevertheless.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType


def register() -> ModuleType:
    """Import `dualattn_mm.models`, which registers the networks with mmengine.

    Returns:
        The module.
    """
    return importlib.import_module('dualattn_mm.models')


def register_with_mmengine() -> None:
    """Call `register` now if mmengine has been imported, otherwise right after it will be."""
    if sys.modules.get('mmengine') is not None:
        register()
    else:
        sys.meta_path.insert(0, _AfterMMEngine())


class _AfterMMEngine:
    """Finds mmengine as the other finders do, and registers the networks once it is imported.

    A finder and loader of importlib by its methods: their base classes take long to import.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != 'mmengine':
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
        register()
