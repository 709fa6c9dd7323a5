"""Write checkpoints that stay complete if the process is killed or the disk is full."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ...utils.atomic import atomic_write_bytes
from ...utils.errors import reason_of


@register_backend('AtomicLocalBackend')
class AtomicLocalBackend(LocalBackend):
    """A backend for the local disk that writes files atomically."""

    def put(self, obj: bytes, filepath: str | os.PathLike) -> None:
        path = Path(filepath)
        try:
            atomic_write_bytes(path, obj)
        except OSError as error:
            last = last_checkpoint(path.parent)
            kept = f'--resume continues from {last}' if last else 'there is no earlier checkpoint'
            reason = f'{reason_of(error)}; training stops, and {kept}'
            raise OSError(error.errno or errno.EIO, reason, os.fspath(path)) from None

    def put_text(self, obj: str, filepath: str | os.PathLike, encoding: str = 'utf-8') -> None:
        self.put(obj.encode(encoding), filepath)


def last_checkpoint(work_dir: str | os.PathLike) -> str | None:
    """Return the path of the last checkpoint of a training; None if there is none.

    Raises:
        UnicodeDecodeError: if the file `last_checkpoint` is damaged.
    """
    pointer = Path(work_dir, 'last_checkpoint')
    return pointer.read_text(encoding='utf-8').strip() if pointer.is_file() else None


class _RemoveLater:
    """A file backend that records what to remove and removes it later."""

    def __init__(self, backend: LocalBackend) -> None:
        self._backend = backend
        self._removals: list[Callable[[], None]] = []

    def __getattr__(self, name: str):
        return getattr(self._backend, name)

    def remove(self, path: str) -> None:
        self._removals.append(lambda: self._backend.remove(path))

    def rmtree(self, path: str) -> None:
        self._removals.append(lambda: self._backend.rmtree(path))

    def remove_now(self) -> None:
        for removal in self._removals:
            removal()


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """mmengine's CheckpointHook, but the last checkpoint survives if the process is killed.

    A checkpoint is written under a temporary name and renamed, and then `last_checkpoint` in the
    same way. Only then are the checkpoints removed that `max_keep_ckpts` or `save_best` do not
    keep; mmengine removes them first. At the first step of a new training, the `last_checkpoint` of
    an earlier one is removed. The arguments are those of CheckpointHook.
    """

    def before_train(self, runner: Runner) -> None:
        local = '://' not in (self.out_dir or runner.work_dir)
        if local and self.backend_args is None and self.file_client_args is None:
            self.backend_args = dict(backend='AtomicLocalBackend')
        super().before_train(runner)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        # A start that fails before this moment must not keep --resume from the earlier training.
        if runner.iter == 0 and is_main_process():
            Path(runner.work_dir, 'last_checkpoint').unlink(missing_ok=True)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        outdated = self._make_room(runner, step)
        filename = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, filename)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            filename,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if not is_main_process():
            return
        pointer = os.path.join(runner.work_dir, 'last_checkpoint')
        AtomicLocalBackend().put_text(self.last_ckpt, pointer)
        if outdated is not None and self.file_backend.isfile(outdated):
            self.file_backend.remove(outdated)

    def _make_room(self, runner: Runner, step: int) -> str | None:
        """Record that `step` is kept; return the path of the checkpoint to remove, if any."""
        # `save_best` can write a step a second time.
        if self.max_keep_ckpts <= 0 or step in list(self.keep_ckpt_ids)[-1:]:
            return None
        outdated = None
        if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
            name = self.filename_tmpl.format(self.keep_ckpt_ids.popleft())
            outdated = self.file_backend.join_path(self.out_dir, name)
        self.keep_ckpt_ids.append(step)
        runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        return outdated

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        backend = self.file_backend
        self.file_backend = later = _RemoveLater(backend)
        try:
            super()._save_best_checkpoint(runner, metrics)
        finally:
            self.file_backend = backend
        later.remove_now()
