"""The option `classes`: the names and numbers of classes in all parts of an mmdet config."""

import copy
import json
from pathlib import Path

import pytest
from mmengine.config import Config

from dualattn_mm.datasets.checks import coco as coco_data
from dualattn_mm.datasets.checks.classes import use_classes
from dualattn_mm.engine.run import train
from dualattn_mm.utils.errors import RunError, UserError

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


def test_classes_of_other_data_than_coco(mask_rcnn, options, openmmlab):
    """The most common error with custom data, and its remedy."""
    cfg = copy.deepcopy(mask_rcnn)
    cfg.merge_from_dict({k: v for k, v in options().items() if k != 'classes'})
    with pytest.raises(
        UserError, match='its categories are cat, dog: set the class names with'
    ) as e:
        coco_data.check(cfg, 'train')
    assert 'no category for 78 of 80 classes' in str(e.value)  # COCO has dogs and cats

    cfg.classes = ['cat', 'dog']
    use_classes(cfg)
    coco_data.check(cfg, 'train')
    assert cfg.model.roi_head.bbox_head.num_classes == 2
    assert cfg.model.roi_head.mask_head.num_classes == 2
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.metainfo.classes == ('cat', 'dog')


@pytest.mark.integration
def test_classes_reach_every_head_of_a_cascade_and_wrapped_data():
    pytest.importorskip('mmdet')
    cfg = Config.fromfile(CONFIGS / 'mmdet' / 'cascade_dualattn_t.py')
    wrapped = dict(type='RepeatDataset', times=2, dataset=cfg.train_dataloader.dataset)
    joined = dict(type='ConcatDataset', datasets=[wrapped, wrapped])
    cfg.train_dataloader.dataset = joined
    cfg.classes = 'cat'
    use_classes(cfg)
    assert [head.num_classes for head in cfg.model.roi_head.bbox_head] == [1, 1, 1]
    for part in cfg.train_dataloader.dataset.datasets:
        assert part.dataset.metainfo.classes == ('cat',)


def test_heads_of_other_things_than_classes(cfg):
    """As in mmdet's faster-rcnn_r50_fpn_fcos-rpn_1x_coco.py and HTC."""
    cfg = cfg()
    cfg.model.rpn_head.num_classes = 1
    cfg.model.roi_head.semantic_head = dict(num_classes=183)
    use_classes(cfg)
    coco_data.check(cfg, 'train')
    assert cfg.model.rpn_head.num_classes == 1
    assert cfg.model.roi_head.semantic_head.num_classes == 183
    cfg.model.roi_head.semantic_head.num_classes = 1
    coco_data.check(cfg, 'train')


def test_other_libraries_are_left_alone():
    cfg = Config(
        dict(default_scope='mmpretrain', classes=['cat'], model=dict(head=dict(num_classes=9)))
    )
    assert not use_classes(cfg)
    coco_data.check(cfg, 'train')
    assert cfg.model.head.num_classes == 9


@pytest.mark.parametrize('config', ['mmagic/color_dualattn_mini', 'mmagic/test_mmagic'])
def test_the_option_is_rejected_where_it_would_do_nothing(config):
    with pytest.raises(
        RunError, match=f'option classes is for the datasets of mmdet, and {config}'
    ):
        train(config, cfg_options=dict(classes=['cat']))


def test_pure_python_config_without_a_default_scope(cfg, annotations, openmmlab, tmp_path):
    """They name classes instead of strings, as `from mmdet.datasets import CocoDataset` does."""
    from mmdet.datasets import CocoDataset

    cfg = cfg()
    content = annotations | dict(categories=annotations['categories'][::-1])
    (tmp_path / 'coco' / 'all.json').write_text(json.dumps(content))
    cfg.default_scope = None
    cfg.classes = ['dog', 'cat', 'bird']
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.type = CocoDataset
    assert use_classes(cfg)
    assert cfg.train_dataloader.dataset.metainfo.classes == ('dog', 'cat', 'bird')
    assert cfg.model.roi_head.bbox_head.num_classes == 3
    for task in ('train', 'test'):
        with pytest.raises(RunError, match=r'no category for 1 of 3 classes \(bird\)'):
            coco_data.check(cfg, task)


def mask2former(things, stuff, weights):
    """The numbers of classes of mmdet's mask2former_r50_8xb2-lsj-50e_coco.py."""
    counts = dict(num_things_classes=things, num_stuff_classes=stuff)
    loss = dict(type='CrossEntropyLoss', class_weight=weights)
    head = dict(type='Mask2FormerHead', loss_cls=loss, **counts)
    fusion = dict(type='MaskFormerFusionHead', **counts)
    return dict(type='Mask2Former', panoptic_head=head, panoptic_fusion_head=fusion)


def detector(model, **options):
    loader = dict(dataset=dict(type='CocoDataset', ann_file='x.json'))
    return Config(dict(options, default_scope='mmdet', model=model, train_dataloader=loader))


@pytest.mark.parametrize(
    ('before', 'after'),
    [([1.0] * 80 + [0.1], [1.0, 1.0, 0.1]), ([3.0, 2.0, 0.1], [3.0, 2.0, 0.1]), (1.0, 1.0)],
)
def test_mask2former_has_other_names_for_its_numbers(before, after):
    cfg = detector(mask2former(80, 0, before), classes=['cat', 'dog'])
    use_classes(cfg)
    assert cfg.model == mask2former(2, 0, after)


@pytest.mark.parametrize('after', [[1.0] * 81 + [0.1], [*range(81)]])
def test_one_class_more_than_before(after):
    before = [1.0] * 80 + [0.1] if len(after) == 82 else after
    cfg = detector(mask2former(80, 0, before), classes=[f'c{i}' for i in range(81)])
    use_classes(cfg)
    assert cfg.model == mask2former(81, 0, after)


@pytest.mark.parametrize(
    ('model', 'said'),
    [
        (mask2former(80, 53, [1.0] * 133 + [0.1]), 'classes: .* num_stuff_classes=53 kinds of sur'),
        (
            mask2former(80, 0, [1.0, 2.0] * 40 + [0.1]),
            'classes: loss_cls.class_weight has 81 weights, of which some differ: set one for each '
            'of the 2 classes',
        ),
    ],
)
def test_numbers_that_do_not_follow_from_the_names(model, said):
    with pytest.raises(RunError, match=said):
        use_classes(detector(model, classes=['cat', 'dog']))


def test_losses_that_count_classes():
    """As in mmdet's mask-rcnn_r50_fpn_seesaw-loss_random-ms-2x_lvis-v1.py."""
    loss = dict(type='SeesawLoss', num_classes=1203)
    model = dict(roi_head=dict(bbox_head=[dict(num_classes=1203, loss_cls=loss)]))
    cfg = detector(model, classes=['cat', 'dog'])
    use_classes(cfg)
    [head] = cfg.model.roi_head.bbox_head
    assert (head.num_classes, head.loss_cls.num_classes) == (2, 2)


def test_mask2former_for_fewer_classes(cfg):
    cfg = cfg()
    cfg.model = mask2former(1, 0, 1.0)
    with pytest.raises(UserError, match='2 classes, but the model has a head for 1'):
        coco_data.check(cfg, 'train')
