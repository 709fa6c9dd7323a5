"""The weights that come with the package, against what they predicted when they were bundled.

`python tests/test_apis/test_bundled_weights.py` stores the prediction anew, after new weights.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from skimage.data import chelsea

from dualattn_mm.apis import ColorizationPipeline

GOLDEN = Path(__file__).parents[1] / 'golden' / 'mpt_mini_chelsea_ab.npy'


def predicted():
    """ab of scikit-image's cat in CIELAB units, every eighth pixel: (2, 24, 24) float32."""
    pipe = ColorizationPipeline(device='cpu')
    [ab] = pipe.predict([pipe.prepare(Image.fromarray(chelsea()).convert('L'))])
    return ab[:, ::8, ::8].numpy()


def test_bundled_weights_reproduce_stored_predictions():
    golden = np.load(GOLDEN, allow_pickle=False)
    assert golden.shape == (2, 24, 24)
    assert np.linalg.norm(golden) > 100, 'a colorful prediction'
    difference = np.linalg.norm(predicted() - golden) / np.linalg.norm(golden)
    assert difference < 1e-3


if __name__ == '__main__':
    GOLDEN.parent.mkdir(exist_ok=True)
    np.save(GOLDEN, predicted())
