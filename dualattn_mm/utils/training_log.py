"""What mmengine's hooks store beside the weights, rebuilt from its numbers.

torch's weights_only refuses the classes of mmengine's log (mmengine #1655). `STAND_INS` have their
names in a checkpoint, so that torch calls them and nothing else; `rebuild` then puts plain values
in their place.
"""

from typing import Any

import numpy as np
from mmengine.logging import HistoryBuffer


class _Ignored:
    """Stands for code, such as a scheduler's function: it is built anew, never read."""

    def __init__(self, *args: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


class _DType:
    """Stands for numpy's dtype, whose own state could describe memory that is not there."""

    def __init__(self, code: str, *args: Any) -> None:
        self._code = code

    def __setstate__(self, state: tuple) -> None:
        self._code = state[1] + self._code

    def read(self, data: bytes) -> np.ndarray:
        stored = np.dtype(self._code)
        return np.frombuffer(data, stored).astype(stored.newbyteorder('='))


class _Array:
    """Stands for numpy's array."""

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, is_fortran, data = state
        self.value = dtype.read(data).reshape(shape, order='F' if is_fortran else 'C')


class _History(HistoryBuffer):
    """Turns into mmengine's own class as soon as it has its numbers."""

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
    """Put plain values in the place of the stand-ins, and drop those of code.

    Args:
        value: what torch.load returned; its dicts and lists are changed.
        done: what became of the containers that were seen: one can be in many places.

    Returns:
        The value itself, or what takes its place.
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
