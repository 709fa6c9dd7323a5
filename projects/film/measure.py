#!/usr/bin/env python
"""Measure the temporal stability and the accuracy of colors on clips with known colors."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cv2
import numpy as np
import torch
from PIL import Image

from dualattn_mm.apis import ColorizationPipeline
from dualattn_mm.apis.smoothing import ColorSmoother
from dualattn_mm.utils.arguments import natural
from dualattn_mm.utils.color_space import join_lightness, rgb_to_lab
from dualattn_mm.utils.command import run_command
from dualattn_mm.utils.errors import UserError
from dualattn_mm.utils.folders import pictures_below, read_picture
from dualattn_mm.utils.report import write_json
from projects.film.clips import Frame, clip


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--photos', type=Path, required=True, help='folder of two or more color photos'
    )
    parser.add_argument(
        '--clips', type=natural, default=12, help='number of clips (default: %(default)s)'
    )
    parser.add_argument(
        '--length', type=natural, default=16, help='frames per shot (default: %(default)s)'
    )
    parser.add_argument(
        '--strengths',
        type=float,
        nargs='+',
        default=[0.0, 0.7, 0.85, 0.95],
        help='values of --smooth (default: %(default)s)',
    )
    parser.add_argument('--seed', type=int, default=0, help='random seed (default: %(default)s)')
    parser.add_argument('--weights', help='safetensors file (default: the bundled weights)')
    parser.add_argument('--device', default='auto', help='auto (default), cpu, cuda or cuda:N')
    parser.add_argument('--out', type=Path, help='folder for the figures and an image per clip')
    args = parser.parse_args()
    return run_command(lambda: run(args))


def run(args: argparse.Namespace) -> None:
    """Print the figures for every strength."""
    pipe = ColorizationPipeline(args.weights, device=args.device)
    photos = pictures_below(args.photos)
    if len(photos) < 2:
        raise UserError(f'{args.photos} has one photo, but a clip needs two: choose another folder')
    rng = np.random.default_rng(args.seed)
    found: dict[float, list[dict[str, float]]] = {strength: [] for strength in args.strengths}
    for index in range(args.clips):
        names = rng.choice(len(photos), 2, replace=False)
        shots = [read_picture(photos[i]).permute(1, 2, 0).numpy() for i in names]
        frames = list(clip(shots, pipe.size, args.length, rng))
        squares = [pipe.prepare(frame.gray) for frame in frames]
        ab = torch.cat(
            [
                pipe.predict(squares[at : at + pipe.batch_size])
                for at in range(0, len(frames), pipe.batch_size)
            ]
        )
        truth = torch.stack([_true_ab(frame) for frame in frames])
        results = {}
        for strength in args.strengths:
            smoother = ColorSmoother(strength)
            smooth = map(smoother, (photo.square for photo in squares), ab)
            results[strength] = torch.stack(list(smooth))
            figures = measure(frames, results[strength], truth)
            found[strength].append({**figures, 'cuts seen': smoother.cuts})
        if args.out:
            args.out.mkdir(parents=True, exist_ok=True)
            light = torch.stack([photo.square for photo in squares])
            sheet([truth, *results.values()], light, args.out / f'clip{index}.png')
    means = {
        strength: {name: float(np.mean([one[name] for one in each])) for name in each[0]}
        for strength, each in found.items()
    }
    print('| strength | change | error | shown | cut | cuts seen |')
    print('|---|---|---|---|---|---|')
    for strength, mean in means.items():
        print(f'| {strength:g} |', ' | '.join(f'{value:.2f}' for value in mean.values()), '|')
    if args.out:
        write_json(args.out / 'film.json', means)


def measure(frames: list[Frame], ab: torch.Tensor, truth: torch.Tensor) -> dict[str, float]:
    """Measure the colors of a clip, in CIELAB units.

    Args:
        frames: the frames of the clip.
        ab, truth: (frames, 2, size, size), the predicted and the true colors.

    Returns:
        'change': mean distance of a color from that of the same object in the previous frame.
        'error': mean distance from the true color.
        'shown': the same for pixels that were hidden in the previous frame.
        'cut': the same for the first frames after a cut.
    """
    error = (ab - truth).norm(dim=1).numpy()
    changes, shown, cuts = [], [], []
    for index, frame in enumerate(frames):
        if frame.before is None:
            if index:
                cuts.append(error[index].mean())
            continue
        x, y = frame.before[..., 0], frame.before[..., 1]
        last = ab[index - 1].permute(1, 2, 0).numpy()
        moved = cv2.remap(last, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        change = np.linalg.norm(ab[index].permute(1, 2, 0).numpy() - moved, axis=-1)
        changes.append(change[frame.known].mean())
        if frame.shown.any():
            shown.append(error[index][frame.shown].mean())
    return dict(
        change=np.mean(changes), error=error.mean(), shown=np.mean(shown), cut=np.mean(cuts)
    )


def sheet(rows: list[torch.Tensor], lightness: torch.Tensor, path: Path) -> None:
    """Write an image with a row of frames for each set of colors."""
    chosen = np.linspace(0, len(lightness) - 1, 8).astype(int)
    lines = [torch.cat(list(join_lightness(lightness[chosen], ab[chosen])), dim=2) for ab in rows]
    picture = (torch.cat(lines, dim=1).permute(1, 2, 0) * 255).round().byte().numpy()
    Image.fromarray(picture).save(path)


def _true_ab(frame: Frame) -> torch.Tensor:
    return rgb_to_lab(torch.from_numpy(frame.color).permute(2, 0, 1) / 255)[1:]


if __name__ == '__main__':
    sys.exit(main())
