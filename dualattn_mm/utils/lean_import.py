"""Import mmengine faster in a process that runs networks and never trains one."""

import sys
from types import ModuleType

# mmengine imports these for its wrappers of optimizers and of sharded training. Half of the time
# of importing mmengine goes into them, and into sympy, which torch's sharding imports.
_FOR_TRAINING = (
    'torch.distributed.fsdp',
    'torch.distributed.fsdp.api',
    'torch.distributed.fsdp.fully_sharded_data_parallel',
    'torch.distributed.optim',
)


class _EmptyClasses(ModuleType):
    """A module in which every name is an empty class."""

    def __getattr__(self, name: str) -> type:
        if name.startswith('__'):
            raise AttributeError(name)
        return type(name, (), {})


def import_mmengine_for_inference() -> None:
    """Import `mmengine.model` with empty classes as bases of its optimizers and sharded wrappers.

    Only a command may call this, because its process cannot use these classes afterward. All other
    parts of mmengine and torch stay as they are.
    """
    stand_ins: dict[str, ModuleType | None] = {name: _EmptyClasses(name) for name in _FOR_TRAINING}
    stand_ins['transformers'] = None  # mmengine takes it for not installed, without its optimizer
    stand_ins = {name: module for name, module in stand_ins.items() if name not in sys.modules}
    sys.modules.update(stand_ins)  # type: ignore[arg-type]  # None is how Python marks an absence
    try:
        import mmengine.model  # noqa: F401
    finally:
        for name in stand_ins:
            sys.modules.pop(name, None)
