from mmengine.registry import MODEL_WRAPPERS
from torch import nn

from dualattn_mm.utils.wrappers import unwrapped


def test_unwrapped_gives_the_module_of_a_wrapper_alone():
    class Wrapper(nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

    inner = nn.Linear(1, 1)
    assert unwrapped(inner) is inner
    assert unwrapped(nn.DataParallel(inner)) is inner
    assert type(unwrapped(Wrapper(inner))) is Wrapper  # any model may have a part of this name
    assert 'DataParallel' in MODEL_WRAPPERS.module_dict
