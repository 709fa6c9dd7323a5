"""Train a classifier on images in one folder per class."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mmengine.config import Config, ConfigDict
from mmengine.registry import RUNNERS
from mmengine.runner import CheckpointLoader, Runner

from ..datasets.checks.class_folders import ClassFolders, image_prefix
from ..datasets.leaves import loaded_datasets
from ..utils.checkpoint_file import read_checkpoint, require_checkpoint
from ..utils.errors import RunError

_Datasets = Mapping[str, Sequence[ConfigDict]]  # by loader, without their wrappers


@RUNNERS.register_module()
class ClassFolderRunner(Runner):
    """A runner for mmpretrain's CustomDataset that finds the classes in `data_root`.

    The `data_root` of the config is copied to its datasets that have none. The folders of the
    training data are the classes, and their number is set in the head, Mixup and CutMix. The config
    that is saved with the checkpoints contains all of this, so other tools can use it.
    """

    @classmethod
    def from_cfg(cls, cfg: Config) -> Runner:
        """Build the runner.

        Args:
            cfg: the config. With `task='test'`, which is not saved, only the test data are needed.

        Raises:
            RunError: if a folder does not exist, there are fewer than two classes, a class has no
                training images, or validation data, test data or the checkpoint of a test or a
                resumed training have other classes.
        """
        cfg = cfg.copy()
        task = cfg.pop('task', 'train')
        if not cfg.get('data_root'):
            raise RunError('the config has no data_root, the folder of the images')
        datasets = {
            loader: [dataset for _, dataset in loaded_datasets(cfg, loader)]
            for loader in ('train', 'val', 'test')
        }
        leaves = [dataset for found in datasets.values() for dataset in found]
        for dataset in leaves:
            # In a saved config, it is the copy of an earlier data_root, which may have changed.
            # Before copied_data_root existed, every dataset with classes had such a copy.
            classes = (dataset.get('metainfo') or {}).get('classes')
            copied = cfg.get('copied_data_root', dataset.get('data_root') if classes else None)
            if dataset.get('data_root') in (None, copied):
                dataset.data_root = cfg.data_root
        cfg.copied_data_root = cfg.data_root
        if task == 'test':
            classes = _check_test(datasets, cfg.get('load_from'))
        else:
            resumed = cfg.get('load_from') if cfg.get('resume') else None
            classes = _check_training(datasets, resumed)
        for dataset in leaves:
            dataset.metainfo = dict(classes=classes)
        cfg.model.head.num_classes = len(classes)
        if 'data_preprocessor' in cfg:
            cfg.data_preprocessor.num_classes = len(classes)
        return super().from_cfg(cfg)


def _check_training(datasets: _Datasets, resumed: str | None) -> tuple[str, ...]:
    if not datasets['train']:
        raise RunError('the config has no train_dataloader with a dataset')
    first, *joined = map(ClassFolders, datasets['train'])
    first.require_pictures(of_each_class=True, others=joined)
    for other in (*joined, *map(ClassFolders, (*datasets['val'], *datasets['test']))):
        other.require_classes(first.classes, first.folder)
        other.require_pictures(of_each_class=False)
    if resumed and (classes := _classes_in(resumed)):
        first.require_classes(classes, resumed)
    return first.classes


def _check_test(datasets: _Datasets, checkpoint: str | None) -> tuple[str, ...]:
    tested = [ClassFolders(dataset) for dataset in datasets['test']]
    for folders in tested:
        folders.require_pictures(of_each_class=False)
    classes, source = _trained_classes(datasets, checkpoint)
    for folders in tested:
        folders.require_classes(classes, source)
    return classes


def _trained_classes(
    datasets: _Datasets, checkpoint: str | None
) -> tuple[tuple[str, ...], str | Path]:
    """Return the classes of the training, and where they are from."""
    if checkpoint and (classes := _classes_in(checkpoint)):
        return classes, checkpoint
    trained = (datasets['train'] or datasets['test'])[0]
    saved = (trained.get('metainfo') or {}).get('classes')
    if saved and not Path(trained['data_root'], image_prefix(trained)).is_dir():
        return tuple(saved), 'the config'
    folders = ClassFolders(trained)
    return folders.classes, folders.folder


def _classes_in(path: str) -> tuple[str, ...] | None:
    """Return the classes in a checkpoint of this runner; None for other weights.

    Other training runs may call the classes by other names than those of their folders.
    """
    if '://' in path:
        checkpoint = CheckpointLoader.load_checkpoint(path, 'cpu')
    else:
        checkpoint = read_checkpoint(Path(path).expanduser())
    require_checkpoint(checkpoint, path)
    meta = checkpoint.get('meta', {})
    if ClassFolderRunner.__name__ not in str(meta.get('cfg')):
        return None
    return (meta.get('dataset_meta') or {}).get('classes')
