"""What a method is trained on: the problem, batches, and training sets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from ..attributes import Attribute, Continuous
from ..errors import InputError


@dataclass(frozen=True)
class Problem:
    """What is to be predicted and what is not to be learned.

    Attributes
    ----------
    n_classes : int
        Labels y are 0 .. n_classes - 1.
    attribute : Attribute
        How ``Batch.c`` is read. All defaults are Colored MNIST's; this one is the three channels of a colour.
    level_sizes : tuple of int
        Categories of each column of ``Batch.levels``, the attribute as methods that classify it need it.
    class_weights : tuple of float, optional
        What the loss of a row counts, by its label; 1 each if not given.
    """

    n_classes: int = 10
    attribute: Attribute = field(default_factory=lambda: Continuous(3))
    level_sizes: tuple[int, ...] = (8, 8, 8)
    class_weights: tuple[float, ...] | None = None

    def task_loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """Mean over rows of the weighted cross-entropy of ``logits`` (n, n_classes) and ``y`` (n,)."""
        if self.class_weights is None:
            return nn.functional.cross_entropy(logits, y)
        # Not torch's own weighted mean, which divides by the weights in the batch: a rank's share has others.
        return self.row_losses(logits, y).mean()

    def row_losses(self, logits: Tensor, y: Tensor) -> Tensor:
        """Weighted cross-entropy of each row (n,) of ``logits`` (n, n_classes) and ``y`` (n,)."""
        losses = nn.functional.cross_entropy(logits, y, reduction="none")
        weights = self.class_weights
        return losses if weights is None else losses * torch.tensor(weights, device=y.device)[y]


@dataclass(frozen=True)
class Batch:
    """Rows of a training set.

    Attributes
    ----------
    x : Tensor of shape (n, ...)
    y : integer Tensor of shape (n,)
    levels : integer Tensor of shape (n, k)
        The attribute as categories.
    c : Tensor of shape (n,) or (n, width)
        The attribute as it is.
    """

    x: Tensor
    y: Tensor
    levels: Tensor
    c: Tensor

    def __len__(self) -> int:
        return len(self.y)


BatchReader = Callable[[Iterable[Tensor]], Iterator[Batch]]
"""Given the rows of several batches, yields each as a `Batch`, and may read ahead meanwhile."""


class TrainingData(Protocol):
    """A training set: labels y (n,), the attribute both ways (see `Batch`), and batches by their rows."""

    @property
    def y(self) -> Tensor: ...  # noqa: D102

    @property
    def levels(self) -> Tensor: ...  # noqa: D102

    @property
    def c(self) -> Tensor: ...  # noqa: D102

    def __len__(self) -> int: ...

    def batch(self, rows: Tensor) -> Batch:
        """Return ``rows`` as a batch."""

    def open_reader(self) -> BatchReader:
        """Open a reader of its own for one who goes through the data; it reads for one pass at a time."""


@dataclass(frozen=True)
class TensorData(Batch):
    """A training set as whole tensors.

    Attributes
    ----------
    x : Tensor of shape (n, channels, height, width)
    y, levels, c : Tensor, as in `Batch`

    Raises
    ------
    InputError
        Tensors of different lengths.
    """

    def __post_init__(self) -> None:
        if not len(self.x) == len(self.y) == len(self.levels) == len(self.c):
            raise InputError("x, y, levels and c must have equally many rows")

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(channels, height, width)."""
        return tuple(self.x.shape[1:])

    def part(self, rows: Tensor) -> TensorData:
        """Return these ``rows`` alone."""
        return TensorData(**vars(self.batch(rows)))

    def open_reader(self) -> BatchReader:
        """Open a reader, which takes each batch as it is asked for."""
        return lambda order: map(self.batch, order)

    def batch(self, rows: Tensor) -> Batch:
        """Return ``rows`` as a batch, channels last."""
        x = self.x.permute(0, 2, 3, 1)[rows].permute(0, 3, 1, 2)
        return Batch(x, self.y[rows], self.levels[rows], self.c[rows])
