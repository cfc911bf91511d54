"""What everything else agrees on: errors, what an estimator is, and the result of an estimate.

Imports nothing of this package. All information is in nats.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

__all__ = [
    "Bound",
    "Criterion",
    "DataError",
    "Estimator",
    "InputError",
    "MIEstimate",
    "TooFewSamples",
    "check_encoded",
    "check_groups",
    "check_representation",
]

Bound = Literal["lower", "upper", "exact"]
Criterion = Literal["separation", "independence"]


class InputError(ValueError):
    """An argument that cannot be used; the message names it, what was found and what is accepted."""


class TooFewSamples(InputError):
    """Fewer samples than the estimate needs."""


class DataError(ValueError):
    """A data file that is missing, damaged or of another format; the message names the file."""


@dataclass(frozen=True)
class MIEstimate:
    """A mutual information estimate from data the estimator was not fitted on.

    Attributes
    ----------
    value : float
        Estimate in nats. May be slightly negative for independent pairs; it is not clipped.
    stderr : float
        Standard error of ``value`` over held-out samples, in nats.
    estimator : str
        Name of the estimator.
    bound : {"lower", "upper", "exact"}
        On which side of the truth ``value`` lies in expectation; "exact" holds under the estimator's
        stated assumption.
    n : int
        Number of held-out samples.
    p_value : float, optional
        Of independence, by permutation.
    assumption : str
        What ``bound`` rests on.
    alarms : tuple of str
        What casts doubt on the value, in plain words.
    parts : tuple of MIEstimate
        One for each of several attributes, where asked for.
    """

    value: float
    stderr: float
    estimator: str
    bound: Bound
    n: int
    p_value: float | None = None
    assumption: str = ""
    alarms: tuple[str, ...] = ()
    parts: tuple[MIEstimate, ...] = ()

    @property
    def interval(self) -> tuple[float, float]:
        """Normal 95% interval of ``value``, in nats."""
        half = 1.959964 * self.stderr
        return self.value - half, self.value + half

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:.3f} nats [{low:.3f}, {high:.3f}] ({self.estimator}, {self.bound} bound, n={self.n})"


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


def check_representation(
    z: Tensor, *, name: str = "z", dim: int | None = None, least: int = 2, finite: bool = True
) -> None:
    """Raise `InputError` unless z is a finite floating (n, dim) tensor with n >= ``least``.

    Finiteness is checked with one reduction: a NaN or infinity anywhere makes the sum not finite. ``finite=False``
    leaves that to the caller.
    """
    if not isinstance(z, Tensor):
        raise InputError(f"{name} must be a torch.Tensor, got {type(z).__name__}")
    if not z.is_floating_point():
        raise InputError(f"{name} must have a floating dtype, got {z.dtype}")
    if z.ndim != 2 or z.shape[1] < 1:
        raise InputError(f"{name} must have shape (batch, dim), got {tuple(z.shape)}")
    if dim is not None and z.shape[1] != dim:
        raise InputError(f"{name} must have {dim} columns as in the constructor, got shape {tuple(z.shape)}")
    if z.shape[0] < least:
        raise TooFewSamples(f"{name} holds {z.shape[0]} sample: mutual information needs a batch of at least {least}")
    if finite and not math.isfinite(float(z.detach().sum(dtype=torch.float64))):
        raise InputError(f"{name} contains NaN or infinity")


def check_encoded(c: Tensor, n: int, dim: int | None = None, *, name: str = "c") -> None:
    """Raise `InputError` unless c is an encoded attribute: a real tensor of shape (n, dim)."""
    if not isinstance(c, Tensor):
        raise InputError(f"{name} must be a torch.Tensor, got {type(c).__name__}")
    if c.is_complex():
        raise InputError(f"{name} must be real, got {c.dtype}")
    if c.ndim != 2 or len(c) != n or not c.shape[1] or (dim is not None and c.shape[1] != dim):
        raise InputError(f"{name} must be encoded to shape ({n}, {'k' if dim is None else dim}), got {tuple(c.shape)}")


def check_groups(groups: Tensor | None, n: int, *, name: str = "y") -> None:
    """Raise `InputError` unless groups is None or n non-negative integers."""
    if groups is None:
        return
    if not isinstance(groups, Tensor):
        raise InputError(f"{name} must be a torch.Tensor, got {type(groups).__name__}")
    if groups.dtype.is_floating_point or groups.dtype.is_complex:
        raise InputError(
            f"{name} must hold integer labels, got {groups.dtype}: continuous values are not binned silently"
        )
    if groups.shape != (n,):
        raise InputError(f"{name} must have shape ({n},) like z, got {tuple(groups.shape)}")
    if n and int(groups.min()) < 0:
        raise InputError(f"{name} must hold labels >= 0, got {int(groups.min())}")
