"""What all estimators with a critic share: checks, standardisation, marginal pairs, and K updates as one call."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..arguments import check_encoded, check_groups, check_representation, checked
from ..errors import InputError
from ..marginals import permutation, permutation_within
from ..randomness import seeded
from .critics import CriticName, build_critic
from .interface import Bound

__all__ = ["CriticEstimator", "SampledEstimator"]


class SampledEstimator(nn.Module, ABC):
    """Base of estimators that draw from a generator and see z in units of its running moments."""

    bound: Bound
    assumption: str = ""
    trainable = True
    closed_form = False
    mean: Tensor
    variance: Tensor
    updates: Tensor

    def __init__(self, dim: int, attribute_dim: int, *, n_groups: int, standardize: bool, seed: int) -> None:
        super().__init__()
        if dim < 1 or attribute_dim < 1:
            raise InputError(f"dim and attribute_dim must be at least 1, got {dim} and {attribute_dim}")
        if n_groups < 0:
            raise InputError(f"n_groups must be at least 0, got {n_groups}")
        self.dim, self.attribute_dim, self.n_groups = dim, attribute_dim, n_groups
        self.standardize = standardize
        self._generator = torch.Generator().manual_seed(seed)
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("variance", torch.ones(dim))
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))

    def get_extra_state(self) -> Tensor:
        """State of the permutation generator, so that a resumed run draws the same marginals."""
        return self._generator.get_state()

    def set_extra_state(self, state: Tensor) -> None:
        """Restore the permutation generator."""
        self._generator.set_state(state.cpu())

    def forward(self, z: Tensor, c: Tensor, groups: Tensor | None = None) -> Tensor:
        """Estimate in nats on these pairs, with the critic as it stands; differentiable in z.

        Raises
        ------
        InputError
            Wrong shapes or dtypes, NaN in z, or groups without ``n_groups``.
        """
        z, c = self._checked(z, c, groups)
        return self._value(z, c, groups)

    def learning_loss(self, z: Tensor, c: Tensor, groups: Tensor | None = None) -> Tensor:
        """What the critic minimises; z counts as a constant's stand-in. Updates the running moments of z."""
        z, c = self._checked(z, c, groups)
        self._observe_and_count(z)
        return self._loss(z, c, groups)

    def update(
        self,
        z: Tensor,
        c: Tensor,
        groups: Tensor | None,
        optimizer: torch.optim.Optimizer,
        *,
        steps: int = 1,
        batch_size: int | None = None,
    ) -> float:
        """Take ``steps`` critic steps on detached pairs: checked, measured and converted once for all of them.

        Parameters
        ----------
        batch_size : int, optional
            Pairs drawn, with replacement, for each step; default is all.

        Returns
        -------
        float
            The last learning loss.
        """
        z, c = self._checked(z.detach(), c.detach(), groups, finite=not self.standardize)
        moments = _moments(z) if self.standardize else None  # which says what is not finite, too
        loss = z.new_zeros(())
        for _ in range(steps):
            self._observe_and_count(z, moments)
            inside, attribute, labels = z, c, groups
            if batch_size is not None and batch_size < len(z):
                rows = torch.randint(len(z), (batch_size,), generator=self._generator).to(z.device)
                inside, attribute, labels = z[rows], c[rows], None if groups is None else groups[rows]
            for group in optimizer.param_groups:  # as zero_grad does, at a sixth of its cost
                for parameter in group["params"]:
                    parameter.grad = None
            loss = self._backward(inside, attribute, labels)
            optimizer.step()
        return float(loss.detach())

    def _backward(self, z: Tensor, c: Tensor, groups: Tensor | None) -> Tensor:
        """The learning loss on checked pairs, whose gradients the critic's weights, which had none, then have."""
        with torch.enable_grad():
            loss = self._loss(z, c, groups)
            loss.backward()
        return loss

    @abstractmethod
    def _value(self, z: Tensor, c: Tensor, groups: Tensor | None) -> Tensor:
        """The estimate on checked pairs."""

    def _loss(self, z: Tensor, c: Tensor, groups: Tensor | None) -> Tensor:
        return -self._value(z, c, groups)

    def _checked(self, z: Tensor, c: Tensor, groups: Tensor | None, *, finite: bool = True) -> tuple[Tensor, Tensor]:
        """Raise `InputError` for what cannot be used; z and c become as precise as the critic."""
        check_representation(z, dim=self.dim, finite=finite)
        check_groups(groups, len(z))
        check_encoded(c, len(z), self.attribute_dim)
        if groups is not None and not self.n_groups:
            raise InputError(f"groups given, but this {type(self).__name__} was built with n_groups=0")
        if z.dtype != self.mean.dtype:  # that of the critic's weights
            z = z.to(self.mean.dtype)
            check_representation(z, finite=finite)
        return z, c.to(z.dtype)

    def _standardized(self, z: Tensor) -> Tensor:
        if not self.standardize:
            return z
        mean, variance = self.mean, self.variance  # looked up once: a module's attributes are slow
        return (z - mean).div_(torch.add(variance, variance.mean(), alpha=1e-5).add_(1e-12).sqrt_())

    def _permutation(self, n: int, groups: Tensor | None) -> Tensor:
        return permutation(n, self._generator) if groups is None else permutation_within(groups, self._generator)

    def _observe_and_count(self, z: Tensor, moments: tuple[Tensor, Tensor] | None = None) -> None:
        if self.standardize:
            self.observe(z, moments)
        self.updates.add_(1)

    def observe(self, z: Tensor, moments: tuple[Tensor, Tensor] | None = None) -> None:
        """Follow the moments of z with a running mean over about ten calls; the first call sets them.

        ``moments``: mean and variance of z's columns, where they are known already.
        """
        weight = 1.0 if int(self.updates) == 0 else 0.1
        mean, variance = _moments(z.detach().to(self.mean)) if moments is None else moments
        self.mean.lerp_(mean, weight)
        self.variance.lerp_(variance, weight)


def _moments(z: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of z's columns. Raises `InputError` where they are not finite."""
    mean = z.mean(dim=0)
    variance = (z - mean).square_().mean(dim=0)  # many times faster than var along the rows
    if not math.isfinite(float(variance.sum())):
        check_representation(z)
        raise InputError(f"z is too large: its variance overflows {z.dtype}")
    return mean, variance


class CriticEstimator(SampledEstimator):
    """Base of estimators with a critic T(z, c), whose marginal pairs are made by permuting c inside the batch.

    With groups, c is permuted within each group and T sees the group: the estimate is of I(Z;C|G).

    Parameters
    ----------
    dim, attribute_dim : int
        Columns of z and of the encoded attribute.
    critic : {"joined", "separable", "bilinear"}, default "joined"
        One network of (z, c); the inner product of a network of z and one of c; or a bilinear form.
    hidden : sequence of int, default (64, 64, 64)
        Critic widths.
    n_groups : int, default 0
        Number of groups for the conditional form; 0 for the unconditional one.
    standardize : bool, default True
        Divide z by running moments before the critic, so that an encoder cannot outrun it by scale. The
        reference recipe has False.
    seed : int, default 0
        Seeds the critic's weights and the permutations; both from local generators.
    """

    has_derivatives = False

    @checked
    def __init__(
        self,
        dim: int,
        attribute_dim: int,
        *,
        critic: CriticName = "joined",
        hidden: Sequence[int] = (64, 64, 64),
        n_groups: int = 0,
        standardize: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(dim, attribute_dim, n_groups=n_groups, standardize=standardize, seed=seed)
        with seeded(seed):
            self.critic = build_critic(critic, dim, attribute_dim, hidden=hidden, n_groups=n_groups)

    def _derivatives(self, joint: Tensor, marginal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The learning loss, and its derivatives by both kinds of scores, where ``has_derivatives``."""
        raise NotImplementedError

    def _backward(self, z: Tensor, c: Tensor, groups: Tensor | None) -> Tensor:
        if not (self.has_derivatives and self.critic.has_own_gradients):
            return super()._backward(z, c, groups)
        with torch.no_grad():
            z, perm = self._standardized(z), self._permutation(len(z), groups).to(z.device)
            joint, marginal, backward = self.critic.scored(z, c, perm, groups)
            loss, by_joint, by_marginal = self._derivatives(joint, marginal)
            backward(by_joint, by_marginal)
            return loss

    def scores(self, z: Tensor, c: Tensor, groups: Tensor | None) -> tuple[Tensor, Tensor]:
        """T on joint pairs and on marginal pairs, each of shape (n,)."""
        return self._scores(*self._checked(z, c, groups), groups)

    def _scores(self, z: Tensor, c: Tensor, groups: Tensor | None) -> tuple[Tensor, Tensor]:
        z = self._standardized(z)
        perm = self._permutation(len(z), groups).to(z.device)
        joint, marginal = self.critic.joint_and_marginal(z, c, perm, groups)
        return joint, marginal
