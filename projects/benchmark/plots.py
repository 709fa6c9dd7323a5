"""Plot the results: throughput as bars, and cost per pixel against image size as lines."""

import io
import math
from collections.abc import Sequence
from itertools import cycle

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from .measure import Measurement
from .report import memory_per_pixel, quartiles, time_per_pixel
from .step import Setting

_OURS, _PEER = 'tab:red', 'tab:blue'
_PANELS_PER_ROW = 2
_MARKERS = 'osD^vP*X<>hd'


def throughput(measurements: Sequence[Measurement], title: str) -> bytes:
    """Plot images per second with one panel per setting, median and quartiles, as PNG."""
    panels: dict[Setting, list[Measurement]] = {}
    for m in measurements:
        panels.setdefault(m.setting, []).append(m)
    bars = max(len(ms) for ms in panels.values())
    columns = min(_PANELS_PER_ROW, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(6.5 * columns, rows * (0.3 * bars + 1.2) + 0.4), layout='constrained')
    figure.suptitle(title)
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for ax, (setting, ms) in zip(axes, panels.items(), strict=False):
        _bars(ax, ms)
        ax.set_title(str(setting), fontsize=9)
    for ax in axes[len(panels) :]:
        ax.axis('off')
    return _png(figure)


def _bars(ax: Axes, measurements: Sequence[Measurement]) -> None:
    rates = [
        [m.setting.batch_size / seconds for seconds in reversed(quartiles(m.seconds))]
        for m in measurements
    ]
    middles = [middle for _, middle, _ in rates]
    names = [m.network for m in measurements]
    errors = [[mid - low for low, mid, _ in rates], [high - mid for _, mid, high in rates]]
    colors = [_OURS if m.network == m.against else _PEER for m in measurements]
    ax.barh(names, middles, xerr=errors, color=colors, capsize=2, height=0.7)
    for i, (middle, (_, _, high)) in enumerate(zip(middles, rates, strict=True)):
        ax.annotate(
            f'{middle:.3g}', (high, i), (4, 0), textcoords='offset points', va='center', fontsize=8
        )
    ax.set_xlim(0, 1.15 * max(high for _, _, high in rates))
    ax.invert_yaxis()
    ax.set_xlabel('images per second (more is better; bars: median, lines: quartiles)', fontsize=8)
    ax.tick_params(labelsize=8)


def cost_against_size(by_network: dict[str, list[Measurement]], title: str) -> bytes:
    """Plot time and peak memory per pixel against the image size in two panels, as PNG."""
    figure = Figure(figsize=(12, 5.2), layout='constrained')
    figure.suptitle(title)
    all_ = [m for ms in by_network.values() for m in ms]
    panels = [('time, milliseconds per million pixels', time_per_pixel)]
    if all(m.peak_memory for m in all_):  # a dry run does not measure it
        panels.append(('peak memory, bytes per pixel', memory_per_pixel))
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    cases = {m.setting.case for m in all_}
    ticks = {math.sqrt(case.pixels): case.name for case in cases}
    for ax, (label, cost) in zip(axes, panels, strict=True):
        for (name, ms), marker in zip(by_network.items(), cycle(_MARKERS), strict=False):
            ours = name == ms[0].against
            ax.plot(
                [math.sqrt(m.setting.case.pixels) for m in ms],
                [cost(m) for m in ms],
                marker=marker,
                markersize=5,
                linewidth=2.5 if ours else 1.2,
                label=f'{name} (ours)' if ours else name,
                zorder=3 if ours else 2,
            )
        ax.set_xscale('log', base=2)
        ax.set_yscale('log')
        ax.set_xticks(list(ticks), list(ticks.values()))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter('{x:,g}')
        ax.yaxis.set_minor_locator(NullLocator())
        ax.set_xlabel('image, pixels')
        ax.set_ylabel(label)
        ax.grid(alpha=0.3)
    axes[-1].legend(loc='center left', bbox_to_anchor=(1.02, 0.5), fontsize=8)
    return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', dpi=110, bbox_inches='tight')
    return buffer.getvalue()
