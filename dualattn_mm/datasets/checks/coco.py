"""Check the COCO data of mmdet configs before training and testing."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import DefaultScope

from ...utils.config_parts import class_of, is_from
from ...utils.errors import RunError
from ..leaves import loaded_datasets, named_metrics, on_local_disk
from .classes import class_counts
from .coco_file import CocoFile, names

LOADERS = dict(train=('train', 'val'), test=('test',))  # the data loaders of each task
_UNREAD = dict(lazy_init=True, pipeline=[])  # only paths and names


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
    for loader in LOADERS[task]:
        files = [
            _checked_file(cfg, option, dataset, loader)
            for option, dataset in loaded_datasets(cfg, loader)
        ]
        known = [file for file in files if file is not None]
        if not files or len(known) < len(files):
            continue
        if loader == 'train':
            if not any(file.has_objects for file in known):
                raise RunError('; '.join(str(file.without_objects()) for file in known))
            continue
        for _, metric in named_metrics(cfg, loader):
            _check_metric(metric, known, loader)


def _checked_file(
    cfg: Config, option: str, described: Mapping[str, Any], loader: str
) -> CocoFile | None:
    """Check the annotation file of a dataset; None unless it is a CocoDataset on the local disk."""
    if not is_from(described, 'mmdet', cfg.get('default_scope')):
        return None
    from mmdet.datasets import CocoDataset
    from mmdet.registry import DATASETS

    if class_of(described, DATASETS) is not CocoDataset:
        return None
    dataset = DATASETS.build(dict(described, **_UNREAD))
    if not on_local_disk(described) or '://' in dataset.ann_file:
        return None
    if 'img' not in dataset.data_prefix:
        raise RunError(f'{option}.data_prefix has no img: set {option}.data_prefix.img=FOLDER')
    trained_on = loader == 'train'
    file = CocoFile(Path(dataset.ann_file), dataset.metainfo['classes'], trained_on, described)
    file.check_images(Path(dataset.data_prefix['img']))
    masks = any(step.get('with_mask') for step in file.pipeline)
    if trained_on:
        file.check_objects(masks)
    elif masks:
        file.require_masks(
            f'which the pipeline of {loader}_dataloader loads: set with_mask=False in its '
            f'LoadAnnotations, and {loader}_evaluator.metric=bbox'
        )
    for part, count in class_counts(cfg.get('model')):
        if part[count] < len(file.classes):
            raise file.error(
                f'{len(file.classes)} classes, but the model has a head for {part[count]}: set the '
                'class names with the option classes'
            )
    return file


def _check_metric(metric: Mapping[str, Any], files: Sequence[CocoFile], loader: str) -> None:
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
            _require_packed_objects(file, loader)
        return
    if not on_local_disk(metric) or '://' in path:
        return
    truth = next((file for file in files if file.path.resolve() == Path(path).resolve()), None)
    truth = truth or CocoFile(Path(path), files[0].classes)
    read = names(image for file in files for image in file.read)
    listed = names(truth.images)
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
        truth.require_masks(f'which the metric segm needs: set {loader}_evaluator.metric=bbox')
        truth.require_polygons()


def _require_packed_objects(file: CocoFile, loader: str) -> None:
    """Check that the pipeline passes the objects to a metric that has no annotation file."""
    from mmdet.datasets.transforms import PackDetInputs
    from mmdet.registry import TRANSFORMS

    packs = [step for step in file.pipeline if class_of(step, TRANSFORMS) is PackDetInputs]
    if packs and not any('instances' in step.get('meta_keys', ()) for step in packs):
        raise RunError(
            f'{loader}_evaluator has no ann_file: set {loader}_evaluator.ann_file={file.path}, '
            f"or add 'instances' to meta_keys of PackDetInputs in {loader}_dataloader"
        )
