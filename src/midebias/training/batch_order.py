"""The order of training batches: epoch by epoch, from a seed."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from .data import Batch, TrainingData


class BatchOrder:
    """Batches of a training set without end, in an order that is drawn anew from a seed after each epoch of them.

    A smaller last batch is left out. ``piece`` is rank and number of the processes that share each batch.
    """

    def __init__(self, data: TrainingData, batch_size: int, seed: int, *, piece: tuple[int, int] = (0, 1)) -> None:
        self.n, self.batch_size, self.piece, self.read = len(data), batch_size, piece, data.open_reader()
        self.per_epoch = self.n // batch_size
        self._generator = torch.Generator().manual_seed(seed)
        self._rows, self._at = torch.empty(0, dtype=torch.long), self.per_epoch
        self._batches: Iterator[Batch] | None = None  # what is left of the epoch

    @property
    def ended(self) -> bool:
        """Whether the epoch is at its end, or there is none yet."""
        return self._at >= self.per_epoch

    def begin_epoch(self, weights: Tensor | None = None) -> None:
        """Draw the next epoch: every row once, or rows with replacement by ``weights``."""
        if weights is None:
            self._rows = self._permute()
        else:
            weights = weights.cpu().double()
            self._rows = torch.multinomial(weights, self.n, replacement=True, generator=self._generator)
        self._at, self._batches = 0, None

    def draw_aside(self) -> Iterator[Batch]:
        """Draw an epoch of batches beside the epoch's own."""
        return self.read(self._permute()[: self.per_epoch * self.batch_size].split(self.batch_size))

    def draw(self) -> Batch:
        """Draw the next batch, of a new epoch where this one has ended."""
        if self.ended:
            self.begin_epoch()
        if self._batches is None:
            rank, processes = self.piece
            left = self._rows[: self.per_epoch * self.batch_size].split(self.batch_size)[self._at :]
            self._batches = self.read([rows.tensor_split(processes)[rank] for rows in left])
        self._at += 1
        return next(self._batches)

    def state_dict(self) -> dict[str, Any]:
        """Generator, and rows and place in the epoch."""
        return {"generator": self._generator.get_state(), "rows": self._rows, "at": self._at}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the ``state`` that `state_dict` saved."""
        self._generator.set_state(state["generator"])
        self._rows, self._at, self._batches = state["rows"], int(state["at"]), None

    def _permute(self) -> Tensor:
        return torch.randperm(self.n, generator=self._generator)
