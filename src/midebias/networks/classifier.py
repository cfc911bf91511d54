"""A classifier whose encoder shows representations at several depths."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from ..representations import Shape

__all__ = ["Classifier"]


class Classifier(nn.Module, ABC):
    """An encoder whose representations can be had at several depths, of the declared ``shapes``, and a head."""

    head: nn.Linear
    dim: int
    shapes: tuple[Shape, ...]
    image_size: int | None = None  # pixels a side where they are given

    @abstractmethod
    def depths(self, x: Tensor) -> tuple[Tensor, ...]:
        """Representations of x, early to late; the last is z of shape (n, dim)."""

    def encode(self, x: Tensor) -> Tensor:
        """The representation z (n, dim)."""
        return self.depths(x)[-1]

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, n_classes)."""
        out: Tensor = self.head(self.encode(x))
        return out
