"""Find the count, setting or measurement of this implementation for each printed figure."""

import json
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import MODELS
from torch import device, nn

from dualattn_mm.utils.errors import UserError

from .paper import Figure, PaperTable, Row

REPRODUCED = 'reproduced'
NOT_REPRODUCED = 'not reproduced'  # the difference exceeds the tolerance
NOT_REPRODUCIBLE = 'not reproducible'  # another printed figure excludes it
NOT_RUN = 'not run'
STATUSES = (REPRODUCED, NOT_REPRODUCED, NOT_REPRODUCIBLE, NOT_RUN)

# The rows of Table VI in an mmpretrain config.
_SETTINGS = {
    'center crop': lambda c: 'yes' if 'CenterCrop' in str(c.test_dataloader.dataset) else 'no',
    'loss': lambda c: {'LabelSmoothLoss': 'softmax'}.get(c.model.head.loss.type),
    'epochs': lambda c: c.train_cfg.max_epochs,
    'batch size': lambda c: c.auto_scale_lr.base_batch_size,
    'optimizer': lambda c: c.optim_wrapper.optimizer.type,
    'learning rate': lambda c: c.optim_wrapper.optimizer.lr,
    'weight decay': lambda c: c.optim_wrapper.optimizer.weight_decay,
    'schedule': lambda c: {'CosineAnnealingLR': 'cosine'}.get(c.param_scheduler[-1].type),
    'gradient clip': lambda c: c.optim_wrapper.clip_grad.max_norm,
    'EMA decay': lambda c: 1 - next(h.momentum for h in c.custom_hooks if h.type == 'EMAHook'),
}


@dataclass(frozen=True)
class Entry:
    """A printed figure of one of our networks, our figure or None, and the status.

    `excluded_by` is the number of the contradiction that excludes the printed figure.
    """

    figure: Figure
    row: Row
    printed: str
    ours: float | str | None
    status: str
    excluded_by: int | None

    @property
    def direct(self) -> Mapping[str, str] | None:
        """Return the command and the data for a figure that needs no training, or None."""
        return self.row.direct.get(self.figure.column)


def entries_of(table: PaperTable, results: Path = Path()) -> list[Entry]:
    """Return the entries of a table for our networks.

    `results` is the folder in which the printed commands save the results of tools/test.py. Raises
    UserError if a result has too few images, or a network needs a library that is missing.
    """
    found = []
    for figure, printed, row in table.figures():
        if row is not None:
            value = _value(row, figure, results)
            within = table.within.get(figure.quantity, table.within['other'])
            excluded = row.excluded.get(figure.quantity)
            status = NOT_REPRODUCIBLE if excluded else _status(printed, value, within)
            found.append(Entry(figure, row, printed, value, status, excluded))
    return found


def _value(row: Row, figure: Figure, results: Path) -> float | str | None:
    if figure.table == 'VI':
        return _SETTINGS[figure.row](row.network.cfg)
    if figure.table == 'VIII':
        return _blocks_or_channels(row.network.cfg, int(figure.row[1]), figure.part)
    if figure.quantity not in ('parameters (M)', 'MACs (G)', 'image'):
        return _measured(row, figure, results)
    counts, (height, width) = row.network.counts
    if figure.quantity == 'image':
        return f'{width} x {height}'
    return counts[''].macs / 1e9 if figure.quantity == 'MACs (G)' else counts[''].parameters / 1e6


def _measured(row: Row, figure: Figure, results: Path) -> float | None:
    """Return the test result of the last command of a row, if the test used all images."""
    name = row.results.get(figure.quantity, row.results.get('', ''))
    path = results / row.network.work_dir / f'{Path(row.test_of(figure)).stem}.json'
    if not name or not path.is_file():
        return None
    content = json.loads(path.read_text(encoding='utf-8'))
    images = row.tests.get(figure.column, row.tests.get('', {})).get('images')
    if images not in (None, content['images']):
        raise UserError(f'{path} is a test on {content["images"]} images, not on {images}')
    name = name.format(column=figure.column, kind=row.kind)
    values = [value for key, value in content['metrics'].items() if fnmatch(key, name)]
    return row.factor * statistics.fmean(values) if values and None not in values else None


def _status(printed: str, ours: float | str | None, within: float) -> str:
    if ours is None:
        return NOT_RUN
    if isinstance(ours, str):
        close = ours == printed
    else:
        close = math.isclose(ours, float(printed), rel_tol=within / 100, abs_tol=1e-12)
    return REPRODUCED if close else NOT_REPRODUCED


def _blocks_or_channels(cfg: Config, stage: int, part: str) -> int:
    """Return the number of blocks or channels in a stage of the encoder; the stem is 0."""
    with device('meta'):
        encoder = MODELS.build(cfg.model.backbone)
    if stage:
        blocks, channels = len(encoder.stages[stage - 1].blocks), encoder.embed_dims[stage - 1]
    else:
        layers = [layer for layer in encoder.stem.modules() if isinstance(layer, nn.Conv2d)]
        blocks, channels = len(layers), layers[-1].out_channels
    return blocks if part == 'blocks' else channels
