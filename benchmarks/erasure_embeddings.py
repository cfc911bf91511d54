"""Embeddings for `benchmarks.erasure`: words, sentences, hidden layers of networks, and made ones."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from midebias.datasets import BiasedMNIST, fetch_adult

from .erasure_made import MADE, Embedding, make_embedding
from .other_tables import load_table

__all__ = ["EMBEDDINGS", "load_embedding"]


def load_embedding(name: str, seed: int, rows: int, folder: Path | None) -> Embedding:
    """Load at most so many rows of an embedding by name, in random order; words and tables are read from ``folder``."""
    found = EMBEDDINGS[name](seed, rows, folder)
    order = np.random.default_rng(seed).permutation(len(found.z))[:rows]
    return Embedding(found.z[order], found.c[order], None if found.y is None else found.y[order], found.least)


def _load_words(attribute: str, seed: int, rows: int, folder: Path | None) -> Embedding:
    """Word vectors; erased is gender, the projection on it, a quantity, or in which fourth the word's length lies."""
    assert folder is not None
    with np.load(folder / "embeddings/words.npz") as file:
        z, gender, projection, word = (file[key] for key in ("z", "gender", "projection", "word"))
    length = np.char.str_len(word)
    fourth = np.searchsorted(np.quantile(length, [0.25, 0.5, 0.75]), length)
    c = {"gender": gender.astype(np.int64), "projection": projection.astype(np.float64), "length": fourth}[attribute]
    return Embedding(z.astype(np.float32), c)


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


def _make(kind: str, seed: int, rows: int, folder: Path | None) -> Embedding:
    return make_embedding(kind, seed, rows)


def _bind(load: Callable[..., Embedding], *first: Any) -> Callable[[int, int, Path | None], Embedding]:
    return lambda seed, rows, folder: load(*first, seed, rows, folder)


EMBEDDINGS: dict[str, Callable[[int, int, Path | None], Embedding]] = {
    "words": _bind(_load_words, "gender"),
    "projections": _bind(_load_words, "projection"),
    "lengths": _bind(_load_words, "length"),
    "adult": _bind(_load_table, "adult", 64),
    "law": _bind(_load_table, "law", 32),
    "compas": _bind(_load_table, "compas", 16),
    "colours": _load_colours,
    "clothes": _load_clothes,
    **{kind: _bind(_make, kind) for kind in MADE},
}
