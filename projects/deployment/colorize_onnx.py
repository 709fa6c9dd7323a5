"""Colorize a photo with ONNX Runtime, NumPy and Pillow: colorize_onnx.py MODEL PHOTO RESULT.png"""

import sys

import numpy as np
import onnxruntime
from PIL import Image

# From linear sRGB to XYZ relative to the white point D65.
X, Y, Z = (433946, 376214, 189825), (212671, 715160, 72169), (17757, 109469, 872705)
XYZ = np.array((X, Y, Z)) / 1e6


def colorize(session: onnxruntime.InferenceSession, photo: np.ndarray) -> np.ndarray:
    """Map sRGB (H, W, 3) uint8 to the same shape, with the colors of the network."""
    about = session.get_modelmeta().custom_metadata_map
    size, saturation = int(about['size']), float(about['saturation'])
    rgb, shape = photo / 255, photo.shape[1::-1]
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    gray = linear @ XYZ[1]
    fy = np.where(gray > 0.008856, np.cbrt(gray), 7.787 * gray + 16 / 116)
    lightness = (116 * fy - 16).astype(np.float32)
    fade = np.minimum(lightness - 1, 98.5 - lightness).clip(0, 6) / 6  # near black and white
    ab = session.run(None, {'lightness': resize(lightness, (size, size))[None, None]})[0][0]
    a, b = ((resize(plane, shape) * saturation).clip(-128, 127) * fade for plane in ab)
    f = np.stack((fy + a / 500, fy, np.maximum(fy - b / 200, 0)), axis=-1)
    linear = np.where(f > 0.2068966, f**3, (f - 16 / 116) / 7.787) @ np.linalg.inv(XYZ).T
    above, below = linear.max(-1) - gray, gray - linear.min(-1)  # a color outside sRGB loses chroma
    share = np.minimum((1 - gray) / above.clip(1e-9), gray / below.clip(1e-9)).clip(0, 1)[..., None]
    linear = (gray[..., None] * (1 - share) + linear * share).clip(0, 1)
    rgb = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    return (rgb * 255 + 0.5).astype(np.uint8)


def resize(plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BILINEAR))


if __name__ == '__main__':
    model, source, target = sys.argv[1:]
    photo = np.asarray(Image.open(source).convert('RGB'))
    Image.fromarray(colorize(onnxruntime.InferenceSession(model), photo)).save(target)
