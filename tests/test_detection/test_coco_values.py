"""Values of wrong types in a COCO file are errors in one line, not tracebacks."""

import copy

import pytest

from dualattn_mm.datasets.checks import coco as coco_data
from dualattn_mm.utils.errors import RunError


@pytest.mark.parametrize('task', ['train', 'test'])
@pytest.mark.parametrize(
    ('part', 'key', 'value', 'said'),
    [
        ('images', 'width', None, 'images do not have a number as width'),
        ('images', 'width', '64', 'images do not have a number as width'),
        ('images', 'height', [48], 'images do not have a number as height'),
        ('images', 'file_name', 5, 'images do not have text as file_name'),
        ('images', 'file_name', None, 'images do not have text as file_name'),
        ('images', 'id', [1], 'images do not have a number or text as id'),
        ('annotations', 'id', {}, 'annotations do not have a number or text as id'),
        ('annotations', 'image_id', [1], 'annotations do not have a number or text as image_id'),
        ('annotations', 'category_id', [7], 'annotations do not have a number or text as cat'),
        ('categories', 'id', [7], 'categories do not have a number or text as id'),
        ('categories', 'name', ['cat'], 'no category for 1 of 2 classes'),
        ('annotations', 'segmentation', 5, 'objects have a segmentation that is neither'),
        ('annotations', 'segmentation', '1', 'objects have a segmentation that is neither'),
        ('annotations', 'segmentation', [5] * 6, 'objects have a segmentation that is neither'),
    ],
)
def test_values_of_another_type(cfg, annotations, task, part, key, value, said):
    content = copy.deepcopy(annotations)
    content[part][0][key] = value
    with pytest.raises(RunError, match=f'all.json: (1 of . )?{said}') as caught:
        coco_data.check(cfg(content), task)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('iscrowd', [None, 'no', []])
def test_iscrowd_of_another_type(cfg, annotations, iscrowd):
    content = copy.deepcopy(annotations)
    content['annotations'][0]['iscrowd'] = iscrowd
    with pytest.raises(RunError, match='1 of 4 objects have no iscrowd, which the evaluation'):
        coco_data.check(cfg(content), 'test')


def test_data_prefix_without_img(cfg):
    """mmdet's default is that of other libraries, with which it stops with KeyError: 'img'."""
    cfg = cfg()
    del cfg.train_dataloader.dataset['data_prefix']
    option = 'train_dataloader.dataset.data_prefix'
    with pytest.raises(RunError, match=f'^{option} has no img: set {option}.img=FOLDER$'):
        coco_data.check(cfg, 'train')


def test_nested_json(cfg, tmp_path):
    cfg = cfg()
    (tmp_path / 'coco' / 'all.json').write_text('[' * 100_000)
    with pytest.raises(RunError, match='the file is not valid JSON'):
        coco_data.check(cfg, 'train')
