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

from ...utils.errors import RunError
from ..leaves import iter_leaf_datasets, named_metrics, on_local_disk, selected
from .coco import LOADERS, class_of

if TYPE_CHECKING:
    from mmdet3d.datasets import Det3DDataset

_HOW = 'see docs/detection3d.md for how to create it'
_UNREADABLE = (ValueError, TypeError, KeyError, EOFError, pickle.UnpicklingError)
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
    if cfg.get('default_scope') != 'mmdet3d':
        return
    from mmdet3d.datasets import Det3DDataset
    from mmdet3d.registry import DATASETS

    check_sparse_convolution(cfg)
    for loader in LOADERS[task]:
        read: list[dict] = []
        for described in iter_leaf_datasets((cfg.get(f'{loader}_dataloader') or {}).get('dataset')):
            kind = class_of(described, DATASETS)
            if kind is None or not issubclass(kind, Det3DDataset):
                continue
            if on_local_disk(described):
                dataset = DATASETS.build(dict(described, **_UNREAD))
                frames = _check_files(dataset, described['pipeline'])
                read += selected(frames, described.get('indices'))
        if loader != 'train':
            for _, metric in named_metrics(cfg, loader):
                if not on_local_disk(metric):
                    continue
                _check_file(metric.get('ann_file'), 'info file')
                if read and metric.get('type') == 'KittiMetric':
                    _check_frames(metric['ann_file'], read, loader)


def check_sparse_convolution(cfg: Config) -> None:
    """Check that sparse convolutions can run on this machine; those of mmcv need a GPU.

    Raises:
        RunError: if there is no GPU and spconv is not installed.
    """
    model = cfg.get('model') or {}
    encoder = model.get('pts_middle_encoder') or model.get('middle_encoder') or {}
    if torch.cuda.is_available() or not str(encoder.get('type')).startswith('Sparse'):
        return
    if importlib.util.find_spec('spconv') is None:
        raise RunError(
            f'{encoder["type"]} needs spconv on a machine without a GPU: '
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
        raise RunError(
            f'{ann_file} is not an mmdet3d info file ({type(error).__name__}: {error}); {_HOW}'
        ) from None
    if names != listed:
        raise RunError(
            f'{ann_file}: {loader}_evaluator.ann_file lists {len(listed)} frames and '
            f'{loader}_dataloader reads {len(names)}: both must name the same frames in the same '
            'order'
        )


def _check_files(dataset: 'Det3DDataset', pipeline: list[Mapping[str, Any]]) -> list[dict]:
    """Check that the files of all frames exist, and return the frames."""
    _check_file(dataset.ann_file, 'info file')
    try:
        frames = dataset.load_data_list()
    except _UNREADABLE as error:
        raise RunError(
            f'{dataset.ann_file} is not an mmdet3d info file for {type(dataset).__name__} '
            f'({type(error).__name__}: {error}); {_HOW}'
        ) from None
    steps = {step['type']: step for step in pipeline}
    if 'ObjectSample' in steps:
        sampled = steps['ObjectSample']['db_sampler']
        if on_local_disk(sampled):
            _check_file(sampled['info_path'], 'ground-truth database')
    if 'LoadPointsFromFile' not in steps or not all(map(on_local_disk, pipeline)):
        return frames
    features = steps['LoadPointsFromFile'].get('load_dim', 6)
    for frame in frames:
        points = frame['lidar_points']
        said = points.get('num_pts_feats', features)
        if said != features:
            raise RunError(
                f'{dataset.ann_file}: points have {said} features, but the pipeline loads '
                f'{features}'
            )
        check_points(points['lidar_path'], features)
    # With 0 sweeps, mmdet3d reads none of those that the frames name.
    if steps.get('LoadPointsFromMultiSweeps', dict(sweeps_num=0)).get('sweeps_num', 10):
        features = steps['LoadPointsFromMultiSweeps'].get('load_dim', 5)
        for path in sorted(set(_sweeps(frames))):
            check_points(path, features)
    return frames


def _sweeps(frames: list[dict]) -> Iterator[str]:
    for frame in frames:
        for sweep in frame.get('lidar_sweeps', ()):
            yield sweep['lidar_points']['lidar_path']


def _check_file(path: str | None, what: str) -> None:
    if path and '://' not in path and not Path(path).is_file():
        raise RunError(f'{what} {path} does not exist: {_HOW}')
