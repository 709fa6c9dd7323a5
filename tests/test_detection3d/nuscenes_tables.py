"""A small dataset in nuScenes format: two scenes of its mini_val with two samples each."""

import json

import numpy as np

SCENES = ('scene-0103', 'scene-0916')  # those of mini_val
STEP = 0.5  # seconds between samples
# Category, place from the first ego's, velocity, wlh, yaw, attribute, points.
OBJECTS = (
    ('vehicle.car', (12, 3), (4, -2), (1.9, 4.5, 1.6), 0.4, 'vehicle.moving', 50),
    ('vehicle.car', (-20, 9), (0, 0), (1.8, 4.2, 1.5), -2.0, 'vehicle.parked', 9),
    ('human.pedestrian.adult', (5, -7), (0, 0), (0.7, 0.8, 1.8), 1.2, 'pedestrian.standing', 3),
    ('movable_object.trafficcone', (8, 14), (0, 0), (0.4, 0.4, 0.9), 0.0, None, 4),
    # What the protocol leaves out: no points, too far away, no class of it.
    ('vehicle.car', (-9, -16), (0, 0), (1.8, 4.2, 1.5), 0.3, 'vehicle.parked', 0),
    ('human.pedestrian.adult', (48, 0), (0, 0), (0.7, 0.8, 1.8), 0.0, 'pedestrian.standing', 5),
    ('animal', (2, 9), (0, 0), (0.4, 0.9, 0.6), 0.0, None, 5),
)
EVALUATED = 4
CLASS_OF = {
    'vehicle.car': 'car',
    'human.pedestrian.adult': 'pedestrian',
    'movable_object.trafficcone': 'traffic_cone',
}
FILLED = ('scene', 'sample', 'sample_data', 'ego_pose', 'instance', 'sample_annotation')
LIDAR_YAW, LIDAR_AT = -1.55, (0.94, 0.0, 1.84)


def rotation(yaw):
    """As nuScenes' quaternion, w first."""
    return [float(np.cos(yaw / 2)), 0.0, 0.0, float(np.sin(yaw / 2))]


def pose(yaw, at):
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    matrix[:3, 3] = at
    return matrix


def ego(scene, sample):
    """Yaw and place in the global frame."""
    return 0.9 - 1.7 * scene, (600.0 + 90 * scene + 3 * sample, 1500.0 - sample, 0.0)


def objects(scene, sample):
    """Name, center, velocity (x, y), wlh, yaw, attribute, points; all in the global frame."""
    _, start = ego(scene, 0)
    for name, place, velocity, size, yaw, attribute, points in OBJECTS:
        at = [start[i] + place[i] + velocity[i] * STEP * sample for i in range(2)]
        yield name, [*at, size[2] / 2], velocity, size, yaw + scene, attribute, points


def write_tables(root):
    """Write the thirteen tables below root/v1.0-mini.

    Gives the `data_list` of mmdet3d's info file, as far as its metric reads it.
    """
    tables = {name: [] for name in FILLED}
    attributes = sorted({o[5] for o in OBJECTS} - {None})
    tables['attribute'] = [dict(token=a, name=a, description='') for a in attributes]
    names = sorted({o[0] for o in OBJECTS})
    tables['category'] = [dict(token=n, name=n, description='') for n in names]
    tables['sensor'] = [dict(token='lidar', channel='LIDAR_TOP', modality='lidar')]
    tables['log'] = [
        dict(token='log', logfile='', vehicle='n0', date_captured='2018-01-01', location='nowhere')
    ]
    tables['map'] = [
        dict(token='map', log_tokens=['log'], category='semantic_prior', filename='maps/map.png')
    ]
    tables['visibility'] = [dict(token='4', level='v80-100', description='')]
    tables['calibrated_sensor'] = [
        dict(
            token='lidar',
            sensor_token='lidar',
            translation=list(LIDAR_AT),
            rotation=rotation(LIDAR_YAW),
            camera_intrinsic=[],
        )
    ]
    data_list = []
    for s, name in enumerate(SCENES):
        tables['scene'].append(
            dict(
                token=name,
                name=name,
                description='',
                log_token='log',
                nbr_samples=2,
                first_sample_token=f'{name}/0',
                last_sample_token=f'{name}/1',
            )
        )
        for n in range(len(OBJECTS)):
            tables['instance'].append(
                dict(
                    token=f'{name}/object{n}',
                    category_token=OBJECTS[n][0],
                    nbr_annotations=2,
                    first_annotation_token=f'{name}/0/{n}',
                    last_annotation_token=f'{name}/1/{n}',
                )
            )
        for i in range(2):
            _add_sample(tables, s, i)
            yaw, at = ego(s, i)
            data_list.append(
                dict(
                    token=f'{name}/{i}',
                    sample_idx=len(data_list),
                    ego2global=pose(yaw, at).tolist(),
                    lidar_points=dict(lidar2ego=pose(LIDAR_YAW, LIDAR_AT).tolist()),
                )
            )
    folder = root / 'v1.0-mini'
    folder.mkdir(parents=True)
    (root / 'maps').mkdir()
    (root / 'maps' / 'map.png').touch()
    for name, rows in tables.items():
        (folder / f'{name}.json').write_text(json.dumps(rows))
    return data_list


def _add_sample(tables, scene, i):
    name = SCENES[scene]
    token, other = f'{name}/{i}', f'{name}/{1 - i}'
    following = dict(prev='' if i == 0 else other, next=other if i == 0 else '')
    time = int(1.5e15 + (scene * 100 + i * STEP) * 1e6)  # microseconds
    yaw, at = ego(scene, i)
    tables['sample'].append(dict(token=token, timestamp=time, scene_token=name, **following))
    tables['ego_pose'].append(
        dict(token=token, timestamp=time, rotation=rotation(yaw), translation=list(at))
    )
    tables['sample_data'].append(
        dict(
            token=token,
            sample_token=token,
            ego_pose_token=token,
            calibrated_sensor_token='lidar',
            timestamp=time,
            fileformat='pcd',
            is_key_frame=True,
            height=0,
            width=0,
            filename=f'samples/LIDAR_TOP/{scene}_{i}.pcd.bin',
            **following,
        )
    )
    for n, (_, center, _, size, yaw, attribute, points) in enumerate(objects(scene, i)):
        linked = {k: v and f'{v}/{n}' for k, v in following.items()}
        tables['sample_annotation'].append(
            dict(
                token=f'{token}/{n}',
                sample_token=token,
                instance_token=f'{name}/object{n}',
                visibility_token='4',
                attribute_tokens=[attribute] if attribute else [],
                translation=center,
                size=list(size),
                rotation=rotation(yaw),
                num_lidar_pts=points,
                num_radar_pts=0,
                **linked,
            )
        )


def lidar_boxes(scene, sample, shift=0.0):
    """Boxes of a perfect detector in the LiDAR frame, shifted `shift` meters along the global x.

    Gives names and rows (x, y, z of the center, length, width, height, yaw, velocity x, y).
    """
    yaw, at = ego(scene, sample)
    to_global = pose(yaw, at) @ pose(LIDAR_YAW, LIDAR_AT)
    names, rows = [], []
    for name, center, velocity, size, heading, _, _ in [*objects(scene, sample)][:EVALUATED]:
        place = np.linalg.inv(to_global) @ [center[0] + shift, *center[1:], 1]
        speed = to_global[:2, :2].T @ velocity
        width, length, height = size
        names.append(CLASS_OF[name])
        turned = heading - yaw - LIDAR_YAW
        rows.append([*place[:3], length, width, height, turned, *speed])
    return names, np.array(rows, np.float32)
