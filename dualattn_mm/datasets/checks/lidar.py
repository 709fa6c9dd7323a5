"""Check the point clouds of mmdet3d configs before training and testing.

mmdet3d itself notices a damaged file only when a worker process reads it, with a numpy error that
does not name the file. It notices a missing annotation file only at the end of the first test.
"""

import importlib.util
import os
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from mmengine.config import Config
from mmengine.fileio import load
from mmengine.registry import DefaultScope

from ...utils.config_parts import class_of, is_from, type_name
from ...utils.errors import RunError, first_line
from ..leaves import loaded_datasets, named_metrics, on_local_disk, selected
from .coco import LOADERS

if TYPE_CHECKING:
    from mmdet3d.datasets import Det3DDataset

_HOW = 'see docs/detection3d.md for how to create it'
# What pickle and mmdet3d raise for a file with other contents.
_UNREADABLE = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ImportError,
    EOFError,
    pickle.UnpicklingError,
)
_BYTES = 4  # size of a float32
# Only paths and names are read, no points or boxes.
_UNREAD = dict(lazy_init=True, pipeline=[], test_mode=True, load_eval_anns=False)


@DefaultScope.overwrite_default_scope('mmdet3d')
def check(cfg: Config, task: str) -> None:
    """Find missing and truncated files, and operations that this machine does not support.

    Only the sizes of point clouds are checked, and only on the local disk.

    Args:
        cfg: a config of any library; only mmdet3d's datasets for LiDAR detection are checked.
        task: 'train' or 'test'.

    Raises:
        RunError: if something is wrong; the message says what to do.
    """
    for loader in LOADERS[task]:
        described = [
            dataset
            for _, dataset in loaded_datasets(cfg, loader)
            if is_from(dataset, 'mmdet3d', cfg.get('default_scope'))
        ]
        if described:
            check_sparse_convolution(cfg)
            _check_loader(cfg, described, loader)


def _check_loader(cfg: Config, described: list[Mapping[str, Any]], loader: str) -> None:
    from mmdet3d.datasets import Det3DDataset
    from mmdet3d.registry import DATASETS

    read: list[dict] = []
    for one in described:
        kind = class_of(one, DATASETS)
        if kind is None or not issubclass(kind, Det3DDataset):
            continue
        if on_local_disk(one):
            dataset = DATASETS.build(dict(one, **_UNREAD))
            frames = _check_files(dataset, one.get('pipeline') or [])
            read += selected(frames, one.get('indices'))
    for _, metric in named_metrics(cfg, loader):
        if not on_local_disk(metric):
            continue
        _check_file(metric.get('ann_file'), 'info file')
        if read and metric.get('ann_file') and type_name(metric) == 'KittiMetric':
            _check_frames(metric['ann_file'], read, loader)


def check_sparse_convolution(cfg: Config) -> None:
    """Check that sparse convolutions can run on this machine; those of mmcv need a GPU.

    Raises:
        RunError: if there is no GPU and spconv is not installed.
    """
    model = cfg.get('model') or {}
    encoder = model.get('pts_middle_encoder') or model.get('middle_encoder') or {}
    kind = type_name(encoder) or ''
    if torch.cuda.is_available() or not kind.startswith('Sparse'):
        return
    if importlib.util.find_spec('spconv') is None:
        raise RunError(
            f'{kind} needs spconv on a machine without a GPU: '
            "pip install 'dualattn_mm[mmdet3d-cpu]'"
        )


def check_points(path: str | os.PathLike, features: int) -> None:
    """Check that the size of a file is a multiple of `features` float32; it can be empty.

    Raises:
        RunError: if the file is missing, truncated or has another number of features.
    """
    try:
        size = os.stat(path).st_size
    except FileNotFoundError:
        raise RunError(f'point cloud {path} does not exist') from None
    if size % (_BYTES * features):
        raise RunError(
            f'{path}: {size} bytes are not a multiple of a point with {features} float32 '
            'features: the file is truncated, or its points have other features'
        )


def _check_frames(ann_file: str, read: list[dict], loader: str) -> None:
    """Check that KittiMetric knows the frames that are read; it fails only after an epoch."""
    try:
        names, listed = (
            [Path(frame['lidar_points']['lidar_path']).name for frame in frames]
            for frames in (read, load(ann_file)['data_list'])
        )
    except _UNREADABLE as error:
        raise _wrong_info(ann_file, error) from None
    if names != listed:
        raise RunError(
            f'{ann_file}: {loader}_evaluator.ann_file lists {len(listed)} frames and '
            f'{loader}_dataloader reads {len(names)}: both must name the same frames in the same '
            'order'
        )


def _check_files(dataset: 'Det3DDataset', pipeline: list[Mapping[str, Any]]) -> list[dict]:
    """Check that the files of all frames exist, and return the frames."""
    _check_file(dataset.ann_file, 'info file')
    steps = {type_name(step): step for step in pipeline}
    # With 0 sweeps, mmdet3d reads none of those that the frames name.
    sweeps = steps.get('LoadPointsFromMultiSweeps', dict(sweeps_num=0))
    features = steps.get('LoadPointsFromFile', {}).get('load_dim', 6)
    clouds: list[tuple[str, Any]] = []
    swept: set[str] = set()
    try:
        frames = dataset.load_data_list()
        if 'LoadPointsFromFile' in steps and all(map(on_local_disk, pipeline)):
            clouds = [_cloud(frame['lidar_points'], features) for frame in frames]
            if sweeps.get('sweeps_num', 10):
                swept = set(_sweeps(frames))
    except _UNREADABLE as error:
        raise _wrong_info(dataset.ann_file, error, f' for {type(dataset).__name__}') from None
    if 'ObjectSample' in steps:
        sampled = steps['ObjectSample']['db_sampler']
        if on_local_disk(sampled):
            _check_file(sampled.get('info_path'), 'ground-truth database')
    for path, said in clouds:
        if said != features:
            raise RunError(
                f'{dataset.ann_file}: points have {said} features, but the pipeline loads '
                f'{features}'
            )
        check_points(path, features)
    for path in sorted(swept):
        check_points(path, sweeps.get('load_dim', 5))
    return frames


def _cloud(points: Mapping[str, Any], features: int) -> tuple[str, Any]:
    """Return the file of a point cloud, and the features that its points are said to have."""
    return os.fspath(points['lidar_path']), points.get('num_pts_feats', features)


def _sweeps(frames: list[dict]) -> Iterator[str]:
    for frame in frames:
        for sweep in frame.get('lidar_sweeps', ()):
            yield os.fspath(sweep['lidar_points']['lidar_path'])


def _wrong_info(path: str, error: Exception, user: str = '') -> RunError:
    return RunError(
        f'{path} is not an mmdet3d info file{user} ({type(error).__name__}: {first_line(error)}); '
        f'{_HOW}'
    )


def _check_file(path: str | None, what: str) -> None:
    if path and '://' not in path and not Path(path).is_file():
        raise RunError(f'{what} {path} does not exist: {_HOW}')
