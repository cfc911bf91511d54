"""An attribute of many categories: rare ones are joined before the audit, those alike before a probe is fitted."""

import warnings
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .inputs import CodedColumn
from .split import Floats, Labels, Predictions, Split

_FEWEST_ROWS = 20  # of a category that stands alone
_MOST_CATEGORIES = 256  # of which none is joined for their number


def join_rare(column: CodedColumn) -> CodedColumn:
    """Join rare categories, in the order in which they appear, into some that hold enough rows each.

    What is joined tells no more about z than before: the leakage can only be lower.
    """
    counts = np.bincount(column.codes[column.codes >= 0], minlength=len(column.names))
    least = _FEWEST_ROWS
    if (counts > 0).sum() > _MOST_CATEGORIES:
        least = max(least, int(counts.sum()) // _MOST_CATEGORIES)
    rare = (counts < least) & (counts > 0)
    if rare.sum() < 2:
        return column
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


def join_alike(split: Split, labels: Labels, most: int) -> NDArray[np.intp]:
    """Join categories whose rows look alike, in mean and spread of z among rows to fit on; codes of the joined ones."""
    if labels.k <= most:
        return np.arange(labels.k)
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    x = split.z[split.fit]
    means = _average(np.concatenate([x, np.abs(x) - np.abs(x).mean(axis=0)], axis=1), split, labels, 10.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct means than clusters
        found = KMeans(most, n_init=1, random_state=split.seed).fit(means, sample_weight=labels.count(split.fit) + 0.5)
    return np.unique(found.labels_, return_inverse=True)[1]


def compare_with_means(split: Split, labels: Labels) -> Iterator[Predictions]:
    """Linear discriminants of all categories: their means, from much shrinkage to little, in principal components."""
    log_prior = np.log((labels.count(split.fit) + 0.5) / (len(split.fit) + 0.5 * labels.k))
    for strength in (100.0, 10.0, 1.0):
        means = _average(split.components[split.fit], split, labels, strength)
        offset = (log_prior - 0.5 * (means**2).sum(axis=1)).astype(np.float32)
        logits = (split.components[rows] @ means.T + offset for rows in (split.aside, split.held))
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
