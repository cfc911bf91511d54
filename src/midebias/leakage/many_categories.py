"""An attribute of many categories: those alike are joined for probes that cost much, rare ones of very many for all."""

import warnings
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from ..whitening import compute_whitening
from .inputs import CodedColumn
from .split import Floats, Labels, Predictions, Split

_MOST_CATEGORIES = 1024  # that are told apart at all
_MOST_APART, _ALIKE = 32, 16  # that a probe tells apart; of more, those alike are joined to so many


def join_rare(column: CodedColumn, most: int = _MOST_CATEGORIES) -> CodedColumn:
    """Join the rare ones of more than ``most`` categories, as they appear, into some that hold enough rows each.

    What is joined tells no more about z than before: the leakage can only be lower.
    """
    counts = np.bincount(column.codes[column.codes >= 0], minlength=len(column.names))
    if (counts > 0).sum() <= most:
        return column
    least = int(counts.sum()) // most + 1
    rare = (counts < least) & (counts > 0)
    seen, first = np.unique(column.codes, return_index=True)
    appearing = [code for code in seen[np.argsort(first)] if code >= 0]
    parts = [[code] for code in appearing if not rare[code]]
    n_common, size = len(parts), least
    for code in appearing:
        if rare[code]:
            if size >= least:
                parts.append([])
                size = 0
            parts[-1].append(code)
            size += counts[code]
    if size < least and len(parts) - n_common > 1:  # what is left over is too few
        parts[-2:] = [parts[-2] + parts[-1]]
    place = np.zeros(len(column.names) + 1, dtype=np.int64)
    place[-1] = -1  # missing
    for i, part in enumerate(parts):
        place[part] = i
    names = [column.names[part[0]] + (f" and {len(part) - 1} more" if len(part) > 1 else "") for part in parts]
    return replace(column, codes=place[column.codes], names=tuple(names))


def join_alike(split: Split, labels: Labels) -> NDArray[np.intp]:
    """Join categories whose rows look alike, in mean and spread of z among rows to fit on; codes of the joined ones."""
    if labels.k <= _MOST_APART:
        return np.arange(labels.k)
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    x = split.z[split.fit]
    means = _average(np.concatenate([x, np.abs(x) - np.abs(x).mean(axis=0)], axis=1), split, labels, 10.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct means than clusters
        found = KMeans(_ALIKE, n_init=1, random_state=split.seed)
        found.fit(means, sample_weight=labels.count(split.fit) + 0.5)
    return np.unique(found.labels_, return_inverse=True)[1]


def compare_with_means(split: Split, labels: Labels) -> Iterator[Predictions]:
    """Linear discriminants of all categories (Fisher 1936), from much shrinkage of their means to little."""
    x, codes = split.components, labels.codes[split.fit]
    dim, n_seen = x.shape[1], len(np.unique(codes))
    residual = (x[split.fit] - _average(x[split.fit], split, labels, 0.0)[codes]).astype(np.float64)
    within = (residual.T @ residual + dim * np.eye(dim)) / (len(codes) - n_seen + dim)
    x = x @ compute_whitening(torch.from_numpy(within), tolerance=1e-9).numpy().astype(np.float32)
    log_prior = np.log((labels.count(split.fit) + 0.5) / (len(codes) + 0.5 * labels.k))
    for strength in (100.0, 10.0, 1.0, 0.1):
        means = _average(x[split.fit], split, labels, strength)
        offset = (log_prior - 0.5 * (means**2).sum(axis=1)).astype(np.float32)
        logits = (x[rows] @ means.T + offset for rows in (split.aside, split.held))
        aside, held = (np.exp(part - part.max(axis=1, keepdims=True)) for part in logits)
        yield aside / aside.sum(axis=1, keepdims=True), held / held.sum(axis=1, keepdims=True)


def _average(x: Floats, split: Split, labels: Labels, strength: float) -> Floats:
    """Means (k, dim) of each category's rows to fit on, shrunk to zero by so many rows of zeros."""
    codes = labels.codes[split.fit]
    order = np.argsort(codes, kind="stable")
    present, starts, counts = np.unique(codes[order], return_index=True, return_counts=True)
    means = np.zeros((labels.k, x.shape[1]), dtype=np.float32)
    means[present] = np.add.reduceat(x[order], starts) / (counts[:, None] + strength)
    return means
