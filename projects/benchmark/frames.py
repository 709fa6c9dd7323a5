"""Make LiDAR frames for measurements without data."""

import numpy as np
from numpy.typing import NDArray

_HEIGHT = 1.8  # m, of the sensor above the ground
_WALL = 3.0  # m, height of the obstacles
_REACH = 80.0  # m
_NOISE = 0.02  # m


def make_scan(
    beams: int, lowest: float, highest: float, columns: int, sector: float, seed: int
) -> NDArray[np.float32]:
    """Cast the rays of a rotating LiDAR onto flat ground with random walls around it.

    Args:
        beams: the number of beams between the elevations `lowest` and `highest`, in degrees.
        lowest: elevation of the lowest beam.
        highest: elevation of the highest beam.
        columns: the number of directions.
        sector: how far to turn to each side of the x axis, in degrees.
        seed: chooses the walls and the noise.

    Returns:
        (N, 4): x, y, z in meters and intensity, of the rays that hit something.
    """
    rng = np.random.default_rng(seed)
    elevation = np.radians(np.linspace(lowest, highest, beams))[:, None]
    azimuth = np.radians(np.linspace(-sector, sector, columns, endpoint=False))[None, :]
    walls = rng.uniform(6, 70, max(1, round(sector / 2)))  # each as wide as about 4 degrees
    wall = walls[np.arange(columns) * len(walls) // columns][None, :]
    with np.errstate(divide='ignore'):
        ground = np.where(elevation < 0, -_HEIGHT / np.tan(elevation), np.inf)
    distance = np.minimum(ground, wall) + rng.normal(0, _NOISE, (beams, columns))
    z = distance * np.tan(elevation)
    points = np.stack(
        [
            distance * np.cos(azimuth),
            distance * np.sin(azimuth),
            z,
            rng.uniform(0, 1, (beams, columns)),
        ],
        axis=-1,
    )
    hit = (distance < _REACH) & (z + _HEIGHT < _WALL)
    return points[hit].astype(np.float32)


def kitti_frame(columns: int = 320) -> NDArray[np.float32]:
    """Return a frame like KITTI's, (N, 4): 64 beams in the view of the camera, 20,000 points."""
    return make_scan(64, -24.8, 2.0, columns, 40, seed=0)


def nuscenes_frame(columns: int = 1085, sweeps: int = 10) -> NDArray[np.float32]:
    """Return ten sweeps of 32 beams like nuScenes', (N, 5): the last value is their age in s."""
    sweep = make_scan(32, -30.7, 10.7, columns, 180, seed=0)
    return np.concatenate(
        [
            np.hstack(
                [
                    sweep + np.float32([0.4 * i, 0, 0, 0]),  # at 8 m/s
                    np.full((len(sweep), 1), 0.05 * i, np.float32),
                ]
            )
            for i in range(sweeps)
        ]
    )
