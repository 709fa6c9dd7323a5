# What every training of the colorizer shares. No default_scope: the core environment suffices.
custom_imports = dict(
    imports=['dualattn_mm', 'dualattn_mm.datasets', 'dualattn_mm.evaluation', 'dualattn_mm.engine'],
    allow_failed_imports=False,
)
custom_hooks = [
    dict(type='PlainCheckpointHook'),
    dict(type='RepeatableHook'),
    dict(type='StrictLoadHook'),
]
