"""What happens to a batch on the model's device before the network sees it."""

from .colorization_batch_crop import ColorizationBatchCrop

__all__ = ['ColorizationBatchCrop']
