"""Photos for training the colorizer. Importing this registers the dataset and its transforms."""

from .photos import ColorizationDataset
from .transforms import (
    ColorizationCenterSquare,
    ColorizationCrop,
    ColorizationSquash,
    LoadPhoto,
    PackColorization,
    SkipNearGray,
)

__all__ = [
    'ColorizationCenterSquare',
    'ColorizationCrop',
    'ColorizationDataset',
    'ColorizationSquash',
    'LoadPhoto',
    'PackColorization',
    'SkipNearGray',
]
