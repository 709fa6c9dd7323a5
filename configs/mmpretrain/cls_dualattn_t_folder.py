# Any data set with one folder of images per class: data_root/train/CLASS/*.jpg, data_root/val/CLASS/.
# The classes are train's folders: --cfg-options data_root=FOLDER model.head.num_classes=N
_base_ = 'cls_dualattn_t.py'

data_root = 'data/folder'
