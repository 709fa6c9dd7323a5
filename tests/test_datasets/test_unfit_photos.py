"""Lists of photos, unreadable photos, and photos without color."""

import os

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from PIL import Image
from skimage import data
from torch.utils.data import DataLoader

from dualattn_mm.datasets import ColorizationDataset, SkipNearGray, reports
from dualattn_mm.utils.colorfulness import colorfulness

PIPELINE = [dict(type='LoadPhoto'), dict(type='PackColorization')]


def make(folder, **kwargs):
    return ColorizationDataset(data_root=str(folder), pipeline=PIPELINE, **kwargs)


@pytest.fixture
def folder(tmp_path):
    """Six photos, of which the second and the fifth are damaged."""
    for i in range(6):
        path = tmp_path / f'{i}.png'
        pixels = np.random.default_rng(i).integers(0, 256, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        if i in (1, 4):
            path.write_bytes(path.read_bytes()[:600])
    return tmp_path


@pytest.fixture
def skipped(logged):
    return logged(reports)


def names(dataset):
    return [os.path.basename(dataset.get_data_info(i)['img_path']) for i in range(len(dataset))]


def test_a_list_chooses_photos_and_their_order(folder):
    (folder / 'train.txt').write_text('3.png\n\n  0.png \n')
    dataset = make(folder, ann_file='train.txt')
    assert names(dataset) == ['3.png', '0.png']
    assert dataset[0]['data_samples'].img_path == str(folder / '3.png')


def test_list_can_be_in_another_folder_with_absolute_paths(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp('lists') / 'train.txt'
    path.write_text(f'{folder / "2.png"}\n')
    dataset = make('/nowhere', ann_file=str(path))
    assert dataset[0]['data_samples'].img_path == str(folder / '2.png')


def test_list_of_absolute_paths_needs_no_folder(folder, tmp_path):
    listed = tmp_path / 'list.txt'
    listed.write_text(f'{folder / "0.png"}\n')
    dataset = ColorizationDataset(data_root=None, ann_file=str(listed), pipeline=PIPELINE)
    assert names(dataset) == ['0.png']


def test_a_byte_order_mark_costs_no_photo(folder):
    (folder / 'train.txt').write_text('3.png\n0.png\n', encoding='utf-8-sig')
    assert names(make(folder, ann_file='train.txt')) == ['3.png', '0.png']


def test_a_list_may_name_files_in_another_encoding(folder):
    name = 'caf\xe9.png'.encode('latin-1')
    os.rename(folder / '3.png', os.path.join(os.fsencode(folder), name))
    (folder / 'train.txt').write_bytes(name + b'\n0.png\n')
    dataset = make(folder, ann_file='train.txt')
    assert len(dataset[0]['data_samples'].img_path) > 0
    assert os.fsencode(names(dataset)[0]) == name


@pytest.mark.parametrize(
    ('lines', 'hint'),
    [('3.png 0\n0.png 7\n', 'without a label'), ('train/3.png\ntrain/0.png\n', r'train/3\.png')],
)
def test_a_list_that_names_no_photo_is_an_error_at_once(folder, lines, hint):
    (folder / 'train.txt').write_text(lines)
    with pytest.raises(FileNotFoundError, match=f'2 of the first 2 photos.*{hint}') as error:
        make(folder, ann_file='train.txt')
    assert '\n' not in str(error.value)


def test_a_list_that_names_a_missing_photo_is_an_error_at_once_in_a_test(folder, skipped):
    (folder / 'list.txt').write_text('3.png\n9.png\n')
    assert make(folder, ann_file='list.txt')[1]['data_samples'].img_path == str(folder / '3.png')
    with pytest.raises(FileNotFoundError, match=r'1 of the first 2 photos.*9\.png'):
        make(folder, ann_file='list.txt', test_mode=True)


@pytest.mark.usefixtures('skipped')
def test_training_stops_if_no_photo_can_be_read(folder):
    for path in folder.iterdir():
        path.write_bytes(b'no photo')
    with pytest.raises(ValueError, match='none of the 6 photos can be read') as error:
        make(folder)[0]
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('content', [None, '', ' \n\n'])
def test_a_missing_or_empty_list_is_reported(folder, content):
    if content is not None:
        (folder / 'train.txt').write_text(content)
    with pytest.raises(FileNotFoundError, match=r'train\.txt'):
        make(folder, ann_file='train.txt')


@pytest.mark.filterwarnings('ignore:This DataLoader will create')
@pytest.mark.parametrize('workers', [0, 2])
def test_damaged_photos_are_replaced_and_reported_once(folder, skipped, workers):
    loader = DataLoader(make(folder), 2, num_workers=workers, collate_fn=pseudo_collate)
    for _ in range(3):
        seen = [s.img_path for batch in loader for s in batch['data_samples']]
        assert len(seen) == 6
        assert not {os.path.basename(path) for path in seen} & {'1.png', '4.png'}
    lines = sorted(skipped())
    assert len(lines) == 2
    for line, name in zip(lines, ('1.png', '4.png'), strict=True):
        assert line.startswith(f'skipped {folder / name}: ')


def test_missing_photo_counts_as_damaged(folder, skipped):
    dataset = make(folder)
    (folder / '3.png').unlink()
    assert dataset[3]['data_samples'].img_path != str(folder / '3.png')
    assert str(folder / '3.png') in skipped()[0]


@pytest.mark.usefixtures('skipped')
def test_too_many_damaged_photos_stop_training_and_are_listed(folder):
    dataset = make(folder, max_broken=1)
    assert dataset.prepare_data(1) is None
    with pytest.raises(ValueError, match='max_broken=1') as info:
        dataset.prepare_data(4)
    assert '\n' not in str(info.value)
    for name in ('1.png', '4.png'):
        assert str(folder / name) in str(info.value)
    assert '0.png' not in str(info.value)


def test_testing_stops_at_an_unreadable_photo(folder, skipped):
    with pytest.raises(ValueError, match=r'1\.png: '):
        make(folder, test_mode=True)[1]
    assert not skipped()


def test_near_gray_photos_are_dropped_by_their_colorfulness():
    photo = data.astronaut()
    image = torch.from_numpy(photo).permute(2, 0, 1)
    value = colorfulness(photo)
    assert SkipNearGray(0.9 * value)(dict(img=image)) == dict(img=image)
    assert SkipNearGray(1.1 * value)(dict(img=image)) is None
    gray = image[:1].expand(3, -1, -1)
    assert SkipNearGray(0.1)(dict(img=gray)) is None


def test_training_on_gray_photos_says_so(tmp_path):
    Image.new('RGB', (20, 20), 'gray').save(tmp_path / 'gray.png')
    pipeline = [PIPELINE[0], dict(type='SkipNearGray', min_colorfulness=10), PIPELINE[1]]
    dataset = ColorizationDataset(data_root=str(tmp_path), pipeline=pipeline)
    with pytest.raises(ValueError, match=r'500 photos in a row: are they gray\?.*SkipNearGray'):
        dataset[0]


def test_dataset_without_near_gray_photos(folder):
    for name in ('1.png', '4.png'):
        Image.new('RGB', (20, 20), 'gray').save(folder / name)
    pipeline = [PIPELINE[0], dict(type='SkipNearGray', min_colorfulness=10), PIPELINE[1]]
    dataset = ColorizationDataset(data_root=str(folder), pipeline=pipeline)
    seen = {os.path.basename(dataset[i]['data_samples'].img_path) for i in range(6)}
    assert len(seen) >= 4
    assert not seen & {'1.png', '4.png'}
