"""Colorize a few sample photos; with --train, train on them first (see tools/demo.sh)."""

import argparse
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dualattn_mm.utils.command import DONE, INTERRUPTED, required_imports, run_command
from dualattn_mm.utils.configs_dir import configs_dir
from dualattn_mm.utils.folder_lock import locked_folder

with required_imports():
    import numpy as np
    from mmengine.config import Config
    from mmengine.runner import Runner
    from PIL import Image

    from dualattn_mm.apis.pipeline import ColorizationPipeline
    from dualattn_mm.apis.weights import save_generator
    from dualattn_mm.engine.hooks.safe_checkpoint import last_checkpoint
    from dualattn_mm.utils.colorfulness import colorfulness
    from dualattn_mm.utils.image_io import write_image
    from dualattn_mm.utils.libraries import library
    from dualattn_mm.visualization import gallery

CONFIG = 'mmagic/color_dualattn_mini_demo.py'


def packaged_photos() -> dict[str, np.ndarray]:
    """Return the color photos in scikit-image and scikit-learn, (H, W, 3) uint8, by name."""
    data = library('skimage.data', 'the demo', "'dualattn_mm[demo]'")
    samples = library('sklearn.datasets', 'the demo', "'dualattn_mm[demo]'")
    loaders: Mapping[str, Callable[[], np.ndarray]] = {
        'astronaut': data.astronaut,
        'chelsea': data.chelsea,
        'coffee': data.coffee,
        'rocket': data.rocket,
        'china': lambda: samples.load_sample_image('china.jpg'),
        'flower': lambda: samples.load_sample_image('flower.jpg'),
    }
    return {name: load() for name, load in loaders.items()}


def run_demo(outdir: Path, weights: Path | None = None) -> None:
    """Colorize gray versions of the sample photos, and print their quality and location.

    Args:
        outdir: the folder for photos/, gray/, colorized/ and gallery.png.
        weights: the weights file; None uses the bundled weights.
    """
    photos = save_photos(outdir / 'photos')
    gray = {name: photo.convert('L') for name, photo in photos.items()}
    results = ColorizationPipeline(weights)(list(gray.values()))
    colorized = dict(zip(photos, results, strict=True))
    _save_all(gray, outdir / 'gray')
    _save_all(colorized, outdir / 'colorized')
    print(_report(photos, gray, colorized))
    sheet = gallery(
        {
            'gray (input)': list(gray.values()),
            'colorized': list(colorized.values()),
            'original': list(photos.values()),
        },
        captions=list(photos),
    )
    write_image(sheet, outdir / 'gallery.png', 'PNG', overwrite=True)
    print(f'images: {outdir / "gallery.png"}, {outdir / "colorized"}')


def train_demo(outdir: Path, fresh: bool = False) -> None:
    """Train on the sample photos for a few minutes, then colorize them.

    Args:
        outdir: the folder for training/, mpt.safetensors and the results of `run_demo`.
        fresh: discard an earlier training in `outdir` instead of resuming it.
    """
    save_photos(outdir / 'photos')
    weights = outdir / 'mpt.safetensors'
    with locked_folder(outdir):
        train(outdir, weights, fresh)
    run_demo(outdir, weights)
    print(f'weights: {weights}')


def save_photos(folder: Path) -> dict[str, Image.Image]:
    """Save the sample photos as PNG files and return them by name."""
    photos = {name: Image.fromarray(array) for name, array in packaged_photos().items()}
    _save_all(photos, folder)
    return photos


def train(outdir: Path, weights: Path, fresh: bool) -> None:
    """Start or resume the training in `outdir`/training and write the generator's weights."""
    work_dir = outdir / 'training'
    if fresh:
        shutil.rmtree(work_dir, ignore_errors=True)
        weights.unlink(missing_ok=True)
    cfg = Config.fromfile(configs_dir() / CONFIG)
    cfg.work_dir = str(work_dir)
    cfg.train_dataloader.dataset.data_root = str(outdir / 'photos')
    cfg.resume = (work_dir / 'last_checkpoint').is_file()
    done = work_dir / f'iter_{cfg.max_iters}.pth'
    if weights.is_file() and done.is_file():
        print(f'training is complete ({cfg.max_iters} steps); use --fresh to start again')
        return
    runner = Runner.from_cfg(cfg)
    model = runner.train()
    save_generator(weights, model.generator, cfg.model.generator.to_dict())
    if runner.iter < cfg.max_iters:
        print(f'{runner.iter} of {cfg.max_iters} steps are done; run again to continue')


def _save_all(images: Mapping[str, Image.Image], folder: Path) -> None:
    for name, image in images.items():
        write_image(image, folder / f'{name}.png', 'PNG', overwrite=True)


def _report(
    photos: Mapping[str, Image.Image],
    gray: Mapping[str, Image.Image],
    colorized: Mapping[str, Image.Image],
) -> str:
    """Return a table of the PSNR and the colorfulness of the gray input and the result."""
    from skimage.metrics import peak_signal_noise_ratio

    lines = [
        f'{"":10}  {"PSNR (dB)":>16}  {"colorfulness":>25}',
        f'{"photo":10}  {"gray":>7}{"colorized":>10} {"gray":>8}{"colorized":>10}{"original":>9}',
    ]
    for name, photo in photos.items():
        true = np.asarray(photo)
        guesses = [np.asarray(image[name].convert('RGB')) for image in (gray, colorized)]
        psnr = [peak_signal_noise_ratio(true, guess) for guess in guesses]
        color = [colorfulness(image) for image in (*guesses, true)]
        figures = [
            f'{psnr[0]:7.2f}{psnr[1]:10.2f} ',
            *(f'{c:{w}.1f}' for c, w in zip(color, (8, 10, 9), strict=True)),
        ]
        lines.append(f'{name:10}  ' + ''.join(figures))
    return '\n'.join(lines)


def after_interruption(outdir: Path, trains: bool) -> str:
    """Describe what happens when an interrupted demo is run again."""
    if not trains:
        return 'interrupted'
    checkpoint = last_checkpoint(outdir / 'training')
    if not checkpoint:
        return 'interrupted before the first checkpoint: run it again to start from the beginning'
    return f'interrupted: run it again to continue from {Path(checkpoint).name}'


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--train', action='store_true', help='train on these photos for a few minutes first'
    )
    parser.add_argument('--fresh', action='store_true', help='discard an earlier training')
    args = parser.parse_args()
    if args.fresh and not args.train:
        parser.error('--fresh requires --train')

    outputs = Path(__file__).resolve().parents[1] / 'outputs'

    def run() -> int:
        try:
            if args.train:
                train_demo(outputs / 'demo_train', args.fresh)
            else:
                run_demo(outputs / 'demo')
        except KeyboardInterrupt:
            print(after_interruption(outputs / 'demo_train', args.train), file=sys.stderr)
            return INTERRUPTED
        return DONE

    return run_command(run)


if __name__ == '__main__':
    sys.exit(main())
