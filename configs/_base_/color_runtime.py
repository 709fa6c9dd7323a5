# Settings for every training of the colorizer. There is no default_scope, because the core
# environment is sufficient.
custom_imports = dict(
    imports=['dualattn_mm', 'dualattn_mm.datasets', 'dualattn_mm.evaluation', 'dualattn_mm.engine'],
    allow_failed_imports=False,
)
custom_hooks = [
    dict(type='PlainCheckpointHook'),
    dict(type='RepeatableHook'),
    dict(type='FiniteLossHook'),
    dict(type='StrictLoadHook'),
]
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=100),
    checkpoint=dict(type='SafeCheckpointHook', by_epoch=False, interval=5000, max_keep_ckpts=3),
    # Draws six photos (gray, predicted, original) from a folder that is not used for training, in
    # work_dirs/NAME/TIME/vis_data/vis_image. There is no gallery unless the folder is set with
    # --cfg-options default_hooks.gallery.dataset.data_root=FOLDER.
    gallery=dict(type='ColorGalleryHook', interval=1000, dataset=dict(data_root=None)),
)
# Writes files. For TensorBoard (pip install tensorboard), add dict(type='TensorboardVisBackend').
visualizer = dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])
log_processor = dict(by_epoch=False)
