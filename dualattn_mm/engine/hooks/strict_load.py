"""Reject checkpoints that do not fit the model."""

import re
from collections.abc import Sequence

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmengine.runner.checkpoint import _load_checkpoint_to_model

from ...utils.checkpoint_file import state_differences
from ...utils.errors import RunError, summarize
from ...utils.wrappers import unwrapped


@HOOKS.register_module()
class StrictLoadHook(Hook):
    """Stop if a checkpoint and the model differ in a name or a shape.

    mmengine only logs the difference and continues with initial weights for the parts that did not
    fit. The hook checks `load_from`, resuming and the checkpoint of a test.

    Args:
        ignore: regular expressions; names that match one of them may differ. For example, a
            detector that was trained on other classes needs `(r'roi_head\\.bbox_head\\.fc_',)`.
    """

    # After all other hooks have modified the checkpoint: EMAHook (NORMAL) swaps weights.
    priority = 'LOWEST'

    def __init__(self, ignore: Sequence[str] = ()) -> None:
        self.ignore = [re.compile(pattern) for pattern in ignore]

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if runner._resume and not {'meta', 'message_hub'} <= set(checkpoint):
            raise RunError(
                f'{runner._load_from} has weights, but no training state to resume from: use '
                'load_from=FILE to start a new training with them'
            )
        model = unwrapped(runner.model)
        state = checkpoint.get('state_dict', checkpoint)
        kinds = state_differences(model.state_dict(), state)['of another kind']
        if kinds:  # for example, torch would drop the imaginary parts of complex numbers
            name = runner._load_from or 'the checkpoint'
            raise RunError(
                f'{name} does not fit the model: {summarize({"of another kind": kinds})}'
            )
        try:
            # mmengine's own comparison knows old names that modules translate.
            _load_checkpoint_to_model(model, checkpoint, strict=True)
        except RuntimeError as error:
            differences = self._differences(str(error))
            if differences:
                name = runner._load_from or 'the checkpoint'
                raise RunError(f'{name} does not fit the model: {differences}') from None

    def _differences(self, message: str) -> str:
        """Shorten the differences that mmengine lists to one line; empty if all are ignored."""
        kinds: dict[str, list[str]] = {'missing': [], 'unexpected': [], 'of another shape': []}
        for line in message.splitlines():
            if match := re.match(r'\s*(missing|unexpected) keys? in source state_dict: (.+)', line):
                kinds[match[1]] += match[2].split(', ')
            elif match := re.match(r'\s*size mismatch for (\S+):', line):
                kinds['of another shape'].append(match[1])
        return summarize(
            {
                kind: [name for name in names if not any(p.search(name) for p in self.ignore)]
                for kind, names in kinds.items()
            }
        )
