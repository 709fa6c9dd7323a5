"""The photo cache: the pixels do not depend on the process that decoded them."""

import logging

import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate
from mmengine.logging import MMLogger
from PIL import Image
from torch.utils.data import DataLoader

from dualattn_mm.datasets import ColorizationDataset
from dualattn_mm.datasets.photo_cache import PhotoCache
from dualattn_mm.utils.errors import UserError

PIPELINE = [dict(type='LoadPhoto'), dict(type='PackColorization', ground_truth=False)]
SIZES = [(30, 20), (20, 30), (25, 25), (8, 40)]


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for i, (height, width) in enumerate(SIZES):
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f'{i}.png')
    return tmp_path


def dataset(folder, **kwargs):
    return ColorizationDataset(data_root=str(folder), pipeline=PIPELINE, **kwargs)


def inputs(photos):
    return [photos[i]['inputs'] for i in range(len(photos))]


def remove_files(folder):
    for path in folder.iterdir():
        path.unlink()


def test_cached_photos_equal_the_files(folder):
    expected = inputs(dataset(folder))
    cached = dataset(folder, cache_gib=0.01)
    for _ in range(2):
        for image, original in zip(inputs(cached), expected, strict=True):
            assert torch.equal(image, original)
        remove_files(folder)  # the second round reads none


def test_photos_decoded_by_a_worker_are_seen_by_all_processes(folder):
    expected = inputs(dataset(folder))
    cached = dataset(folder, cache_gib=0.01)
    loader = DataLoader(
        cached, batch_size=None, num_workers=2, multiprocessing_context='fork', collate_fn=list
    )
    assert len(list(loader)) == len(SIZES)
    remove_files(folder)
    for image, original in zip(inputs(cached), expected, strict=True):
        assert torch.equal(image, original)


def test_a_full_cache_warns_once_and_reads_the_rest(folder, caplog):
    expected = inputs(dataset(folder))
    # Room for the first two photos only.
    cached = dataset(folder, cache_gib=2 * 30 * 20 * 3 / 2**30)
    logger = MMLogger.get_instance('cache')
    logger.addHandler(caplog.handler)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            for image, original in zip(inputs(cached), expected, strict=True):
                assert torch.equal(image, original)
    logger.removeHandler(caplog.handler)
    messages = [record.getMessage() for record in caplog.records]
    assert [m for m in messages if 'is full' in m] == [m for m in messages if 'cache' in m]
    assert sum('(cache_gib) is full' in m for m in messages) == 1
    (folder / '0.png').unlink()
    assert torch.equal(cached[0]['inputs'], expected[0])
    assert cached._cache.get(3) is None


def test_large_photos_are_shrunk_to_the_short_side(folder):
    sizes = [
        tuple(image.shape[1:]) for image in inputs(dataset(folder, cache_gib=0.01, cache_side=10))
    ]
    assert sizes == [(15, 10), (10, 15), (10, 10), (8, 40)]
    sizes = [
        tuple(image.shape[1:]) for image in inputs(dataset(folder, cache_gib=0.01, cache_side=0))
    ]
    assert sizes == SIZES


def test_a_shrunk_photo_is_the_average_of_its_pixels(tmp_path):
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:, ::2] = 200  # stripes that sampling without a filter would keep or lose
    Image.fromarray(pixels).save(tmp_path / 'stripes.png')
    [image] = inputs(dataset(tmp_path, cache_gib=0.01, cache_side=2))
    assert image.dtype == torch.uint8
    assert image.float().mean() == pytest.approx(100, abs=4)


def test_photos_are_squashed_to_squares(folder):
    # A gradient stays one, whatever the shape: its ends and its middle are where they were.
    ramp = np.linspace(0, 255, 40).round().astype(np.uint8)
    Image.fromarray(np.repeat(np.tile(ramp, (8, 1))[..., None], 3, axis=2)).save(folder / '3.png')
    squares = dataset(folder, cache_gib=0.01, cache_side=20, cache_square=True)
    for _ in range(2):
        images = inputs(squares)
        assert {tuple(image.shape) for image in images} == {(3, 20, 20)}
        expected = ramp.reshape(20, 2).mean(1)
        np.testing.assert_allclose(images[3], np.broadcast_to(expected, (3, 20, 20)), atol=4)
        remove_files(folder)
    assert default_collate([squares[i] for i in range(4)])['inputs'].shape == (4, 3, 20, 20)


def test_squares_need_a_cache_and_a_side(folder):
    with pytest.raises(ValueError, match='cache_gib'):
        dataset(folder, cache_square=True)
    with pytest.raises(ValueError, match='cache_side'):
        dataset(folder, cache_gib=1, cache_side=0, cache_square=True)


@pytest.mark.parametrize('gib', [1e9, 1e20, -1.0])
def test_memory_that_cannot_be_reserved_names_the_option(folder, gib):
    with pytest.raises(UserError, match=r'cannot reserve .* GiB .*: set another cache_gib; 0 dis'):
        dataset(folder, cache_gib=gib)


def test_unreadable_photos_are_not_kept(folder):
    (folder / '1.png').write_bytes(b'broken')
    cached = dataset(folder, cache_gib=0.01)
    assert cached.prepare_data(1) is None
    assert cached._cache.get(1) is None
    assert cached.prepare_data(2) is not None


def test_two_processes_can_cache_the_same_photo():
    cache = PhotoCache(2, 1e-5)
    image = torch.randint(0, 256, (3, 20, 30), dtype=torch.uint8)
    assert cache.put(1, image)
    assert cache.put(1, image)
    assert torch.equal(cache.get(1), image)
    assert cache.get(0) is None
