"""Made embeddings for `benchmarks.erasure`: kinds of dependence, some of known least movement, and awkward rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MADE", "Embedding", "make_embedding"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Embedding:
    """Rows z (n, p), the attribute c (n,), categories as integers or a quantity, and a label y (n,) where there is one.

    ``least`` is the mean squared movement over the variance of z that takes groups, if they are known, to their
    barycentre; None where there is no such figure, and "linear" where the linear map is the least.
    """

    z: NDArray[np.float32]
    c: NDArray[Any]
    y: NDArray[np.int64] | None = None
    least: float | str | None = None

    @property
    def is_quantity(self) -> bool:
        """Whether c is a quantity."""
        return self.c.dtype.kind == "f"


def make_embedding(kind: str, seed: int, rows: int, columns: int = 32) -> Embedding:
    """Make rows of a kind in a random rotation, with a label of three values that has nothing to do with c."""
    rng = np.random.default_rng([seed, list(MADE).index(kind)])
    group, y = rng.integers(2, size=rows), rng.integers(3, size=rows)
    p = 768 if kind == "wide" else columns
    z = rng.normal(size=(rows, p)) * np.linspace(1.5, 0.5, p)
    z[:, -2:] += 2 * np.stack([np.cos(2 * np.pi * y / 3), np.sin(2 * np.pi * y / 3)], axis=1)
    z, c, least = MADE[kind](z, group, rng)
    if isinstance(least, float):
        least /= float(z.var(axis=0).sum())
    z = z @ np.linalg.qr(rng.normal(size=(p, p)))[0]
    if kind == "unit length":
        z /= np.linalg.norm(z, axis=1, keepdims=True)
    if kind == "tiny and offset":
        z = 1e-3 * (z + 20)
    return Embedding(z.astype(np.float32), c, y, least)


_Made = tuple[Floats, NDArray[Any], float | str | None]


def _make_independent(z: Floats, c: NDArray[Any], rng: np.random.Generator) -> _Made:
    return z, c, 0.0


def _make_shift(z: Floats, c: NDArray[Any], rng: np.random.Generator) -> _Made:
    z[:, :3] += c[:, None]
    return z, c, "linear"


def _make_scale(z: Floats, c: NDArray[Any], rng: np.random.Generator) -> _Made:
    part = slice(0, 3 * z.shape[1] // 4)
    least = float(np.square(z[:, part]).sum() / len(z) / 4)
    z[:, part] *= np.where(c == 1, 1.5, 0.5)[:, None]
    return z, c, least


def _make_correlation(z: Floats, c: NDArray[Any], rng: np.random.Generator) -> _Made:
    """Twelve pairs of columns, whose correlation is 0.9 in one group and -0.9 in the other."""
    a, b = z[:, 0:24:2], rng.normal(size=(len(z), 12)) * np.linspace(1.5, 0.5, 12)
    z[:, 0:24:2] = a = a / a.std(axis=0)
    z[:, 1:24:2] = np.where(c == 1, 0.9, -0.9)[:, None] * a + np.sqrt(1 - 0.81) * b / b.std(axis=0)
    root = (np.sqrt(1.9) + np.sqrt(0.1)) / 2
    return z, c, float(12 * ((np.sqrt(1.9) - root) ** 2 + (np.sqrt(0.1) - root) ** 2))


def _make_quantity(z: Floats, c: NDArray[Any], rng: np.random.Generator) -> _Made:
    c, part = rng.normal(size=len(z)), slice(0, 3 * z.shape[1] // 4)
    scale = np.exp(0.5 * c)
    least = float(np.square(z[:, part]).sum() / len(z)) * float(np.var(scale))
    z[:, part] *= scale[:, None]
    return z, c, least


def _make_shift_of_a_quantity(z: Floats, c: NDArray[Any], rng: np.random.Generator) -> _Made:
    c = rng.normal(size=len(z))
    z[:, :3] += c[:, None]
    return z, c, "linear"


def _make_curve(z: Floats, c: NDArray[Any], rng: np.random.Generator) -> _Made:
    """A quantity of which two columns have the square and a wave."""
    c = rng.uniform(-1, 1, size=len(z))
    added = np.stack([3 * c**2, np.sin(2 * np.pi * c)], axis=1)
    z[:, :2] += added
    return z, c, float(added.var(axis=0).sum())


def _make_xor(z: Floats, c: NDArray[Any], rng: np.random.Generator) -> _Made:
    """Four clumps in two columns; c says whether the signs of both agree."""
    signs = rng.choice([-1.0, 1.0], size=(len(z), 2))
    z[:, :2] = 0.4 * z[:, :2] + 2 * signs
    return z, (signs.prod(axis=1) > 0).astype(np.int64), 4.0  # each clump goes half the way, 2, to its neighbour


def _make_ring(z: Floats, c: NDArray[Any], rng: np.random.Generator) -> _Made:
    """Eight columns whose length tells c: the shorter or the longer half."""
    z[:, :8] = rng.normal(size=(len(z), 8))
    length = np.linalg.norm(z[:, :8], axis=1)
    low, high = (np.sort(length)[part] for part in (slice(0, len(z) // 2), slice(len(z) // 2, 2 * (len(z) // 2))))
    return z, (length > np.median(length)).astype(np.int64), float(np.square(high - low).sum() / len(z) / 2)


def _make_clumps(z: Floats, c: NDArray[Any], rng: np.random.Generator) -> _Made:
    """Ten clumps, in each of which one group has nine tenths of the rows."""
    clump = 2 * rng.integers(5, size=len(z)) + np.where(rng.random(len(z)) < 0.9, c, 1 - c)
    return z + 2 * rng.normal(size=(10, z.shape[1]))[clump], c, None


def _make_several(z: Floats, c: NDArray[Any], rng: np.random.Generator) -> _Made:
    """Five groups, one of them of one row in a hundred, that differ in means and in covariances."""
    c = rng.choice(5, size=len(z), p=[0.4, 0.3, 0.2, 0.09, 0.01])
    scales = np.exp(0.5 * rng.normal(size=(5, z.shape[1])))
    return z * scales[c] + 0.5 * rng.normal(size=(5, z.shape[1]))[c], c, None


def _make_rare(z: Floats, c: NDArray[Any], rng: np.random.Generator) -> _Made:
    c = (rng.random(len(z)) < 0.01).astype(np.int64)
    z[c == 1, :6] *= 3
    return z, c, None


def _make_heavy(z: Floats, c: NDArray[Any], rng: np.random.Generator) -> _Made:
    """Rows of a t distribution with two and a half degrees of freedom, which differ in mean and scale."""
    z[:, :8] = z[:, :8] * np.where(c == 1, 1.6, 0.8)[:, None] + 0.5 * c[:, None]
    return z / np.sqrt(rng.chisquare(2.5, size=(len(z), 1)) / 2.5), c, None


def _make_deficient(z: Floats, c: NDArray[Any], rng: np.random.Generator) -> _Made:
    """Columns that are sums of ten others, whose mean and scale differ between groups."""
    z = _mix_kinds(z[:, :10], c) @ rng.normal(size=(10, z.shape[1]))
    return z, c, None


def _make_duplicates(z: Floats, c: NDArray[Any], rng: np.random.Generator) -> _Made:
    """Every row four times, but for a hair."""
    first = (len(z) + 3) // 4
    c, z = np.tile(c[:first], 4)[: len(z)], np.tile(z[:first], (4, 1))[: len(z)]
    return _mix_kinds(z, c) + 1e-3 * rng.normal(size=z.shape), c, None


def _make_awkward(z: Floats, c: NDArray[Any], rng: np.random.Generator) -> _Made:
    return _mix_kinds(z, c), c, None


def _mix_kinds(z: Floats, c: NDArray[Any]) -> Floats:
    """Rows whose first columns differ in mean, the next in scale, and the product of two in sign."""
    z = z.copy()
    z[:, :2] += 1.5 * c[:, None]
    z[:, 2:6] *= np.where(c == 1, 1.7, 0.6)[:, None]
    z[:, 6] = np.abs(z[:, 6]) * np.sign(z[:, 7]) * np.where(c == 1, 1, -1)
    return z


MADE: dict[str, Callable[[Floats, NDArray[Any], np.random.Generator], _Made]] = {
    "correlation": _make_correlation, "independent": _make_independent, "quantity": _make_quantity,
    "scale": _make_scale, "shift": _make_shift, "shift of a quantity": _make_shift_of_a_quantity, "curve": _make_curve,
    "xor": _make_xor, "ring": _make_ring, "clumps": _make_clumps, "several": _make_several, "rare": _make_rare,
    "heavy": _make_heavy, "deficient": _make_deficient, "duplicates": _make_duplicates, "wide": _make_awkward,
    "unit length": _make_awkward, "tiny and offset": _make_awkward,
}  # fmt: skip
