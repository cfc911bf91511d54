"""The Donsker-Varadhan estimator (MINE), the one mutual information backpropagation is built on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..marginals import permutation, permutation_within
from ..networks import JoinedCritic, seeded
from ..protocols import Bound, InputError, check_groups, check_representation

__all__ = ["DonskerVaradhan"]


class DonskerVaradhan(nn.Module):
    r"""Neural lower bound of I(Z;C) by the Donsker-Varadhan representation.

    .. math:: I(Z;C) \ge E_{p(z,c)}[T] - \log E_{p(z)p(c)}[e^T]

    The critic T is trained to make the bound tight; marginal pairs are made by permuting c inside the
    batch. With groups, c is permuted within each group and T sees the group: a lower bound of I(Z;C|G).
    In expectation the value lies below the truth for any critic; on a finite batch the logarithm of the
    mean is biased, and pairs the critic was trained on read too high.

    Parameters
    ----------
    dim, attribute_dim : int
        Columns of z and of the encoded attribute.
    hidden : sequence of int, default (64, 64, 64)
        Critic widths.
    n_groups : int, default 0
        Number of groups for the conditional form; 0 for the unconditional one.
    standardize : bool, default True
        Divide z by running moments before the critic, so that an encoder cannot outrun it by scale. The
        reference recipe has False.
    seed : int, default 0
        Seeds the critic's weights and the permutations; both from local generators.

    References
    ----------
    Belghazi et al., "Mutual Information Neural Estimation", ICML 2018, eq. 10.
    Ragonesi et al., arXiv 2003.06430, eq. 4.
    """

    bound: Bound = "lower"
    trainable = True
    closed_form = False
    mean: Tensor
    variance: Tensor
    updates: Tensor
    seed_state: Tensor

    def __init__(
        self,
        dim: int,
        attribute_dim: int,
        *,
        hidden: Sequence[int] = (64, 64, 64),
        n_groups: int = 0,
        standardize: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if dim < 1 or attribute_dim < 1:
            raise InputError(f"dim and attribute_dim must be at least 1, got {dim} and {attribute_dim}")
        with seeded(seed):
            self.critic = JoinedCritic(dim, attribute_dim, hidden=hidden, n_groups=n_groups)
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

    def scores(self, z: Tensor, c: Tensor, groups: Tensor | None) -> tuple[Tensor, Tensor]:
        """T on joint pairs and on marginal pairs, each of shape (n,)."""
        check_representation(z, dim=self.dim)
        check_groups(groups, len(z))
        if c.shape != (len(z), self.attribute_dim):
            raise InputError(f"c must be encoded to shape ({len(z)}, {self.attribute_dim}), got {tuple(c.shape)}")
        if groups is not None and not self.n_groups:
            raise InputError("groups given, but this DonskerVaradhan was built with n_groups=0")
        if self.standardize:
            z = (z - self.mean) / (self.variance + 1e-5 * self.variance.mean() + 1e-12).sqrt()
        n = len(z)
        perm = permutation(n, self._generator) if groups is None else permutation_within(groups, self._generator)
        perm = perm.to(z.device)
        twice = groups if groups is None else torch.cat([groups, groups])
        both = self.critic(torch.cat([z, z]), torch.cat([c, c[perm]]), twice)
        return both[:n], both[n:]

    def forward(self, z: Tensor, c: Tensor, groups: Tensor | None = None) -> Tensor:
        """Estimate in nats on these pairs, with the critic as it stands; differentiable in z."""
        joint, marginal = self.scores(z, c, groups)
        return joint.mean() - (torch.logsumexp(marginal, dim=0) - math.log(len(marginal)))

    def learning_loss(self, z: Tensor, c: Tensor, groups: Tensor | None = None) -> Tensor:
        """What the critic minimises: the negative estimate. Updates the running moments of z."""
        if self.standardize:
            self.observe(z)
        self.updates += 1
        return -self.forward(z, c, groups)

    @torch.no_grad()
    def observe(self, z: Tensor) -> None:
        """Follow the moments of z with a running mean over about ten calls; the first call sets them."""
        weight = 1.0 if int(self.updates) == 0 else 0.1
        self.mean.lerp_(z.detach().mean(0).to(self.mean), weight)
        self.variance.lerp_(z.detach().var(0, unbiased=False).to(self.variance), weight)
