"""Which products of columns, and which directions, tell most about c: screened before a probe is fitted on them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Rows = NDArray[np.intp]

_PAIRS, _PARITIES = 24, 8  # kept
_TRIPLE_DIM, _QUADRUPLE_DIM = 128, 24  # beyond, too many to look through
_WORK = 4e9  # multiplications that a search may cost


def screen_pairs(x: Floats, indicator: Floats) -> tuple[Rows, Rows]:
    """The columns i <= j whose products correlate most with a category."""
    n, dim = x.shape
    x = x - x.mean(axis=0)
    variance = (x**2).T @ (x**2) / n - (x.T @ x / n) ** 2
    scores = np.zeros((dim, dim), dtype=np.float32)
    for weight in indicator.T[: 1 if indicator.shape[1] == 2 else None]:
        np.maximum(scores, np.abs((x * weight[:, None]).T @ x), out=scores)
    scores /= np.sqrt(np.maximum(variance, 1e-3))
    first, second = np.triu_indices(dim)
    pairs = np.argsort(scores[first, second])[::-1][:_PAIRS]
    return first[pairs], second[pairs]


def find_spatial_patterns(x: Floats, indicator: Floats) -> Floats:
    """Directions (dim, some) along which the variance given c differs most, of whitened x (Koles 1991)."""
    found = []
    for weight in indicator.T[: 8 if indicator.shape[1] > 2 else 1]:
        values, vectors = np.linalg.eigh(((x * weight[:, None]).T @ x / len(x)).astype(np.float64))
        order = np.argsort(np.abs(values))[::-1][:4]
        found.append(vectors[:, order])
    return np.concatenate(found, axis=1).astype(np.float32)


def screen_parities(x: Floats, indicator: Floats) -> list[Rows]:
    """The groups (some, 3) and (some, 4) of columns whose products correlate most: their patterns show in no pair."""
    dim = x.shape[1]
    found: list[Rows] = []
    for size, most in ((3, _TRIPLE_DIM), (4, _QUADRUPLE_DIM)):
        if not size <= dim <= most:
            continue
        rows = slice(0, int(_WORK / dim**size))
        part, weights = x[rows], indicator[rows, : 1 if indicator.shape[1] == 2 else 4]
        part = part - np.median(part, axis=0)
        root = np.sign(part) * np.sqrt(np.abs(part))  # between signs and values: dependence on either shows
        root /= root.std(axis=0) + 1e-6
        first, second = np.triu_indices(dim, 1)
        pairs = root[:, first] * root[:, second]
        other = root if size == 3 else pairs
        scores = np.zeros((len(first), other.shape[1]), dtype=np.float32)
        for weight in weights.T:
            np.maximum(scores, np.abs(pairs.T @ (other * weight[:, None])), out=scores)
        # Each group once: its columns in ascending order.
        last = np.arange(dim)[None, :] if size == 3 else first[None, :]
        scores[np.broadcast_to(last <= second[:, None], scores.shape)] = 0.0
        best = np.argpartition(scores, -_PARITIES, axis=None)[-_PARITIES:] if scores.size > _PARITIES else None
        left, right = np.unravel_index(np.arange(scores.size) if best is None else best, scores.shape)
        tail = [right] if size == 3 else [first[right], second[right]]
        chosen = np.stack([first[left], second[left], *tail], axis=1)
        found.append(chosen[scores[left, right] > 0])
    return found
