from coco_data import annotations, options, write_coco  # noqa: F401
