"""The targets on a GPU, and whether measurements meet them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from .measure import Measurement, Results
from .report import ratios, time_per_pixel
from .step import Setting


@dataclass(frozen=True)
class Aim:
    """A least value for another network's time over ours.

    Args:
        subject: key of the results.
        ours: name of our network.
        other: name of the other network.
        least: the least ratio.
        applies: whether the target is for a setting.
    """

    subject: str
    ours: str
    other: str
    least: float
    applies: Callable[[Setting], bool]

    def __str__(self) -> str:
        return f'{self.ours} at least {self.least:g} times as fast as {self.other}'


@dataclass(frozen=True)
class Verdict:
    """A figure beside its target.

    Args:
        aim: the target in words.
        setting: what it was measured with; empty if it was not measured.
        figure: the quartiles of the ratio, or a single value; empty if it was not measured.
        met: whether its median meets the target; None if it was not measured.
    """

    aim: str
    setting: str
    figure: tuple[float, ...]
    met: bool | None


# Cost per pixel at the largest size, at most this many times that at the smallest.
MOST_GROWTH = 1.15
_GROWING = 'dualattn_tiny'


def _in_bfloat16(setting: Setting) -> bool:
    return setting.dtype.startswith('bfloat16') and setting.execution != 'graph'


def _inference(setting: Setting) -> bool:
    return setting.mode == 'infer'


def _without_tf32(setting: Setting) -> bool:
    return setting.dtype == 'float32'


def _compiled_in_float16(setting: Setting) -> bool:
    return setting.dtype == 'float16' and setting.execution == 'compile'


AIMS = (
    Aim('backbone', 'dualattn_tiny', 'timm_davit_tiny', 1.0, _in_bfloat16),
    Aim('backbone', 'dualattn_tiny', 'timm_swin_tiny', 1.25, _in_bfloat16),
    Aim('backbone', 'dualattn_tiny', 'timm_maxvit_tiny', 2.2, _in_bfloat16),
    Aim('colorizer', 'mpt', 'ddcolor_tiny', 2.5, _inference),
    Aim('detector', 'dualattn_bev', 'second', 1.0, _compiled_in_float16),
    Aim('bev', 'dualattn_bev', 'second', 1.3, _without_tf32),
    Aim('bev', 'dualattn_bev_folded', 'second_folded', 1.3, _without_tf32),
)


def judge(results: Mapping[str, Results]) -> list[Verdict]:
    """Compare the results with all targets, in the order of the targets.

    Args:
        results: by subject, for example 'backbone' and 'sizes'.
    """
    verdicts = []
    for aim in AIMS:
        found = list(_judge_ratio(aim, results[aim.subject].measurements))
        verdicts += found or [Verdict(str(aim), '', (), None)]
    return [*verdicts, _judge_growth(results['sizes'].measurements)]


def _judge_ratio(aim: Aim, measurements: list[Measurement]) -> Iterator[Verdict]:
    seconds = {(m.network, m.setting): m.seconds for m in measurements}
    for setting in dict.fromkeys(m.setting for m in measurements):
        ours, other = (seconds.get((name, setting)) for name in (aim.ours, aim.other))
        if ours and other and aim.applies(setting):
            figure = ratios(other, ours)
            yield Verdict(str(aim), str(setting), figure, figure[1] >= aim.least)


def _judge_growth(measurements: list[Measurement]) -> Verdict:
    aim = f'{_GROWING}: cost per pixel of the largest image at most {MOST_GROWTH} times'
    ours = sorted(
        (m for m in measurements if m.network == _GROWING), key=lambda m: m.setting.case.pixels
    )
    if len(ours) < 2:
        return Verdict(f'{aim} that of the smallest', '', (), None)
    growth = time_per_pixel(ours[-1]) / time_per_pixel(ours[0])
    sizes = f'{ours[-1].setting.case.name} over {ours[0].setting.case.name}'
    return Verdict(f'{aim} that of the smallest', sizes, (growth,), growth <= MOST_GROWTH)
