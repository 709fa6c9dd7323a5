# What every training of the colorizer shares. No default_scope: the core environment suffices.
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
    # Gray | predicted | original of six photos of a folder that training does not see, to
    # work_dirs/NAME/TIME/vis_data/vis_image. Without a folder there is no gallery;
    # --cfg-options default_hooks.gallery.dataset.data_root=FOLDER names it.
    gallery=dict(type='ColorGalleryHook', interval=1000, dataset=dict(data_root=None)),
)
# Files. With TensorBoard (pip install tensorboard) add dict(type='TensorboardVisBackend').
visualizer = dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])
log_processor = dict(by_epoch=False)
