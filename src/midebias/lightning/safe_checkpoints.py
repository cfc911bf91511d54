"""`SafeCheckpoints`: Lightning checkpoints that are written whole or not at all, and hold no pickle."""

import os
from pathlib import Path
from typing import Any

from lightning.fabric.plugins import CheckpointIO

from ..errors import DataError
from ..training.checkpoints import read_checkpoint, write_checkpoint


class SafeCheckpoints(CheckpointIO):
    """Lightning's checkpoints without pickle, each written whole or not at all.

    ``Trainer(plugins=[SafeCheckpoints()])``.

    A full disk is a `DataError` and leaves the checkpoint before it as it was; a truncated file is said to be one.

    Raises
    ------
    DataError
        A checkpoint that cannot be written or read; the message names it.

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
    """Paths, enumerations and other relatives of plain types as those types."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(v) for v in value) if type(value) in (list, tuple) else [_plain(v) for v in value]
    return value
