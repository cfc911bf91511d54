"""`SafeCheckpoints`: Lightning checkpoints that are written whole or not at all, and hold no pickle."""

import os
from pathlib import Path
from typing import Any

from lightning.fabric.plugins import CheckpointIO

from ..errors import DataError
from ..training.checkpoints import read_checkpoint, write_checkpoint


class SafeCheckpoints(CheckpointIO):
    """Lightning's checkpoints without pickle, each written whole or not at all: a plugin of its Trainer.

    Raises
    ------
    DataError
        A checkpoint that cannot be written or read. On a full disk the one before it stays as it was.

    Examples
    --------
    >>> import tempfile, torch
    >>> from midebias.lightning import SafeCheckpoints
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     SafeCheckpoints().save_checkpoint({"epoch": 3, "w": torch.ones(2)}, folder + "/last.ckpt")
    ...     SafeCheckpoints().load_checkpoint(folder + "/last.ckpt")["epoch"]
    3
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """See `write_checkpoint`."""
        write_checkpoint(os.fspath(path), _plain(checkpoint))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """See `read_checkpoint`."""
        state = read_checkpoint(os.fspath(path))
        if not isinstance(state, dict):
            raise DataError(f"{path} is no checkpoint of a Trainer")
        return state

    def remove_checkpoint(self, path: Any) -> None:
        """Remove a file that was written."""
        Path(path).unlink(missing_ok=True)


def _plain(value: Any) -> Any:
    """Paths, and relatives of list, tuple and dict, as plain types."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return (tuple if type(value) is tuple else list)(_plain(v) for v in value)
    return value
