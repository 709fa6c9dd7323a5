"""Plot the losses of a training."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dualattn_mm.utils.atomic import atomic_write_bytes


def plot_loss(lines: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write a PNG plot of every logged loss and of the learning rate.

    Args:
        lines: the values that mmengine's LoggerHook logged, by name, including `iter`.
        path: the file to write.
    """
    from matplotlib.figure import Figure

    figure = Figure((8, 4), layout='constrained')
    left = figure.add_subplot(xlabel='step', ylabel='loss', yscale='log')
    right = left.twinx()
    right.set_ylabel('learning rate')
    steps = [line['iter'] for line in lines]
    for name in lines[-1]:
        values = [line[name] for line in lines]
        if name.startswith('loss') and max(values) > 0:
            left.plot(steps, values, label=name, linewidth=1)
    right.plot(steps, [line['lr'] for line in lines], color='gray', linestyle=':', linewidth=1)
    left.legend()
    picture = io.BytesIO()
    figure.savefig(picture, format='png', dpi=120)
    atomic_write_bytes(path, picture.getvalue())
