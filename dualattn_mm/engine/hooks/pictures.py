"""Save the predicted images of a test."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from PIL import Image

from ...datasets.leaves import loaders_of
from ...evaluation.image_metric import to_bytes
from ...utils.atomic import check_writable
from ...utils.errors import UserError, writing_to
from ...utils.image_io import write_image


class SavePicturesHook(Hook):
    """Save every prediction of a test as a PNG file, at the size of the test.

    The names are the paths of the photos below the folder of the dataset. Every process saves its
    own predictions.

    Args:
        folder: the output folder; images of an earlier test are replaced.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self._names: dict[str, Path] = {}

    def before_test(self, runner: Runner) -> None:
        """Choose all file names.

        Raises:
            UserError: if two photos would have the same name, a photo would be overwritten, or the
                folder cannot be written to.
        """
        sources = []
        for dataset in (loader.dataset for loader in loaders_of(runner.test_loop)):
            own = [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]
            self._names |= picture_names(own, dataset.data_root or '')
            sources += own
        photos = {os.path.realpath(source) for source in sources}
        for name in self._names.values():
            target = self.folder / name
            if os.path.realpath(target) in photos:
                raise UserError(
                    f'{target} is a test photo and would be overwritten: change --show-dir'
                )
        check_writable(self.folder)

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[BaseDataElement] | None = None,
    ) -> None:
        for sample in outputs or ():
            pixels = to_bytes(sample.pred_img).permute(1, 2, 0).cpu().numpy()
            target = self.folder / self._names[sample.img_path]
            with writing_to(target):
                write_image(Image.fromarray(pixels), target, 'PNG', overwrite=True)


def picture_names(sources: Sequence[str], root: str) -> dict[str, Path]:
    """Choose the file name of every prediction: the path of its photo below the root, as PNG.

    Photos outside the root, which a list can contain, keep their path below the folder that all
    photos have in common. Photos that differ only in their suffix keep it before '.png'.

    Args:
        sources: the paths of the photos.
        root: the folder of the dataset.

    Returns:
        A relative path for each source.

    Raises:
        UserError: if two photos would still have the same name.
    """
    whole = {source: os.path.abspath(source) for source in sources}
    base = os.path.abspath(root)
    if any(not Path(path).is_relative_to(base) for path in whole.values()):
        base = os.path.commonpath([os.path.dirname(path) for path in whole.values()])
    relative = {source: Path(path).relative_to(base) for source, path in whole.items()}
    stems = Counter(path.with_suffix('') for path in relative.values())
    names = {
        source: path.with_suffix('.png')
        if stems[path.with_suffix('')] == 1
        else path.with_name(f'{path.name}.png')
        for source, path in relative.items()
    }
    taken: dict[Path, str] = {}
    for source, name in names.items():
        other = taken.setdefault(name, source)
        if other != source:
            raise UserError(f'{other} and {source} would both be saved as {name}: rename one')
    return names
