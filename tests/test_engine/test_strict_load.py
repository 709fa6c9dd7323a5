import pytest
import torch

from dualattn_mm.utils.errors import RunError

HOOKS = [dict(type='PlainCheckpointHook')]


@pytest.fixture
def changed(make_runner, tmp_path):
    """Trains, changes the weights by a function, and returns a runner that loads the result."""
    make_runner(HOOKS).train()

    def change(function, **strict):
        path = tmp_path / 'run' / 'iter_4.pth'
        checkpoint = torch.load(path, weights_only=True)
        function(checkpoint['state_dict'])
        torch.save(checkpoint, tmp_path / 'changed.pth')
        hooks = [*HOOKS, dict(type='StrictLoadHook', **strict)]
        return make_runner(hooks, name='again', load_from=str(tmp_path / 'changed.pth'))

    return change


def test_weights_that_fit_are_loaded(changed):
    runner = changed(lambda state: state.update({'linear.bias': torch.tensor([7.0])}))
    runner.load_or_resume()
    assert runner.model.linear.bias.item() == 7


def rename(state):
    state['lineal.bias'] = state.pop('linear.bias')


def widen(state):
    state['linear.weight'] = torch.zeros(1, 2)


@pytest.mark.parametrize(
    ('function', 'expected'),
    [
        (rename, '1 missing (linear.bias); 1 unexpected (lineal.bias)'),
        (widen, '1 of another shape (linear.weight)'),
        (
            lambda state: state.update({f'old.{i}': torch.zeros(1) for i in range(5)}),
            '5 unexpected (old.0, old.1, old.2, ...)',
        ),
    ],
)
@pytest.mark.parametrize('resume', [False, True])
def test_unfitting_weights_stop_before_training(changed, tmp_path, function, expected, resume):
    runner = changed(function)
    runner._resume = resume
    with pytest.raises(RunError) as error:
        runner.train()
    assert str(error.value) == f'{tmp_path}/changed.pth does not fit the model: {expected}'
    assert runner.iter == 0


def test_names_that_may_differ(changed):
    runner = changed(rename, ignore=('bias$',))
    runner.load_or_resume()
    with pytest.raises(RunError, match='1 missing'):
        changed(rename, ignore=('^lineal',)).load_or_resume()
