"""Build the color memory: semantic features of gray photos, and the colors that belong to them."""

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor, nn
from tqdm import tqdm

from dualattn_mm.apis.complexity import tested_size
from dualattn_mm.apis.weights import build_network, load_generator, load_strictly
from dualattn_mm.datasets.photos import ColorizationDataset
from dualattn_mm.engine.configs import load_config
from dualattn_mm.models.colorizers.gray_input import GrayInput
from dualattn_mm.utils.checkpoint_file import read_state_dict
from dualattn_mm.utils.checks import require, require_natural
from dualattn_mm.utils.color_space import rgb_to_lab
from dualattn_mm.utils.errors import UserError
from dualattn_mm.utils.libraries import library
from dualattn_mm.utils.sampling import spread

from .color_memory import Memory, write_memory

_PREFIX = 'backbone.'
_FINER = 8  # colors are sampled on a grid that is up to this factor finer than the encoder map


class Built(NamedTuple):
    """Statistics of a new memory.

    photos, cells: number of photos, and of cells of the encoder map over them.
    explained: share of the variance of the features that the principal components keep.
    """

    photos: int
    cells: int
    explained: float


def build_color_memory(
    photos: Path,
    output: Path,
    weights: str | os.PathLike | None = None,
    config: str | os.PathLike | None = None,
    centers: int = 512,
    colors: int = 4,
    channels: int = 64,
    size: int | None = None,
    cells: int = 100_000,
    seed: int = 0,
    device: str | torch.device = 'cpu',
) -> Built:
    """Cluster the features of an encoder on gray photos, and the colors of each cluster.

    The last map of the encoder has a vector for each cell. Principal components reduce the vectors
    to `channels`, and k-means finds `centers` clusters. For each of them, k-means finds `colors`
    clusters in the ab values of its cells.

    Args:
        photos: a folder, searched with its subfolders.
        output: the file to write.
        weights, config: weights and config of the encoder; see `load_encoder`.
        centers: S, the number of semantic centers.
        colors: N, the number of ab centers in each.
        channels: D, the channels of a semantic center.
        size: side of the square to which photos are resized; None uses the size of the encoder.
        cells: approximate largest number of cells to cluster, with the same number from every
            photo. If there are more photos than this, as many photos are used, evenly spread over
            the sorted paths.
        seed: random seed for the choice of cells and for k-means.
        device: the device of the encoder.

    Raises:
        FileNotFoundError: if there is no photo.
        UserError: if an argument is invalid, there are too few or too similar photos for the
            centers, or a file cannot be used. Single unreadable photos are reported and skipped.
        OSError: if the file cannot be written.
    """
    require_natural(centers=centers, colors=colors, channels=channels, cells=cells)
    require(0 <= seed < 2**32, 'seed', seed, 'an integer from 0 to 2^32 - 1')
    if size is not None:
        require_natural(size=size)
    _sklearn()  # report a missing library before the photos are read
    if not photos.is_dir():
        raise UserError(f'folder {photos} does not exist')
    encoder, own_size = load_encoder(weights, config)
    size = size or own_size
    if size is None:
        raise UserError(f'{config} does not state the size of its test images: pass --size')
    dataset = _dataset(photos, size)
    found = list(_cells(dataset, encoder.to(device), cells, np.random.default_rng(seed)))
    if not found:
        raise UserError(f'none of the {len(dataset)} photos in {photos} can be read')
    features, ab = (torch.cat(parts).numpy() for parts in zip(*found, strict=True))
    _check_enough(features, len(found), centers, channels)

    memory, explained = _clustered(features, ab, centers, colors, channels, seed)
    write_memory(output, memory)
    return Built(len(found), len(features), explained)


def load_encoder(
    weights: str | os.PathLike | None, config: str | os.PathLike | None
) -> tuple[nn.Module, int | None]:
    """Load the encoder of a colorizer or the backbone of a classifier.

    Args:
        weights: the weights of a colorizer as in `load_generator` (None uses the bundled weights),
            or the checkpoint of a classifier.
        config: the config file of a colorizer (`model.generator`) or classifier (`model.backbone`);
            required unless the weights describe their network.

    Returns:
        The encoder in eval mode, whose last output is a map, and its image size, or None if the
        config of a classifier does not state it.

    Raises:
        UserError: if a file is missing or cannot be read, or the weights do not fit.
    """
    cfg = Config() if config is None else load_config(config)
    model: dict[str, Any] = cfg.get('model') or {}
    if config is None or 'generator' in model:
        generator = load_generator(weights, config)
        return generator.encoder, generator.image_size
    if 'backbone' not in model:
        raise UserError(f'the config {config} has neither model.generator nor model.backbone')
    if weights is None:
        raise UserError(f'the classifier {config} needs its weights: pass --weights')
    state = read_state_dict(weights)
    init_default_scope(cfg.get('default_scope') or 'mmengine')
    encoder = build_network(model['backbone'], config)
    if hasattr(encoder, 'gap_before_final_norm'):  # ours and ConvNeXt: return the map, not its mean
        encoder.gap_before_final_norm = False
    state = {k[len(_PREFIX) :]: v for k, v in state.items() if k.startswith(_PREFIX)}
    load_strictly(encoder, state, weights)
    tested = tested_size(cfg)
    return encoder.eval(), tested and min(tested)


def _sklearn() -> list[ModuleType]:
    return [
        library(f'sklearn.{part}', 'building a color memory', '-r requirements/demo.txt')
        for part in ('cluster', 'decomposition', 'exceptions')
    ]


def _dataset(photos: Path, size: int) -> ColorizationDataset:
    pipeline = [
        dict(type='LoadPhoto'),
        dict(type='ColorizationSquash', size=size),
        dict(type='PackColorization'),
    ]
    return ColorizationDataset(data_root=str(photos), pipeline=pipeline)


@torch.no_grad()
def _cells(
    dataset: ColorizationDataset, encoder: nn.Module, cells: int, random: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the features (n, C) and colors (n, P, 2) of some cells for each photo."""
    gray_input = GrayInput(encoder).to(next(encoder.parameters()).device)
    chosen = spread(cells, len(dataset))
    for index in tqdm(chosen, unit='photo', disable=None):
        sample = dataset.prepare_data(index)
        if sample is None:  # the photo is unreadable and was reported
            continue
        lab = rgb_to_lab(sample['inputs'][None].to(gray_input.mean.device) / 255)
        map_ = encoder(gray_input(lab[:, :1]))[-1]
        if map_.dim() != 4:
            raise UserError(
                f'{type(encoder).__name__} must return a map, but returns {tuple(map_.shape)}'
            )
        finer = max(
            1, min(_FINER, min(lab.shape[2] // map_.shape[2], lab.shape[3] // map_.shape[3]))
        )
        ab = F.adaptive_avg_pool2d(lab[:, 1:], [side * finer for side in map_.shape[2:]])
        ab = F.pixel_unshuffle(ab, finer)[0].flatten(1).unflatten(0, (2, -1)).permute(2, 1, 0)
        features = map_[0].flatten(1).T
        count = min(len(features), -(-cells // len(chosen)))
        some = torch.from_numpy(random.permutation(len(features))[:count])
        yield features.cpu()[some].float(), ab.cpu()[some]


def _check_enough(features: np.ndarray, photos: int, centers: int, channels: int) -> None:
    cells, own = features.shape
    if channels > own:
        raise UserError(f'cannot use {channels} channels: the features of the encoder have {own}')
    if cells < max(centers, channels):
        raise UserError(
            f'{photos} photos have {cells} cells, too few for {centers} semantic centers of '
            f'{channels} channels: use more photos or fewer centers'
        )


def _clustered(
    features: np.ndarray, ab: np.ndarray, centers: int, colors: int, channels: int, seed: int
) -> tuple[Memory, float]:
    """Cluster features (n, C) and colors (n, P, 2); return the memory and the kept variance."""
    cluster, decomposition, exceptions = _sklearn()
    with np.errstate(invalid='ignore'):  # for features that do not vary
        pca = decomposition.PCA(channels, random_state=seed).fit(features)
    semantics = pca.transform(features)
    # A mean square of 1, so that the softmax of the decoder starts neither flat nor saturated.
    semantics /= max(semantics.std(), np.finfo(np.float32).tiny)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', exceptions.ConvergenceWarning)
        kmeans = cluster.KMeans(centers, n_init=1, random_state=seed).fit(semantics)
    different = len(np.unique(kmeans.labels_))
    if different < centers:
        raise UserError(
            f'the {len(features)} cells of the photos have only {different} different features, '
            f'too few for {centers} semantic centers'
        )
    of_centers = [
        _common_colors(cluster.KMeans, ab[kmeans.labels_ == i].reshape(-1, 2), colors, seed)
        for i in tqdm(range(centers), unit='center', disable=None)
    ]
    memory = Memory(
        torch.from_numpy(kmeans.cluster_centers_).float(),
        torch.from_numpy(np.stack(of_centers)).float(),
    )
    return memory, float(np.nan_to_num(pca.explained_variance_ratio_.sum()))


def _common_colors(kmeans: type, ab: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return the ab centers (count, 2), most common first, repeated if there are fewer colors."""
    clusters = min(count, len(np.unique(ab, axis=0)))
    found = kmeans(clusters, n_init=1, random_state=seed).fit(ab)
    order = np.argsort(-np.bincount(found.labels_), kind='stable')
    return np.resize(found.cluster_centers_[order], (count, 2))
