# For configs that inherit from those of a library. These hooks provide exact resuming, strict
# loading, checkpoints without pickled objects, a stop at NaN losses and reports of damaged images,
# also with the library's own tools.
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
