"""Check classification images in one folder per class."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...utils.errors import RunError


class ClassFolders:
    """The class folders of a CustomDataset, as mmpretrain will find them."""

    def __init__(self, dataset: dict[str, Any]) -> None:
        from mmpretrain.datasets.custom import CustomDataset, find_folders

        root, prefix = dataset['data_root'], dataset['data_prefix']
        self.folder = Path(root, prefix)
        if not self.folder.is_dir():
            raise RunError(
                f'folder {self.folder} does not exist: images belong in data_root/{prefix}/CLASS/, '
                f'and data_root is {root}'
            )
        self.classes = tuple(find_folders(str(self.folder))[0])
        hidden = [name for name in self.classes if name.startswith('.')]
        if hidden:
            raise RunError(
                f'mmpretrain would use the hidden folder {self.folder}/{hidden[0]} as a class: '
                'move it elsewhere'
            )
        if len(self.classes) < 2:
            raise RunError(
                f'{self.folder} must have one folder per class, but it has {self.classes}'
            )
        options = {name: dataset[name] for name in ('extensions',) if name in dataset}
        self._lazy = CustomDataset(root, prefix, lazy_init=True, **options)

    def require_pictures(self, of_each_class: bool) -> None:
        empty = [name for name in self.classes if not self._has_picture(name)]
        if empty and (of_each_class or len(empty) == len(self.classes)):
            kinds = ', '.join(sorted(self._lazy.extensions))
            raise RunError(f'no images ({kinds}) in {self.folder}/{empty[0]}')

    def require_classes(self, classes: Sequence[str], source: str | Path) -> None:
        """Check that the classes are those of `source`, which the message names."""
        own, other = set(self.classes), set(classes)
        missing, more = sorted(other - own), sorted(own - other)
        if missing or more:
            parts = [f'lacks {", ".join(missing)}'] * bool(missing)
            parts += [f'has {", ".join(more)}'] * bool(more)
            raise RunError(
                f'the classes of {self.folder} differ from those of {source}: '
                f'it {" and ".join(parts)}'
            )

    def _has_picture(self, name: str) -> bool:
        return any(self._lazy.is_valid_file(path.name) for path in (self.folder / name).rglob('*'))
