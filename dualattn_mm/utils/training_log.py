"""Read the training log that mmengine's hooks store with the weights.

torch's weights_only rejects the classes of mmengine's log (mmengine #1655). `STAND_INS` replace
them under the same names, so torch calls nothing else. `rebuild` then replaces the stand-ins by
plain values.
"""

from typing import Any

import numpy as np
from mmengine.logging import HistoryBuffer


class _Ignored:
    """A stand-in for code, such as a scheduler's function, which is built again and never read."""

    def __init__(self, *args: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


class _DType:
    """A stand-in for numpy's dtype, whose own state could describe invalid memory."""

    def __init__(self, code: str, *args: Any) -> None:
        self._code = code

    def __setstate__(self, state: tuple) -> None:
        self._code = state[1] + self._code

    def read(self, data: bytes) -> np.ndarray:
        stored = np.dtype(self._code)
        return np.frombuffer(data, stored).astype(stored.newbyteorder('='))


class _Array:
    """A stand-in for numpy's array."""

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, is_fortran, data = state
        self.value = dtype.read(data).reshape(shape, order='F' if is_fortran else 'C')


class _History(HistoryBuffer):
    """A stand-in for mmengine's HistoryBuffer, which it becomes when its values are set."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__class__ = HistoryBuffer
        numbers = (state[name].value for name in ('_log_history', '_count_history'))
        HistoryBuffer.__init__(self, *numbers, state['max_length'])


def _new_array(*args: Any) -> _Array:
    return _Array()


def _scalar(dtype: _DType, data: bytes) -> Any:
    return dtype.read(data)[0].item()


def _named(module: str, name: str, stand_in: Any) -> Any:
    stand_in.__module__ = module
    stand_in.__name__ = stand_in.__qualname__ = name  # torch < 2.7 looks at the first
    return stand_in


def _copy(function: Any) -> Any:
    return lambda *args: function(*args)


# Pairs of a class and the name in the checkpoint would be simpler; torch < 2.7 does not take them.
STAND_INS = [
    _named('mmengine.logging.history_buffer', 'HistoryBuffer', _History),
    _named('numpy', 'ndarray', _Array),
    _named('numpy', 'dtype', _DType),
    *(
        _named(module, name, _copy(function))
        for module in ('numpy.core.multiarray', 'numpy._core.multiarray')
        for name, function in (('_reconstruct', _new_array), ('scalar', _scalar))
    ),
    *(
        _named(module, name, type(name, (_Ignored,), {}))
        for module, name in (
            ('builtins', 'getattr'),
            ('mmengine.optim.scheduler.param_scheduler', 'OneCycleParamScheduler'),
        )
    ),
]


def rebuild(value: Any, done: dict[int, Any] | None = None) -> Any:
    """Replace the stand-ins by plain values, and drop those of code.

    Args:
        value: the result of torch.load; its dicts and lists are modified in place.
        done: the replacements of containers that were visited, because a container can occur
            several times.

    Returns:
        The value itself, or its replacement.
    """
    if isinstance(value, _Array):
        return value.value
    if not isinstance(value, dict | list | tuple):
        return value
    done = {} if done is None else done
    if id(value) in done:
        return done[id(value)]
    done[id(value)] = value
    if isinstance(value, dict):
        for key, inner in list(value.items()):
            if isinstance(inner, _Ignored):
                del value[key]
            else:
                value[key] = rebuild(inner, done)
    elif isinstance(value, list):
        value[:] = [rebuild(inner, done) for inner in value]
    elif type(value) is tuple:
        done[id(value)] = tuple(rebuild(inner, done) for inner in value)
    return done[id(value)]
