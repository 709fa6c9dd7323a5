"""LiDAR detectors. Only configs import `point_clouds`, because it needs mmdet3d."""
