"""How wide a bound of 95% is at least, on average, over a known distribution of cells and groups.

A bound that holds for every distribution lies below a value t in 5% of draws at most, wherever the truth is t. So the
share of draws from the known distribution in which it lies below t is at most the power of the likelihood-ratio test of
5% of any mixture of distributions whose truth is t against the known one (Neyman and Pearson). The mean width is the
integral over t of one less that power, or more. Mixtures go from the best decision, as somebody who knows it would
test it, to changes of cells in random directions; of each t the one with the least power counts. So does one without
draws: a cell that nobody has seen, which holds the rarest group alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq  # type: ignore[import-untyped,unused-ignore]  # not annotated
from scipy.stats import chi2, ncx2  # type: ignore[import-untyped,unused-ignore]  # as above

__all__ = ["MEASURES", "compute_least_width", "measure_truth"]

Joint = NDArray[np.float64]  # P(class, cell, group), or several of them
MEASURES = ("balanced_accuracy", "decision_difference", "mi")
_ALPHA = 0.05
_MIXES = (0.0, 0.5, 0.9, 1.2, 1.4, math.pi / 2)  # angles from the best decision to random changes
_STANDARD_ERRORS = (0.7, 1.5, math.inf)  # of a difference, up to which cells change at random


def measure_truth(joint: Joint, measure: str) -> Joint:
    """What a bound of ``measure`` is to bound, of joints (..., S, K, G): (...); the first two in the worst class."""
    totals = joint.sum(axis=-2, keepdims=True)
    within, n_groups = joint / np.maximum(totals, 1e-300), joint.shape[-1]
    if measure == "balanced_accuracy":
        return np.asarray(within.max(axis=-1).sum(axis=-1).max(axis=-1) / n_groups)
    if measure == "decision_difference":
        apart = [np.abs(within[..., g] - within[..., h]).sum(axis=-1) for g, h in combinations(range(n_groups), 2)]
        return np.asarray(np.stack(apart, axis=-1).max(axis=(-2, -1)) / 2)
    expected = joint.sum(axis=-1, keepdims=True) * totals / totals.sum(axis=-1, keepdims=True)
    ratio = np.divide(joint, expected, out=np.ones(joint.shape), where=joint > 0)
    return np.asarray(np.maximum(0.0, (joint * np.log(ratio)).sum(axis=(-3, -2, -1))))


def compute_least_width(
    joint: Joint, n: int, measure: str, *, members: int = 300, draws: int = 1000, seed: int = 0
) -> float:
    """How far a bound of ``measure`` from n rows of ``joint`` (S, K, G) lies above the truth at least, on average."""
    rng, truth = np.random.default_rng(seed), float(measure_truth(joint, measure))
    directions = list(_list_directions(joint, n, measure, members, rng))
    # Three standard errors away, in those directions in which anything changes.
    far = [measure_truth(_shift(joint, part[:64], np.full(len(part[:64]), 3.0)), measure) for part in directions]
    scale = max(float(t[t > truth + 1e-12].mean()) for t in far if t.max() > truth + 1e-12) - truth
    values = truth + scale * np.linspace(0.06, 1.6, 12)
    powers = [
        min(_measure_power(joint, n, part, measure, value, draws, rng) for part in directions)
        for value in values.tolist()
    ]
    widths = [float(np.trapezoid(1 - np.r_[_ALPHA, powers], np.r_[truth, values]))]
    if measure == "mi":
        rarest, missed = float((joint.sum(axis=1) / joint.sum(axis=(1, 2))[:, None]).min()), -math.log(_ALPHA)
        widths.append(-math.log(rarest) * (missed - (1 - _ALPHA)) / n)
    if truth < 1e-12 and len(joint) == 1 and joint.shape[2] == 2 and np.ptp(joint.sum(axis=2)) < 1e-12:
        # Of many cells no mixture that can be drawn is large enough: the power of a chi-square test stands for it.
        k, sizes = joint.shape[1], n * joint.sum(axis=(0, 1))
        lam = brentq(lambda v: ncx2.cdf(chi2.median(k - 1), k - 1, v) - _ALPHA, 1e-6, 1e4) if k > 2 else 0.0
        widths.append(lam / (2 * n) if measure == "mi" else math.sqrt(lam * (1 / sizes).sum()) / 2)
        if measure == "balanced_accuracy":
            widths[-1] /= 2
    return max(widths)


def _list_directions(joint: Joint, n: int, measure: str, members: int, rng: np.random.Generator) -> Iterator[Joint]:
    """Changes of ``joint``, (members, S, K, G) or one: each about one standard error long; groups keep their size."""
    totals = joint.sum(axis=1, keepdims=True)
    p = joint / totals
    if measure == "mi":
        ratio = np.divide(p, joint.sum(axis=2, keepdims=True) / totals.sum(axis=2, keepdims=True), where=joint > 0,
                          out=np.ones(joint.shape))  # fmt: skip
        known, free = joint * np.log(ratio), np.ones(joint.shape, dtype=bool)
        yield from _mix(joint, n, known, free, rng.normal(size=(members, *joint.shape)), (math.inf,))
        return
    for s in range(len(joint)):
        if measure == "balanced_accuracy":
            best, order = np.eye(joint.shape[2])[p[s].argmax(axis=1)], np.sort(p[s], axis=1)
            known, signs = np.zeros(joint.shape), np.zeros((members, *joint.shape))
            known[s], signs[:, s] = joint[s] * best / totals[s], rng.choice([-1.0, 1.0], size=signs[:, s].shape)
            apart = (order[:, -1] - order[:, -2]) / np.sqrt(p[s].mean(axis=1) / (n * totals[s].min()))
            yield from _mix(joint, n, known, apart[None, :, None], signs, _STANDARD_ERRORS)
            continue
        for g, h in combinations(range(joint.shape[2]), 2):
            gap = p[s, :, g] - p[s, :, h]
            known, signs = np.zeros(joint.shape), np.zeros((members, *joint.shape))
            sign = rng.choice([-1.0, 1.0], size=(members, len(gap)))
            for group, way in ((g, 1.0), (h, -1.0)):
                known[s, :, group] = way * np.where(gap > 0, 1.0, -1.0) * joint[s, :, group] / totals[s, 0, group]
                signs[:, s, :, group] = way * sign / math.sqrt(totals[s, 0, group])
            error = np.sqrt(p[s][:, [g, h]].mean(axis=1) * (1 / (n * totals[s, 0, [g, h]])).sum())
            yield from _mix(joint, n, known, (np.abs(gap) / error)[None, :, None], signs, _STANDARD_ERRORS)


def _mix(joint: Joint, n: int, known: Joint, apart: Joint, random: Joint, limits: tuple[float, ...]) -> Iterator[Joint]:
    """The known direction, the random ones where groups lie apart by no more than so many errors, and both together."""
    totals = joint.sum(axis=1, keepdims=True)
    cell = joint.sum(axis=2, keepdims=True) / joint.sum(axis=(1, 2), keepdims=True)

    def scale(change: Joint) -> Joint:
        change = change - joint * (change.sum(axis=-2, keepdims=True) / totals)
        length = np.sqrt((change**2 / np.maximum(joint, 1e-12)).sum(axis=(-3, -2, -1), keepdims=True))
        return np.asarray(change / np.maximum(length, 1e-300) / math.sqrt(n))

    best = scale(known) if np.abs(known).max() > 1e-12 else np.zeros(joint.shape)
    if best.any():
        yield best[None]
    share = np.sqrt(totals / totals.sum(axis=2, keepdims=True))
    for limit in limits:
        part = random * (apart <= limit)
        used = np.abs(part).max(axis=(0, 1, 2)) > 0  # groups that are compared
        part = part - share * used * (part * share).sum(axis=-1, keepdims=True) / np.maximum(
            (share**2 * used).sum(), 1e-12
        )
        part = scale(part * share * np.sqrt(cell))  # so that shares of cells stay, which are known best
        if part.any():
            for angle in _MIXES[1:]:
                yield math.cos(angle) * best + math.sin(angle) * part


def _shift(joint: Joint, change: Joint, by: Joint) -> Joint:
    moved = np.clip(joint + by[:, None, None, None] * change, 0, None)
    total = moved.sum(axis=2, keepdims=True)
    return np.asarray(moved / np.where(total > 0, total, 1) * joint.sum(axis=1, keepdims=True))


def _measure_power(
    joint: Joint, n: int, directions: Joint, measure: str, value: float, draws: int, rng: np.random.Generator
) -> float:
    """Share of draws of n rows of ``joint`` in which a mixture whose truth is ``value`` is rejected at 5%."""
    low, high = np.zeros(len(directions)), np.full(len(directions), 4.0)
    for _ in range(12):
        short = measure_truth(_shift(joint, directions, high), measure) < value
        high[short] *= 1.5
    for _ in range(26):
        middle = (low + high) / 2
        short = measure_truth(_shift(joint, directions, middle), measure) < value
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    mixture = _shift(joint, directions, high)
    mixture = mixture[measure_truth(mixture, measure) >= value - 1e-9].reshape(-1, joint.size)
    if not len(mixture):
        return 1.0
    of_mixture = np.log(np.maximum(mixture, 1e-300)) if (mixture > 0).all() else np.log(np.maximum(mixture, 1e-15))
    of_joint = np.log(np.maximum(joint.ravel(), 1e-15))

    def compare(rows: NDArray[np.int64]) -> Joint:
        each = rows @ of_mixture.T
        top = each.max(axis=1)
        return np.asarray(top + np.log(np.exp(each - top[:, None]).mean(axis=1)) - rows @ of_joint)

    drawn = rng.integers(len(mixture), size=draws)
    under = compare(rng.multinomial(n, mixture[drawn] / mixture[drawn].sum(axis=1, keepdims=True)))
    return float(
        (compare(rng.multinomial(n, joint.ravel() / joint.sum(), size=draws)) <= np.quantile(under, _ALPHA)).mean()
    )
