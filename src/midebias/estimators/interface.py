"""The protocol of an estimator of mutual information. All information is in nats."""

from __future__ import annotations

from typing import Literal, Protocol, runtime_checkable

from torch import Tensor

__all__ = ["Bound", "Estimator"]


Bound = Literal["lower", "upper", "exact"]


@runtime_checkable
class Estimator(Protocol):
    """An estimator of I(Z;C), or of I(Z;C|G) when ``groups`` are given.

    ``forward(z, c, groups)`` is the estimate in nats (a scalar, differentiable in z). Estimators with a
    critic (``trainable``) also have ``learning_loss(z, c, groups)``, the scalar its critic minimises, and may have
    ``update(z, c, groups, optimizer)``, which takes a step on it faster than autograd would. Those with
    a closed form are computed from the moments of the pairs they are called with, and gain by more pairs.
    """

    bound: Bound
    trainable: bool
    closed_form: bool

    def __call__(self, z: Tensor, c: Tensor, groups: Tensor | None = None) -> Tensor:
        """Estimate in nats."""
        ...

    def learning_loss(self, z: Tensor, c: Tensor, groups: Tensor | None = None) -> Tensor:
        """Scalar the critic minimises."""
        ...
