"""Set custom classes in mmdet configs with one option, and check COCO data before training.

mmdet itself silently drops annotations of unknown classes, numbers labels in the order of the file
regardless of the order of the class names, and notices a missing image only when it reads it.
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mmengine.config import Config
from mmengine.registry import DefaultScope, Registry
from PIL import Image

from ...utils.errors import RunError, first_line, shortened
from ...utils.terminal import print_line
from ..leaves import iter_leaf_datasets, named_metrics, on_local_disk, selected

LOADERS = dict(train=('train', 'val'), test=('test',))  # the data loaders of each task
_OPENED = 8  # number of images whose size is compared with the annotation file
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)  # the EXIF tag, and its values that swap the sides
_KEYS = dict(
    images=('id', 'file_name', 'width', 'height'),
    annotations=('id', 'image_id', 'category_id', 'bbox', 'area'),
    categories=('id', 'name'),
)
_UNREAD = dict(lazy_init=True, pipeline=[])  # only paths and names
# Their num_classes is not the number of classes of objects: 1, or the number of kinds of surfaces.
_OTHER_HEADS = ('rpn_head', 'semantic_head')


def use_classes(cfg: Config) -> None:
    """Set the class names of `cfg.classes` and their number wherever an mmdet config needs them.

    Args:
        cfg: the config, modified in place: the metainfo of the datasets and `num_classes` of every
            head that classifies objects.
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
    """Find problems in COCO data that would stop a run or silently make its results wrong.

    It checks that every image exists and opens a few of them. Problems that do not prevent training
    are printed as warnings.

    Args:
        cfg: a config of any library; only mmdet's CocoDataset and CocoMetric on the local disk are
            checked.
        task: 'train' or 'test'.

    Raises:
        RunError: if something is wrong; the message says what to do.
    """
    if cfg.get('default_scope') != 'mmdet':
        return
    for loader in LOADERS[task]:
        described = (cfg.get(f'{loader}_dataloader') or {}).get('dataset')
        files = [_checked_file(cfg, part, loader) for part in iter_leaf_datasets(described)]
        if loader != 'train' and files and None not in files:
            for _, metric in named_metrics(cfg, loader):
                _check_metric(metric, files, loader)


def _checked_file(cfg: Config, described: Mapping[str, Any], loader: str) -> '_CocoFile | None':
    """Check the annotation file of a dataset; None unless it is a CocoDataset on the local disk."""
    from mmdet.datasets import CocoDataset
    from mmdet.registry import DATASETS

    if class_of(described, DATASETS) is not CocoDataset:
        return None
    dataset = DATASETS.build(dict(described, **_UNREAD))
    if not on_local_disk(described) or '://' in dataset.ann_file:
        return None
    trained_on = loader == 'train'
    file = _CocoFile(Path(dataset.ann_file), dataset.metainfo['classes'], trained_on, described)
    file.check_images(Path(dataset.data_prefix['img']))
    masks = any(step.get('with_mask') for step in file.pipeline)
    if trained_on:
        file.check_objects(masks)
    elif masks:
        file.require_masks(
            f'the pipeline of {loader}_dataloader loads: set with_mask=False in its '
            f'LoadAnnotations, and {loader}_evaluator.metric=bbox'
        )
    for head in _heads(cfg.get('model')):
        if head['num_classes'] < len(file.classes):
            raise file.error(
                f'{len(file.classes)} classes, but the model has a head for '
                f'{head["num_classes"]}: set the class names with the option classes'
            )
    return file


def class_of(described: Mapping[str, Any], registry: Registry) -> type | None:
    """Return the class that the `type` of a config names or is; None if it is unknown."""
    kind = described.get('type')
    return registry.get(kind) if isinstance(kind, str) else kind


def _check_metric(metric: Mapping[str, Any], files: Sequence['_CocoFile'], loader: str) -> None:
    """Check the annotation file of a CocoMetric before the run.

    With a wrong file, mmdet fails after the first epoch with an AssertionError or a KeyError, or it
    counts the objects in images that it never saw as missed.
    """
    from mmdet.evaluation import CocoMetric
    from mmdet.registry import METRICS

    if class_of(metric, METRICS) is not CocoMetric:
        return
    path = metric.get('ann_file')
    if path is None:
        for file in files:
            file.require_packed_objects(loader)
        return
    if not on_local_disk(metric) or '://' in path:
        return
    truth = next((file for file in files if file.path.resolve() == Path(path).resolve()), None)
    truth = truth or _CocoFile(Path(path), files[0].classes)
    read = {name for file in files for name in file.names(file.dataset.get('indices'))}
    listed = truth.names()
    if read != listed:
        raise truth.error(
            f'{loader}_evaluator.ann_file lists {len(listed)} images and {loader}_dataloader reads '
            f'{len(read)}; {len(read & listed)} have the same id and name: both must have '
            'the same images'
        )
    if metric.get('format_only'):
        return
    truth.require_iscrowd()
    kinds = metric.get('metric', 'bbox')
    if 'segm' in ([kinds] if isinstance(kinds, str) else kinds):
        truth.require_masks(f'the metric segm needs: set {loader}_evaluator.metric=bbox')
        truth.require_polygons()


class _CocoFile:
    """An annotation file whose format and categories are checked when it is read.

    Args:
        path: the file.
        classes: the class names.
        trained_on: whether it must have a list of annotations; COCO's own test files have none.
        dataset: the config of the dataset that reads it.
    """

    def __init__(
        self,
        path: Path,
        classes: Sequence[str],
        trained_on: bool = False,
        dataset: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.path = path
        self.classes = classes
        self.trained_on = trained_on
        self.dataset = dataset
        self.pipeline = dataset.get('pipeline') or ()
        self.images, self.annotations, self.categories = self._read()
        self._check_categories()

    def error(self, text: str) -> RunError:
        return RunError(f'{self.path}: {text}')

    def _warn(self, text: str) -> None:
        print_line(f'warning: {self.path}: {text}')

    def _read(self) -> tuple[list[dict], list[dict], list[dict]]:
        if not self.path.is_file():
            raise RunError(f'annotation file {self.path} does not exist')
        try:
            # From bytes, json also reads UTF-16 and a BOM, but pycocotools does not.
            content = json.loads(self.path.read_text(encoding='utf-8'))
        except ValueError as error:
            raise self.error(f'the file is not valid JSON in UTF-8 ({error})') from None
        if not isinstance(content, dict):
            raise self.error('not in COCO format, which is a dict with images and annotations')
        if not self.trained_on:
            content.setdefault('annotations', [])
        for part, keys in _KEYS.items():
            rows = content.get(part)
            if not isinstance(rows, list):
                raise self.error(f'not in COCO format: it has no list of {part}')
            self._require(part, rows, 'are not dicts', lambda row: isinstance(row, dict))
            for key in keys:
                self._require(part, rows, f'have no {key}', partial(_has, key))
            ids = {row['id'] for row in rows}
            if len(ids) < len(rows):
                raise self.error(f'{len(rows) - len(ids)} of {len(rows)} {part} repeat an id')
        self._check_boxes(content['images'], content['annotations'])
        return tuple(content[part] for part in _KEYS)

    def _check_boxes(self, images: list[dict], annotations: list[dict]) -> None:
        listed = {image['id'] for image in images}
        read = [a for a in annotations if a['image_id'] in listed and not a.get('ignore')]
        self._require('annotations', read, 'have a bbox that is not four numbers', _has_box)
        if self.trained_on:  # mmdet skips the others before it reads their area
            sizes = {image['id']: (image['width'], image['height']) for image in images}
            read = [a for a in read if _overlaps(a['bbox'], sizes[a['image_id']])]
        self._require(
            'annotations',
            read,
            'have an area that is not a number',
            lambda a: _is_number(a['area']),
        )

    def _require(
        self, part: str, rows: Sequence[Any], fault: str, fits: Callable[[Any], bool]
    ) -> None:
        wrong = sum(not fits(row) for row in rows)
        if wrong:
            raise self.error(f'{wrong} of {len(rows)} {part} {fault}')

    def _check_categories(self) -> None:
        names = [category['name'] for category in self.categories]
        missing = [name for name in self.classes if name not in names]
        if missing:
            raise self.error(
                f'no category for {len(missing)} of {len(self.classes)} classes '
                f'({shortened(missing)}); its categories are {shortened(names)}: set the class '
                'names with the option classes'
            )
        # mmdet assigns labels in the order of the file.
        if [name for name in names if name in self.classes] != list(self.classes):
            raise self.error(
                'its categories and the option classes have different orders: use that of the file'
            )

    def check_images(self, folder: Path) -> None:
        # mmengine selects after mmdet has filtered, so any image of a filtered file can be chosen.
        filtered = self.trained_on and self.dataset.get('filter_cfg')
        indices = None if filtered else self.dataset.get('indices')
        images = selected(self.images, indices)
        if not images:
            raise self.error('it lists no images')
        if not all(map(on_local_disk, self.pipeline)):
            return
        paths = [folder / image['file_name'] for image in images]
        missing = [path.name for path in paths if not path.is_file()]
        if missing and len(missing) == len(paths):
            raise self.error(
                f'none of its {len(paths)} images are in {folder}: {shortened(missing)}'
            )
        if missing:
            raise self.error(
                f'{len(missing)} of its {len(paths)} images are not in {folder}: '
                f'{shortened(missing)}'
            )
        load = _image_loader(self.pipeline)
        step = max(1, len(paths) // _OPENED)
        for path, image in list(zip(paths, images, strict=True))[::step] if load else ():
            try:
                height, width = load(dict(img_path=str(path)))['img'].shape[:2]
            except Exception as error:  # decoders fail in many ways
                if self.trained_on:  # DamagedImagesHook replaces unreadable images
                    continue
                raise self.error(f'{path} cannot be read ({first_line(error)})') from None
            said = image['width'], image['height']
            if said != (width, height):
                raise self.error(size_difference(path, said, (width, height)))

    def names(self, indices: int | Sequence[int] | None = None) -> set[tuple[int, str]]:
        """Return the id and file name of the images that mmengine's option `indices` selects."""
        images = selected(self.images, indices)
        return {(image['id'], Path(image['file_name']).name) for image in images}

    def require_packed_objects(self, loader: str) -> None:
        """Check that the pipeline passes the objects to a metric that has no annotation file."""
        from mmdet.datasets.transforms import PackDetInputs
        from mmdet.registry import TRANSFORMS

        packs = [step for step in self.pipeline if class_of(step, TRANSFORMS) is PackDetInputs]
        if packs and not any('instances' in step.get('meta_keys', ()) for step in packs):
            raise RunError(
                f'{loader}_evaluator has no ann_file: set {loader}_evaluator.ann_file={self.path}, '
                f"or add 'instances' to meta_keys of PackDetInputs in {loader}_dataloader"
            )

    def require_iscrowd(self) -> None:
        objects = self._known_objects()
        without = sum('iscrowd' not in a for a in objects)
        if without:
            raise self.error(
                f'{without} of {len(objects)} objects have no iscrowd, which the evaluation needs: '
                'add "iscrowd": 0 to each'
            )

    def require_masks(self, why: str) -> None:
        objects = self._known_objects()
        without = sum(not a.get('segmentation') for a in objects)
        if without:
            raise self.error(
                f'{without} of {len(objects)} objects have no segmentation, which {why}'
            )

    def require_polygons(self) -> None:
        """Check the masks that pycocotools converts, which fails on some that mmdet ignores."""
        self._require(
            'objects',
            self._known_objects(),
            'have a segmentation that is neither polygons of three or more points nor RLE, which '
            'the metric segm needs',
            lambda a: _is_mask(a['segmentation']),
        )

    def _known_objects(self) -> list[dict]:
        """Return the annotations for listed images and known classes."""
        listed = {image['id'] for image in self.images}
        wanted = {c['id'] for c in self.categories if c['name'] in self.classes}
        return [
            a for a in self.annotations if a['image_id'] in listed and a['category_id'] in wanted
        ]

    def check_objects(self, masks: bool) -> None:
        """Check the objects: mmdet ignores unusable ones and fails if none is left."""
        sizes = {image['id']: (image['width'], image['height']) for image in self.images}
        known = sum(a['image_id'] in sizes for a in self.annotations)
        of_classes = self._known_objects()
        named = [a for a in of_classes if not a.get('ignore')]
        used = [a for a in named if _inside(a, sizes[a['image_id']])]
        counts = {
            'for images that are not listed': len(self.annotations) - known,
            'of other classes': known - len(of_classes),
            'to be ignored': len(of_classes) - len(named),
            'without area inside their image': len(named) - len(used),
        }
        left_out = ', '.join(f'{count} {what}' for what, count in counts.items() if count)
        total = len(self.annotations)
        if not used:
            why = f': {left_out}' if left_out else ''
            raise self.error(f'none of the {total} annotations can be used for training{why}')
        if left_out:
            self._warn(f'some of the {total} annotations are ignored: {left_out}')
        empty = len(sizes) - len({a['image_id'] for a in used})
        if empty:
            self._warn(f'{empty} of {len(sizes)} images have no objects')
        without = sum(not a.get('segmentation') for a in used)
        if masks and without:
            raise self.error(
                f'{without} of {len(used)} objects have no segmentation, which is needed to train '
                'a detector with masks'
            )


def size_difference(path: Path, said: tuple[int, int], read: tuple[int, int]) -> str:
    """Describe how the size of an image differs from its annotation, and what to do about it.

    Args:
        path: the image.
        said: width and height in the annotations.
        read: width and height of the image as the pipeline reads it.
    """
    text = (
        f'{path} is {said[0]} x {said[1]} in the annotations, but the pipeline reads {read[0]} x '
        f'{read[1]}: '
    )
    with contextlib.suppress(OSError), Image.open(path) as image:
        if image.getexif().get(_ORIENTATION) in _TURNED and read == said[::-1]:
            ignored = image.size == said
            kind = 'color_ignore_orientation' if ignored else 'color'
            before = 'before' if ignored else 'after'
            return (
                f'{text}the annotations describe the image {before} its EXIF orientation is '
                f"applied; set color_type='{kind}' in LoadImageFromFile of every pipeline"
            )
    return f'{text}the annotations do not match the images'


def _image_loader(pipeline: Sequence[Mapping[str, Any]]) -> Callable[[dict], dict] | None:
    """Build the transform that reads images, which may apply EXIF orientation; None if unknown."""
    from mmcv.transforms import LoadImageFromFile
    from mmdet.registry import TRANSFORMS

    for step in pipeline:
        kind = class_of(step, TRANSFORMS)
        if isinstance(kind, type) and issubclass(kind, LoadImageFromFile):
            return TRANSFORMS.build(step)
    return None


def _has(key: str, row: Mapping[str, Any]) -> bool:
    return key in row


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _has_box(annotation: Mapping[str, Any]) -> bool:
    box = annotation['bbox']
    return isinstance(box, list) and len(box) == 4 and all(map(_is_number, box))


def _is_mask(segmentation: Any) -> bool:
    """Return whether pycocotools can convert a mask; it looks at the first part of a list."""
    if not isinstance(segmentation, list):
        return isinstance(segmentation, dict) and 'counts' in segmentation
    first = segmentation[0]
    return isinstance(first, dict) or (isinstance(first, list) and len(first) > 4)


def _inside(annotation: Mapping[str, Any], size: tuple[int, int]) -> bool:
    """Return whether mmdet uses an annotation.

    It needs an area, and a box of at least one pixel that overlaps the image.
    """
    _, _, width, height = annotation['bbox']
    overlap = _overlaps(annotation['bbox'], size)
    return overlap and annotation['area'] > 0 and width >= 1 and height >= 1


def _overlaps(box: Sequence[float], size: tuple[int, int]) -> bool:
    x, y, width, height = box
    return min(x + width, size[0]) > max(x, 0) and min(y + height, size[1]) > max(y, 0)


def _heads(part: Any, name: str = '') -> Iterator[dict]:
    """Yield the configs of all heads in a model config that have the `num_classes` of objects."""
    if isinstance(part, Mapping):
        if name.endswith('head') and name not in _OTHER_HEADS and 'num_classes' in part:
            yield part
        for key, inner in part.items():
            yield from _heads(inner, key)
    elif isinstance(part, list | tuple):
        for inner in part:
            yield from _heads(inner, name)
