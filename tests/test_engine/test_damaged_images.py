"""Images that mmcv cannot read, or that are turned against their annotations."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.dataset import BaseDataset, RepeatDataset
from mmengine.runner import get_priority
from PIL import Image
from torch.utils.data import DataLoader

from dualattn_mm.datasets import reports
from dualattn_mm.engine.hooks.damaged_images import DamagedImagesHook
from dualattn_mm.utils.command import error_line
from dualattn_mm.utils.errors import RunError

pytestmark = pytest.mark.integration
loading = pytest.importorskip('mmcv.transforms')

BROKEN = ('0.png', '1.png', '2.png')  # damaged, empty, gone


class Images(BaseDataset):
    """Their mean color, and its double."""

    def __init__(self, folder, infos, **kwargs):
        self.infos = infos
        pack = lambda results: torch.tensor([1.0, 2.0]) * results['img'].mean() / 255  # noqa: E731
        pipeline = [loading.LoadImageFromFile(), pack]
        super().__init__(data_root=str(folder), pipeline=pipeline, **kwargs)

    def load_data_list(self):
        return [dict(info, img_path=f'{self.data_root}/{name}') for name, info in self.infos]


@pytest.fixture
def images(tmp_path, logged):
    """Makes a data set of six images, of which three cannot be read; and what is logged."""
    for i in range(6):
        Image.new('RGB', (8, 6), (40 * i, 0, 0)).save(tmp_path / f'{i}.png')
    (tmp_path / '0.png').write_bytes(b'no image')
    (tmp_path / '1.png').write_bytes(b'')
    (tmp_path / '2.png').unlink()

    def make(count=6, **kwargs):
        return Images(tmp_path, [(f'{i}.png', {}) for i in range(count)], **kwargs)

    make.log = logged(reports)
    return make


def test_training_replaces_them_and_names_each_once(make_runner, images, tmp_path):
    hooks = [dict(type='RepeatableHook'), dict(type='DamagedImagesHook', max_broken=3)]
    dataset = RepeatDataset(images(), times=2)
    make_runner(hooks, 12, dataset=dataset, param_scheduler=None).train()
    lines = sorted(images.log())
    assert len(lines) == 3
    for line, name in zip(lines, BROKEN, strict=True):
        assert line.startswith(f'replaced: {tmp_path}/{name} cannot be read (')


@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.filterwarnings('ignore:This DataLoader will create')
def test_too_many_damaged_images_stop_training_in_one_line(images, tmp_path, workers):
    loader = DataLoader(images(), batch_size=3, num_workers=workers)
    loop = SimpleNamespace(dataloader=loader)
    DamagedImagesHook(max_broken=2).before_train(SimpleNamespace(train_loop=loop))
    with pytest.raises(RunError) as caught:
        list(loader)
    line = error_line(caught.value)
    assert line.startswith('3 of 6 images cannot be used (max_broken of DamagedImagesHook is 2)')
    assert line.rpartition('the last one: ')[2].startswith(str(tmp_path))
    assert '\n' not in line


def test_a_pipeline_that_another_hook_replaces_is_watched(images):
    """As mmdet's PipelineSwitchHook does; what was counted before still counts."""
    dataset = images(5)
    loop = SimpleNamespace(dataloader=SimpleNamespace(dataset=dataset))
    runner, hook = SimpleNamespace(train_loop=loop), DamagedImagesHook(max_broken=2)
    hook.before_train(runner)
    hook.before_train_epoch(runner)
    assert dataset.prepare_data(0) is dataset.prepare_data(1) is None
    dataset.pipeline = type(dataset.pipeline)([loading.LoadImageFromFile()])
    hook.before_train_epoch(runner)
    assert dataset.prepare_data(1) is None
    assert len(images.log()) == 2
    with pytest.raises(RunError, match='3 of 5 images cannot be used'):
        dataset.prepare_data(2)
    switch = pytest.importorskip('mmdet.engine.hooks').PipelineSwitchHook
    assert get_priority(hook.priority) > get_priority(switch.priority)


@pytest.mark.parametrize('first', [True, False])
def test_every_process_reports(monkeypatch, capfd, first):
    """Of several processes, only the first one has a log of warnings."""
    monkeypatch.setattr(reports, 'is_main_process', lambda: first)
    logged = []
    monkeypatch.setattr(reports, 'print_log', lambda text, *_: logged.append(text))
    reports.report('skipped a\nb')
    assert logged == [r'skipped a\nb'] * first
    assert capfd.readouterr().err == 'skipped a\\nb\n' * (not first)


def test_no_image_can_be_read(images):
    dataset = images(3)
    loop = SimpleNamespace(dataloader=SimpleNamespace(dataset=dataset))
    DamagedImagesHook().before_train(SimpleNamespace(train_loop=loop))
    with pytest.raises(RunError, match='3 of 3 images cannot be used'):
        dataset[0]


@pytest.mark.parametrize('name', ['val', 'test'])
def test_a_test_names_the_first_and_ends(images, tmp_path, name):
    dataset = images(test_mode=True)
    loop = SimpleNamespace(dataloader=SimpleNamespace(dataset=dataset))
    hook, runner = DamagedImagesHook(), SimpleNamespace(**{f'{name}_loop': loop})
    for _ in range(2):  # as before each validation
        getattr(hook, f'before_{name}')(runner)
    for i, file in enumerate(BROKEN):
        with pytest.raises(RunError, match=f'^{tmp_path}/{file} cannot be read'):
            dataset[i]
    assert dataset[5].tolist() == pytest.approx([200 / 255 / 3, 400 / 255 / 3])


def test_a_turned_image_is_not_trained_on(images, tmp_path):
    """Boxes of the stored image would lie beside their objects."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', (8, 6), 'red').save(tmp_path / '3.jpg', exif=exif)
    sizes = dict(width=8, height=6)
    dataset = Images(tmp_path, [('3.jpg', sizes), ('4.png', sizes)], max_refetch=200)
    loop = SimpleNamespace(dataloader=SimpleNamespace(dataset=dataset))
    DamagedImagesHook().before_train(SimpleNamespace(train_loop=loop))
    assert dataset[0].tolist() == dataset[1].tolist()
    (line,) = images.log()
    assert line.startswith(f'replaced: {tmp_path}/3.jpg is 8 x 6 in the annotations, but the ')
    assert "color_type='color_ignore_orientation'" in line
