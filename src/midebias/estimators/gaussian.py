"""Closed-form mutual information by the log-determinant formula, on linear or random features."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from ..arguments import check_conditions, check_encoded, check_finite, check_representation, checked
from ..distributed import Pool
from ..errors import InputError
from ..marginals import center_within
from .gaussian_features import append_products, project_columns, sign_groups
from .interface import Bound, DrawingEstimator, Estimator
from .log_determinant import compute_gaussian_information


class GaussianMI(DrawingEstimator):
    r"""Mutual information of jointly Gaussian features, :math:`-\tfrac12\log\det(I - R R^\top)`.

    R holds the cross-correlations of the whitened features of z and of c. Nothing is trained, so the
    estimate cannot lag behind a moving encoder.

    - ``features="linear"``: z itself. Exact when (z, c) is jointly Gaussian, with groups when it is so
      within each group with one covariance. ``projection`` fixes a linear map in front.
    - ``features="random"``: random Fourier features of z, drawn afresh at every call, so that an encoder
      cannot arrange itself around them: sees nonlinear dependence. A c of more columns than half the rows is read
      through random projections, an eighth as many as rows, drawn afresh too.

    With groups, both sides are centred within their group and covariances are pooled over groups:
    I(Z;C|G) under a covariance shared by the groups. What has opposite signs in two groups cancels in the
    pool; ``group_signs`` makes it seen. Groups may also be float columns W: then linear functions of W are taken off
    both sides, and I(Z;C|W) is exact when features, c and W are jointly Gaussian.

    The finite-sample excess of the plug-in formula is known (`compute_wilks_bias`) and subtracted: the value is
    unbiased under the assumption, and can be negative for independent pairs.

    Parameters
    ----------
    features : {"linear", "random"}, default "linear"
        z itself, or random Fourier features of it.
    n_features : int, default 128
        Number of random features.
    bandwidth : float, default 1.0
        Length scale of the random features in units of the root mean squared distance per axis.
    projection : Tensor of shape (dim, k), optional
        Fixed linear map of z, for ``features="linear"``.
    attribute_degree : {1, 2}, default 1
        2 adds squares and products of the columns of c.
    group_signs : bool, default False
        Beside c, pair z with c times a random sign per group, drawn afresh at every call.
    ridge : float, default 1e-4
        Added to the covariance of the features, in units of their mean variance.
    seed : int, default 0
        Seeds the local generator of random features and signs.

    Raises
    ------
    InputError
        An argument that cannot be used; the message names it.

    References
    ----------
    Cover and Thomas, "Elements of Information Theory", 2006, eq. 8.56.
    Rahimi and Recht, "Random Features for Large-Scale Kernel Machines", NeurIPS 2007.

    Examples
    --------
    >>> import torch
    >>> generator = torch.Generator().manual_seed(0)
    >>> c = torch.randn(4000, 1, generator=generator)
    >>> z = 0.8 * c + 0.6 * torch.randn(4000, 1, generator=generator)
    >>> round(float(GaussianMI()(z, c)), 1)    # -log(1 - 0.8²) / 2
    0.5
    """

    bound: Bound = "exact"
    closed_form = True
    pools_moments = True
    takes_covariates = True
    projection: Tensor | None

    @checked
    def __init__(
        self,
        *,
        features: Literal["linear", "random"] = "linear",
        n_features: int = 128,
        bandwidth: float = 1.0,
        projection: Tensor | None = None,
        attribute_degree: Literal[1, 2] = 1,
        group_signs: bool = False,
        ridge: float = 1e-4,
        seed: int = 0,
    ) -> None:
        super().__init__(seed=seed)
        if features not in ("linear", "random"):
            raise InputError(f"features must be 'linear' or 'random', got {features!r}")
        if attribute_degree not in (1, 2):
            raise InputError(f"attribute_degree must be 1 or 2, got {attribute_degree!r}")
        if n_features < 1 or not 0 < bandwidth < math.inf or not 0 <= ridge < math.inf:
            raise InputError(
                f"n_features must be >= 1, bandwidth > 0 and ridge >= 0, got {n_features}, {bandwidth} and {ridge}"
            )
        if projection is not None and (features != "linear" or projection.ndim != 2):
            raise InputError("projection must be a (dim, k) tensor and goes with features='linear'")
        self.features, self.n_features, self.bandwidth = features, n_features, bandwidth
        self.attribute_degree, self.group_signs, self.ridge = attribute_degree, group_signs, ridge
        self._settings = (features, n_features, bandwidth, attribute_degree, group_signs, ridge)
        self.register_buffer("projection", projection)

    def forward(self, z: Tensor, c: Tensor, groups: Tensor | None = None, *, pool: Pool | None = None) -> Tensor:
        """Estimate in nats, differentiable in z; a zero with a zero gradient when c varies within no group.

        Parameters
        ----------
        pool : Pool, optional
            Then the pairs are this rank's, and the estimate is that of all ranks' pairs, from sums over rows.

        Raises
        ------
        InputError
            Wrong shapes or dtypes, NaN in z, or too few samples for the number of features.
        """
        features, c = self._prepare([z], c, groups, pool)
        return compute_gaussian_information(features[0], c, groups, ridge=self.ridge, pool=pool)

    def can_join(self, other: Estimator) -> bool:
        """Whether ``other`` is on as many random features, and of the same settings."""
        return isinstance(other, GaussianMI) and self.features == "random" and self._settings == other._settings

    def estimate_several(
        self, representations: Sequence[Tensor], c: Tensor, groups: Tensor | None = None, *, pool: Pool | None = None
    ) -> Tensor:
        """Estimates (m,) of m representations of the same samples, as by `forward` but together, which is faster.

        Raises
        ------
        InputError
            As `forward` does; and for linear features, of which representations have not equally many.
        """
        if self.features != "random":
            raise InputError("several representations can be estimated together with features='random' only")
        features, c = self._prepare(representations, c, groups, pool)
        return compute_gaussian_information(torch.stack(features), c, groups, ridge=self.ridge, pool=pool)

    def _prepare(
        self, representations: Sequence[Tensor], c: Tensor, groups: Tensor | None, pool: Pool | None
    ) -> tuple[list[Tensor], Tensor]:
        """Features of each representation and of c; what all ranks must know for them is communicated at once."""
        for z in representations:
            check_representation(z, least=2 if pool is None else 0, finite=False)
            check_conditions(groups, len(z))
            check_encoded(c, len(z))
        check_finite(representations, ["z"] * len(representations))
        zs = [z.float() if z.dtype in (torch.float16, torch.bfloat16) else z for z in representations]
        c = c.to(zs[0].dtype)
        columns = [*(zs if self.features == "random" else []), *([c] if self.attribute_degree == 2 else [])]
        moments = [None] * len(columns) if pool is None or not columns else pool.compute_moments(*columns)
        if self.attribute_degree == 2:
            c = append_products(c, moments[-1])
        if pool is None:
            c, _ = center_within(c, groups)
        if self.features == "linear":
            zs = [self._project(z) for z in zs]
        else:
            zs = [self._lift(z, known) for z, known in zip(zs, moments, strict=False)]
            rows = len(c) if pool is None else pool.n
            if c.shape[1] > rows // 2:
                c = project_columns(c, self._generator, most=c.shape[1], rows=rows)
        return zs, sign_groups(c, groups, self._generator, pool) if self.group_signs else c

    def _project(self, z: Tensor) -> Tensor:
        if self.projection is None:
            return z
        if self.projection.shape[0] != z.shape[1]:
            raise InputError(f"z has {z.shape[1]} columns, projection takes {self.projection.shape[0]}")
        return z @ self.projection.to(z.dtype)

    def _lift(self, z: Tensor, moments: tuple[Tensor, Tensor] | None) -> Tensor:
        dim = z.shape[1]
        if moments is None:
            mean = z.detach().mean(0)
            moments = mean, (z.detach() - mean).square().mean(0)
        mean, spread = moments
        # A column that hardly varies is not blown up to unit size: that is where gradients explode.
        spread = (spread + 0.1 * spread.mean()).sqrt().clamp(min=1e-12)
        scaled = (z - mean) / spread
        directions = torch.randn(dim, self.n_features, generator=self._generator, dtype=torch.float32)
        phases = torch.rand(self.n_features, generator=self._generator) * (2 * math.pi)
        directions = directions.to(z, non_blocking=True) / (self.bandwidth * math.sqrt(dim))
        return torch.cos(
            torch.addmm(phases.to(z, non_blocking=True), scaled, directions)
        )  # of any length: the ridge is relative
