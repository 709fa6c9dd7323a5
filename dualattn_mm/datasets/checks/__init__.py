"""Checks of data sets before a run: COCO files, LiDAR frames and class folders."""
