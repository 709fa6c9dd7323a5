"""Testing the weights that `save_generator` wrote, which hold no whole `Colorizer`."""

from pathlib import Path

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from ...apis.weights import load_generator
from ...utils.errors import UserError

SUFFIX = '.safetensors'


class GeneratorFileHook(Hook):
    """Put the generator of a safetensors file in place of the config's.

    The file describes its own network, and that one is tested, as `tools/colorize.py` would run it;
    but it must have the names and shapes of the config's, so that no other network is tested than
    the config says.

    Args:
        path: the file.

    Raises:
        UserError: if it cannot be read or describes no network.
    """

    # Before EMAHook (NORMAL) takes its copy.
    priority = 'VERY_HIGH'

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.generator = load_generator(path)

    def before_run(self, runner: Runner) -> None:
        """Replace the generator.

        Raises:
            UserError: if a name or shape differs.
        """
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        wrapper = model.generator if is_model_wrapper(model.generator) else None
        own = model.generator if wrapper is None else wrapper.module
        wanted, given = (
            {key: tuple(value.shape) for key, value in network.state_dict().items()}
            for network in (own, self.generator)
        )
        different = [k for k in {**wanted, **given} if wanted.get(k) != given.get(k)]
        if different:
            shown = ', '.join(different[:3]) + ', ...' * (len(different) > 3)
            raise UserError(
                f'{self.path} is of another network than the config: {len(different)} of '
                f'{len({**wanted, **given})} weights differ in name or shape ({shown})'
            )
        generator = self.generator.to(next(own.parameters()).device)
        if wrapper is None:
            model.generator = generator
        else:
            wrapper.module = generator
