"""What this implementation counts, is set to or has measured, for each printed figure."""

import importlib.util
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

from dualattn_mm.apis.complexity import Complexity, complexity_of_config
from dualattn_mm.engine.run import read_config
from dualattn_mm.utils.errors import UserError

from .paper import Figure, PaperTable, Row

ROOT = Path(__file__).resolve().parents[2]
REPRODUCED = 'reproduced'
NOT_REPRODUCED = 'not reproduced'  # further off than the tolerance
NOT_REPRODUCIBLE = 'not reproducible'  # another printed figure excludes it
NOT_RUN = 'not run'
STATUSES = (REPRODUCED, NOT_REPRODUCED, NOT_REPRODUCIBLE, NOT_RUN)

# The rows of Table VI in a config of mmpretrain.
_SETTINGS = {
    'center crop': lambda c: (
        'yes' if any(t.type == 'CenterCrop' for t in c.test_dataloader.dataset.pipeline) else 'no'
    ),
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
    """A printed figure of a network of ours, ours (None if there is none), and the status."""

    figure: Figure
    row: Row
    printed: str
    ours: float | str | None
    status: str

    @property
    def direct(self) -> Mapping[str, str] | None:
        """The command and the data that give the figure without training, if it needs none."""
        return self.row.direct.get(self.figure.column)

    @property
    def excluded_by(self) -> int | None:
        """The number of the contradiction that excludes the printed figure."""
        return self.row.excluded.get(self.figure.quantity)


class Ours:
    """Counts networks, reads configs and looks up results.

    Args:
        results: the folder in which the printed commands leave the results of tools/test.py.

    Raises:
        UserError: by its methods, if a library that a network needs is not installed.
    """

    def __init__(self, results: Path = Path()) -> None:
        self.results = results
        self._configs: dict[str, Config] = {}
        self._counts: dict[str, tuple[Mapping[str, Complexity], tuple[int, int]]] = {}

    def entries(self, table: PaperTable) -> list[Entry]:
        """The figures of a table that are of a network of ours."""
        found = []
        for figure, printed, row in table.figures():
            if row is not None:
                value = self._value(row, figure)
                status = _status(table, figure, row, printed, value)
                found.append(Entry(figure, row, printed, value, status))
        return found

    def config(self, row: Row) -> Config:
        """The config of a network."""
        if row.work_dir not in self._configs:
            needed = {Path(row.config).parent.name} - {'mmagic'}  # a colorizer needs none
            if any('mmpretrain' in str(v) or 'GLH' in str(v) for v in row.options.values()):
                needed.add('mmpretrain')
            for name in needed:
                if importlib.util.find_spec(name) is None:
                    raise UserError(f'{row.config} needs {name}: see the README, or use --table')
            cfg = read_config(str(ROOT / row.config), row.options)
            if cfg.model.type == 'Colorizer':
                cfg.default_scope = None
            self._configs[row.work_dir] = cfg
        return self._configs[row.work_dir]

    def counts(self, row: Row) -> tuple[Mapping[str, Complexity], tuple[int, int]]:
        """Parameters and MACs by the names of the modules ('' for all), and the image's (H, W)."""
        if row.work_dir not in self._counts:
            self._counts[row.work_dir] = complexity_of_config(self.config(row))
        return self._counts[row.work_dir]

    def _value(self, row: Row, figure: Figure) -> float | str | None:
        if figure.table == 'VI':
            return _SETTINGS[figure.row](self.config(row))
        if figure.table == 'VIII':
            return _blocks_or_channels(self.config(row), int(figure.row[1]), figure.part)
        if figure.quantity == 'parameters (M)':
            return self.counts(row)[0][''].parameters / 1e6
        if figure.quantity == 'MACs (G)':
            return self.counts(row)[0][''].macs / 1e9
        if figure.quantity == 'image':
            height, width = self.counts(row)[1]
            return f'{width} x {height}'
        return self._measured(row, figure)

    def _measured(self, row: Row, figure: Figure) -> float | None:
        """The result of the test that the row's command ends with, if it saw all images."""
        name = row.results.get(figure.quantity, row.results.get('', ''))
        path = self.results / row.work_dir / f'{Path(row.test_of(figure)).stem}.json'
        if not name or not path.is_file():
            return None
        content = json.loads(path.read_text(encoding='utf-8'))
        images = row.tests.get(figure.column, row.tests.get('', {})).get('images')
        if images not in (None, content['images']):
            raise UserError(f'{path} is of {content["images"]} images, not of {images}')
        name = name.format(column=figure.column, kind=row.kind)
        values = [value for key, value in content['metrics'].items() if fnmatch(key, name)]
        return row.factor * statistics.fmean(values) if values and None not in values else None


def _status(
    table: PaperTable, figure: Figure, row: Row, printed: str, ours: float | str | None
) -> str:
    if figure.quantity in row.excluded:
        return NOT_REPRODUCIBLE
    if ours is None:
        return NOT_RUN
    if isinstance(ours, str):
        return REPRODUCED if ours == printed else NOT_REPRODUCED
    within = table.within.get(figure.quantity, table.within['other'])
    close = math.isclose(ours, float(printed), rel_tol=within / 100, abs_tol=1e-12)
    return REPRODUCED if close else NOT_REPRODUCED


def _blocks_or_channels(cfg: Config, stage: int, part: str) -> int:
    """Of a stage of the encoder; the stem is 0."""
    with device('meta'):
        encoder = MODELS.build(cfg.model.backbone)
    if stage:
        blocks, channels = len(encoder.stages[stage - 1].blocks), encoder.embed_dims[stage - 1]
    else:
        layers = [layer for layer in encoder.stem.modules() if isinstance(layer, nn.Conv2d)]
        blocks, channels = len(layers), layers[-1].out_channels
    return blocks if part == 'blocks' else channels
