"""Checks of COCO data before training: a one-line error, or a warning if training can continue."""

import copy
import json
from pathlib import Path

import pytest
from PIL import Image

from dualattn_mm.datasets.checks import coco as coco_data
from dualattn_mm.datasets.checks import coco_file
from dualattn_mm.engine.run import evaluate, train
from dualattn_mm.utils.command import run_command
from dualattn_mm.utils.errors import UserError

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'mmdet'
MASK_RCNN = str(CONFIGS / 'mask_rcnn_dualattn_t.py')


def without(rows, key):
    return [{k: v for k, v in row.items() if k != key} for row in rows]


def test_good_data_pass_in_silence(cfg, capsys):
    coco_data.check(cfg(), 'train')
    coco_data.check(cfg(), 'test')
    assert capsys.readouterr().out == ''


@pytest.mark.parametrize(
    ('part', 'change', 'line'),
    [
        ('annotations', lambda rows: [], 'none of the 0 annotations can be used for training'),
        ('annotations', lambda rows: [dict(r, image_id=99) for r in rows], 'are not listed'),
        ('annotations', lambda rows: [dict(r, bbox=[90, 0, 9, 9]) for r in rows], '4 without area'),
        ('annotations', lambda rows: without(rows, 'area'), '4 of 4 annotations have no area'),
        ('annotations', lambda rows: without(rows, 'segmentation'), '4 of 4 objects have no segm'),
        (
            'annotations',
            lambda rows: [dict(r, bbox=None) for r in rows],
            '4 of 4 annotations have a b',
        ),
        ('annotations', lambda rows: [dict(r, bbox=[1, 2, 3]) for r in rows], 'not four numbers'),
        (
            'annotations',
            lambda rows: [dict(r, area='400') for r in rows],
            'area that is not a numb',
        ),
        ('annotations', lambda rows: [*rows, 5], '1 of 5 annotations are not dicts'),
        ('annotations', lambda rows: rows + rows[:1], '1 of 5 annotations repeat an id'),
        ('images', lambda rows: without(rows, 'width'), '4 of 4 images have no width'),
        ('images', lambda rows: [], 'it lists no images'),
        ('images', lambda rows: [dict(r, width=640) for r in rows], 'do not match the images'),
        (
            'images',
            lambda rows: [dict(r, file_name=f'train/{r["file_name"]}') for r in rows],
            'none of its 4 images are in',
        ),
        (
            'images',
            lambda rows: [*rows[:3], dict(rows[3], file_name='lost.png')],
            '1 of its 4 images are not in',
        ),
        ('categories', lambda rows: rows[:1], 'no category for 1 of 2 classes (dog)'),
        ('categories', lambda rows: rows[::-1], 'have different orders'),
        ('categories', lambda rows: None, 'no list of categories'),
    ],
)
def test_wrong_annotations_stop_training(cfg, annotations, part, change, line):
    content = annotations | {part: change(annotations[part])}
    with pytest.raises(UserError) as caught:
        coco_data.check(cfg(content), 'train')
    assert line in str(caught.value)
    assert 'all.json: ' in str(caught.value)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('change', 'warning'),
    [
        (
            dict(image_id=99),
            'some of the 4 annotations are ignored: 1 for images that are not listed',
        ),
        (dict(category_id=9), 'some of the 4 annotations are ignored: 1 of other classes'),
        (
            dict(bbox=[90, 0, 9, 9]),
            'some of the 4 annotations are ignored: 1 without area inside their image',
        ),
    ],
)
def test_ignored_annotations_are_counted_in_a_warning(cfg, annotations, capsys, change, warning):
    content = copy.deepcopy(annotations)
    content['annotations'][0] |= change
    content['categories'].append(dict(id=9, name='bird'))
    coco_data.check(cfg(content), 'train')
    lines = capsys.readouterr().out.splitlines()
    assert [line.split('all.json: ')[1] for line in lines] == [
        warning,
        '1 of 4 images have no objects',
    ]


def test_heads_for_fewer_classes(cfg):
    small = cfg()
    small.model.roi_head.mask_head.num_classes = 1
    with pytest.raises(UserError, match='2 classes, but the model has a head for 1'):
        coco_data.check(small, 'train')


REMOTE = dict(backend='petrel', path_mapping={'./data/': 's3://bucket/'})


@pytest.mark.parametrize('backend', [REMOTE, dict(backend='local'), None])
def test_data_behind_a_storage_backend_are_not_looked_at(cfg, tmp_path, backend):
    cfg = cfg()
    cfg.test_dataloader.dataset.backend_args = backend
    cfg.test_evaluator.backend_args = backend
    (tmp_path / 'coco' / 'all.json').unlink()
    if backend is REMOTE:
        coco_data.check(cfg, 'test')
    else:
        with pytest.raises(UserError, match=r'all\.json does not exist'):
            coco_data.check(cfg, 'test')


@pytest.mark.parametrize('part', ['images', 'evaluator'])
def test_parts_behind_a_storage_backend_are_not_looked_at(cfg, tmp_path, part):
    cfg = cfg()
    if part == 'images':
        cfg.test_dataloader.dataset.pipeline[0].backend_args = REMOTE
        (tmp_path / 'coco' / 'images' / '2.png').unlink()
    else:
        cfg.test_evaluator |= dict(backend_args=REMOTE, ann_file='elsewhere.json')
    coco_data.check(cfg, 'test')


def test_files(cfg, tmp_path):
    cfg = cfg()
    path = tmp_path / 'coco' / 'all.json'
    for text, line in (
        ('{"images": [', 'not valid JSON'),
        ('[]', 'not in COCO format'),
        ('\ufeff' + path.read_text(), 'not valid JSON in UTF-8 .*BOM'),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=line):
            coco_data.check(cfg, 'train')
    path.unlink()
    with pytest.raises(UserError, match=f'annotation file {path} does not exist'):
        coco_data.check(cfg, 'train')


def test_damaged_image_stops_a_test_and_not_a_training(cfg, tmp_path):
    """Training replaces it (DamagedImagesHook)."""
    cfg = cfg()
    (tmp_path / 'coco' / 'images' / '2.png').write_bytes(b'')
    with pytest.raises(UserError, match=r'2\.png cannot be read'):
        coco_data.check(cfg, 'test')
    cfg.val_dataloader = cfg.val_evaluator = None
    coco_data.check(cfg, 'train')


def test_few_images_are_opened(cfg, annotations, monkeypatch):
    content = copy.deepcopy(annotations)
    content['images'] += [dict(content['images'][0], id=i) for i in range(4, 100)]
    opened = []
    really = coco_file.image_loader

    def counting(pipeline):
        load = really(pipeline)
        return lambda image: opened.append(image) or load(image)

    monkeypatch.setattr(coco_file, 'image_loader', counting)
    coco_data.check(cfg(content), 'test')
    assert 8 <= len(opened) < 20


@pytest.mark.parametrize('loader', ['train', 'val'])
@pytest.mark.parametrize(
    ('color_type', 'said', 'remedy'),
    [
        ('color', (48, 64), None),
        (
            'color',
            (64, 48),
            "before its EXIF orientation is applied; set color_type='c",
        ),
        ('color_ignore_orientation', (64, 48), None),
        ('unchanged', (64, 48), None),
        (
            'color_ignore_orientation',
            (48, 64),
            'after its EXIF orientation is applied;',
        ),
        ('color', (48, 65), 'the annotations do not match the images'),
    ],
)
def test_size_is_compared_after_the_turn_of_the_loader(
    cfg, annotations, tmp_path, loader, color_type, said, remedy
):
    """A JPEG of orientation 6, stored as 64 x 48 pixels, is 48 x 64 upright."""
    content = copy.deepcopy(annotations)
    content['images'][1] |= dict(file_name='turned.jpg', width=said[0], height=said[1])
    cfg = cfg(content)
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / 'coco' / 'images' / 'turned.jpg'
    Image.new('RGB', (64, 48)).save(path, exif=exif)
    for each in ('train', 'val'):
        other = 'unchanged' if said == (64, 48) else 'color'
        kind = color_type if each == loader else other
        cfg[f'{each}_dataloader'].dataset.pipeline[0].color_type = kind
    if remedy is None:
        coco_data.check(cfg, 'train')
        return
    with pytest.raises(UserError) as caught:
        coco_data.check(cfg, 'train')
    text = str(caught.value)
    read = '64 x 48' if color_type == 'color_ignore_orientation' else '48 x 64'
    assert (
        f'{path} is {said[0]} x {said[1]} in the annotations, but the pipeline reads {read}: '
        in text
    )
    assert remedy in text
    assert '\n' not in text


def test_tests_need_no_annotations_and_training_is_not_looked_at(cfg, annotations):
    content = {part: annotations[part] for part in ('images', 'categories')}
    cfg = cfg(content)
    cfg.train_dataloader.dataset.ann_file = 'nowhere.json'
    coco_data.check(cfg, 'test')


def test_missing_iscrowd_is_rejected_for_evaluation_but_not_for_training(cfg, annotations):
    """pycocotools needs it after an epoch, but mmdet's dataset does not."""
    content = annotations | dict(annotations=without(annotations['annotations'], 'iscrowd'))
    cfg = cfg(content)
    with pytest.raises(UserError, match='4 of 4 objects have no iscrowd, which the evaluation'):
        coco_data.check(cfg, 'train')
    cfg.val_dataloader = cfg.val_evaluator = None
    coco_data.check(cfg, 'train')


@pytest.mark.parametrize(
    ('with_mask', 'metric', 'line'),
    [
        (True, 'bbox', 'no segmentation, which the pipeline of test_dataloader loads: set with_'),
        (False, ['bbox', 'segm'], 'no segmentation, which the metric segm needs: set test_eval'),
        (False, 'bbox', None),
    ],
)
def test_evaluation_of_boxes_alone(cfg, annotations, with_mask, metric, line):
    content = annotations | dict(annotations=without(annotations['annotations'], 'segmentation'))
    cfg = cfg(content)
    (load,) = (s for s in cfg.test_dataloader.dataset.pipeline if s.type == 'LoadAnnotations')
    load.with_mask = with_mask
    cfg.test_evaluator.metric = metric
    if line is None:
        coco_data.check(cfg, 'test')
    else:
        with pytest.raises(UserError, match=f'all.json: 4 of 4 objects have {line}'):
            coco_data.check(cfg, 'test')


@pytest.mark.parametrize(
    ('change', 'counts'),
    [
        (lambda rows: rows[:3], 'lists 3 images and test_dataloader reads 4; 3 have'),
        (lambda rows: [dict(row, id=row['id'] + 1) for row in rows], 'lists 4 .* reads 4; 0 have'),
        # Files of other images with the same ids, as many converters number them.
        (lambda rows: [dict(row, file_name='v' + row['file_name']) for row in rows], '4; 0 have'),
        (lambda rows: [dict(row, file_name='v/' + row['file_name']) for row in rows], None),
    ],
)
def test_evaluator_lists_the_images_that_are_read(cfg, annotations, tmp_path, change, counts):
    cfg = cfg()
    truth = tmp_path / 'truth.json'
    truth.write_text(json.dumps(annotations | dict(images=change(annotations['images']))))
    cfg.test_evaluator.ann_file = str(truth)
    if counts is None:
        coco_data.check(cfg, 'test')
    else:
        with pytest.raises(UserError, match=f'truth.json: test_evaluator.ann_file .*{counts}'):
            coco_data.check(cfg, 'test')


@pytest.mark.parametrize(
    ('segmentation', 'fits'),
    [
        ([[]], False),
        ([[1, 2, 3, 4]], False),
        ([1, 2, 3, 4, 5, 6], False),
        (dict(size=[48, 64]), False),
        ([[1, 2, 30, 4, 5, 36]], True),
        (dict(size=[48, 64], counts=[0, 100, 2972]), True),
    ],
)
def test_masks_that_pycocotools_cannot_convert(cfg, annotations, segmentation, fits):
    from pycocotools.coco import COCO

    content = copy.deepcopy(annotations)
    content['annotations'][0]['segmentation'] = segmentation
    cfg = cfg(content)
    cfg.test_evaluator.metric = ['bbox', 'segm']
    truth = COCO(cfg.test_evaluator.ann_file)
    if fits:
        coco_data.check(cfg, 'test')
        truth.annToRLE(truth.anns[1])
    else:
        with pytest.raises(UserError, match='1 of 4 objects have a segmentation that is neither'):
            coco_data.check(cfg, 'test')
        with pytest.raises(Exception):  # noqa: B017, PT011  of several kinds
            truth.annToRLE(truth.anns[1])
    cfg.test_evaluator.metric = 'bbox'
    (load,) = (s for s in cfg.test_dataloader.dataset.pipeline if s.type == 'LoadAnnotations')
    load.with_mask = False
    coco_data.check(cfg, 'test')


def test_objects_that_mmdet_does_not_read_may_have_no_box(cfg, annotations):
    content = copy.deepcopy(annotations)
    content['annotations'].append(dict(content['annotations'][0], id=9, ignore=1, bbox=None))
    for task in ('train', 'test'):
        coco_data.check(cfg(content), task)


def test_objects_outside_their_image_may_have_no_area_in_training(cfg, annotations):
    content = copy.deepcopy(annotations)
    outside = dict(content['annotations'][0], id=9, bbox=[0, 0, 0, 0], area=None)
    content['annotations'].append(outside)
    cfg = cfg(content)
    with pytest.raises(UserError, match='1 of 5 annotations have an area that is not a number'):
        coco_data.check(cfg, 'test')
    cfg.val_dataloader = cfg.val_evaluator = None
    coco_data.check(cfg, 'train')


def test_images_that_are_not_selected_may_be_missing(cfg, annotations, tmp_path):
    cfg = cfg()
    (tmp_path / 'coco' / 'images' / '2.png').unlink()
    with pytest.raises(UserError, match='1 of its 4 images are not in'):
        coco_data.check(cfg, 'train')
    cfg.train_dataloader.dataset |= dict(indices=2, filter_cfg=None)
    cfg.val_dataloader = cfg.val_evaluator = None
    coco_data.check(cfg, 'train')
    # mmengine selects from what the filter keeps.
    annotations['annotations'] = annotations['annotations'][1:]
    (tmp_path / 'coco' / 'all.json').write_text(json.dumps(annotations))
    coco_data.check(cfg, 'train')
    cfg.train_dataloader.dataset.filter_cfg = dict(filter_empty_gt=True)
    with pytest.raises(UserError, match='1 of its 2 images are not in'):
        coco_data.check(cfg, 'train')
    cfg.train_dataloader.dataset.indices = [0, 5]
    with pytest.raises(UserError, match='must be below 3, the number of its samples, but has 5'):
        coco_data.check(cfg, 'train')


def test_evaluator_of_all_images_for_some(cfg):
    cfg = cfg()
    cfg.test_dataloader.dataset.indices = 2
    with pytest.raises(UserError, match='lists 4 images and test_dataloader reads 2; 2 have'):
        coco_data.check(cfg, 'test')
    cfg.test_evaluator.ann_file = None  # the truth is that of the data set
    with pytest.raises(UserError, match="or add 'instances' to meta_keys of PackDetInputs"):
        coco_data.check(cfg, 'test')
    cfg.test_dataloader.dataset.pipeline[-1].meta_keys = ('img_id', 'ori_shape', 'instances')
    coco_data.check(cfg, 'test')


def test_tools_report_the_error_in_one_line(options, annotations, openmmlab, tmp_path, capsys):
    chosen = options(annotations | dict(categories=annotations['categories'][:1]))
    work_dir = str(tmp_path / 'run')
    assert run_command(lambda: train(MASK_RCNN, work_dir, cfg_options=chosen)) == 2
    assert capsys.readouterr().err.startswith(f'error: {tmp_path}/coco/all.json: no category')
    (tmp_path / 'any.pth').touch()
    call = lambda: evaluate(MASK_RCNN, str(tmp_path / 'any.pth'), work_dir, cfg_options=chosen)  # noqa: E731
    assert run_command(call) == 2
    assert capsys.readouterr().err.startswith(f'error: {tmp_path}/coco/all.json: no category')


@pytest.mark.parametrize(
    ('task', 'filter_cfg'), [('test', None), ('train', dict(filter_empty_gt=False))]
)
def test_indices_that_leave_no_image(cfg, annotations, task, filter_cfg):
    one = cfg(annotations)
    for loader in (one.train_dataloader, one.val_dataloader, one.test_dataloader):
        loader.dataset |= dict(indices=0, filter_cfg=filter_cfg)
    with pytest.raises(UserError, match='indices of the dataset leave none of its images'):
        coco_data.check(one, task)
