"""Training of the colorizer and its critic in two processes equals training in one."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.model import MMSeparateDistributedDataParallel
from mmengine.optim import OptimWrapper, OptimWrapperDict
from processes import in_processes
from tiny import GENERATOR
from torch import distributed, nn

from dualattn_mm import Colorizer
from dualattn_mm.engine.hooks import GeneratorEMAHook

pytestmark = pytest.mark.slow

STEPS = 4
ACCUMULATE = (1, 2)  # batches per step of the optimizers


def make_model():
    torch.manual_seed(3)
    model = Colorizer(GENERATOR, dict(type='WassersteinCritic', channels=(4, 8)))
    nn.init.normal_(model.generator.head.to_ab.weight, std=0.1)
    return model.train()


def batches():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (STEPS, 4, 3, 16, 16), generator=generator, dtype=torch.uint8)


def train(model, share, accumulate):
    """Train with plain gradient descent, because Adam would amplify rounding errors."""
    networks = model.module if hasattr(model, 'module') else model
    wrapper = OptimWrapperDict(
        **{
            name: OptimWrapper(
                torch.optim.SGD(getattr(networks, name).parameters(), lr=1e-2),
                accumulative_counts=accumulate,
            )
            for name in ('generator', 'critic')
        }
    )
    for batch in batches():
        model.train_step(dict(inputs=list(batch[share])), wrapper)


def process(rank, folder):
    torch.set_num_threads(1)
    distributed.init_process_group('gloo', f'file://{folder}/store', rank=rank, world_size=2)
    for accumulate in ACCUMULATE:
        model = MMSeparateDistributedDataParallel(make_model(), device_ids=None)
        hook = GeneratorEMAHook()
        hook.before_run(SimpleNamespace(model=model))
        train(model, slice(rank, None, 2), accumulate)
        state = model.module.state_dict()
        checkpoint = dict(state_dict=dict(state))
        hook.before_save_checkpoint(None, checkpoint)
        saved = dict(state=state, averaged=checkpoint['state_dict'])
        torch.save(saved, f'{folder}/{accumulate}-{rank}.pth')
    distributed.destroy_process_group()


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Results that the two processes saved, by number of batches per step."""
    folder = tmp_path_factory.mktemp('processes')
    in_processes(2, process, folder)
    return {
        n: [torch.load(folder / f'{n}-{rank}.pth', weights_only=True) for rank in (0, 1)]
        for n in ACCUMULATE
    }


@pytest.mark.parametrize('accumulate', ACCUMULATE)
def test_two_processes_with_half_batches_equal_one_process(trained, accumulate):
    first, second = trained[accumulate]
    single, initial = make_model(), make_model().state_dict()
    train(single, slice(None), accumulate)
    expected = single.state_dict()
    assert set(first['state']) == set(expected)
    for key, value in expected.items():
        torch.testing.assert_close(first['state'][key], value, rtol=0, atol=1e-5)
        assert torch.equal(first['state'][key], second['state'][key])
    moved = [key for key in expected if (expected[key] - initial[key]).abs().max() > 1e-4]
    assert {key.split('.')[0] for key in moved} == {'generator', 'critic'}
    single.load_state_dict(first['state'], strict=True)


def test_the_average_is_stored_under_the_same_names(trained):
    saved, _ = trained[1]
    initial = make_model().state_dict()
    assert set(saved['averaged']) == set(initial)
    # It was not updated here: the generator as it was at first, and the critic as trained.
    for key, value in saved['averaged'].items():
        assert torch.equal(value, (initial if 'generator.' in key else saved['state'])[key])
