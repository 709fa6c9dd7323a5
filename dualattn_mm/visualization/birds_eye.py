"""Draw a point cloud with boxes from a bird's-eye view."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

_PREDICTED, _TRUE = 'tab:red', 'tab:green'
_SIDE = 10.0  # length of the longer side of the image in inches


def birds_eye_view(
    points: np.ndarray,
    predicted: np.ndarray,
    true: np.ndarray | None,
    limits: Sequence[float],
    title: str = '',
) -> bytes:
    """Draw a LiDAR point cloud from above, with x to the right and y up. It needs no display.

    Boxes are (x, y, z, length, width, height, yaw, ...) in meters and radians, like mmdet3d's LiDAR
    boxes. A yaw of 0 means that the length is along x. A line marks the front.

    Args:
        points: (P, 2 or more), in meters, x and y first; points with a larger third value are
            darker.
        predicted: (N, 7 or more).
        true: (M, 7 or more), or None if the ground truth is not known.
        limits: the visible range (x0, y0, x1, y1) in meters.
        title: text above the image.

    Returns:
        The PNG file as bytes.
    """
    x0, y0, x1, y1 = limits
    scale = _SIDE / max(x1 - x0, y1 - y0)
    figure = Figure(figsize=((x1 - x0) * scale + 0.8, (y1 - y0) * scale + 0.8))
    figure.set_layout_engine('constrained')
    ax = figure.subplots()
    ax.set(xlim=(x0, x1), ylim=(y0, y1), aspect='equal', xlabel='x (m)', ylabel='y (m)')
    ax.set_title(title, fontsize=10)
    inside = (points[:, 0] >= x0) & (points[:, 0] < x1) & (points[:, 1] >= y0) & (points[:, 1] < y1)
    drawn = points[inside]
    height = drawn[:, 2] if points.shape[1] > 2 else np.zeros(len(drawn))
    ax.scatter(
        drawn[:, 0], drawn[:, 1], s=0.6, c=height, cmap='Greys', vmin=-4, vmax=2, linewidths=0
    )
    if true is not None:
        _draw(ax, true, _TRUE, f'true ({len(true)})', linewidths=2.2)
    # The predicted boxes are dashed, so that true boxes behind them stay visible.
    _draw(ax, predicted, _PREDICTED, f'predicted ({len(predicted)})', linestyles='dashed')
    figure.legend(loc='outside upper right', ncols=2, fontsize=9)
    file = io.BytesIO()
    figure.savefig(file, format='png', dpi=100)
    return file.getvalue()


def corners(boxes: np.ndarray) -> np.ndarray:
    """Map boxes (N, 7 or more) to corners (N, 4, 2): front left, back left, back right, ..."""
    length, width, yaw = boxes[:, 3], boxes[:, 4], boxes[:, 6]
    along = np.stack([length, -length, -length, length], 1) / 2
    across = np.stack([width, width, -width, -width], 1) / 2
    cos, sin = np.cos(yaw)[:, None], np.sin(yaw)[:, None]
    x = boxes[:, 0, None] + along * cos - across * sin
    y = boxes[:, 1, None] + along * sin + across * cos
    return np.stack([x, y], 2)


def _draw(ax: Axes, boxes: np.ndarray, color: str, label: str, **style: Any) -> None:
    outlines = corners(boxes)
    front = outlines[:, [0, 3]].mean(1, keepdims=True)
    lines = [*np.concatenate([outlines, outlines[:, :1]], 1)]
    lines += [*np.concatenate([boxes[:, None, :2], front], 1)]
    ax.add_collection(LineCollection(lines, colors=color, label=label, **style))
