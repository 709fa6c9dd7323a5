# Mask R-CNN on COCO, 3x (Sec. IV-F, Table X).
_base_ = 'mask_rcnn_dualattn_t_1x.py'

train_cfg = dict(max_epochs=36)
param_scheduler = _base_.schedule_3x
