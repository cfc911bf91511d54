"""The order of training rows: epoch by epoch, and without end."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from .data import Batch, TrainingData


class EpochOrder:
    """The rows of one epoch after another, of ``n``, in a seeded order."""

    def __init__(self, n: int, batch_size: int, seed: int) -> None:
        self.n, self.batch_size = n, batch_size
        self._generator = torch.Generator().manual_seed(seed)
        self._rows = torch.empty(0, dtype=torch.long)

    def draw(self, weights: Tensor | None) -> None:
        """Draw the next epoch: every row once, or rows with replacement by ``weights``."""
        if weights is None:
            self._rows = self.permute()
        else:
            weights = weights.cpu().double()
            self._rows = torch.multinomial(weights, self.n, replacement=True, generator=self._generator)

    def permute(self) -> Tensor:
        """Draw a permutation of all rows, beside the epoch's own."""
        return torch.randperm(self.n, generator=self._generator)

    def __getitem__(self, i: int) -> Tensor:
        """Rows of the i-th batch of the epoch."""
        return self._rows[i * self.batch_size : (i + 1) * self.batch_size]

    def state_dict(self) -> dict[str, Any]:
        """Generator and rows of the epoch."""
        return {"generator": self._generator.get_state(), "rows": self._rows}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the ``state`` that `state_dict` saved."""
        self._generator.set_state(state["generator"])
        self._rows = state["rows"]


class EndlessBatches:
    """Further training batches, without end, in a seeded order that is drawn again after ``rows_per_pass`` rows."""

    def __init__(self, data: TrainingData, rows_per_pass: int, batch_size: int, seed: int) -> None:
        self._read, self._rows_per_pass = data.open_reader(), rows_per_pass
        self._order, self._at = EpochOrder(len(data), batch_size, seed), rows_per_pass
        self._batches: Iterator[Batch] | None = None

    def draw(self) -> Batch:
        """Draw the next batch."""
        if self._at >= self._rows_per_pass:
            self._order.draw(None)
            self._at, self._batches = 0, None
        size = self._order.batch_size
        if self._batches is None:
            left = range(self._at, self._rows_per_pass, size)
            self._batches = self._read([self._order[at // size] for at in left])
        self._at += size
        return next(self._batches)

    def state_dict(self) -> dict[str, Any]:
        """Order and place."""
        return {"order": self._order.state_dict(), "at": self._at}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the ``state`` that `state_dict` saved."""
        self._order.load_state_dict(state["order"])
        self._at, self._batches = int(state["at"]), None
