"""Missing data: the options that set their location."""

import pytest
from mmengine.config import Config

from dualattn_mm.datasets.checks.missing import missing_data_hint


@pytest.fixture
def cfg(tmp_path):
    """A config that trains on two datasets in one folder, one of which is repeated."""
    (tmp_path / 'there').mkdir()
    coco = dict(
        data_root=f'{tmp_path}/coco/', ann_file='a/train.json', data_prefix=dict(img='train/')
    )
    listed = dict(data_root=str(tmp_path / 'there'), ann_file='list.txt', data_prefix='photos')
    return Config(
        dict(
            train_dataloader=dict(
                dataset=dict(
                    type='ConcatDataset',
                    datasets=[dict(type='RepeatDataset', dataset=coco), listed],
                )
            ),
            val_dataloader=dict(dataset=coco),
            val_evaluator=dict(ann_file=str(tmp_path / 'coco' / 'a' / 'val.json')),
            test_dataloader=[dict(dataset=listed)],
        )
    )


@pytest.mark.parametrize(
    ('path', 'options'),
    [
        (
            'coco/a/train.json',
            'train_dataloader.dataset.datasets.0.dataset.data_root=... '
            'val_dataloader.dataset.data_root=... val_evaluator.ann_file=...',
        ),
        (
            'there/list.txt',
            'train_dataloader.dataset.datasets.1.ann_file=... '
            'test_dataloader.0.dataset.ann_file=...',
        ),
        (
            'there/photos/1.jpg',
            'train_dataloader.dataset.datasets.1.data_prefix=... '
            'test_dataloader.0.dataset.data_prefix=...',
        ),
    ],
)
def test_missing_data_hint_names_the_options_of_the_outermost_missing_path(
    cfg, tmp_path, path, options
):
    hint = missing_data_hint(cfg, f"[Errno 2] No such file or directory: '{tmp_path / path}'")
    assert hint == f'; set its location with --cfg-options {options}'


def test_missing_data_hint_names_the_samplers_of_objects_and_the_folders_of_evaluators():
    sampler = dict(data_root='no/kitti/', info_path='no/kitti/dbinfos.pkl')
    pipeline = [dict(type='LoadPoints'), dict(type='ObjectSample', db_sampler=sampler)]
    dataset = dict(type='KittiDataset', data_root='no/kitti/', pipeline=pipeline)
    evaluator = dict(data_root='no/kitti/', ann_file='no/kitti/infos.pkl')
    repeated = dict(dataset=dict(type='RepeatDataset', dataset=dataset))
    cfg = Config(dict(train_dataloader=repeated, val_evaluator=evaluator))
    hint = missing_data_hint(cfg, 'ground-truth database no/kitti/dbinfos.pkl does not exist')
    at = 'train_dataloader.dataset.dataset'
    options = [
        f'{at}.data_root',
        f'{at}.pipeline.1.db_sampler.data_root',
        f'{at}.pipeline.1.db_sampler.info_path',
        'val_evaluator.data_root',
        'val_evaluator.ann_file',
    ]
    assert hint.partition('--cfg-options ')[2].split() == [f'{name}=...' for name in options]


def test_missing_data_hint_names_the_metric_in_a_list_of_several():
    metrics = [dict(type='CocoMetric', ann_file=name) for name in ('tests', 'no.json')]
    cfg = Config(dict(val_evaluator=metrics, test_evaluator=tuple(metrics)))
    hint = missing_data_hint(cfg, 'annotation file no.json does not exist')
    options = 'val_evaluator.1.ann_file=... test_evaluator.1.ann_file=...'
    assert hint == f'; set its location with --cfg-options {options}'


def test_missing_data_hint_is_empty_for_other_files(cfg, tmp_path):
    for path in ('elsewhere.txt', 'coco2/x.jpg', 'the/coco'):
        assert missing_data_hint(cfg, f'no file {tmp_path}/{path}') == ''
    (tmp_path / 'coco' / 'a').mkdir(parents=True)
    (tmp_path / 'coco' / 'a' / 'train.json').touch()
    assert missing_data_hint(cfg, f'{tmp_path}/coco/a/train.json: no JSON') == ''


def test_missing_data_hint_is_empty_if_the_message_names_an_option(cfg, tmp_path):
    message = (
        f'the photos of the gallery: the folder of photos {tmp_path}/coco does not exist; '
        'pass default_hooks.gallery.dataset.data_root=FOLDER for other photos, or None for no '
        'gallery'
    )
    assert missing_data_hint(cfg, message) == ''
    assert missing_data_hint(cfg, message.partition(';')[0])


def test_missing_data_hint_of_class_folders_is_their_one_option():
    dataset = dict(data_root='nowhere', data_prefix='train')
    cfg = Config(
        dict(
            runner_type='ClassFolderRunner',
            data_root='nowhere',
            train_dataloader=dict(dataset=dataset),
        )
    )
    hint = missing_data_hint(cfg, 'no folder nowhere/train')
    assert hint == '; set its location with --cfg-options data_root=...'
