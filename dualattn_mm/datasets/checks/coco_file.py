"""Check the contents of a COCO annotation file for mmdet.

mmdet silently drops annotations of unknown classes, numbers labels in the order of the file
regardless of the order of the class names, and notices a missing image only when it reads it.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ...utils.errors import RunError, first_line, shortened
from ...utils.terminal import print_line
from ..leaves import on_local_disk, selected
from .coco_format import (
    file_error,
    has_box,
    is_mask,
    is_number,
    is_read_as_mask,
    read_coco,
    require,
)
from .image_sizes import image_loader, size_difference

_OPENED = 8  # number of images whose size is compared with the annotation file


class CocoFile:
    """An annotation file whose format and categories are checked when it is read.

    Args:
        path: the file.
        classes: the class names.
        trained_on: whether it is for training. Then it must have a list of annotations, unless the
            dataset keeps images without objects. COCO's own test files have none.
        dataset: the config of the dataset that reads it.
    """

    def __init__(
        self,
        path: Path,
        classes: Sequence[str],
        trained_on: bool = False,
        dataset: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.path = path
        self.classes = classes
        self.trained_on = trained_on
        self.pipeline = dataset.get('pipeline') or ()
        filters = {} if dataset.get('test_mode') else dataset.get('filter_cfg') or {}
        self.min_size = filters.get('min_size', 0)
        self.keeps_empty = not filters.get('filter_empty_gt')
        self.images, self.annotations, self.categories = read_coco(
            path, annotated=trained_on and not self.keeps_empty
        )
        self._check_boxes()
        # Images of backgrounds and unlabeled ones need no categories.
        if self.annotations or not (trained_on and self.keeps_empty):
            self._check_categories()
        self.read = selected(self._kept(), dataset.get('indices'))

    def error(self, text: str) -> RunError:
        """Return an error about this file."""
        return file_error(self.path, text)

    def _warn(self, text: str) -> None:
        print_line(f'warning: {self.path}: {text}')

    def _check_boxes(self) -> None:
        sizes = self._sizes(self.images)
        read = [a for a in self.annotations if a['image_id'] in sizes and not a.get('ignore')]
        require(self.path, 'annotations', read, 'have a bbox that is not four numbers', has_box)
        if self.trained_on:  # mmdet skips the others before it reads their area
            read = [a for a in read if _overlaps(a['bbox'], sizes[a['image_id']])]
        require(
            self.path,
            'annotations',
            read,
            'have an area that is not a number',
            lambda a: is_number(a['area']),
        )

    def _check_categories(self) -> None:
        names = [category['name'] for category in self.categories]
        missing = [name for name in self.classes if name not in names]
        if missing:
            raise self.error(
                f'no category for {len(missing)} of {len(self.classes)} classes '
                f'({shortened(missing)}); its categories are {shortened(names)}: set the class '
                'names with the option classes'
            )
        # mmdet assigns labels in the order of the file.
        if [name for name in names if name in self.classes] != list(self.classes):
            raise self.error(
                'its categories and the option classes have different orders: use that of the file'
            )

    def _kept(self) -> list[dict]:
        """Return the images that mmdet's filter keeps."""
        large = [image for image in self.images if self._is_large(image)]
        if self.images and not large:
            raise self.error(
                f'all of its {len(self.images)} images have a side below '
                f'filter_cfg.min_size={self.min_size}, so none of them is read'
            )
        if self.keeps_empty:
            return large
        wanted = self._wanted_categories()
        annotated = {a['image_id'] for a in self.annotations if a['category_id'] in wanted}
        return [image for image in large if image['id'] in annotated]

    def _is_large(self, image: Mapping[str, Any]) -> bool:
        return min(image['width'], image['height']) >= self.min_size

    def _wanted_categories(self) -> set[Any]:
        return {c['id'] for c in self.categories if c['name'] in self.classes}

    @staticmethod
    def _sizes(images: Iterable[dict]) -> dict[Any, tuple[float, float]]:
        return {image['id']: (image['width'], image['height']) for image in images}

    def check_images(self, folder: Path) -> None:
        """Check that the images that mmdet reads exist, and the sizes of a few."""
        if not self.images:
            raise self.error('it lists no images')
        if not self.read and (self.keeps_empty or not self.trained_on):
            raise self.error('filter_cfg and indices of the dataset leave none of its images')
        if not all(map(on_local_disk, self.pipeline)):
            return
        paths = [folder / image['file_name'] for image in self.read]
        missing = [path.name for path in paths if not path.is_file()]
        if missing and len(missing) == len(paths):
            raise self.error(
                f'none of its {len(paths)} images are in {folder}: {shortened(missing)}'
            )
        if missing:
            raise self.error(
                f'{len(missing)} of its {len(paths)} images are not in {folder}: '
                f'{shortened(missing)}'
            )
        load = image_loader(self.pipeline)
        step = max(1, len(paths) // _OPENED)
        for path, image in list(zip(paths, self.read, strict=True))[::step] if load else ():
            try:
                height, width = load(dict(img_path=str(path)))['img'].shape[:2]
            except Exception as error:  # decoders fail in many ways
                if self.trained_on:  # DamagedImagesHook replaces unreadable images
                    continue
                raise self.error(f'{path} cannot be read ({first_line(error)})') from None
            said = image['width'], image['height']
            if said != (width, height):
                raise self.error(size_difference(path, said, (width, height)))

    def require_iscrowd(self) -> None:
        """Check that the evaluation knows which objects are crowds."""
        objects = self._known_objects()
        without = sum(not is_number(a.get('iscrowd')) for a in objects)
        if without:
            raise self.error(
                f'{without} of {len(objects)} objects have no iscrowd, which the evaluation needs: '
                'add "iscrowd": 0 to each'
            )

    def require_masks(self, why: str) -> None:
        """Check that all objects have masks."""
        self._require_masks(self._known_objects(), why)

    def _require_masks(self, objects: Sequence[dict], why: str) -> None:
        without = sum(not a.get('segmentation') for a in objects)
        if without:
            raise self.error(f'{without} of {len(objects)} objects have no segmentation, {why}')
        require(
            self.path,
            'objects',
            objects,
            'have a segmentation that is neither a list of polygons nor RLE',
            lambda a: is_read_as_mask(a['segmentation']),
        )

    def require_polygons(self) -> None:
        """Check the masks that pycocotools converts, which fails on some that mmdet ignores."""
        require(
            self.path,
            'objects',
            self._known_objects(),
            'have a segmentation that is neither polygons of three or more points nor RLE, which '
            'the metric segm needs',
            lambda a: is_mask(a['segmentation']),
        )

    def _known_objects(self) -> list[dict]:
        """Return the annotations for listed images and known classes."""
        listed, wanted = self._sizes(self.images), self._wanted_categories()
        return [
            a for a in self.annotations if a['image_id'] in listed and a['category_id'] in wanted
        ]

    def check_objects(self, masks: bool) -> None:
        """Check the objects to train on: mmdet ignores unusable ones.

        Args:
            masks: whether a detector with masks is trained.
        """
        used, left_out = self._used
        if not used and not self.keeps_empty:
            raise self.without_objects()
        if left_out:
            some = 'some' if used else 'all'
            self._warn(f'{some} of the {len(self.annotations)} annotations are ignored: {left_out}')
        large = sum(map(self._is_large, self.images))
        empty = large - len({a['image_id'] for a in used})
        if empty and self.annotations:
            self._warn(f'{empty} of {large} images have no objects')
        if masks:
            self._require_masks(used, 'which is needed to train a detector with masks')

    @property
    def has_objects(self) -> bool:
        """Whether there is an object to train on."""
        return bool(self._used[0])

    def without_objects(self) -> RunError:
        """Return the error that there are no objects to train on."""
        left_out = self._used[1]
        why = f': {left_out}' if left_out else ''
        total = len(self.annotations)
        return self.error(f'none of the {total} annotations can be used for training{why}')

    @cached_property
    def _used(self) -> tuple[list[dict], str]:
        """The objects that mmdet trains on, and a description of those that it does not."""
        listed = self._sizes(self.images)
        sizes = self._sizes(filter(self._is_large, self.images))
        known = [a for a in self.annotations if a['image_id'] in listed]
        large = [a for a in known if a['image_id'] in sizes]
        wanted = self._wanted_categories()
        of_classes = [a for a in large if a['category_id'] in wanted]
        named = [a for a in of_classes if not a.get('ignore')]
        used = [a for a in named if _inside(a, sizes[a['image_id']])]
        counts = {
            'for images that are not listed': len(self.annotations) - len(known),
            f'for images with a side below filter_cfg.min_size={self.min_size}': len(known)
            - len(large),
            'of other classes': len(large) - len(of_classes),
            'to be ignored': len(of_classes) - len(named),
            'without area inside their image': len(named) - len(used),
        }
        return used, ', '.join(f'{count} {what}' for what, count in counts.items() if count)


def names(images: Iterable[dict]) -> set[tuple[Any, str]]:
    """Return the id and file name of images."""
    return {(image['id'], Path(image['file_name']).name) for image in images}


def _inside(annotation: Mapping[str, Any], size: tuple[float, float]) -> bool:
    """Return whether mmdet uses an annotation.

    It needs an area, and a box of at least one pixel that overlaps the image.
    """
    _, _, width, height = annotation['bbox']
    overlap = _overlaps(annotation['bbox'], size)
    return overlap and annotation['area'] > 0 and width >= 1 and height >= 1


def _overlaps(box: Sequence[float], size: tuple[float, float]) -> bool:
    x, y, width, height = box
    return min(x + width, size[0]) > max(x, 0) and min(y + height, size[1]) > max(y, 0)
