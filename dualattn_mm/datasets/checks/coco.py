"""COCO data of mmdet's configs: custom classes by one option, and checks before training.

mmdet itself drops annotations of classes it does not know, numbers labels in the file's order
whatever the order of the names is, and notices a missing image only when it reads it.
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mmengine.config import Config
from mmengine.registry import DefaultScope, Registry
from PIL import Image

from ...utils.errors import RunError, shortened
from ...utils.terminal import print_line
from ..leaves import iter_leaf_datasets

LOADERS = dict(train=('train', 'val'), test=('test',))  # what a task reads
_OPENED = 8  # images whose size is compared with the file's
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)  # EXIF's tag, and its values that swap the sides
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
        cfg: of any library; only mmdet's CocoDataset and CocoMetric on the local disk are checked.
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
            for metric in _coco_metrics(cfg, loader):
                _check_metric(metric, files, loader)


def _checked_file(cfg: Config, described: Mapping[str, Any], loader: str) -> '_CocoFile | None':
    """The annotation file of a data set; None unless it is a CocoDataset on the local disk."""
    from mmdet.datasets import CocoDataset
    from mmdet.registry import DATASETS

    if _class_of(described, DATASETS) is not CocoDataset:
        return None
    dataset = DATASETS.build(dict(described, **_UNREAD))
    if '://' in dataset.ann_file:
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
                f'{len(file.classes)} classes, and the model has a head for '
                f'{head["num_classes"]}: name them by the option classes'
            )
    return file


def _class_of(described: Mapping[str, Any], registry: Registry) -> type | None:
    kind = described.get('type')
    return registry.get(kind) if isinstance(kind, str) else kind


def _coco_metrics(cfg: Config, loader: str) -> Iterator[Mapping[str, Any]]:
    from mmdet.evaluation import CocoMetric
    from mmdet.registry import METRICS

    evaluator = cfg.get(f'{loader}_evaluator') or []
    for metric in evaluator if isinstance(evaluator, list | tuple) else [evaluator]:
        if _class_of(metric, METRICS) is CocoMetric:
            yield metric


def _check_metric(metric: Mapping[str, Any], files: Sequence['_CocoFile'], loader: str) -> None:
    """mmdet fails after the first epoch by an AssertionError or a KeyError, or counts the objects
    of images that it never saw as missed.
    """
    path = metric.get('ann_file')
    if path is None:
        for file in files:
            file.require_packed_objects(loader)
        return
    if '://' in path:
        return
    truth = next((file for file in files if file.path.resolve() == Path(path).resolve()), None)
    truth = truth or _CocoFile(Path(path), files[0].classes)
    read = {name for file in files for name in file.names(file.dataset.get('indices'))}
    listed = truth.names()
    if read != listed:
        raise truth.error(
            f'{loader}_evaluator.ann_file lists {len(listed)} images and {loader}_dataloader reads '
            f'{len(read)}; {len(read & listed)} have the same id and name: both must name the same '
            'images'
        )
    if metric.get('format_only'):
        return
    truth.require_iscrowd()
    kinds = metric.get('metric', 'bbox')
    if 'segm' in ([kinds] if isinstance(kinds, str) else kinds):
        truth.require_masks(f'the metric segm needs: set {loader}_evaluator.metric=bbox')


class _CocoFile:
    """An annotation file, whose format and categories are checked when it is read.

    Args:
        path: the file.
        classes: the names of the classes.
        with_objects: whether it must have a list of annotations; COCO's own test files have none.
        dataset: what the config says of the data set that reads it.
    """

    def __init__(
        self,
        path: Path,
        classes: Sequence[str],
        with_objects: bool = False,
        dataset: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.path = path
        self.classes = classes
        self.dataset = dataset
        self.pipeline = dataset.get('pipeline') or ()
        self.images, self.annotations, self.categories = self._read(with_objects)
        self._check_categories()

    def error(self, text: str) -> RunError:
        return RunError(f'{self.path}: {text}')

    def _warn(self, text: str) -> None:
        print_line(f'warning: {self.path}: {text}')

    def _read(self, with_objects: bool) -> tuple[list[dict], list[dict], list[dict]]:
        if not self.path.is_file():
            raise RunError(f'no annotation file {self.path}')
        try:
            content = json.loads(self.path.read_bytes())
        except ValueError as error:
            raise self.error(f'this is no JSON ({error})') from None
        if not isinstance(content, dict):
            raise self.error("this is not COCO's format, a dict of images and annotations")
        if not with_objects:
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

    def check_images(self, folder: Path) -> None:
        if not self.images:
            raise self.error('it lists no images')
        paths = [folder / image['file_name'] for image in self.images]
        missing = [path.name for path in paths if not path.is_file()]
        if missing and len(missing) == len(paths):
            raise self.error(
                f'none of its {len(paths)} images is in {folder}: {shortened(missing)}'
            )
        if missing:
            raise self.error(
                f'{len(missing)} of its {len(paths)} images are not in {folder}: '
                f'{shortened(missing)}'
            )
        load = _image_loader(self.pipeline)
        step = max(1, len(paths) // _OPENED)
        for path, image in list(zip(paths, self.images, strict=True))[::step] if load else ():
            try:
                height, width = load(dict(img_path=str(path)))['img'].shape[:2]
            except Exception:  # what decodes images fails in many ways; training names the file
                continue
            said = image['width'], image['height']
            if said != (width, height):
                raise self.error(size_difference(path, said, (width, height)))

    def names(self, indices: int | Sequence[int] | None = None) -> set[tuple[int, str]]:
        """Id and file name of the images; those that the option `indices` of mmengine selects."""
        images = self.images
        if isinstance(indices, int):
            images = images[:indices] if indices >= 0 else images[indices:]
        elif indices is not None:
            images = [images[i] for i in indices]
        return {(image['id'], Path(image['file_name']).name) for image in images}

    def require_packed_objects(self, loader: str) -> None:
        """Refuse a pipeline that does not hand on the objects to a metric without a file."""
        from mmdet.datasets.transforms import PackDetInputs
        from mmdet.registry import TRANSFORMS

        packs = [step for step in self.pipeline if _class_of(step, TRANSFORMS) is PackDetInputs]
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

    def _known_objects(self) -> list[dict]:
        """Annotations of its own images and of the classes."""
        listed = {image['id'] for image in self.images}
        wanted = {c['id'] for c in self.categories if c['name'] in self.classes}
        return [
            a for a in self.annotations if a['image_id'] in listed and a['category_id'] in wanted
        ]

    def check_objects(self, masks: bool) -> None:
        """mmdet leaves out every object it cannot learn from, and fails if none is left."""
        sizes = {image['id']: (image['width'], image['height']) for image in self.images}
        known = sum(a['image_id'] in sizes for a in self.annotations)
        named = self._known_objects()
        used = [a for a in named if _inside(a, sizes[a['image_id']])]
        counts = {
            'of images that it does not list': len(self.annotations) - known,
            'of other classes': known - len(named),
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


def size_difference(path: Path, said: tuple[int, int], read: tuple[int, int]) -> str:
    """How an image differs from its size in the annotations, and what to do about it.

    Args:
        path: the image.
        said: width and height in the annotations.
        read: width and height as the pipeline reads it.
    """
    text = (
        f'{path} is {said[0]} x {said[1]} in the annotations, and {read[0]} x {read[1]} as it is '
        'read: '
    )
    with contextlib.suppress(OSError), Image.open(path) as image:
        if image.getexif().get(_ORIENTATION) in _TURNED and read == said[::-1]:
            ignored = image.size == said
            kind = 'color_ignore_orientation' if ignored else 'color'
            before = 'before' if ignored else 'after'
            return (
                f'{text}the annotations are of the image {before} the turn that its EXIF '
                f"orientation asks for; set color_type='{kind}' in LoadImageFromFile of every "
                'pipeline'
            )
    return f'{text}the annotations do not fit the images'


def _image_loader(pipeline: Sequence[Mapping[str, Any]]) -> Callable[[dict], dict] | None:
    """What reads the images, which turns them by their EXIF orientation or not; None if unknown."""
    from mmcv.transforms import LoadImageFromFile
    from mmdet.registry import TRANSFORMS

    for step in pipeline:
        kind = _class_of(step, TRANSFORMS)
        if isinstance(kind, type) and issubclass(kind, LoadImageFromFile):
            return TRANSFORMS.build(step)
    return None


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
