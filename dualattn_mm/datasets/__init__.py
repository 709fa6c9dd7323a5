"""Photos for training the colorizer. Importing this registers data set and transforms."""

from .photos import ColorizationDataset
from .transforms import ColorizationCrop, LoadPhoto, PackColorization

__all__ = [
    'ColorizationCrop',
    'ColorizationDataset',
    'LoadPhoto',
    'PackColorization',
]
