"""Print the metrics of a test and write them to a JSON file."""

from collections.abc import Mapping
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...datasets.leaves import loaders_of
from ...utils.report import figures_table, print_table, write_json
from ...utils.terminal import print_line
from ...utils.wrappers import unwrapped


class ReportHook(Hook):
    """Print the figures of a test and write them to a JSON file.

    The file has the keys config, cfg_options, checkpoint, images and metrics. With several
    processes, only the first one prints and writes.

    Args:
        config: the config file.
        checkpoint: the checkpoint of the test.
        out: the JSON file; None writes no file.
        cfg_options: the overridden values of the config.
    """

    def __init__(
        self,
        config: str,
        checkpoint: str,
        out: str | None = None,
        cfg_options: Mapping[str, Any] | None = None,
    ) -> None:
        self.config, self.checkpoint, self.out = config, checkpoint, out
        self.cfg_options = cfg_options or {}

    def after_test_epoch(self, runner: Runner, metrics: dict[str, Any] | None = None) -> None:
        if not is_main_process():
            return
        images = sum(len(loader.dataset) for loader in loaders_of(runner.test_loop))
        print_line(f'{self.config}, {self.checkpoint}: {images} images{_saturation(runner)}')
        if metrics:
            print_table(figures_table(metrics))
        else:
            print_line(
                'the evaluator returned no figures, for example because nothing was detected'
            )
        if self.out is not None:
            content = dict(
                config=self.config,
                cfg_options=self.cfg_options,
                checkpoint=self.checkpoint,
                images=images,
                metrics=metrics or {},
            )
            write_json(self.out, content)


def _saturation(runner: Runner) -> str:
    """Describe the saturation of the test, for a colorizer whose weights can have another one."""
    generator = getattr(unwrapped(runner.model), 'generator', None)
    stored = getattr(generator and unwrapped(generator), 'saturation', None)
    if stored is None:
        return ''
    return ', at saturation 1' + (f' (dualattn colorize uses {stored:g})' if stored != 1 else '')
