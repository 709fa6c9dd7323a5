"""Temporal smoothing of the colors in a video."""

import numbers

import numpy as np
import torch
from torch import Tensor

from ..utils.errors import ColorizeError
from ..utils.libraries import opencv

DEFAULT_STRENGTH = 0.85
_TOLERANCE = 5.0  # the lightness of the same object may differ by this much between frames
_FLICKER = 10.0  # the most by which the lightness of all objects may change at once
_CUT = 0.35  # a new scene starts if a smaller share of the image was visible before


class ColorSmoother:
    """A running mean of the predicted colors that follows the motion in a video.

    The mean is warped along the optical flow between the gray frames (OpenCV's DIS, Kroeger et al.,
    ECCV 2016). It is blended with the new prediction where the warped gray frame agrees with the
    new one, apart from a change of the whole image (flicker). Where it does not agree, something
    new came into view, and the prediction is used unchanged. The mean is reset at cuts, where most
    of the image changes at once.

    Args:
        strength: the weight of the mean, in [0, 1); 0 changes nothing.

    Raises:
        ColorizeError: if the strength is outside [0, 1).
        UserError: if OpenCV cannot be imported.
    """

    def __init__(self, strength: float = DEFAULT_STRENGTH):
        check_strength(strength)
        self.strength = float(strength)
        self.cuts = 0  # number of detected cuts
        # Here, since photos need no OpenCV, whose wheel does not load without libGL.
        self._cv2 = cv2 = opencv('frames')
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self.restart()

    def restart(self) -> None:
        """Forget all previous frames, for the start of another video."""
        self._gray: np.ndarray | None = None
        self._mean: np.ndarray | None = None

    def __call__(self, lightness: Tensor, ab: Tensor) -> Tensor:
        """Smooth the colors of the next frame.

        Args:
            lightness: (1, size, size) float32, L in [0, 100], the same size for all frames.
            ab: (2, size, size) float32 on the CPU, the prediction for this frame.

        Returns:
            ab: (2, size, size) float32.
        """
        if not self.strength:
            return ab
        gray = self._cv2.GaussianBlur(lightness[0].numpy(), (0, 0), 1.0)  # reduces noise
        new = np.ascontiguousarray(ab.permute(1, 2, 0).numpy())
        if self._gray is not None and self._mean is not None:
            seen, agreement = self._moved(gray, self._gray, self._mean)
            if agreement.mean() < _CUT:
                self.cuts += 1
            else:
                new = new + self.strength * agreement[..., None] * (seen - new)
        self._gray, self._mean = gray, new
        return torch.from_numpy(new).permute(2, 0, 1)

    def _moved(
        self, gray: np.ndarray, before: np.ndarray, mean: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the warped mean and its confidence in [0, 1]."""
        height, width = gray.shape
        flow = self._flow.calc(
            _to_bytes(gray), _to_bytes(before), np.zeros((height, width, 2), np.float32)
        )
        x = np.arange(width, dtype=np.float32) + flow[..., 0]
        y = np.arange(height, dtype=np.float32)[:, None] + flow[..., 1]
        cv2 = self._cv2
        old = cv2.remap(before, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        difference = gray - old
        # Old films flicker. The limit is for cuts to a brighter or darker scene.
        difference -= np.median(difference).clip(-_FLICKER, _FLICKER)
        agreement = np.exp(-((difference / _TOLERANCE) ** 2))
        agreement *= (x > -1) & (x < width) & (y > -1) & (y < height)
        seen = cv2.remap(mean, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return seen, agreement


def check_strength(strength: float) -> None:
    """Raise ColorizeError unless the strength is in [0, 1)."""
    if not isinstance(strength, numbers.Real) or not 0 <= strength < 1:
        raise ColorizeError(f'smooth must be a number from 0 to below 1, got {strength!r}')


def _to_bytes(lightness: np.ndarray) -> np.ndarray:
    return np.rint(lightness * 2.55).astype(np.uint8)
