"""Train or test with weights of `save_generator`, which are not a complete `Colorizer`."""

from pathlib import Path

from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...apis.weights import load_generator, require_fit
from ...utils.wrappers import unwrapped

SUFFIX = '.safetensors'


class GeneratorFileHook(Hook):
    """Load the weights of a safetensors file into the model.

    A test uses the network that the file describes, as `dualattn colorize` does. A training
    (`keep_network`) uses the network of the config and starts from the weights. In both cases, the
    file must have the same names and shapes as the network of the config.

    Args:
        path: the file.
        keep_network: copy the weights into the network of the config; otherwise the network of the
            file replaces it.

    Raises:
        UserError: if the file cannot be read or does not describe a network.
    """

    # Before EMAHook (NORMAL) copies the weights.
    priority = 'VERY_HIGH'

    def __init__(self, path: str, keep_network: bool = False) -> None:
        self.path = Path(path).expanduser()
        self.keep_network = keep_network
        self.generator = load_generator(self.path)

    def before_run(self, runner: Runner) -> None:
        """Replace the generator or its weights.

        Raises:
            ColorizeError: if a name or shape differs.
        """
        model = unwrapped(runner.model)
        own = unwrapped(model.generator)
        require_fit(own, self.generator.state_dict(), self.path)
        if self.keep_network:
            own.load_state_dict(self.generator.state_dict())
            own.is_init = True  # mmengine would initialize it again after this hook
            return
        generator = self.generator.to(next(own.parameters()).device)
        if own is model.generator:
            model.generator = generator
        else:
            model.generator.module = generator
