"""Set custom classes in mmdet configs with one option."""

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config

from ...utils.config_parts import is_from
from ...utils.errors import RunError
from ..leaves import loaded_datasets

# Their num_classes is not the number of classes of objects: it is 1, or the number of kinds of
# surfaces or of people.
_OTHER_PARTS = ('rpn_head', 'semantic_head', 'reid')


def use_classes(cfg: Config) -> bool:
    """Set the class names of `cfg.classes` and their number wherever an mmdet config needs them.

    Args:
        cfg: the config, modified in place: the metainfo of mmdet's datasets, and the numbers of
            classes in the model.

    Returns:
        Whether the config has datasets of mmdet; no other config is modified.

    Raises:
        RunError: if the model has numbers that do not follow from the names.
    """
    scope = cfg.get('default_scope')
    datasets = [
        dataset
        for loader in ('train', 'val', 'test')
        for _, dataset in loaded_datasets(cfg, loader)
        if is_from(dataset, 'mmdet', scope)
    ]
    if not datasets or not cfg.get('classes'):
        return bool(datasets)
    given = cfg.classes
    names = tuple(map(str, [given] if isinstance(given, str) else given))
    for dataset in datasets:
        dataset['metainfo'] = dict(dataset.get('metainfo') or {}, classes=names)
    for part, option in class_counts(cfg.get('model')):
        if part.get('num_stuff_classes'):
            raise RunError(
                f'classes: the model also has num_stuff_classes={part["num_stuff_classes"]} kinds '
                'of surfaces, and the option names only objects: set metainfo and these numbers in '
                'the config instead'
            )
        _resize_weights(part, part[option], len(names))
        part[option] = len(names)
    return True


def class_counts(part: Any, name: str = '') -> Iterator[tuple[dict, str]]:
    """Yield the parts of a model config that have the number of classes of objects.

    Args:
        part: the config of a model, or a part of it.
        name: the option of the part.

    Yields:
        The part, and its option with the number: heads, and losses within heads.
    """
    if isinstance(part, list | tuple):
        for inner in part:
            yield from class_counts(inner, name)
    if not isinstance(part, Mapping) or name in _OTHER_PARTS:
        return
    if 'num_things_classes' in part:
        yield part, 'num_things_classes'
    if name.endswith('head') and 'num_classes' in part:
        yield part, 'num_classes'
        for key, inner in part.items():
            if key.startswith('loss') and isinstance(inner, Mapping) and 'num_classes' in inner:
                yield inner, 'num_classes'
    for key, inner in part.items():
        yield from class_counts(inner, key)


def _resize_weights(head: Mapping[str, Any], before: int, after: int) -> None:
    """Give the losses of a head as many weights of classes, if they all are the same.

    The background, which some losses have as their last class, keeps its weight.
    """
    for name, loss in head.items():
        weights = loss.get('class_weight') if isinstance(loss, Mapping) else None
        if not isinstance(weights, list | tuple):
            continue
        differ = len(set(weights[:before])) > 1
        # One class more than before: such weights can also be the old ones and the background's.
        of_before = after == before + 1 == len(weights) and not differ
        if len(weights) in (after, after + 1) and not of_before:
            continue
        if differ or len(weights) not in (before, before + 1):
            raise RunError(
                f'classes: {name}.class_weight has {len(weights)} weights, of which some differ: '
                f'set one for each of the {after} classes'
            )
        loss['class_weight'] = [weights[0]] * after + list(weights[before:])
