"""Samplers that know their mutual information: correlated normals, maps of them that lose nothing, and others.

>>> from midebias.datasets.synthetic import TASKS
>>> task = TASKS["normal-1"]
>>> z, c, groups = task.sample(1000, seed=0)
>>> z.shape, c.shape, groups, round(task.truth, 3)
(torch.Size([1000, 1]), torch.Size([1000, 1]), None, 0.83)
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

    Attributes
    ----------
    name, family : str
    dim : int
        The larger number of columns of z and c.
    truth : float
        I(Z;C), or I(Z;C|G) where the sampler gives groups, in nats: in closed form or by quadrature.
    draw : callable
        Given n and a generator, returns z (n, p), c (n, q) or integers (n,), and groups (n,) or None.
    """

    name: str
    family: str
    dim: int
    truth: float
    draw: Callable[[int, torch.Generator], Sample]

    def sample(self, n: int, *, seed: int) -> Sample:
        """Draw n pairs from a local generator."""
        return self.draw(n, torch.Generator().manual_seed(seed))


def normal_information(rho: float, pairs: int) -> float:
    """Of ``pairs`` independent pairs of normals of correlation rho."""
    return -0.5 * pairs * math.log1p(-(rho**2))


def _pairs(
    n: int, dim: int, pairs: int, rho: float, g: torch.Generator, *, mixed: bool = False
) -> tuple[Tensor, Tensor]:
    z, c = torch.randn(n, dim, generator=g), torch.randn(n, dim, generator=g)
    c[:, :pairs] = rho * z[:, :pairs] + math.sqrt(1 - rho**2) * c[:, :pairs]
    if mixed:  # one rotation for all samples: every column of z depends on every one of c
        fixed = torch.Generator().manual_seed(dim)
        z = z @ torch.linalg.qr(torch.randn(dim, dim, generator=fixed)).Q
        c = c @ torch.linalg.qr(torch.randn(dim, dim, generator=fixed)).Q
    return z, c


def _normal(
    dim: int, pairs: int, rho: float, *, mixed: bool = False, map_z: Callable[[Tensor], Tensor] | None = None,
    map_c: Callable[[Tensor], Tensor] | None = None,
) -> Callable[[int, torch.Generator], Sample]:  # fmt: skip
    def draw(n: int, g: torch.Generator) -> Sample:
        z, c = _pairs(n, dim, pairs, rho, g, mixed=mixed)
        return z if map_z is None else map_z(z), c if map_c is None else map_c(c), None

    return draw


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
    truth = normal_information(rho, dim) + f(dof) + f(dof + 2 * dim) - 2 * f(dof + dim)
    return SyntheticTask(f"student-{dim}-dof{dof}", "student", dim, truth, draw)


def _additive_uniform(half_width: float) -> SyntheticTask:
    def draw(n: int, g: torch.Generator) -> Sample:
        z = torch.rand(n, 1, generator=g)
        return z, z + half_width * (2 * torch.rand(n, 1, generator=g) - 1), None

    truth = half_width - math.log(2 * half_width) if half_width <= 0.5 else 1 / (4 * half_width)
    return SyntheticTask(f"additive-uniform-{half_width}", "additive uniform", 1, truth, draw)


def _normal_mixture(means: tuple[float, ...], rhos: tuple[float, ...]) -> SyntheticTask:
    """Equal parts of bivariate normals of unit variances; both coordinates of a part have the same mean."""
    axis = np.linspace(-7, 7, 1401)
    step = axis[1] - axis[0]
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
    return SyntheticTask(name, "conditional", dim, normal_information(rho, dim), draw)


def _tasks() -> dict[str, SyntheticTask]:
    cdf = torch.special.ndtr
    normals = (
        ("normal-1", "normal", 1, 1, 0.9, False, None, None),
        ("normal-2", "normal", 2, 2, 0.7, False, None, None),
        ("normal-5-dense", "normal", 5, 5, 0.6, True, None, None),
        ("normal-5-sparse", "normal", 5, 1, 0.8, False, None, None),
        ("normal-10-dense", "normal", 10, 10, 0.5, True, None, None),
        ("normal-25-dense", "normal", 25, 25, 0.3, True, None, None),
        ("normal-25-sparse", "normal", 25, 2, 0.8, False, None, None),
        ("independent-5", "normal", 5, 0, 0.0, False, None, None),
        ("asinh-1", "mapped normal", 1, 1, 0.9, False, torch.asinh, torch.asinh),
        ("cubed-3", "mapped normal", 3, 3, 0.6, False, _cube, _cube),
        ("cdf-5", "mapped normal", 5, 5, 0.6, False, cdf, cdf),
        ("cdf-25-sparse", "mapped normal", 25, 2, 0.8, False, cdf, cdf),
        ("spiral-2", "mapped normal", 2, 2, 0.7, False, _spiral, None),
        ("spiral-3", "mapped normal", 3, 3, 0.7, True, _spiral, _spiral),
        ("spiral-25-sparse", "mapped normal", 25, 2, 0.8, False, _spiral, _spiral),
        ("swiss-roll", "mapped normal", 2, 1, 0.9, False, _swiss_roll, None),
    )
    tasks = []
    for name, family, dim, pairs, rho, mixed, map_z, map_c in normals:
        columns = 1 if name == "swiss-roll" else dim
        draw = _normal(columns, pairs, rho, mixed=mixed, map_z=map_z, map_c=map_c)
        tasks.append(SyntheticTask(name, family, dim, normal_information(rho, pairs), draw))
    tasks += [
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
    ]
    return {task.name: task for task in tasks}


TASKS = _tasks()
