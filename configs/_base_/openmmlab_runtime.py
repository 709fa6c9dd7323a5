# For configs over one of the libraries': exact resuming, strict loading, checkpoints without
# pickled objects, an end to losses that are NaN and the names of damaged images, with the
# library's own tools too.
custom_imports = dict(
    imports=['dualattn_mm', 'dualattn_mm.engine'],
    allow_failed_imports=False,
)
custom_hooks = [
    dict(type='PlainCheckpointHook'),
    dict(type='RepeatableHook'),
    dict(type='FiniteLossHook'),
    dict(type='DamagedImagesHook'),
    dict(type='StrictLoadHook'),
]
