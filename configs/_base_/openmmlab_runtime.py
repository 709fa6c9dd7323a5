# For configs over one of the libraries': exact resuming, strict loading and checkpoints without
# pickled objects, with the library's own tools too.
custom_imports = dict(
    imports=['dualattn_mm', 'dualattn_mm.engine'],
    allow_failed_imports=False,
)
custom_hooks = [
    dict(type='PlainCheckpointHook'),
    dict(type='RepeatableHook'),
    dict(type='StrictLoadHook'),
]
