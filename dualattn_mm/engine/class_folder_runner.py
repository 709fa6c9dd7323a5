"""Train a classifier on images in one folder per class."""

from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import CheckpointLoader, Runner

from ..datasets.checks.class_folders import ClassFolders
from ..utils.checkpoint_file import read_checkpoint, require_checkpoint

_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


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
        datasets = {name: cfg[name].dataset for name in _LOADERS if cfg.get(name)}
        for dataset in datasets.values():
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
            classes = _check_training(list(datasets.values()), resumed)
        for dataset in datasets.values():
            dataset.metainfo = dict(classes=classes)
        cfg.model.head.num_classes = len(classes)
        if 'data_preprocessor' in cfg:
            cfg.data_preprocessor.num_classes = len(classes)
        return super().from_cfg(cfg)


def _check_training(datasets: list[dict[str, Any]], resumed: str | None) -> tuple[str, ...]:
    first, *others = map(ClassFolders, datasets)
    first.require_pictures(of_each_class=True)
    for other in others:
        other.require_classes(first.classes, first.folder)
        other.require_pictures(of_each_class=False)
    if resumed and (classes := _classes_in(resumed)):
        first.require_classes(classes, resumed)
    return first.classes


def _check_test(datasets: dict[str, dict[str, Any]], checkpoint: str | None) -> tuple[str, ...]:
    tested = ClassFolders(datasets['test_dataloader'])
    tested.require_pictures(of_each_class=False)
    classes, source = _trained_classes(datasets, checkpoint)
    tested.require_classes(classes, source)
    return classes


def _trained_classes(
    datasets: dict[str, dict[str, Any]], checkpoint: str | None
) -> tuple[tuple[str, ...], str | Path]:
    """Return the classes of the training, and where they are from."""
    if checkpoint and (classes := _classes_in(checkpoint)):
        return classes, checkpoint
    trained = datasets.get('train_dataloader', datasets['test_dataloader'])
    saved = (trained.get('metainfo') or {}).get('classes')
    if saved and not Path(trained['data_root'], trained['data_prefix']).is_dir():
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
