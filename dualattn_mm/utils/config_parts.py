"""Read which class a part of a config names.

A config has it with or without the scope of a library, or as the class itself, as mmengine's pure
Python configs do.
"""

from collections.abc import Mapping
from typing import Any

from mmengine.registry import Registry


def type_name(part: Any) -> str | None:
    """Return the name of the class of a config's part, or of an object; None without a type."""
    kind = part.get('type') if isinstance(part, Mapping) else type(part)
    return kind.rsplit('.')[-1] if isinstance(kind, str) else getattr(kind, '__name__', None)


def class_of(part: Mapping[str, Any], registry: Registry) -> type | None:
    """Return the class that the `type` of a part names or is; None if it is unknown."""
    kind = part.get('type')
    return registry.get(kind) if isinstance(kind, str) else kind


def is_from(part: Mapping[str, Any], library: str, scope: str | None) -> bool:
    """Return whether a part of a config is from a library, or extends a class of it.

    Args:
        part: the part.
        library: the name of the library, such as 'mmdet'.
        scope: the default_scope of the config; pure Python configs have none.
    """
    kind = part.get('type')
    bases = getattr(kind, '__mro__', ())
    modules = [kind] if isinstance(kind, str) else [base.__module__ for base in bases]
    return scope == library or any(module.startswith(f'{library}.') for module in modules)
