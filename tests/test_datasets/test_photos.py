"""From photos on disk to batches."""

import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate
from PIL import Image

from dualattn_mm.datasets import (
    ColorizationDataset,
    ColorizationSquash,
    LoadPhoto,
    PackColorization,
)

PIPELINE = [
    dict(type='LoadPhoto'),
    dict(type='ColorizationCrop', size=16),
    dict(type='PackColorization'),
]


@pytest.fixture
def photos(tmp_path, rng):
    """A folder with photos of several sizes and formats, and with other files."""
    for name, size in {
        'b.png': (30, 20),
        'sub/a.JPG': (25, 25),
        'sub/deep/c.webp': (40, 17),
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path, 'JPEG' if name.endswith('JPG') else None)
    (tmp_path / 'notes.txt').write_text('no photo')
    (tmp_path / '.hidden.png').write_bytes(b'')
    (tmp_path / '.thumbnails').mkdir()
    Image.new('RGB', (8, 8)).save(tmp_path / '.thumbnails' / 'b.png')
    return tmp_path


def test_finds_every_photo_below_the_folder_once(photos):
    dataset = ColorizationDataset(data_root=str(photos), pipeline=PIPELINE)
    names = [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]
    assert names == [str(photos / name) for name in ('b.png', 'sub/a.JPG', 'sub/deep/c.webp')]


def test_links_are_followed_once_and_loops_end(photos, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp('elsewhere')
    Image.new('RGB', (8, 8)).save(elsewhere / 'd.png')
    (elsewhere / 'back').symlink_to(photos)
    (photos / 'linked').symlink_to(elsewhere)
    (photos / 'sub' / 'loop').symlink_to(photos)
    (photos / 'sub' / 'itself').symlink_to('itself')
    dataset = ColorizationDataset(data_root=str(photos), pipeline=PIPELINE)
    names = [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]
    expected = ('b.png', 'linked/d.png', 'sub/a.JPG', 'sub/deep/c.webp')
    assert names == [str(photos / name) for name in expected]


def test_a_missing_folder_is_reported(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'the folder of photos .*nowhere does not exist'):
        ColorizationDataset(data_root=str(tmp_path / 'nowhere'), pipeline=PIPELINE)


def test_a_folder_without_photos_is_reported(tmp_path):
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        ColorizationDataset(data_root=str(tmp_path), pipeline=PIPELINE)


def test_batches_of_uint8_crops_that_are_their_own_ground_truth(photos):
    dataset = ColorizationDataset(data_root=str(photos), pipeline=PIPELINE)
    batch = default_collate([dataset[i] for i in range(3)])
    assert batch['inputs'].shape == (3, 3, 16, 16)
    assert batch['inputs'].dtype == torch.uint8
    for image, sample in zip(batch['inputs'], batch['data_samples'], strict=True):
        assert torch.equal(image, sample.gt_img)


def test_crops_differ_from_draw_to_draw(photos):
    dataset = ColorizationDataset(data_root=str(photos), pipeline=PIPELINE)
    draws = {dataset[0]['inputs'].numpy().tobytes() for _ in range(8)}
    assert len(draws) > 4


def test_squash_resizes_the_whole_photo_to_a_square():
    image = torch.zeros(3, 60, 120, dtype=torch.uint8)
    image[:, :, 60:] = 200  # the right half
    squashed = ColorizationSquash(16)(dict(img=image))['img']
    assert squashed.shape == (3, 16, 16)
    assert squashed.dtype == torch.uint8
    assert squashed[:, :, :7].max() == 0
    assert squashed[:, :, 9:].min() == 200


def test_load_keeps_the_pixels(tmp_path, rng):
    pixels = rng.integers(0, 256, (7, 5, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'x.png')
    results = LoadPhoto()(dict(img_path=str(tmp_path / 'x.png')))
    assert np.array_equal(results['img'].numpy(), pixels.transpose(2, 0, 1))
    assert results['ori_shape'] == (7, 5)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_load_gives_gray_files_three_equal_channels(tmp_path, rng, dtype):
    gray = rng.integers(0, np.iinfo(dtype).max + 1, (6, 4)).astype(dtype)
    Image.fromarray(gray).save(tmp_path / 'gray.png')
    image = LoadPhoto()(dict(img_path=str(tmp_path / 'gray.png')))['img'].numpy()
    expected = np.round(gray / np.iinfo(dtype).max * 255)
    assert np.array_equal(image, np.broadcast_to(expected, (3, 6, 4)))


def test_packed_sample_names_its_file():
    image = torch.zeros(3, 4, 4, dtype=torch.uint8)
    packed = PackColorization()(dict(img=image, img_path='a/b.png', ori_shape=(8, 9)))
    assert packed['data_samples'].img_path == 'a/b.png'
    assert packed['data_samples'].ori_shape == (8, 9)
    bare = PackColorization(ground_truth=False)(dict(img=image, img_path='b', ori_shape=(8, 9)))
    assert bare['inputs'] is image
    assert 'gt_img' not in bare['data_samples']
