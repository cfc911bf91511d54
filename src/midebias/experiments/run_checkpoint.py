"""A training run's state in a file, from which an interrupted run goes on."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import DataError, InputError
from ..training.checkpoints import read_checkpoint, write_checkpoint
from ..training.loop import TrainingRun
from .process import Interruptions


class RunCheckpoint:
    """Reads a run's state where it is there, and writes it every so many seconds, and on Ctrl-C.

    ``history`` is extended by what the file holds, and saved with the run. A file that cannot be read, or is that of
    another run, is a `DataError`.
    """

    def __init__(self, path: Path, run: TrainingRun, history: list[dict[str, Any]], *, every: float) -> None:
        self._path, self._run, self._history, self._every = path, run, history, every
        if path.exists():
            state = read_checkpoint(path)
            try:
                run.load_state_dict(state["run"])
                history += state["history"]
            except (KeyError, TypeError) as error:
                raise DataError(f"{path} is no checkpoint of a training run") from error
            except InputError as error:
                raise DataError(f"{path} does not fit this run: {error}") from error
        self._saved = time.monotonic()

    def advance(self, steps: int, *, on_step: Callable[[], None] | None) -> None:
        """Do as `TrainingRun.advance`; a signal is obeyed between two steps, with KeyboardInterrupt."""
        with Interruptions() as interruptions:
            for _ in range(steps):
                if self._run.finished:
                    break
                self._run.advance(1, on_step=on_step)
                if interruptions.noted or time.monotonic() - self._saved >= self._every:
                    self._save()
                if interruptions.noted:
                    raise KeyboardInterrupt

    def _save(self) -> None:
        write_checkpoint(self._path, {"run": self._run.state_dict(), "history": self._history})
        self._saved = time.monotonic()
