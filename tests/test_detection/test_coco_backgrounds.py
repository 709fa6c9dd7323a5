"""Training files without objects: backgrounds, and the unlabeled images of Soft Teacher."""

import copy
import json

import pytest

from dualattn_mm.datasets.checks import coco as coco_data
from dualattn_mm.utils.errors import UserError

KEEPS = dict(filter_empty_gt=False)
DROPS = dict(filter_empty_gt=True)


@pytest.fixture
def joined(cfg, tmp_path):
    """The config with another file of the same images, and that dataset as mmdet builds it."""
    from mmdet.registry import DATASETS
    from mmengine.registry import DefaultScope

    def make(content, filter_cfg, more=None):
        one = cfg(content if more is None else more)
        one.val_dataloader = one.val_evaluator = None
        (tmp_path / 'coco' / 'other.json').write_text(json.dumps(content))
        other = copy.deepcopy(one.train_dataloader.dataset)
        other |= dict(ann_file='other.json', filter_cfg=filter_cfg)
        parts = [one.train_dataloader.dataset, other]
        if more is None:
            parts = parts[1:]
        one.train_dataloader.dataset = dict(type='ConcatDataset', datasets=parts)
        with DefaultScope.overwrite_default_scope('mmdet'):
            lazy = DATASETS.build(dict(other, pipeline=[], lazy_init=True))
        return one, lazy

    return make


@pytest.mark.parametrize(
    'changes',
    [dict(annotations=[]), dict(annotations=None), dict(annotations=None, categories=[])],
)
@pytest.mark.parametrize('filter_cfg', [KEEPS, None])
def test_a_file_beside_another_needs_no_objects(joined, annotations, filter_cfg, changes, capsys):
    content = {k: v for k, v in (annotations | changes).items() if v is not None}
    cfg, dataset = joined(content, filter_cfg, more=annotations)
    coco_data.check(cfg, 'train')
    assert capsys.readouterr().out == ''
    dataset.full_init()
    assert len(dataset) == 4


def test_a_file_whose_empty_images_are_dropped_needs_objects(joined, annotations):
    cfg, dataset = joined(annotations | dict(annotations=[]), DROPS, more=annotations)
    with pytest.raises(UserError, match=r'other\.json: none of the 0 annotations can be used'):
        coco_data.check(cfg, 'train')
    with pytest.raises(ValueError, match='need at least one array'):
        dataset.full_init()


def test_all_files_together_need_objects(joined, annotations):
    empty = annotations | dict(annotations=[])
    cfg, _ = joined(empty, KEEPS)
    with pytest.raises(UserError, match=r'other\.json: none of the 0 annotations can be used'):
        coco_data.check(cfg, 'train')
    cfg, _ = joined(empty, KEEPS, more=empty)
    cfg.train_dataloader.dataset.datasets[0].filter_cfg = None
    with pytest.raises(UserError, match=r'all\.json: none of the .*; .*other\.json: none of the'):
        coco_data.check(cfg, 'train')


def test_unusable_objects_are_still_counted(joined, annotations, capsys):
    content = copy.deepcopy(annotations)
    for row in content['annotations']:
        row['image_id'] = 99
    cfg, _ = joined(content, KEEPS, more=annotations)
    coco_data.check(cfg, 'train')
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith('all of the 4 annotations are ignored: 4 for images that are not listed')
    assert second.endswith('other.json: 4 of 4 images have no objects')


def test_small_images_are_dropped(joined, annotations, capsys):
    content = copy.deepcopy(annotations)
    content['annotations'][3]['bbox'] = [90, 0, 9, 9]
    for image in content['images'][:2]:
        image['height'] = 40
    cfg, dataset = joined(content, dict(filter_empty_gt=True, min_size=48))
    cfg.train_dataloader.dataset.datasets[0].pipeline = []  # the images have other sizes
    coco_data.check(cfg, 'train')
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith(
        'some of the 4 annotations are ignored: 2 for images with a side below '
        'filter_cfg.min_size=48, 1 without area inside their image'
    )
    assert second.endswith('1 of 2 images have no objects')
    dataset.full_init()
    assert [dataset.get_data_info(i)['img_id'] for i in range(len(dataset))] == [2, 3]

    content['annotations'][2]['bbox'] = [90, 0, 9, 9]
    cfg, _ = joined(content, dict(filter_empty_gt=True, min_size=48))
    cfg.train_dataloader.dataset.datasets[0].pipeline = []
    said = r'none of the 4 annotations can .* training: 2 for images with a side below filter_cfg'
    with pytest.raises(UserError, match=said):
        coco_data.check(cfg, 'train')


@pytest.mark.parametrize('filter_cfg', [KEEPS, DROPS])
def test_all_images_are_small(joined, annotations, filter_cfg):
    cfg, dataset = joined(annotations, dict(filter_cfg, min_size=49))
    said = 'all of its 4 images have a side below filter_cfg.min_size=49, so none of them is read'
    with pytest.raises(UserError, match=said):
        coco_data.check(cfg, 'train')
    with pytest.raises(ValueError, match='need at least one array'):
        dataset.full_init()
    cfg.train_dataloader.dataset.datasets[0].test_mode = True  # which turns the filter off
    coco_data.check(cfg, 'train')
