"""Check classification images in one folder per class."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...utils.errors import RunError


def image_prefix(dataset: Mapping[str, Any]) -> str:
    """Return the folder of images below the data_root of a dataset.

    Raises:
        RunError: if the option data_prefix has another one instead.
    """
    prefix = dataset.get('data_prefix') or ''
    if isinstance(prefix, Mapping):
        if 'img_path' not in prefix:
            raise RunError(
                f'data_prefix of a dataset has {", ".join(prefix)}: class folders need img_path'
            )
        prefix = prefix['img_path']
    return prefix


class ClassFolders:
    """The class folders of a CustomDataset, as mmpretrain will find them."""

    def __init__(self, dataset: Mapping[str, Any]) -> None:
        from mmpretrain.datasets.custom import CustomDataset, find_folders

        root, prefix = dataset['data_root'], image_prefix(dataset)
        self.folder = Path(root, prefix)
        if not self.folder.is_dir():
            raise RunError(
                f'folder {self.folder} does not exist: images belong in '
                f'{Path("data_root", prefix, "CLASS")}/, and data_root is {root}'
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

    def require_pictures(self, of_each_class: bool, others: Sequence['ClassFolders'] = ()) -> None:
        """Check that there are images.

        Args:
            of_each_class: whether each class needs some.
            others: folders of the same classes whose images count too.
        """
        folders = (self, *others)
        empty = [name for name in self.classes if not any(f._has_picture(name) for f in folders)]
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
