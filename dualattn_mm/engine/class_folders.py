"""Training of a classifier on pictures in one folder per class, by naming one folder."""

from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from .errors import RunError

_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


@RUNNERS.register_module()
class ClassFolderRunner(Runner):
    """Runner for mmpretrain's CustomDataset: `data_root` alone says what the classes are.

    The config's `data_root` becomes that of its data sets, and the folders of the training data
    become their classes, and the number of classes of the head (and of Mixup and CutMix). The
    config that is written beside the checkpoints has all that, for other tools to read.
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
        first, *others = map(_ClassFolders, datasets)
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


class _ClassFolders:
    """The folders of a data set of type CustomDataset, as mmpretrain will find them."""

    def __init__(self, dataset: dict[str, Any]) -> None:
        from mmpretrain.datasets.custom import CustomDataset, find_folders

        root, prefix = dataset['data_root'], dataset['data_prefix']
        self.folder = Path(root, prefix)
        if not self.folder.is_dir():
            raise RunError(
                f'no folder {self.folder}: pictures are looked for in data_root/{prefix}/CLASS/, '
                f'and data_root is {root}'
            )
        self.classes = tuple(find_folders(str(self.folder))[0])
        if len(self.classes) < 2:
            raise RunError(f'a folder per class is needed, and {self.folder} has {self.classes}')
        options = {name: dataset[name] for name in ('extensions',) if name in dataset}
        self._lazy = CustomDataset(root, prefix, lazy_init=True, **options)

    def require_pictures(self, of_each_class: bool) -> None:
        empty = [name for name in self.classes if not self._has_picture(name)]
        if empty and (of_each_class or len(empty) == len(self.classes)):
            kinds = ', '.join(sorted(self._lazy.extensions))
            raise RunError(f'no pictures ({kinds}) in {self.folder}/{empty[0]}')

    def require_classes_of(self, first: '_ClassFolders') -> None:
        missing, more = (
            sorted(set(a.classes) - set(b.classes)) for a, b in ((first, self), (self, first))
        )
        if missing or more:
            parts = [f'lacks {", ".join(missing)}'] * bool(missing)
            parts += [f'has {", ".join(more)}'] * bool(more)
            raise RunError(
                f'the classes of {self.folder} are not those of {first.folder}: '
                f'it {" and ".join(parts)}'
            )

    def _has_picture(self, name: str) -> bool:
        return any(self._lazy.is_valid_file(path.name) for path in (self.folder / name).rglob('*'))
