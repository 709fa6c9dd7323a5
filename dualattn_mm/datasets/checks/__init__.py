"""Check datasets before a run: COCO files, LiDAR frames and class folders."""
