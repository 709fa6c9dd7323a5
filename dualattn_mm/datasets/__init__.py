"""Photos for training the colorizer. Importing this registers data set and transforms."""

from .photos import ColorizationDataset
from .transforms import (
    ColorizationCrop,
    ColorizationSquash,
    LoadPhoto,
    PackColorization,
    SkipNearGray,
)

__all__ = [
    'ColorizationCrop',
    'ColorizationDataset',
    'ColorizationSquash',
    'LoadPhoto',
    'PackColorization',
    'SkipNearGray',
]
