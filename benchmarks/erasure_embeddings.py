"""Embeddings for `benchmarks.erasure`: words, hidden layers, and made ones whose least movement is known."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from midebias.datasets import BiasedMNIST, fetch_adult

from .other_tables import load_table

__all__ = ["EMBEDDINGS", "Embedding", "load_embedding"]


@dataclass(frozen=True)
class Embedding:
    """Rows z (n, p), the attribute c (n,), categories as integers or a quantity, and a label y (n,) where there is one.

    ``least`` is the mean squared movement over the variance of z that takes Gaussian groups, if they are known, to
    their barycentre; None where there is no such figure, and "linear" where the linear map is the least.
    """

    z: NDArray[np.float32]
    c: NDArray[Any]
    y: NDArray[np.int64] | None = None
    least: float | str | None = None

    @property
    def is_quantity(self) -> bool:
        """Whether c is a quantity."""
        return self.c.dtype.kind == "f"


def load_embedding(name: str, seed: int, rows: int, folder: Path | None) -> Embedding:
    """Load at most so many rows of an embedding by name, in random order; words and tables are read from ``folder``."""
    found = EMBEDDINGS[name](seed, rows, folder)
    order = np.random.default_rng(seed).permutation(len(found.z))[:rows]
    return Embedding(found.z[order], found.c[order], None if found.y is None else found.y[order], found.least)


def _load_words(seed: int, rows: int, folder: Path | None) -> Embedding:
    assert folder is not None
    with np.load(folder / "embeddings/words.npz") as file:
        return Embedding(file["z"].astype(np.float32), file["gender"].astype(np.int64))


def _train_hidden(
    x: Tensor, y: NDArray[np.int64], width: int, seed: int, *, depth: int = 2, epochs: int = 10
) -> NDArray[np.float32]:
    """Train a perceptron to tell y on the first half of the rows, and return the last hidden layer of all of them."""
    torch.manual_seed(seed)
    sizes = [x.shape[1], *[width] * depth]
    layers = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.ReLU())]
    encoder, head = nn.Sequential(*layers), nn.Linear(width, int(y.max()) + 1)
    optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=2e-3)
    labels = torch.from_numpy(y)
    for _ in range(epochs):
        for rows in torch.randperm(len(x) // 2).split(128):
            optimizer.zero_grad()
            nn.functional.cross_entropy(head(encoder(x[rows])), labels[rows]).backward()
            optimizer.step()
    with torch.no_grad():
        return encoder(x).numpy()


def _load_table(table: str, width: int, seed: int, rows: int, folder: Path | None) -> Embedding:
    """The hidden layer of a network that was given the attribute's column too, as an encoder of raw records is."""
    import pandas as pd

    if table == "adult":
        bunch = fetch_adult()
        frame, label, attribute = bunch.data, bunch.target.to_numpy(), bunch.sensitive_features["sex"].astype(str)
    else:
        frame, label, attribute = load_table(table, folder / "tables" if folder else None)
    order = np.random.default_rng(seed).permutation(len(label))[: 2 * rows]
    c = np.unique(np.asarray(attribute), return_inverse=True)[1][order].astype(np.int64)
    frame = frame.iloc[order]
    numbers = frame.select_dtypes("number").astype(float)
    texts = frame.select_dtypes(exclude="number").astype(str)
    few = [name for name in texts if texts[name].nunique() <= 50]
    parts = [(numbers - numbers.mean()) / (numbers.std() + 1e-9), pd.get_dummies(texts[few]).astype(float)]
    x = np.concatenate([*(part.fillna(0).to_numpy() for part in parts), c[:, None]], axis=1)
    y = np.asarray(label)[order].astype(np.int64)
    z = _train_hidden(torch.from_numpy(x).float(), y, width, seed)
    half = len(z) // 2  # the network has learned from the others
    return Embedding(z[half:], c[half:], y[half:])


def _load_colours(seed: int, rows: int, folder: Path | None) -> Embedding:
    """A hidden layer for digits on coloured backgrounds, half of which have the digit's own colour."""
    data = BiasedMNIST(rho=0.5, seed=seed, limit=2 * rows)
    y, c = data.targets.numpy().astype(np.int64), data.colour_classes.numpy().astype(np.int64)
    images = torch.stack([data[i][0] for i in range(2 * rows)]).float()
    z = _train_hidden(nn.functional.avg_pool2d(images, 2).flatten(1), y, 64, seed)
    return Embedding(z[rows:], c[rows:], y[rows:])


def _load_clothes(seed: int, rows: int, folder: Path | None) -> Embedding:
    """A hidden layer for clothes, with a mark in one of two corners, for three quarters by the label's parity."""
    assert folder is not None
    n = 2 * rows
    with gzip.open(folder / "fashion/train-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(16 + n * 784), np.uint8, offset=16).reshape(n, 28, 28) / np.float32(255)
    with gzip.open(folder / "fashion/train-labels-idx1-ubyte.gz") as file:
        y = np.frombuffer(file.read(8 + n), np.uint8, offset=8).astype(np.int64)
    rng = np.random.default_rng(seed)
    c = np.where(rng.random(n) < 0.75, y % 2, 1 - y % 2)
    pixels[c == 1, :4, :4] = 1.0
    pixels[c == 0, :4, -4:] = 1.0
    x = nn.functional.avg_pool2d(torch.from_numpy(pixels)[:, None], 2).flatten(1)
    z = _train_hidden(x, y, 128, seed)
    return Embedding(z[rows:], c[rows:], y[rows:])


def _make(kind: str, seed: int, rows: int, folder: Path | None, *, p: int = 32) -> Embedding:
    """Made embeddings in a random rotation, with a label that has nothing to do with c.

    Groups, or values of a quantity, differ in their means; in the scale of most columns; in the sign of correlations;
    a quantity in scale; or not at all.
    """
    rng = np.random.default_rng([seed, sorted(_MADE).index(kind)])
    c: NDArray[Any] = rng.integers(2, size=rows)
    y = rng.integers(3, size=rows)
    z = rng.normal(size=(rows, p)) * np.linspace(1.5, 0.5, p)
    z[:, -2:] += 2 * np.stack([np.cos(2 * np.pi * y / 3), np.sin(2 * np.pi * y / 3)], axis=1)
    before, least = z.copy(), 0.0
    part = slice(0, 3 * p // 4)
    if kind == "shift":
        z[:, :3] += c[:, None]
        return Embedding(_rotate(z, rng), c, y, "linear")
    if kind == "scale":
        z[:, part] *= np.where(c == 1, 1.5, 0.5)[:, None]
        least = float(np.square(before[:, part]).sum() / rows / 4)
    elif kind == "correlation":
        a, b = z[:, 0:24:2], rng.normal(size=(rows, 12)) * np.linspace(1.5, 0.5, 12)
        z[:, 0:24:2] = a = a / a.std(axis=0)
        z[:, 1:24:2] = np.where(c == 1, 0.9, -0.9)[:, None] * a + np.sqrt(1 - 0.81) * b / b.std(axis=0)
        root = (np.sqrt(1.9) + np.sqrt(0.1)) / 2
        least = 12 * ((np.sqrt(1.9) - root) ** 2 + (np.sqrt(0.1) - root) ** 2)
    elif kind == "quantity":
        c = rng.normal(size=rows)
        scale = np.exp(0.5 * c)
        z[:, part] *= scale[:, None]
        least = float(np.square(before[:, part]).sum() / rows) * float(np.var(scale))
    elif kind == "shift of a quantity":
        c = rng.normal(size=rows)
        z[:, :3] += c[:, None]
        return Embedding(_rotate(z, rng), c, y, "linear")
    return Embedding(_rotate(z, rng), c, y, least / float(z.var(axis=0).sum()))


def _rotate(z: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float32]:
    rotation = np.linalg.qr(rng.normal(size=(z.shape[1], z.shape[1])))[0]
    return (z @ rotation).astype(np.float32)


_MADE = ("independent", "shift", "scale", "correlation", "quantity", "shift of a quantity")


def _bind(load: Callable[..., Embedding], *first: Any) -> Callable[[int, int, Path | None], Embedding]:
    return lambda seed, rows, folder: load(*first, seed, rows, folder)


EMBEDDINGS: dict[str, Callable[[int, int, Path | None], Embedding]] = {
    "words": _load_words,
    "adult": _bind(_load_table, "adult", 64),
    "law": _bind(_load_table, "law", 32),
    "compas": _bind(_load_table, "compas", 16),
    "colours": _load_colours,
    "clothes": _load_clothes,
    **{kind: _bind(_make, kind) for kind in _MADE},
}
