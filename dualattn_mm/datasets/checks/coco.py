"""COCO data of mmdet's configs: custom classes by one option, and checks before training.

mmdet itself drops annotations of classes it does not know, numbers labels in the file's order
whatever the order of the names is, and notices a missing image only when it reads it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image

from ...utils.errors import RunError, shortened
from ...utils.terminal import print_line

if TYPE_CHECKING:
    from mmdet.datasets import CocoDataset

LOADERS = dict(train=('train', 'val'), test=('test',))  # what a task reads
_OPENED = 8  # images whose size is compared with the file's
_KEYS = dict(
    images=('id', 'file_name', 'width', 'height'),
    annotations=('id', 'image_id', 'category_id', 'bbox', 'area'),
    categories=('id', 'name'),
)
_UNREAD = dict(lazy_init=True, pipeline=[])  # paths and names alone


def use_classes(cfg: Config) -> None:
    """Put the names of `cfg.classes`, or their number, wherever a config of mmdet needs them.

    Args:
        cfg: is changed: the data sets' metainfo, `num_classes` of every head.
    """
    if cfg.get('default_scope') != 'mmdet' or not cfg.get('classes'):
        return
    given = cfg.classes
    names = tuple(map(str, [given] if isinstance(given, str) else given))
    for loader in ('train', 'val', 'test'):
        for dataset in iter_leaf_datasets((cfg.get(f'{loader}_dataloader') or {}).get('dataset')):
            dataset['metainfo'] = dict(dataset.get('metainfo') or {}, classes=names)
    for head in _heads(cfg.get('model')):
        head['num_classes'] = len(names)


@DefaultScope.overwrite_default_scope('mmdet')
def check(cfg: Config, task: str) -> None:
    """Find what would stop a training or test on COCO data, or silently make it wrong.

    Prints a warning if training can go on. Looks for every image, and opens few of them.

    Args:
        cfg: of any library; only mmdet's CocoDataset on the local disk is checked.
        task: 'train' or 'test'.

    Raises:
        RunError: if something is wrong; the message says what to do.
    """
    if cfg.get('default_scope') != 'mmdet':
        return
    from mmdet.datasets import CocoDataset
    from mmdet.registry import DATASETS

    for loader in LOADERS[task]:
        for described in iter_leaf_datasets((cfg.get(f'{loader}_dataloader') or {}).get('dataset')):
            kind = described.get('type')
            if (DATASETS.get(kind) if isinstance(kind, str) else kind) is not CocoDataset:
                continue
            dataset = DATASETS.build(dict(described, **_UNREAD))
            if '://' in dataset.ann_file:
                continue
            masks = any(step.get('with_mask') for step in described.get('pipeline', ()))
            file = _CocoFile(dataset, trained_on=loader == 'train', masks=masks)
            for head in _heads(cfg.get('model')):
                if head['num_classes'] < len(file.classes):
                    raise file.error(
                        f'{len(file.classes)} classes, and the model has a head for '
                        f'{head["num_classes"]}: name them by the option classes'
                    )


def iter_leaf_datasets(dataset: Any) -> Iterator[dict]:
    """The data sets within RepeatDataset, ConcatDataset, MultiImageMixDataset, ..."""
    if not isinstance(dataset, Mapping):
        return
    inner = dataset.get('datasets') or [dataset.get('dataset')]
    if inner == [None]:
        yield dataset
    for part in inner:
        yield from iter_leaf_datasets(part)


class _CocoFile:
    """An annotation file, checked.

    Args:
        dataset: knows the paths and the names of the classes; not read.
        trained_on: whether there must be something to learn.
        masks: whether every object needs a mask.
    """

    def __init__(self, dataset: 'CocoDataset', trained_on: bool, masks: bool) -> None:
        self.path = Path(dataset.ann_file)
        self.folder = Path(dataset.data_prefix['img'])
        self.classes: Sequence[str] = dataset.metainfo['classes']
        self.images, self.annotations, self.categories = self._read(trained_on)
        self._check_categories()
        self._check_files()
        if trained_on:
            self._check_objects(masks)

    def error(self, text: str) -> RunError:
        return RunError(f'{self.path}: {text}')

    def _warn(self, text: str) -> None:
        print_line(f'warning: {self.path}: {text}')

    def _read(self, trained_on: bool) -> tuple[list[dict], list[dict], list[dict]]:
        if not self.path.is_file():
            raise RunError(f'no annotation file {self.path}')
        try:
            content = json.loads(self.path.read_bytes())
        except ValueError as error:
            raise self.error(f'this is no JSON ({error})') from None
        if not isinstance(content, dict):
            raise self.error("this is not COCO's format, a dict of images and annotations")
        if not trained_on:  # COCO's own test files have none
            content.setdefault('annotations', [])
        for part, keys in _KEYS.items():
            rows = content.get(part)
            if not isinstance(rows, list):
                raise self.error(f"this is not COCO's format: it has no list of {part}")
            for key in keys:
                without = sum(key not in row for row in rows)
                if without:
                    raise self.error(f'{without} of {len(rows)} {part} have no {key}')
            ids = {row['id'] for row in rows}
            if len(ids) < len(rows):
                raise self.error(f'{len(rows) - len(ids)} of {len(rows)} {part} repeat an id')
        return tuple(content[part] for part in _KEYS)

    def _check_categories(self) -> None:
        names = [category['name'] for category in self.categories]
        missing = [name for name in self.classes if name not in names]
        if missing:
            raise self.error(
                f'no category for {len(missing)} of {len(self.classes)} classes '
                f'({shortened(missing)}); its categories are {shortened(names)}: name the classes '
                'by the option classes'
            )
        # mmdet gives labels in the file's order.
        if [name for name in names if name in self.classes] != list(self.classes):
            raise self.error(
                'categories come in another order than classes: use the order of the file'
            )

    def _check_files(self) -> None:
        if not self.images:
            raise self.error('it lists no images')
        paths = [self.folder / image['file_name'] for image in self.images]
        missing = [path.name for path in paths if not path.is_file()]
        if missing and len(missing) == len(paths):
            raise self.error(
                f'none of its {len(paths)} images is in {self.folder}: {shortened(missing)}'
            )
        if missing:
            raise self.error(
                f'{len(missing)} of its {len(paths)} images are not in {self.folder}: '
                f'{shortened(missing)}'
            )
        step = max(1, len(paths) // _OPENED)
        for path, image in list(zip(paths, self.images, strict=True))[::step]:
            said = image['width'], image['height']
            try:
                with Image.open(path) as opened:
                    size = opened.size
            except OSError:
                continue  # reading it is the pipeline's part
            if size not in (said, said[::-1]):  # turned by its EXIF orientation
                raise self.error(
                    f'it does not fit the images: {image["file_name"]} is {said[0]} x {said[1]} '
                    f'there, and {size[0]} x {size[1]} in {self.folder}'
                )

    def _check_objects(self, masks: bool) -> None:
        """mmdet leaves out every object it cannot learn from, and fails if none is left."""
        sizes = {image['id']: (image['width'], image['height']) for image in self.images}
        wanted = {c['id'] for c in self.categories if c['name'] in self.classes}
        known = [a for a in self.annotations if a['image_id'] in sizes]
        named = [a for a in known if a['category_id'] in wanted]
        used = [a for a in named if _inside(a, sizes[a['image_id']])]
        counts = {
            'of images that it does not list': len(self.annotations) - len(known),
            'of other classes': len(known) - len(named),
            'without area in their image': len(named) - len(used),
        }
        left_out = ', '.join(f'{count} {what}' for what, count in counts.items() if count)
        total = len(self.annotations)
        if not used:
            why = f': {left_out}' if left_out else ''
            raise self.error(f'nothing to train on among {total} annotations{why}')
        if left_out:
            self._warn(f'of {total} annotations are left out: {left_out}')
        empty = len(sizes) - len({a['image_id'] for a in used})
        if empty:
            self._warn(f'{empty} of {len(sizes)} images have no objects')
        without = sum(not a.get('segmentation') for a in used)
        if masks and without:
            raise self.error(
                f'{without} of {len(used)} objects have no segmentation, which a detector with '
                'masks is trained on'
            )


def _inside(annotation: Mapping[str, Any], size: tuple[int, int]) -> bool:
    """Whether mmdet takes it: an area, and a box of at least a pixel that meets the image."""
    x, y, width, height = annotation['bbox']
    overlap = min(x + width, size[0]) > max(x, 0) and min(y + height, size[1]) > max(y, 0)
    return overlap and annotation['area'] > 0 and width >= 1 and height >= 1


def _heads(part: Any, name: str = '') -> Iterator[dict]:
    """All descriptions of heads within a model's that have a number of classes."""
    if isinstance(part, Mapping):
        if name.endswith('head') and 'num_classes' in part:
            yield part
        for key, inner in part.items():
            yield from _heads(inner, key)
    elif isinstance(part, list | tuple):
        for inner in part:
            yield from _heads(inner, name)
