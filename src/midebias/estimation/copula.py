"""The closed form under `estimate_mi`'s critic: the log density ratio of a normal or Student copula."""

import math

import numpy as np
import torch
from torch import Tensor

from ..whitening import compute_whitening

_ROUNDS = 15  # of the scatter's fixed point


def compute_student_scores(normal: Tensor, dof: float) -> Tensor:
    """Normal scores as quantiles of Student's t: each value x becomes that of the same probability."""
    if math.isinf(dof):
        return normal
    # The tail's logarithm is all but linear in log x: interpolation in both is exact to four digits.
    x = np.concatenate([[0.0], np.geomspace(1e-6, 1e9, 4000)])
    constant = math.lgamma((dof + 1) / 2) - math.lgamma(dof / 2) - 0.5 * math.log(dof * math.pi)
    density = np.exp(constant - (dof + 1) / 2 * np.log1p(x * x / dof))
    pieces = np.diff(x) * (density[1:] + density[:-1]) / 2
    tail = np.append(np.cumsum(pieces[::-1])[::-1], 0.0)
    tail = 0.5 * tail / tail[0]
    upper = torch.special.log_ndtr(-normal.double().abs()).numpy()
    found = np.interp(-upper, -np.log(tail[:-1]), np.log1p(x[:-1]))
    return torch.from_numpy(np.expm1(found)).to(normal).copysign(normal)


class EllipticalCopula:
    r"""Log density ratio of z and c under a Student copula, or a normal one, fitted to scores of the columns.

    With :math:`q_z, q_c, q` the squared Mahalanobis norms of z, of c and of both, :math:`\rho_k` the canonical
    correlations and :math:`\nu` degrees of freedom,

    .. math:: \log\frac{p(z,c)}{p(z)p(c)} = \text{const} - \tfrac12\sum_k\log(1-\rho_k^2)
        - \tfrac{\nu+p+m}{2}\log(1+\tfrac{q}{\nu}) + \tfrac{\nu+p}{2}\log(1+\tfrac{q_z}{\nu})
        + \tfrac{\nu+m}{2}\log(1+\tfrac{q_c}{\nu})

    whose limit for :math:`\nu\to\infty` is the normal distribution's. z (n, p) and c (n, m) are normal scores (within
    groups). With ``separate``, each group has correlations of its own.

    References
    ----------
    Demarta and McNeil, "The t copula and related copulas", International Statistical Review 2005; Kent and Tyler,
    "Maximum likelihood estimation for the wrapped Cauchy distribution", 1988, for the scatter's fixed point.
    """

    def __init__(
        self, z: Tensor, c: Tensor, groups: Tensor | None, *, dof: float = math.inf, separate: bool = False
    ) -> None:
        self.dof = dof
        z, c = compute_student_scores(z, dof), compute_student_scores(c, dof)
        scatter = _fit_scatter(torch.cat([z, c], dim=1), dof)
        p = z.shape[1]
        self._drop_z, self._drop_c = (compute_whitening(part).float() for part in (scatter[:p, :p], scatter[p:, p:]))
        z, c = z @ self._drop_z, c @ self._drop_c
        self.p, self.m = z.shape[1], c.shape[1]
        self._separate = separate and groups is not None
        labels = torch.zeros(len(z)) if groups is None or not separate else groups
        cells = [labels == label for label in range(int(labels.max()) + 1)]
        both = torch.cat([z, c], dim=1)
        maps = [_find_variates(_fit_scatter(both[rows], dof), self.p, int(rows.sum())) for rows in cells]
        self._left, self._right, self._rho = (torch.stack(part).float() for part in zip(*maps, strict=True))
        self._constant = 0.0
        if not math.isinf(dof):
            whole, left, right, none = (math.lgamma((dof + k) / 2) for k in (self.p + self.m, self.p, self.m, 0))
            self._constant = whole + none - left - right

    def rotate(self, z: Tensor, c: Tensor, groups: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Canonical variates (n, p) and (n, m) of normal scores, and their correlations (n, k)."""
        a, b = compute_student_scores(z, self.dof) @ self._drop_z, compute_student_scores(c, self.dof) @ self._drop_c
        if not self._separate or groups is None:
            return a @ self._left[0], b @ self._right[0], self._rho.expand(len(z), -1)
        out_a, out_b = torch.empty_like(a), torch.empty_like(b)
        for label in range(len(self._rho)):
            rows = groups == label
            out_a[rows], out_b[rows] = a[rows] @ self._left[label], b[rows] @ self._right[label]
        return out_a, out_b, self._rho[groups]

    def compute_log_ratio(self, a: Tensor, b: Tensor, rho: Tensor) -> Tensor:
        """Of pairs of canonical variates: (n,)."""
        k = rho.shape[1]
        x, y, rest = a[:, :k], b[:, :k], 1 - rho.square()
        cross = ((rho.square() * (x.square() + y.square()) - 2 * rho * x * y) / rest).sum(dim=1)
        return self._combine(a.square().sum(dim=1), b.square().sum(dim=1), cross, rest.log().sum(dim=1))

    def compute_all_log_ratios(self, a: Tensor, b: Tensor, rho: Tensor) -> Tensor:
        """Of all combinations of m and n canonical variates, with the correlations of the former: (m, n)."""
        k = rho.shape[1]
        x, y, rest = a[:, :k], b[:, :k], 1 - rho.square()
        u = rho.square() / rest
        cross = torch.addmm((u * x.square()).sum(dim=1, keepdim=True), torch.cat([u, -2 * x * rho / rest], dim=1),
                            torch.cat([y.square(), y], dim=1).T)  # fmt: skip
        norms = a.square().sum(dim=1, keepdim=True), b.square().sum(dim=1)
        return self._combine(*norms, cross, rest.log().sum(dim=1, keepdim=True))

    def _combine(self, of_a: Tensor, of_b: Tensor, cross: Tensor, log_rest: Tensor) -> Tensor:
        if math.isinf(self.dof):
            return -0.5 * (log_rest + cross)
        dof, p, m = self.dof, self.p, self.m
        both = (of_a + of_b + cross).clamp(min=0) / dof
        apart = (dof + p) / 2 * (of_a / dof).log1p() + (dof + m) / 2 * (of_b / dof).log1p()
        return self._constant - 0.5 * log_rest + apart - (dof + p + m) / 2 * both.log1p()


def _fit_scatter(x: Tensor, dof: float) -> Tensor:
    """Covariance about zero, or its counterpart for Student's t: the maximum likelihood's fixed point."""
    x = x.double()
    if math.isinf(dof):
        return x.T @ x / len(x)
    d = x.shape[1]
    scatter = torch.eye(d, dtype=x.dtype)
    for _ in range(_ROUNDS):
        ridge = (1e-9 * scatter.diagonal().mean() + 1e-12) * torch.eye(d, dtype=x.dtype)
        norms = (x * torch.linalg.solve(scatter + ridge, x.T).T).sum(dim=1)
        weights = (dof + d) / (dof + norms)
        scatter = (x * weights[:, None]).T @ x / len(x)
    return scatter


def _find_variates(scatter: Tensor, p: int, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Maps to canonical variates and their correlations, less what chance adds to each square."""
    left, right = _invert_root(scatter[:p, :p]), _invert_root(scatter[p:, p:])
    u, correlations, v = torch.linalg.svd(left @ scatter[:p, p:] @ right, full_matrices=True)
    noise = min(0.5, len(scatter) / max(1, n))
    squares = ((correlations.square() - noise) / (1 - noise)).clamp(0, 0.99999)
    return left @ u, right @ v.T, squares.sqrt()


def _invert_root(scatter: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(scatter)
    floor = (1e-6 * values.max()).clamp(min=1e-12)
    return (vectors / values.clamp(min=float(floor)).sqrt()) @ vectors.T
