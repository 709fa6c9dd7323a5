"""Using the weights that `save_generator` wrote, which hold no whole `Colorizer`."""

from pathlib import Path

from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...apis.weights import load_generator
from ...utils.checkpoint_file import state_differences
from ...utils.errors import UserError, summarize
from ...utils.wrappers import unwrapped

SUFFIX = '.safetensors'


class GeneratorFileHook(Hook):
    """Give the model the weights of a safetensors file.

    In a test, the file describes its own network, and that network is tested, as `dualattn
    colorize` would run it. A training (`keep_network`) starts from the weights, and the config says
    what the network is. Either way the file must have the names and shapes of the config's network.

    Args:
        path: the file.
        keep_network: copy the weights into the config's network; otherwise the network of the
            file takes its place.

    Raises:
        UserError: if it cannot be read or describes no network.
    """

    # Before EMAHook (NORMAL) takes its copy.
    priority = 'VERY_HIGH'

    def __init__(self, path: str, keep_network: bool = False) -> None:
        self.path = Path(path)
        self.keep_network = keep_network
        self.generator = load_generator(path)

    def before_run(self, runner: Runner) -> None:
        """Replace the generator, or its weights.

        Raises:
            UserError: if a name or shape differs.
        """
        model = unwrapped(runner.model)
        own = unwrapped(model.generator)
        differences = summarize(state_differences(own.state_dict(), self.generator.state_dict()))
        if differences:
            raise UserError(f'{self.path} is of another network than the config: {differences}')
        if self.keep_network:
            own.load_state_dict(self.generator.state_dict())
            return
        generator = self.generator.to(next(own.parameters()).device)
        if own is model.generator:
            model.generator = generator
        else:
            model.generator.module = generator
