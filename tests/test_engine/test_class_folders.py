"""Classifiers of any class folders: data_root alone says what the classes are."""

import os
import shutil
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from PIL import Image

from dualattn_mm.datasets import reports
from dualattn_mm.datasets.leaves import loaded_datasets
from dualattn_mm.engine import ClassFolderRunner
from dualattn_mm.engine.run import evaluate, train
from dualattn_mm.utils.command import run_command
from dualattn_mm.utils.errors import RunError

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'mmpretrain'
COLORS = dict(green=(0, 200, 0), red=(200, 0, 0))
TINY = """
_base_ = {base!r}
model = dict(
    backbone=dict(
        arch=dict(
            _delete_=True, embed_dims=(8, 8, 16, 16), depths=(1, 1, 1, 1), stem_channels=8
        ),
        window_size=2, head_dim=8, group_dim=8, drop_path_rate=0.0,
    ),
    head=dict(in_channels=16),
    train_cfg=None,
)
small = [
    dict(type='LoadImageFromFile'), dict(type='Resize', scale=(32, 32)), dict(type='PackInputs')
]
train_dataloader = dict(batch_size=4, num_workers=0, dataset=dict(pipeline=small))
val_dataloader = dict(batch_size=4, num_workers=0, dataset=dict(pipeline=small))
test_dataloader = dict(batch_size=4, num_workers=0, dataset=dict(pipeline=small))
train_cfg = dict(max_epochs=4)
optim_wrapper = dict(optimizer=dict(lr=2e-2))
param_scheduler = []
randomness = dict(seed=0)
log_level = 'ERROR'
"""


@pytest.fixture
def folders(tmp_path):
    """Four training and two validation pictures of each class, of one color."""
    rng = np.random.default_rng(0)
    for split, count in (('train', 4), ('val', 2)):
        for name, color in COLORS.items():
            folder = tmp_path / 'data' / split / name / 'deep'
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = np.clip(color + rng.normal(0, 20, (32, 40, 3)), 0, 255)
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f'{i}.PNG')
    return tmp_path / 'data'


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / 'tiny.py'
    path.write_text(TINY.format(base=str(CONFIGS / 'cls_dualattn_t_folder.py')))
    return path


def options(data):
    return dict(data_root=str(data), experiment_name=os.urandom(4).hex())


def test_trained_tested_and_used(openmmlab, folders, tiny, tmp_path):
    work = tmp_path / 'work'
    train(str(tiny), str(work), cfg_options=options(folders))
    checkpoint = work / 'epoch_4.pth'
    content = torch.load(checkpoint, weights_only=True)
    assert content['meta']['dataset_meta']['classes'] == ('green', 'red')
    assert content['state_dict']['head.fc.bias'].shape == (2,)
    written = Config.fromfile(work / 'tiny.py')
    assert written.model.head.num_classes == written.data_preprocessor.num_classes == 2
    assert written.train_dataloader.collate_fn.type == 'default_collate'

    figures = evaluate(str(tiny), str(checkpoint), str(work), options(folders))
    assert figures['accuracy/top1'] == 100

    from mmpretrain import ImageClassificationInferencer

    shutil.rmtree(folders / 'train')  # a test needs only the test images
    assert evaluate(str(tiny), str(checkpoint), str(work), options(folders)) == figures
    (folders / 'val' / 'red').rename(folders / 'val' / 'blue')
    with pytest.raises(
        RunError, match=r'val differ .* of .*epoch_4\.pth: it lacks red and has blue$'
    ):
        evaluate(str(tiny), str(checkpoint), str(work), options(folders))
    (folders / 'val' / 'blue').rename(folders / 'val' / 'red')

    infer = ImageClassificationInferencer(str(work / 'tiny.py'), pretrained=str(checkpoint))
    pictures = [str(folders / 'val' / name / 'deep' / '0.PNG') for name in COLORS]
    assert [result['pred_class'] for result in infer(pictures)] == ['green', 'red']


def test_mixup_knows_the_number_of_classes_and_a_damaged_picture_is_replaced(
    openmmlab, folders, tiny, tmp_path, logged
):
    damaged, lines = folders / 'train' / 'red' / 'deep' / '0.PNG', logged(reports)
    damaged.write_bytes(b'')
    tiny.write_text(tiny.read_text().replace('    train_cfg=None,\n', ''))
    work = tmp_path / 'work'
    train(str(tiny), str(work), cfg_options=options(folders) | {'train_cfg.max_epochs': 1})
    written = Config.fromfile(work / 'tiny.py')
    assert 'Mixup' in {augment.type for augment in written.model.train_cfg.augments}
    assert written.data_preprocessor.num_classes == 2
    [line] = lines()
    assert line.startswith(f'replaced: {damaged} cannot be read (')


def test_checkpoint_of_another_size(openmmlab, tiny, folders, tmp_path, capsys):
    from dualattn_mm import DualAttention

    file = tmp_path / 'other.pth'
    arch = dict(embed_dims=(8, 8, 16, 32), depths=(1, 1, 1, 1), stem_channels=8)
    torch.save(DualAttention(arch, head_dim=8, group_dim=8).state_dict(), file)
    # as docs/classification.md writes it
    init = {
        'model.backbone.init_cfg.type': 'Pretrained',
        'model.backbone.init_cfg.checkpoint': str(file),
    }
    work = str(tmp_path)
    assert run_command(lambda: train(str(tiny), work, cfg_options=options(folders) | init)) == 2
    assert f'{file} does not fit DualAttention: ' in capsys.readouterr().err
    file.unlink()
    with pytest.raises(RunError, match=r'initial weights file .*other\.pth does not exist'):
        train(str(tiny), work, cfg_options=options('nowhere') | init)


def prepared(config, data, **changes):
    """The config as the runner saves it, without building the rest."""
    cfg = Config.fromfile(config)
    cfg.merge_from_dict(dict(data_root=str(data), **changes))
    with patch.object(Runner, 'from_cfg', classmethod(lambda cls, cfg: cfg)):
        return ClassFolderRunner.from_cfg(cfg)


def roots(cfg):
    return [cfg[f'{name}_dataloader'].dataset.data_root for name in ('train', 'val', 'test')]


def test_a_dataset_may_have_its_own_folder(openmmlab, folders, tiny, tmp_path):
    other, moved = str(tmp_path / 'other'), str(tmp_path / 'moved')
    for copy in (other, moved):
        shutil.copytree(folders, copy)
    cfg = prepared(tiny, folders, **{'test_dataloader.dataset.data_root': other})
    assert roots(cfg) == [str(folders), str(folders), other]
    saved = tmp_path / 'saved.py'
    cfg.dump(saved)
    assert roots(prepared(saved, moved)) == [moved, moved, other]
    # Earlier configs were saved without this entry, and with one folder for all datasets.
    cfg.pop('copied_data_root')
    cfg.dump(saved)
    assert roots(prepared(saved, moved)) == [moved, moved, moved]


def wrapped(dataset):
    """With mmengine's wrappers; two leaves have the same folders."""
    other = dataset | dict(data_prefix=dict(img_path=dataset['data_prefix']))
    balanced = dict(type='ClassBalancedDataset', oversample_thr=0.5, dataset=dataset)
    joined = dict(type='ConcatDataset', datasets=[balanced, other])
    return dict(type='RepeatDataset', times=2, dataset=joined)


def test_wrapped_datasets(openmmlab, folders, tiny, tmp_path):
    cfg = Config.fromfile(tiny)
    options_of_wrappers = {
        f'{name}_dataloader.dataset': dict(
            wrapped(cfg[f'{name}_dataloader'].dataset.to_dict()), _delete_=True
        )
        for name in ('train', 'val', 'test')
    }
    work = tmp_path / 'work'
    chosen = options(folders) | options_of_wrappers | {'train_cfg.max_epochs': 1}
    train(str(tiny), str(work), cfg_options=chosen)
    leaves = [
        dataset
        for name in ('train', 'val', 'test')
        for _, dataset in loaded_datasets(Config.fromfile(work / 'tiny.py'), name)
    ]
    assert [leaf.metainfo.classes for leaf in leaves] == [('green', 'red')] * 6
    assert {leaf.data_root for leaf in leaves} == {str(folders)}
    chosen['experiment_name'] = 'test' + chosen['experiment_name']
    assert 'accuracy/top1' in evaluate(str(tiny), str(work / 'epoch_1.pth'), str(work), chosen)


def test_images_of_a_class_may_be_in_one_of_several_folders(openmmlab, folders, tiny, tmp_path):
    shutil.copytree(folders / 'train', folders / 'more')
    for split, name in (('train', 'red'), ('more', 'green')):
        remove(folders / split / name)
    cfg = Config.fromfile(tiny)
    one = cfg.train_dataloader.dataset.to_dict()
    joined = dict(type='ConcatDataset', datasets=[one, one | dict(data_prefix='more')])
    prepare = lambda: prepared(  # noqa: E731
        tiny, folders, **{'train_dataloader.dataset': dict(joined, _delete_=True)}
    )
    assert prepare().model.head.num_classes == 2
    (folders / 'more' / 'green').rename(folders / 'more' / 'blue')
    with pytest.raises(RunError, match=r'data/more differ .*/train: it lacks green and has b'):
        prepare()
    remove(folders / 'more' / 'red')
    with pytest.raises(RunError, match=r'no images .* in .*/train/red$'):
        prepare()


@pytest.mark.parametrize('prefix', [None, '', dict(img_path='', _delete_=True)])
def test_folders_without_a_prefix(openmmlab, folders, tiny, prefix):
    changes = {f'{name}_dataloader.dataset.data_prefix': prefix for name in ('train', 'val')}
    changes['test_dataloader'] = None
    cfg = prepared(tiny, folders / 'train', **changes)
    assert cfg.train_dataloader.dataset.metainfo.classes == ('green', 'red')


def test_configs_that_lack_something(openmmlab, folders, tiny):
    prefix = {'val_dataloader.dataset.data_prefix': dict(img='val', _delete_=True)}
    with pytest.raises(RunError, match=r'^data_prefix of a dataset has img: class folders need im'):
        prepared(tiny, folders, **prefix)
    with pytest.raises(RunError, match=r'^the config has no train_dataloader with a dataset$'):
        prepared(tiny, folders, train_dataloader=None)
    cfg = Config.fromfile(tiny)
    cfg.data_root = None
    with pytest.raises(RunError, match=r'^the config has no data_root, the folder of the images$'):
        ClassFolderRunner.from_cfg(cfg)


def test_resuming_needs_the_classes_of_the_checkpoint(openmmlab, folders, tiny, tmp_path):
    file = tmp_path / 'epoch_1.pth'
    meta = dict(cfg="runner_type = 'ClassFolderRunner'", dataset_meta=dict(classes=('blue', 'red')))
    torch.save(dict(state_dict={}, meta=meta), file)
    prepared(tiny, folders, load_from=str(file))  # a new training may start from other classes
    with pytest.raises(RunError) as error:
        prepared(tiny, folders, load_from=str(file), resume=True)
    assert str(error.value) == (
        f'the classes of {folders}/train differ from those of {file}: it lacks blue and has green'
    )


def test_weights_alone_are_tested_with_the_classes_of_the_training_images_or_the_config(
    openmmlab, folders, tiny, tmp_path
):
    saved = tmp_path / 'saved.py'
    prepared(tiny, folders).dump(saved)
    weights = tmp_path / 'weights.pth'
    torch.save({}, weights)
    test = dict(task='test', load_from=str(weights))
    (folders / 'val' / 'red').rename(folders / 'val' / 'blue')
    with pytest.raises(RunError, match=r'differ from those of .*data/train: it lacks red and has'):
        prepared(saved, folders, **test)
    shutil.rmtree(folders / 'train')
    with pytest.raises(RunError, match=r'differ from those of the config: it lacks red and has'):
        prepared(saved, folders, **test)
    with pytest.raises(RunError, match=r'folder .*data/train does not exist'):
        prepared(tiny, folders, **test)
    (folders / 'val' / 'blue').rename(folders / 'val' / 'red')
    cfg = prepared(saved, folders, **test)
    assert cfg.model.head.num_classes == 2
    assert 'task' not in cfg


def remove(folder):
    for path in folder.rglob('*.PNG'):
        path.unlink()


@pytest.mark.parametrize(
    ('damage', 'said'),
    [
        (
            lambda data: data.rename(data.with_name('d')),
            r'folder .*data/train does not exist: .* data_root/tra',
        ),
        (lambda data: remove(data / 'train' / 'red'), r'no images \(.*\.png.* in .*/train/red$'),
        (lambda data: remove(data / 'val'), r'no images .* in .*/val/green$'),
        (
            lambda data: (data / 'val' / 'red').rename(data / 'val' / 'rde'),
            r'data/val differ from those of .*data/train: it lacks red and has rde$',
        ),
        (
            lambda data: (data / 'train' / '.cache').mkdir(),
            r'would use the hidden folder .*/train/\.cache as a class',
        ),
        (
            lambda data: (data / 'val' / 'red').rename(data / 'red'),
            r"data/val must have one folder per class, but it has \('green',\)",
        ),
    ],
)
def test_folders_that_do_not_fit(openmmlab, tiny, folders, damage, said, tmp_path):
    damage(folders)
    with pytest.raises(RunError, match=said):
        train(str(tiny), str(tmp_path / 'work'), cfg_options=options(folders))


@pytest.mark.parametrize('network', ['dualattn', 'davit', 'swin', 'resnet'])
def test_small_networks_are_of_a_size(openmmlab, network):
    model = openmmlab['mmpretrain'].MODELS.build(
        Config.fromfile(CONFIGS / f'small_{network}.py').model.backbone
    )
    parameters = sum(p.numel() for p in model.parameters())
    assert parameters == pytest.approx(799_360, rel=0.1)
    first_line = (CONFIGS / f'small_{network}.py').read_text().splitlines()[0]
    assert f'{parameters:,} ' in first_line
