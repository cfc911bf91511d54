"""Other ways to erase, for `benchmarks.erasure`: INLP, a kernel method, an adversary, and Obliviator's idea.

Each is given rows z (n, p) to learn from, the groups of c (n,) from 0, and returns a map of rows. A quantity comes as
its fifths.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

__all__ = ["PEERS"]

Map = Callable[[NDArray[np.float32]], NDArray[np.floating[Any]]]
_STEPS, _BATCH = 200, 512


def fit_inlp(z: NDArray[np.float32], c: NDArray[np.int64], seed: int, *, rounds: int = 15) -> Map:
    """Iterative nullspace projection (Ravfogel et al. 2020): what logistic regression reads is projected out, again."""
    from sklearn.linear_model import LogisticRegression

    mean = z.mean(axis=0)
    x = (z - mean).astype(np.float64)
    projection = np.eye(z.shape[1])
    chance = np.bincount(c).max() / len(c)
    for _ in range(rounds):
        probe = LogisticRegression(max_iter=200).fit(x @ projection, c)
        if probe.score(x @ projection, c) < chance + 0.02:
            break
        _, size, rows = np.linalg.svd(probe.coef_ @ projection, full_matrices=False)
        rows = rows[size > 1e-6 * size[0]]
        projection = projection - projection @ rows.T @ rows
    return lambda rows: mean + (rows - mean) @ projection


class _Residual(nn.Module):
    """Rows, standardised by those of the fit, moved by a perceptron that begins at zero."""

    def __init__(self, z: Tensor, seed: int, *, width: int = 256) -> None:
        super().__init__()
        torch.manual_seed(seed)
        p = z.shape[1]
        self.mean, self.scale = z.mean(dim=0), z.std()
        self.network = nn.Sequential(
            nn.Linear(p, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, p)
        )
        nn.init.zeros_(self.network[-1].weight)  # type: ignore[arg-type]

    def forward(self, z: Tensor) -> Tensor:
        x = (z - self.mean) / self.scale
        return z + self.scale * self.network(x)

    def as_map(self) -> Map:
        return lambda rows: self(torch.from_numpy(rows)).detach().numpy()


def fit_adversary(z: NDArray[np.float32], c: NDArray[np.int64], seed: int, *, weight: float = 3.0) -> Map:
    """A residual perceptron against a perceptron that is trained five steps at each of its own."""
    x, groups, k = torch.from_numpy(z), torch.from_numpy(c), int(c.max()) + 1
    moved = _Residual(x, seed)
    critic = nn.Sequential(nn.Linear(z.shape[1], 128), nn.GELU(), nn.Linear(128, 128), nn.GELU(), nn.Linear(128, k))
    mine = torch.optim.Adam(moved.network.parameters(), lr=1e-3)
    theirs = torch.optim.Adam(critic.parameters(), lr=2e-3)
    variance = x.var(dim=0).sum()
    for _ in range(_STEPS):
        for _ in range(5):
            rows = torch.randint(len(x), (_BATCH // 2,))
            with torch.no_grad():
                y = (moved(x[rows]) - moved.mean) / moved.scale
            theirs.zero_grad()
            nn.functional.cross_entropy(critic(y), groups[rows]).backward()
            theirs.step()
        rows = torch.randint(len(x), (_BATCH,))
        y = moved(x[rows])
        told = critic((y - moved.mean) / moved.scale).log_softmax(dim=1)
        share = torch.bincount(groups, minlength=k).float() / len(groups)
        loss = -(told * share).sum(dim=1).mean()  # to be told no more than the shares of the groups
        mine.zero_grad()
        (weight * loss + (y - x[rows]).square().sum(dim=1).mean() / variance).backward()
        mine.step()
    return moved.as_map()


def _gauge(x: Tensor, widths: tuple[float, ...] = (0.25, 1.0, 4.0)) -> Tensor:
    """A sum of Gaussian kernels of several widths about the median distance, centred."""
    square = torch.cdist(x, x).square()
    median = square.detach().median().clamp(min=1e-9)
    kernel = sum((-square / (width * median)).exp() for width in widths)
    assert isinstance(kernel, Tensor)
    return kernel - kernel.mean(dim=0) - kernel.mean(dim=1, keepdim=True) + kernel.mean()


def fit_kernel(z: NDArray[np.float32], c: NDArray[np.int64], seed: int, *, weight: float = 100.0) -> Map:
    """A residual perceptron that makes HSIC with the groups small, which is their maximum mean discrepancy."""
    x = torch.from_numpy(z)
    one_hot = nn.functional.one_hot(torch.from_numpy(c)).float()
    moved, variance = _Residual(x, seed), x.var(dim=0).sum()
    optimizer = torch.optim.Adam(moved.network.parameters(), lr=1e-3)
    for _ in range(_STEPS):
        rows = torch.randint(len(x), (_BATCH,))
        y, one = moved(x[rows]), one_hot[rows]
        told = (_gauge(y) * (one @ one.T)).sum() / _BATCH**2
        optimizer.zero_grad()
        (weight * told + (y - x[rows]).square().sum(dim=1).mean() / variance).backward()
        optimizer.step()
    return moved.as_map()


def fit_obliviator(
    z: NDArray[np.float32], c: NDArray[np.int64], seed: int, *, rounds: int = 2, kept: float = 1.0
) -> Map:
    """Obliviator's idea (Akbari, Afshari, Boddeti 2025), unsupervised, in our own short form.

    In each round an encoder makes HSIC with c small and that with z large; then, among random Fourier features of it
    that are uncorrelated with c, those of most covariance with z are taken. As many columns come out as went in.
    """
    p, k = z.shape[1], int(c.max()) + 1
    first = torch.from_numpy(z)
    scale = first.std()
    one_hot = nn.functional.one_hot(torch.from_numpy(c), k).float()
    centred = one_hot - one_hot.mean(dim=0)
    x, stages = (first - first.mean(dim=0)) / scale, []
    reference, mean = x, first.mean(dim=0)
    for i in range(rounds):
        torch.manual_seed(seed + i)
        encoder = nn.Sequential(nn.Linear(p, 256), nn.SiLU(), nn.Linear(256, p))
        optimizer = torch.optim.Adam(encoder.parameters(), lr=1e-3)
        for _ in range(_STEPS // 2):
            rows = torch.randint(len(x), (_BATCH,))
            y, one = encoder(x[rows]), one_hot[rows]
            gauge = _gauge(y, (1.0,))
            same = _gauge(reference[rows], (1.0,))
            size = gauge.square().sum().sqrt().clamp(min=1e-9)
            told = (gauge * (one @ one.T)).sum() / size / _gauge_size(one)
            kept_share = (gauge * same).sum() / size / same.square().sum().sqrt()
            optimizer.zero_grad()
            (told - kept * kept_share).backward()
            optimizer.step()
        with torch.no_grad():
            y = encoder(x)
            generator = torch.Generator().manual_seed(seed + i)
            m = min(1000, len(x) // 2)
            width = torch.pdist(y[:500]).median().clamp(min=1e-6)
            directions = torch.randn(p, m, generator=generator) / width
            phase = 2 * torch.pi * torch.rand(m, generator=generator)
            features = torch.cos(y @ directions + phase)
            center = features.mean(dim=0)
            features = features - center
            blind = torch.linalg.svd(features.T @ centred / len(x), full_matrices=True)[0][:, min(k - 1, m) :]
            useful = blind.T @ (features.T @ reference) / len(x)
            coordinates = blind @ torch.linalg.eigh(useful @ useful.T)[1][:, -p:]
            x = features @ coordinates
            stages.append((encoder, directions, phase, center, coordinates / x.std()))
            x = x / x.std()

    @torch.no_grad()
    def erase(rows: NDArray[np.float32]) -> NDArray[np.floating[Any]]:
        y = (torch.from_numpy(rows) - mean) / scale
        for encoder, directions, phase, center, coordinates in stages:
            y = (torch.cos(encoder(y) @ directions + phase) - center) @ coordinates
        return y.numpy()

    return erase


def _gauge_size(one: Tensor) -> Tensor:
    kernel = one @ one.T
    centred = kernel - kernel.mean(dim=0) - kernel.mean(dim=1, keepdim=True) + kernel.mean()
    return centred.square().sum().sqrt().clamp(min=1e-9)


PEERS: dict[str, Callable[[NDArray[np.float32], NDArray[np.int64], int], Map]] = {
    "INLP": fit_inlp, "kernel (HSIC)": fit_kernel, "adversary": fit_adversary, "Obliviator's idea": fit_obliviator,
}  # fmt: skip
