"""Base of estimators with a network: checks, standardisation of z, and several updates as one call."""

from abc import abstractmethod

import torch
from torch import Tensor

from ..arguments import check_encoded, check_groups, check_representation
from ..errors import InputError
from ..marginals import draw_permutation, draw_permutation_within
from .interface import DrawingEstimator
from .running_moments import RunningMoments, compute_column_moments


class SampledEstimator(DrawingEstimator):
    """Base of estimators with a network, which see z in units of its running moments unless ``standardize`` is off."""

    trainable = True

    def __init__(self, dim: int, attribute_dim: int, *, n_groups: int, standardize: bool, seed: int) -> None:
        super().__init__(seed=seed)
        if dim < 1 or attribute_dim < 1:
            raise InputError(f"dim and attribute_dim must be at least 1, got {dim} and {attribute_dim}")
        if n_groups < 0:
            raise InputError(f"n_groups must be at least 0, got {n_groups}")
        self.dim, self.attribute_dim, self.n_groups = dim, attribute_dim, n_groups
        self.standardize = standardize
        self.moments = RunningMoments(dim, floor=1e-5)

    def forward(self, z: Tensor, c: Tensor, groups: Tensor | None = None) -> Tensor:
        """Estimate in nats on these pairs, with the critic as it stands; differentiable in z.

        Raises
        ------
        InputError
            Wrong shapes or dtypes, NaN in z, or groups without ``n_groups``.
        """
        z, c = self._check(z, c, groups)
        return self._value(z, c, groups)

    def learning_loss(self, z: Tensor, c: Tensor, groups: Tensor | None = None) -> Tensor:
        """Scalar that the critic minimises, on pairs whose z it takes as constant. Updates the running moments of z."""
        z, c = self._check(z, c, groups)
        if self.standardize:
            self.moments.follow(*compute_column_moments(z.detach()))
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
    ) -> Tensor:
        """Take ``steps`` critic steps on detached pairs: checked, measured and converted once for all of them.

        Parameters
        ----------
        batch_size : int, optional
            Pairs drawn, with replacement, for each step; default is all.
        """
        z, c = self._check(z.detach(), c.detach(), groups, finite=not self.standardize)
        moments = compute_column_moments(z) if self.standardize else None  # which says what is not finite, too
        loss = z.new_zeros(())
        for _ in range(steps):
            if moments is not None:
                self.moments.follow(*moments)
            inside, attribute, labels = z, c, groups
            if batch_size is not None and batch_size < len(z):
                rows = torch.randint(len(z), (batch_size,), generator=self._generator).to(z.device, non_blocking=True)
                inside, attribute, labels = z[rows], c[rows], None if groups is None else groups[rows]
            for group in optimizer.param_groups:  # as zero_grad does, at a sixth of its cost
                for parameter in group["params"]:
                    parameter.grad = None
            with torch.enable_grad():
                loss = self._loss(inside, attribute, labels)
                loss.backward()
            optimizer.step()
        return loss.detach()

    @abstractmethod
    def _value(self, z: Tensor, c: Tensor, groups: Tensor | None) -> Tensor:
        """The estimate on checked pairs."""

    def _loss(self, z: Tensor, c: Tensor, groups: Tensor | None) -> Tensor:
        return -self._value(z, c, groups)

    def _check(self, z: Tensor, c: Tensor, groups: Tensor | None, *, finite: bool = True) -> tuple[Tensor, Tensor]:
        """Raise `InputError` for what cannot be used; z and c become as precise as the critic."""
        check_representation(z, dim=self.dim, finite=finite)
        check_groups(groups, len(z), n_groups=self.n_groups or None)
        check_encoded(c, len(z), self.attribute_dim)
        if groups is not None and not self.n_groups:
            raise InputError(f"groups given, but this {type(self).__name__} was built with n_groups=0")
        if z.dtype != self.moments.mean.dtype:
            z = z.to(self.moments.mean.dtype)
            check_representation(z, finite=finite)
        return z, c.to(z.dtype)

    def _standardize(self, z: Tensor) -> Tensor:
        return self.moments.standardize(z) if self.standardize else z

    def _permute(self, n: int, groups: Tensor | None) -> Tensor:
        return (
            draw_permutation(n, self._generator) if groups is None else draw_permutation_within(groups, self._generator)
        )
