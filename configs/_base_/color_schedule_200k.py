# The paper's schedule (Sec. IV-A) for the generator and the critic. An iteration is a step of the
# generator.
train_cfg = dict(by_epoch=False, max_iters=200_000)
optim_wrapper = dict(
    constructor='NetworkOptimWrapperConstructor',
    generator=dict(optimizer=dict(type='Adam', lr=1e-4, betas=(0.9, 0.999))),
    critic=dict(optimizer=dict(type='RMSprop', lr=5e-5)),
)
# For both learning rates.
param_scheduler = dict(
    type='MultiStepLR', milestones=[80_000, 120_000, 160_000], gamma=0.5, by_epoch=False
)
auto_scale_lr = dict(base_batch_size=16, enable=False)
# With several processes, because the two networks have separate backward passes.
model_wrapper_cfg = dict(type='MMSeparateDistributedDataParallel')
