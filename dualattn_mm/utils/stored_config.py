"""Read the config that mmengine stores as text in its checkpoints, without executing it."""

import ast
from collections.abc import Mapping
from typing import Any


def stored_model(meta: Mapping[str, Any]) -> dict[Any, Any]:
    """Return the config of the model in a checkpoint.

    The text is Python code, of which only literals and calls of dict are read.

    Args:
        meta: the `meta` of the checkpoint.

    Returns:
        The config, in which anything else is None; empty if there is none.
    """
    try:
        for statement in ast.parse(str(meta.get('cfg', ''))).body:
            if isinstance(statement, ast.Assign):
                [target] = statement.targets
                if isinstance(target, ast.Name) and target.id == 'model':
                    model = _value(statement.value)
                    return model if isinstance(model, dict) else {}
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # anyone may have written it
        pass
    return {}


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(part) for part in node.elts]
    if isinstance(node, ast.Dict):
        keys = [key.value if isinstance(key, ast.Constant) else None for key in node.keys]
        return dict(zip(keys, map(_value, node.values), strict=True))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict':
        content = {keyword.arg: _value(keyword.value) for keyword in node.keywords}
        for part in map(_value, node.args):  # mmengine writes dict({'a-b': 1})
            content |= part if isinstance(part, dict) else {}
        return content
    return None
