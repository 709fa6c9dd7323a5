"""Processing of a batch on the device of the model, before the network."""

from .colorization_batch_crop import ColorizationBatchCrop

__all__ = ['ColorizationBatchCrop']
