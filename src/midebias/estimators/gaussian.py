"""Closed-form mutual information by the log-determinant formula, on linear or random features."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from ..marginals import center_within
from ..protocols import Bound, InputError, TooFewSamples, check_groups, check_representation

__all__ = ["GaussianMI", "wilks_bias"]


def wilks_bias(p: float, q: int, dof: int) -> float:
    r"""Expected excess, in nats, of the plug-in Gaussian mutual information over the truth.

    .. math:: \tfrac12 \sum_{j=1}^{q} \psi\!\left(\tfrac{\nu-j+1}{2}\right) - \psi\!\left(\tfrac{\nu-p-j+1}{2}\right)

    from the expected log-determinant of a Wishart matrix with :math:`\nu` degrees of freedom (Anderson, "An
    Introduction to Multivariate Statistical Analysis", 2003, section 7.5). It does not depend on the truth.

    Examples
    --------
    >>> round(wilks_bias(2, 3, 1000), 4)    # close to p q / (2 dof)
    0.003
    """
    j = torch.arange(q, dtype=torch.float64)
    return float(0.5 * (torch.digamma((dof - j) / 2) - torch.digamma((dof - p - j) / 2)).sum())


class GaussianMI(nn.Module):
    r"""Mutual information of jointly Gaussian features, :math:`-\tfrac12\log\det(I - R R^\top)`.

    R holds the cross-correlations of the whitened features of z and of c. Nothing is trained, so the
    estimate cannot lag behind a moving encoder.

    - ``features="linear"``: z itself. Exact when (z, c) is jointly Gaussian, with groups when it is so
      within each group with one covariance. ``projection`` fixes a linear map in front.
    - ``features="random"``: random Fourier features of z, drawn afresh at every call, so that an encoder
      cannot arrange itself around them: sees nonlinear dependence.

    With groups, both sides are centred within their group and covariances are pooled over groups:
    I(Z;C|G) under a covariance shared by the groups.

    The finite-sample excess of the plug-in formula is known (`wilks_bias`) and subtracted: the value is
    unbiased under the assumption, and can be negative for independent pairs.

    Parameters
    ----------
    features : {"linear", "random"}, default "linear"
    n_features : int, default 128
        Number of random features.
    bandwidth : float, default 1.0
        Length scale of the random features in units of the root mean squared distance per axis.
    projection : Tensor of shape (dim, k), optional
        Fixed linear map of z, for ``features="linear"``.
    attribute_degree : {1, 2}, default 1
        2 adds squares and products of the columns of c.
    ridge : float, default 1e-4
        Added to the covariance of the features, in units of their mean variance.
    seed : int, default 0
        Seeds the local generator of the random features.

    References
    ----------
    Cover and Thomas, "Elements of Information Theory", 2006, eq. 8.56.
    Rahimi and Recht, "Random Features for Large-Scale Kernel Machines", NeurIPS 2007.
    """

    bound: Bound = "exact"
    trainable = False
    projection: Tensor | None

    def __init__(
        self,
        *,
        features: Literal["linear", "random"] = "linear",
        n_features: int = 128,
        bandwidth: float = 1.0,
        projection: Tensor | None = None,
        attribute_degree: Literal[1, 2] = 1,
        ridge: float = 1e-4,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if features not in ("linear", "random"):
            raise InputError(f"features must be 'linear' or 'random', got {features!r}")
        if attribute_degree not in (1, 2):
            raise InputError(f"attribute_degree must be 1 or 2, got {attribute_degree!r}")
        if n_features < 1 or bandwidth <= 0 or ridge < 0:
            raise InputError(
                f"n_features must be >= 1, bandwidth > 0 and ridge >= 0, got {n_features}, {bandwidth} and {ridge}"
            )
        if projection is not None and (features != "linear" or projection.ndim != 2):
            raise InputError("projection must be a (dim, k) tensor and goes with features='linear'")
        self.features, self.n_features, self.bandwidth = features, n_features, bandwidth
        self.attribute_degree, self.ridge = attribute_degree, ridge
        self.register_buffer("projection", projection)
        self._generator = torch.Generator().manual_seed(seed)

    def get_extra_state(self) -> Tensor:
        """State of the feature generator, so that a resumed run draws the same features."""
        return self._generator.get_state()

    def set_extra_state(self, state: Tensor) -> None:
        """Restore the feature generator."""
        self._generator.set_state(state.cpu())

    def learning_loss(self, z: Tensor, c: Tensor, groups: Tensor | None = None) -> Tensor:
        """Zero: there is no critic to train."""
        return z.new_zeros(())

    def forward(self, z: Tensor, c: Tensor, groups: Tensor | None = None) -> Tensor:
        """Estimate in nats, differentiable in z.

        Returns zero, without a gradient, when c does not vary within any group. Raises `InputError` when
        there are too few samples for the number of features.
        """
        check_representation(z)
        check_groups(groups, len(z))
        if c.ndim != 2 or len(c) != len(z):
            raise InputError(f"c must be encoded to shape ({len(z)}, attribute_dim), got {tuple(c.shape)}")
        z = self._lift(z.float() if z.dtype in (torch.float16, torch.bfloat16) else z)
        z, n_groups = center_within(z, groups)
        c, _ = center_within(self._lift_attribute(c.to(z.dtype)), groups)
        dof = len(z) - n_groups
        white = _whiten(c)
        p, q = z.shape[1], white.shape[1]
        if q == 0 or dof < 1:
            return z.sum() * 0.0
        n = len(z)
        covariance = (z.T @ z / n).double()
        scale = covariance.detach().diagonal().mean()
        if not float(scale) > 0.0:
            return z.sum() * 0.0
        ridge = self.ridge * scale
        effective = float(p)
        if self.ridge > 0 or p >= dof:
            spectrum = torch.linalg.eigvalsh(covariance.detach()).clamp(min=0)
            effective = float((spectrum / (spectrum + ridge + 1e-12 * scale)).sum())
        if effective + q + 2 > dof:
            raise TooFewSamples(
                f"z: {n} samples in {n_groups} groups are too few for {p} features against {q} of c: "
                "use a bigger batch, a bank, fewer features or a larger ridge"
            )
        eye = torch.eye(p, dtype=covariance.dtype, device=covariance.device)
        factor = torch.linalg.cholesky(covariance + (ridge + 1e-10 * scale) * eye)
        cross = (z.T @ white / n).double()
        r = torch.linalg.solve_triangular(factor, cross, upper=False)
        inner = torch.eye(q, dtype=r.dtype, device=r.device) * (1 + 1e-9) - r.T @ r
        plug_in = -0.5 * torch.linalg.slogdet(inner).logabsdet
        return (plug_in - wilks_bias(effective, q, dof)).to(z.dtype)

    def _lift(self, z: Tensor) -> Tensor:
        if self.features == "linear":
            if self.projection is None:
                return z
            if self.projection.shape[0] != z.shape[1]:
                raise InputError(f"z has {z.shape[1]} columns, projection takes {self.projection.shape[0]}")
            return z @ self.projection.to(z.dtype)
        dim = z.shape[1]
        detached = z.detach()
        spread = (detached - detached.mean(0)).square().mean(0)
        # A column that hardly varies is not blown up to unit size: that is where gradients explode.
        spread = (spread + 0.1 * spread.mean()).sqrt().clamp(min=1e-12)
        scaled = (z - detached.mean(0)) / spread
        directions = torch.randn(dim, self.n_features, generator=self._generator, dtype=torch.float32)
        phases = torch.rand(self.n_features, generator=self._generator) * (2 * math.pi)
        directions = directions.to(z) / (self.bandwidth * math.sqrt(dim))
        return math.sqrt(2) * torch.cos(scaled @ directions + phases.to(z))

    def _lift_attribute(self, c: Tensor) -> Tensor:
        if self.attribute_degree == 1:
            return c
        c = (c - c.mean(0)) / c.std(0).clamp(min=1e-12)
        i, j = torch.triu_indices(c.shape[1], c.shape[1], device=c.device)
        return torch.cat([c, c[:, i] * c[:, j]], dim=1)


@torch.no_grad()
def _whiten(c: Tensor) -> Tensor:
    """Rotate centred c to uncorrelated unit columns, without directions that do not vary."""
    scale = c.square().mean(0).sqrt()
    c = c[:, scale > 1e-6 * scale.max().clamp(min=1e-30)]
    if c.shape[1] == 0:
        return c
    c = c / c.square().mean(0).sqrt()
    values, vectors = torch.linalg.eigh((c.T @ c / len(c)).double())
    keep = values > 1e-5 * values.max()
    return c @ (vectors[:, keep] / values[keep].sqrt()).to(c.dtype)
