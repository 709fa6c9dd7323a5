"""Training of a classifier on pictures in one folder per class, by naming one folder."""

from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from ..datasets.checks.class_folders import ClassFolders

_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


@RUNNERS.register_module()
class ClassFolderRunner(Runner):
    """Runner for mmpretrain's CustomDataset that takes the classes from `data_root` alone.

    The config's `data_root` becomes that of its data sets. The folders of the training data become
    their classes and set the number of classes of the head, Mixup and CutMix. The config that is
    written beside the checkpoints contains all of this, so that other tools can use it.
    """

    @classmethod
    def from_cfg(cls, cfg: Config) -> Runner:
        """Build it.

        Raises:
            RunError: if there is no folder, fewer than two classes, a class without pictures to
                train on, or other classes to validate or test on.
        """
        cfg = cfg.copy()
        datasets = [cfg[name].dataset for name in _LOADERS if cfg.get(name)]
        for dataset in datasets:
            dataset.data_root = cfg.data_root
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
