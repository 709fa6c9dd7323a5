"""Evaluate the answers of a user study (Fig. 7)."""

import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.table import Table

from dualattn_mm.utils.errors import UserError, first_line, summarize

from .preference_study import ANSWERS_FORMAT, CHOICES, KEY_FORMAT

_DRAWS = 5000


class Preference(NamedTuple):
    """How often a method was chosen as the best.

    chosen: number of comparisons in which it was chosen.
    share: `chosen` divided by the number of all comparisons.
    interval: confidence interval of the share for other participants and other images. Choices for
        the same image are not independent, and neither are those of the same participant, so both
        are drawn again (Owen 2007, "The pigeonhole bootstrap").
    by_participant: its share of the choices of each participant.
    """

    chosen: int
    share: float
    interval: tuple[float, float]
    by_participant: list[float]


class Score(NamedTuple):
    """The outcome of a study.

    participants: their ids, in the order of `by_participant`.
    comparisons: number of participants times number of images.
    methods: the preference for each method by name, in the order of the study.
    """

    participants: list[str]
    comparisons: int
    methods: dict[str, Preference]


def score(key: Path, answers: Sequence[Path], confidence: float = 0.95) -> Score:
    """Count the choices.

    Args:
        key: the key file of `preference_study.make_study`.
        answers: files that the page saved, or folders of them (*.json).
        confidence: confidence level of the intervals.

    Raises:
        UserError: if a file cannot be read, belongs to another study, does not answer every image
            exactly once with a valid choice, or has the same participant as another file.
    """
    if not 0 < confidence < 1:
        raise UserError(f'confidence={confidence} is invalid: it must be between 0 and 1')
    study = _read_key(key)
    found: dict[str, tuple[Path, list[str]]] = {}
    for path in _files(answers):
        participant, choices = _read_answers(path, study)
        if participant in found:
            raise UserError(
                f'{found[participant][0]} and {path} have the same participant: remove one of them'
            )
        found[participant] = path, choices
    choices = np.array([choices for _, choices in found.values()])
    methods = {}
    for name in study['methods']:
        chosen = choices == name
        methods[name] = Preference(
            int(chosen.sum()),
            float(chosen.mean()),
            _interval(chosen, confidence),
            chosen.mean(1).tolist(),
        )
    return Score(list(found), choices.size, methods)


def _interval(chosen: np.ndarray, confidence: float) -> tuple[float, float]:
    """Return the percentile interval of the mean over random participants (rows) and images."""
    random = np.random.default_rng(0)
    rows, columns = (random.multinomial(n, [1 / n] * n, _DRAWS) / n for n in chosen.shape)
    shares = np.einsum('dp,pi,di->d', rows, chosen, columns, optimize=True)
    low, high = np.quantile(shares, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def score_table(result: Score, confidence: float) -> Table:
    """Make a table with one row per method, the most preferred one first."""
    table = Table(title=f'{len(result.participants)} participants, {result.comparisons} choices')
    table.add_column('method', no_wrap=True)
    for heading in ('chosen', 'share', f'{100 * confidence:g}% interval'):
        table.add_column(heading, justify='right', no_wrap=True)
    for name, method in sorted(result.methods.items(), key=lambda item: -item[1].chosen):
        low, high = method.interval
        table.add_row(name, str(method.chosen), f'{method.share:.1%}', f'{low:.1%} - {high:.1%}')
    return table


def boxplot(result: Score) -> bytes:
    """Plot the share of each participant's choices as a box and dots for each method, as PNG."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    names = list(result.methods)
    shares = [result.methods[name].by_participant for name in names]
    figure = Figure(figsize=(1.6 + 1.3 * len(names), 4.5), layout='constrained')
    ax = figure.subplots()
    places = range(1, len(names) + 1)
    ax.boxplot(shares, positions=list(places), widths=0.5, showfliers=False)
    for place, values in zip(places, shares, strict=True):
        # Equal values are placed side by side.
        for share, count in Counter(values).items():
            offsets = [place + 0.06 * (i - (count - 1) / 2) for i in range(count)]
            ax.plot(offsets, [share] * count, '.', color='tab:blue', alpha=0.6)
    ax.axhline(1 / len(names), color='gray', linewidth=0.8, linestyle=':')
    ax.annotate(
        'by chance', (1, 1 / len(names)), (-4, 3), ('axes fraction', 'data'), 'offset points',
        ha='right', color='gray', fontsize=8,
    )  # fmt: skip
    ax.set_xticks(list(places), names)
    ax.set_ylim(bottom=0)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    ax.set_ylabel("share of a participant's choices")
    ax.set_title(f'{len(result.participants)} participants', fontsize=10)
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', dpi=120)
    return buffer.getvalue()


def _files(answers: Sequence[Path]) -> list[Path]:
    files: list[Path] = []
    for path in answers:
        below = sorted(path.glob('*.json')) if path.is_dir() else [path]
        if not below:
            raise UserError(f'no answers (*.json) in {path}')
        files += below
    return files


def _read(path: Path, format_: str, what: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except OSError as error:
        raise UserError(f'cannot read {path}: {error.strerror}') from None
    except (ValueError, RecursionError) as error:
        raise UserError(f'{path} is not a {what} file: {first_line(error)}') from None
    if not isinstance(content, dict) or content.get('format') != format_:
        raise UserError(f'{path} is not a {what} file: its format is not {format_}')
    return content


def _read_key(path: Path) -> dict[str, Any]:
    key = _read(path, KEY_FORMAT, 'study key')
    try:
        methods = list(key['methods'])
        images = {image['image']: sorted(image['order']) for image in key['images']}
        whole = isinstance(key['study'], str) and len(images) == len(key['images']) > 0
    except (KeyError, TypeError):
        whole = False
    if not whole or any(order != sorted(methods) for order in images.values()):
        raise UserError(f'{path} is damaged: make the study again')
    return key


def _read_answers(path: Path, study: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Return the participant and the chosen methods in the order of the images of the study."""
    content = _read(path, ANSWERS_FORMAT, 'study answers')
    if content.get('study') != study['study']:
        raise UserError(
            f'{path} belongs to another study: {content.get("study")}, not {study["study"]}'
        )
    participant, answers = content.get('participant'), content.get('answers')
    try:
        pairs = [(answer['image'], answer['choice']) for answer in answers]
    except (TypeError, LookupError):
        pairs = [(None, None)]
    if not all(isinstance(text, str) for pair in pairs for text in (participant, *pair)):
        raise UserError(f'{path} is damaged: its participant or choices are missing or invalid')
    orders = {image['image']: image['order'] for image in study['images']}
    given = Counter(image for image, _ in pairs)
    possible = CHOICES[: len(study['methods'])]
    faults = {
        'unknown images': [image for image in given if image not in orders],
        'images answered twice': [image for image, count in given.items() if count > 1],
        'images without an answer': [image for image in orders if image not in given],
        'unknown choices': [c for _, c in pairs if len(c) != 1 or c not in possible],
    }
    if found := summarize(faults):
        raise UserError(f'{path} does not match the study: {found}')
    choices = dict(pairs)
    return participant, [order[CHOICES.index(choices[image])] for image, order in orders.items()]
