"""A classifier whose encoder shows representations at several depths."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from ..representations import Shape


class Classifier(nn.Module, ABC):
    """An encoder with representations at several depths, and a head.

    Attributes
    ----------
    head : nn.Linear
        From z to logits.
    dim : int
        Columns of z.
    shapes : tuple of int, FeatureMap or Tokens
        What `depths` returns, early to late.
    image_size : int, tuple of int or None
        Pixels a side, or height and width, where only one size is accepted.
    """

    head: nn.Linear
    dim: int
    shapes: tuple[Shape, ...]
    image_size: int | tuple[int, int] | None = None

    @abstractmethod
    def depths(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the representations of x, early to late; the last is z of shape (n, dim)."""

    def encode(self, x: Tensor) -> Tensor:
        """Return the representation z of x, of shape (n, dim)."""
        return self.depths(x)[-1]

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of x, of shape (n, n_classes)."""
        out: Tensor = self.head(self.encode(x))
        return out
