"""Train a classifier on images in one folder per class."""

from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from ..datasets.checks.class_folders import ClassFolders

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

        Raises:
            RunError: if the folder does not exist, there are fewer than two classes, a class has no
                training images, or validation or test data have other classes.
        """
        cfg = cfg.copy()
        datasets = [cfg[name].dataset for name in _LOADERS if cfg.get(name)]
        for dataset in datasets:
            # In a saved config, it is the copy of an earlier data_root, which may have changed.
            if dataset.get('data_root') in (None, cfg.get('copied_data_root')):
                dataset.data_root = cfg.data_root
        cfg.copied_data_root = cfg.data_root
        first, *others = map(ClassFolders, datasets)
        first.require_pictures(of_each_class=True)
        for other in others:
            other.require_classes_of(first)
            other.require_pictures(of_each_class=False)
        classes = first.classes
        for dataset in datasets:
            dataset.metainfo = dict(classes=classes)
        cfg.model.head.num_classes = len(classes)
        if 'data_preprocessor' in cfg:
            cfg.data_preprocessor.num_classes = len(classes)
        return super().from_cfg(cfg)
