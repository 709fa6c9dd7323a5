"""Building the color memory: what things look like in gray, and the colors that they have."""

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.registry import init_default_scope
from torch import Tensor, nn
from tqdm import tqdm

from dualattn_mm.apis.weights import build_network, load_generator, load_strictly
from dualattn_mm.datasets.photos import ColorizationDataset
from dualattn_mm.engine.run import load_config
from dualattn_mm.models.colorizers.gray_input import GrayInput
from dualattn_mm.utils.checkpoint_file import read_state_dict
from dualattn_mm.utils.checks import require, require_natural
from dualattn_mm.utils.color_space import rgb_to_lab
from dualattn_mm.utils.errors import UserError
from dualattn_mm.utils.libraries import library
from dualattn_mm.visualization.comparison import spread

from .color_memory import Memory, write_memory

_CLASSIFIER_SIZE = 224
_PREFIX = 'backbone.'
_FINER = 8  # colors are taken on a grid that is finer than the encoder's map by up to this


class Built(NamedTuple):
    """What a memory was built of.

    photos, cells: how many photos, and cells of the encoder's map over them.
    explained: the share of the features' variance that the principal components keep.
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
    """Cluster what an encoder sees in gray photos, and the colors of each cluster.

    The encoder's last map has a vector for each of its cells. Principal components reduce them to
    `channels`, k-means finds `centers` among them, and for each of these k-means again finds
    `colors` among the ab values of its cells.

    Args:
        photos: a folder, searched with its subfolders.
        output: the file to write.
        weights, config: of the encoder; see `load_encoder`.
        centers: S, the semantic centers.
        colors: N, the ab centers of each.
        channels: D, of a semantic center.
        size: side of the square to which photos are squashed; None: what the encoder was made for.
        cells: at most about so many cells are clustered, as many of every photo; of more photos
            than this, so many are taken, evenly spread over the order of their paths.
        seed: of the choice of cells and of k-means.
        device: where the encoder runs.

    Raises:
        FileNotFoundError: if there is no photo.
        UserError: if an argument is not possible, the photos are too few or too alike for the
            centers, or a file cannot be used. Single photos that cannot be read are named and
            passed over.
        OSError: if the file cannot be written.
    """
    require_natural(centers=centers, colors=colors, channels=channels, cells=cells)
    require(0 <= seed < 2**32, 'seed', seed, 'a whole number from 0 to 2^32 - 1')
    if size is not None:
        require_natural(size=size)
    _sklearn()  # told before the photos are read
    if not photos.is_dir():
        raise UserError(f'folder {photos} does not exist')
    encoder, own_size = load_encoder(weights, config)
    dataset = _dataset(photos, size or own_size)
    found = list(_cells(dataset, encoder.to(device), cells, np.random.default_rng(seed)))
    if not found:
        raise UserError(f'none of the {len(dataset)} photos below {photos} can be read')
    features, ab = (torch.cat(parts).numpy() for parts in zip(*found, strict=True))
    _check_enough(features, len(found), centers, channels)

    memory, explained = _clustered(features, ab, centers, colors, channels, seed)
    write_memory(output, memory)
    return Built(len(found), len(features), explained)


def load_encoder(
    weights: str | os.PathLike | None, config: str | os.PathLike | None
) -> tuple[nn.Module, int]:
    """The encoder of a colorizer, or the backbone of a classifier.

    Args:
        weights: of a colorizer what `load_generator` takes (None: the weights that come with the
            package); of a classifier its checkpoint.
        config: the config file of a colorizer (`model.generator`) or classifier (`model.backbone`);
            needed unless the weights describe their network.

    Returns:
        The encoder in eval mode, whose last output is a map; and the size it was made for.

    Raises:
        UserError: if a file is missing or cannot be read, or the weights do not fit.
    """
    model: dict[str, Any] = {} if config is None else load_config(config).get('model') or {}
    if config is None or 'generator' in model:
        generator = load_generator(weights, config)
        return generator.encoder, generator.image_size
    if 'backbone' not in model:
        raise UserError(f'the config {config} has neither model.generator nor model.backbone')
    if weights is None:
        raise UserError(f'the weights of the classifier {config} are needed')
    state = read_state_dict(weights)
    init_default_scope(load_config(config).get('default_scope') or 'mmengine')
    encoder = build_network(model['backbone'], config)
    if hasattr(encoder, 'gap_before_final_norm'):  # ours and ConvNeXt: the mean is not wanted
        encoder.gap_before_final_norm = False
    state = {k[len(_PREFIX) :]: v for k, v in state.items() if k.startswith(_PREFIX)}
    load_strictly(encoder, state, weights)
    return encoder.eval(), _CLASSIFIER_SIZE


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
    """For each photo, of some cells the features (n, C) and the colors (n, P, 2)."""
    gray_input = GrayInput(encoder).to(next(encoder.parameters()).device)
    chosen = spread(cells, len(dataset))
    for index in tqdm(chosen, unit='photo', disable=None):
        sample = dataset.prepare_data(index)
        if sample is None:  # cannot be read, and was named
            continue
        lab = rgb_to_lab(sample['inputs'][None].to(gray_input.mean.device) / 255)
        map_ = encoder(gray_input(lab[:, :1]))[-1]
        if map_.dim() != 4:
            raise UserError(f'{type(encoder).__name__} gives no map, but {tuple(map_.shape)}')
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
        raise UserError(
            f'{channels} channels are not possible: the features of the encoder have {own}'
        )
    if cells < max(centers, channels):
        raise UserError(
            f'{photos} photos give {cells} cells, too few for {centers} semantic centers of '
            f'{channels} channels: take more photos, or fewer centers'
        )


def _clustered(
    features: np.ndarray, ab: np.ndarray, centers: int, colors: int, channels: int, seed: int
) -> tuple[Memory, float]:
    """The memory of features (n, C) and colors (n, P, 2), and the variance that it explains."""
    cluster, decomposition, exceptions = _sklearn()
    with np.errstate(invalid='ignore'):  # of features that do not vary
        pca = decomposition.PCA(channels, random_state=seed).fit(features)
    semantics = pca.transform(features)
    # Of mean square 1, so that the decoder's softmax starts neither flat nor saturated.
    semantics /= max(semantics.std(), np.finfo(np.float32).tiny)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', exceptions.ConvergenceWarning)
        kmeans = cluster.KMeans(centers, n_init=1, random_state=seed).fit(semantics)
    different = len(np.unique(kmeans.labels_))
    if different < centers:
        raise UserError(
            f'the {len(features)} cells of the photos are of {different} kinds only, too few for '
            f'{centers} semantic centers'
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
    """(count, 2): the ab centers, the commonest first; repeated where there are fewer colors."""
    clusters = min(count, len(np.unique(ab, axis=0)))
    found = kmeans(clusters, n_init=1, random_state=seed).fit(ab)
    order = np.argsort(-np.bincount(found.labels_), kind='stable')
    return np.resize(found.cluster_centers_[order], (count, 2))
