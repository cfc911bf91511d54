"""Samplers that know their mutual information: correlated normals, maps of them that lose nothing, and others.

>>> from midebias.datasets.synthetic import TASKS
>>> z, c, groups = TASKS["normal-1"].sample(1000, seed=0)
>>> tuple(z.shape), tuple(c.shape), groups, round(TASKS["normal-1"].truth, 3)
((1000, 1), (1000, 1), None, 0.83)
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

Sample = tuple[Tensor, Tensor, Tensor | None]


@dataclass(frozen=True)
class SyntheticTask:
    """A distribution of pairs with known information.

    ``truth`` is I(Z;C), or I(Z;C|G) where the sampler gives groups, in nats. ``dim`` is the larger number of columns of
    z and c. ``draw`` returns z (n, p), c (n, q) or integers (n,), and groups (n,) or None.
    """

    name: str
    family: str
    dim: int
    truth: float
    draw: Callable[[int, torch.Generator], Sample]

    def sample(self, n: int, *, seed: int) -> Sample:
        """Draw n pairs from a local generator."""
        return self.draw(n, torch.Generator().manual_seed(seed))


def compute_normal_information(rho: float, pairs: int) -> float:
    """Of ``pairs`` independent pairs of normals of correlation rho."""
    return -0.5 * pairs * math.log1p(-(rho**2))


def _pairs(n: int, dim: int, pairs: int, rho: float, g: torch.Generator) -> tuple[Tensor, Tensor]:
    z, c = torch.randn(n, dim, generator=g), torch.randn(n, dim, generator=g)
    c[:, :pairs] = rho * z[:, :pairs] + math.sqrt(1 - rho**2) * c[:, :pairs]
    return z, c


def _keep(x: Tensor) -> Tensor:
    return x


def _normal(
    name: str, columns: int, pairs: int, rho: float, map_z: Callable[[Tensor], Tensor] = _keep,
    map_c: Callable[[Tensor], Tensor] = _keep, *, mixed: bool = False, dim: int | None = None,
) -> SyntheticTask:  # fmt: skip
    """Normals, of which ``pairs`` depend on each other, and maps of them; ``dim`` is that of what is mapped."""

    def draw(n: int, g: torch.Generator) -> Sample:
        z, c = _pairs(n, columns, pairs, rho, g)
        if mixed:  # one rotation for all samples: every column of z depends on every one of c
            fixed = torch.Generator().manual_seed(columns)
            z = z @ torch.linalg.qr(torch.randn(columns, columns, generator=fixed)).Q
            c = c @ torch.linalg.qr(torch.randn(columns, columns, generator=fixed)).Q
        return map_z(z), map_c(c), None

    family = "normal" if map_z is _keep else "mapped normal"
    return SyntheticTask(name, family, dim or columns, compute_normal_information(rho, pairs), draw)


def _cube(x: Tensor) -> Tensor:
    return x * x.abs().sqrt()


def _spiral(x: Tensor) -> Tensor:
    """Rotate the first two columns by an angle that grows with their norm: keeps volumes, and is invertible."""
    angle = x.square().sum(dim=1)
    cos, sin = angle.cos(), angle.sin()
    turned = torch.stack([cos * x[:, 0] - sin * x[:, 1], sin * x[:, 0] + cos * x[:, 1]], dim=1)
    return torch.cat([turned, x[:, 2:]], dim=1)


def _swiss_roll(x: Tensor) -> Tensor:
    """One column rolled up in the plane."""
    t = 1.5 * math.pi * (1 + 2 * torch.special.ndtr(x[:, 0]))
    return torch.stack([t * t.cos(), t * t.sin()], dim=1) / 10


def _student(dim: int, dof: int, rho: float) -> SyntheticTask:
    def f(x: float) -> float:
        return math.lgamma(x / 2) - x / 2 * float(torch.digamma(torch.tensor(x / 2, dtype=torch.float64)))

    def draw(n: int, g: torch.Generator) -> Sample:
        z, c = _pairs(n, dim, dim, rho, g)
        scale = (dof / torch.randn(n, dof, generator=g).square().sum(dim=1, keepdim=True)).sqrt()
        return z * scale, c * scale, None

    # Arellano-Valle, Contreras-Reyes, Genton, Scand. J. Statistics 2013: the normal's, and what the tails share.
    truth = compute_normal_information(rho, dim) + f(dof) + f(dof + 2 * dim) - 2 * f(dof + dim)
    return SyntheticTask(f"student-{dim}-dof{dof}", "student", dim, truth, draw)


def _additive_uniform(half_width: float) -> SyntheticTask:
    def draw(n: int, g: torch.Generator) -> Sample:
        z = torch.rand(n, 1, generator=g)
        return z, z + half_width * (2 * torch.rand(n, 1, generator=g) - 1), None

    truth = half_width - math.log(2 * half_width) if half_width <= 0.5 else 1 / (4 * half_width)
    return SyntheticTask(f"additive-uniform-{half_width}", "additive uniform", 1, truth, draw)


def _normal_mixture(means: tuple[float, ...], rhos: tuple[float, ...]) -> SyntheticTask:
    """Equal parts of bivariate normals of unit variances; both coordinates of a part have the same mean."""
    axis, step = np.linspace(-9, 9, 361, retstep=True)
    x, y = np.meshgrid(axis, axis, indexing="ij")
    density = np.zeros_like(x)
    for mean, rho in zip(means, rhos, strict=True):
        a, b = x - mean, y - mean
        inside = -(a * a - 2 * rho * a * b + b * b) / (2 * (1 - rho**2))
        density += np.exp(inside) / (2 * np.pi * math.sqrt(1 - rho**2)) / len(means)
    one = density.sum(axis=1) * step
    ratio = np.log(np.maximum(density, 1e-300)) - np.log(one)[:, None] - np.log(one)[None]
    truth = float((density * ratio).sum() * step**2)

    def draw(n: int, g: torch.Generator) -> Sample:
        part = torch.randint(len(means), (n,), generator=g)
        mean, rho = torch.tensor(means)[part], torch.tensor(rhos)[part]
        z, noise = torch.randn(n, generator=g), torch.randn(n, generator=g)
        return (z + mean)[:, None], (rho * z + (1 - rho.square()).sqrt() * noise + mean)[:, None], None

    name = "bimodal" if len(set(means)) > 1 else "crossed-normals"
    return SyntheticTask(name, "mixture", 1, truth, draw)


def _classes(shifts: tuple[float, ...], dim: int = 1, *, conditional: bool = False) -> SyntheticTask:
    """Equally likely classes; the first column of z is normal about the class's shift, the others are noise."""
    axis = np.linspace(min(shifts) - 9, max(shifts) + 9, 20001)
    density = np.mean([np.exp(-0.5 * (axis - s) ** 2) for s in shifts], axis=0) / math.sqrt(2 * np.pi)
    entropy = -float((density * np.log(np.maximum(density, 1e-300))).sum() * (axis[1] - axis[0]))
    truth = entropy - 0.5 * math.log(2 * math.pi * math.e)

    def draw(n: int, g: torch.Generator) -> Sample:
        c = torch.randint(len(shifts), (n,), generator=g)
        z = torch.randn(n, dim, generator=g)
        z[:, 0] += torch.tensor(shifts)[c]
        if not conditional:
            return z, c, None
        groups = torch.randint(3, (n,), generator=g)
        return z + 2.0 * groups[:, None], (c + groups) % len(shifts), groups

    name = f"classes-{len(shifts)}-{dim}" + "-conditional" * conditional
    return SyntheticTask(name, "conditional" if conditional else "discrete", dim, truth, draw)


def _discrete_uniform(m: int) -> SyntheticTask:
    def draw(n: int, g: torch.Generator) -> Sample:
        c = torch.randint(m, (n,), generator=g)
        return c[:, None] + 2 * torch.rand(n, 1, generator=g), c, None

    # Gao, Kannan, Oh, Viswanath, "Estimating mutual information for discrete-continuous mixtures", NeurIPS 2017.
    truth = math.log(m) - (m - 1) * math.log(2) / m
    return SyntheticTask(f"discrete-uniform-{m}", "discrete", 1, truth, draw)


def _conditional_normal(dim: int, rho: float, *, signs: bool) -> SyntheticTask:
    def draw(n: int, g: torch.Generator) -> Sample:
        groups = torch.randint(4, (n,), generator=g)
        z, c = _pairs(n, dim, dim, rho, g)
        if signs:  # the dependence turns round from group to group
            c = c * (1 - 2 * (groups % 2))[:, None]
        return z + groups[:, None], c - 2.0 * groups[:, None], groups

    name = f"conditional-{dim}" + "-signs" * signs
    return SyntheticTask(name, "conditional", dim, compute_normal_information(rho, dim), draw)


_TASKS = (
    _normal("normal-1", 1, 1, 0.9),
    _normal("normal-2", 2, 2, 0.7),
    _normal("normal-5-dense", 5, 5, 0.6, mixed=True),
    _normal("normal-5-sparse", 5, 1, 0.8),
    _normal("normal-10-dense", 10, 10, 0.5, mixed=True),
    _normal("normal-25-dense", 25, 25, 0.3, mixed=True),
    _normal("normal-25-sparse", 25, 2, 0.8),
    _normal("independent-5", 5, 0, 0.0),
    _normal("asinh-1", 1, 1, 0.9, torch.asinh, torch.asinh),
    _normal("cubed-3", 3, 3, 0.6, _cube, _cube),
    _normal("cdf-5", 5, 5, 0.6, torch.special.ndtr, torch.special.ndtr),
    _normal("cdf-25-sparse", 25, 2, 0.8, torch.special.ndtr, torch.special.ndtr),
    _normal("spiral-2", 2, 2, 0.7, _spiral),
    _normal("spiral-3", 3, 3, 0.7, _spiral, _spiral, mixed=True),
    _normal("spiral-25-sparse", 25, 2, 0.8, _spiral, _spiral),
    _normal("swiss-roll", 1, 1, 0.9, _swiss_roll, dim=2),
    _student(1, 3, 0.6),
    _student(2, 5, 0.7),
    _student(5, 3, 0.4),
    _additive_uniform(0.1),
    _additive_uniform(0.75),
    _normal_mixture((-2.0, 2.0), (0.6, -0.6)),
    _normal_mixture((0.0, 0.0), (0.9, -0.9)),
    _classes((0.0, 1.5)),
    _classes((0.0, 2.0, 4.0, 8.0), 5),
    _classes((0.0, 1.0, 3.0), 25),
    _discrete_uniform(5),
    _conditional_normal(2, 0.7, signs=False),
    _conditional_normal(2, 0.7, signs=True),
    _classes((0.0, 2.0), 2, conditional=True),
)
TASKS = {task.name: task for task in _TASKS}
