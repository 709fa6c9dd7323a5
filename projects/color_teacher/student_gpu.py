# student.py on one large GPU: its teachers and losses, with the data and the optimizer of
# color_dualattn_mini_gpu.py. projects/gpu_training/run.py runs it.
#   --cfg-options model.color_distillation.teachers.1.weights=WEIGHTS.safetensors
_base_ = '../../configs/mmagic/color_dualattn_mini_gpu.py'

custom_imports = dict(
    imports=[*_base_.custom_imports.imports, 'projects.color_teacher.timm_colorizer'],
)
model = dict(
    # 192 is the largest of train_sizes.
    data_preprocessor=dict(size=192, scale=(0.5, 1.0), ratio=(0.8, 1.25)),
    generator=dict(encoder=dict(drop_path_rate=0.0)),  # the targets have no noise to fit
    color=None,
    chroma=dict(type='ChromaLoss'),
    distillation=None,
    color_distillation=dict(
        type='ColorDistillation',
        teachers=[
            dict(
                generator=_base_.model.generator,
                weights='dualattn_mm/assets/mpt_mini.safetensors',
                share=0.6,
            ),
            dict(
                generator=dict(type='TimmColorizer', encoder='tf_efficientnet_lite2'),
                weights='projects/color_teacher/teacher.safetensors',
                share=0.4,
            ),
        ],
    ),
    luma_share=0.5,
    train_sizes=(160, 192),
)
# At 160 px, a step has 8.9 GFLOP per photo in the student and 43% of that in its teachers, which
# are not compiled: 3.0 in the bundled network and 0.9 in EfficientNet-Lite2. 256 photos therefore
# have about as many as the 384 of color_dualattn_mini_gpu.py.
train_dataloader = dict(batch_size=256)
