"""Every question put to every probe: cross-fitted answers, calibrated, and the figures they come to."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .findings import Finding
from .probes import predict_categories
from .questions import Question
from .split import Floats, Labels, Rows, Split, deal_groups
from .statistics import (
    Deviation,
    combine_p_values,
    compare_with_marginal,
    compare_with_permutations,
    compute_p_value,
    compute_quantile,
    compute_tail,
    compute_variance,
)  # fmt: skip

_PRIOR_SHARE = 0.005  # of the prior mixed into every prediction: bounds what one row can cost
FACTORS = (0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 1.0, 1.2)


class Answer(NamedTuple):
    """What one probe says of the held-out rows of one fold and stratum."""

    rows: Rows
    saved: NDArray[np.float64]  # log q(c|z) - log q(c), in nats
    influence: NDArray[np.float64]  # on the mean of ``saved``
    told: NDArray[np.int64]  # the likeliest category
    recalled: NDArray[np.bool_]  # whether the true one is likeliest, as if categories were equally frequent
    deviation: Deviation  # from what permutations give
    gain: float  # nats, on the rows aside


Answers = dict[tuple[int, str], list[list[Answer]]]
"""By question and probe: of each fold, of each stratum."""


def answer_questions(
    z: NDArray[np.float32], questions: Sequence[Question], probes: Sequence[str], folds: Sequence[Rows],
    groups: NDArray[np.int64], generator: np.random.Generator, seed: int, on_step: Callable[[float], None] | None,
) -> Answers:  # fmt: skip
    """Put every question to every probe, cross-fitted in ``folds``; ``groups`` (n,) says which rows belong together."""
    answers: Answers = defaultdict(list)
    everything = np.arange(len(z))
    for k, held in enumerate(folds):
        rest = np.setdiff1d(everything, held, assume_unique=True)
        aside, *fit = deal_groups(groups, rest, 5, generator)
        whole = Split(z, generator.permutation(np.concatenate(fit)), aside, held, seed=seed + k)
        # A class is a question of its own and one of the strata of another: fitted once.
        known: dict[tuple[int, int, str], Answer] = {}
        for i, question in enumerate(questions):
            for name in probes:
                keys = [(id(question.attribute), id(mask), name) for mask in question.strata]
                for key, mask in zip(keys, question.strata, strict=True):
                    if key not in known:
                        known[key] = _ask(name, whole, mask, question.attribute.codes, groups)
                answers[i, name].append([known[key] for key in keys])
            if on_step is not None:
                on_step((k * len(questions) + i + 1) / (len(folds) * len(questions)))
    return answers


def _ask(
    name: str, whole: Split, mask: NDArray[np.bool_], codes: NDArray[np.int64], groups: NDArray[np.int64]
) -> Answer:
    """Put one question to a probe, among the rows of a mask."""
    split = whole.select(mask)
    # Numbered as they appear: names change no figure.
    present, first, compact = np.unique(codes[mask], return_index=True, return_inverse=True)
    order = np.argsort(first)
    local = np.full(len(codes), -1)
    local[mask] = np.argsort(order)[compact]
    labels, truth, held = Labels(local, len(present)), local[split.held], split.held
    log_prior, aside, raw = predict_ratios(name, split, labels)
    # The permutation test takes the scores as the probe gives them. The estimate takes them tempered by one factor,
    # chosen on the rows aside: never much below zero where a probe learned only noise.
    gains = [0.0] * len(FACTORS)
    if len(aside):
        known = local[split.aside]
        gains = [float(compare_with_marginal(_temper(aside, a, log_prior), known)[0].mean()) for a in FACTORS]
    best = int(np.argmax(gains))
    saved = influence = np.zeros(0)
    if len(held):
        saved, influence = compare_with_marginal(_temper(raw, FACTORS[best], log_prior), truth)
    told, recalled = present[order][(raw + log_prior).argmax(axis=1)], raw.argmax(axis=1) == truth
    deviation = compare_with_permutations(raw, truth, groups[held])
    return Answer(held, saved, influence, told, recalled, deviation, gains[best])


def predict_ratios(name: str, split: Split, labels: Labels) -> tuple[Floats, Floats, Floats]:
    """Log q(c) (k,), and log q(c|z) - log q(c) of the rows aside and of those held out, by a probe."""
    prior = labels.count(split.fit) + 0.5
    log_prior = np.log(prior / prior.sum()).astype(np.float32)
    aside, held = (
        (np.log((1 - _PRIOR_SHARE) * q + _PRIOR_SHARE * np.exp(log_prior)) - log_prior).astype(np.float32)
        for q in predict_categories(name, split, labels)
    )
    return log_prior, aside, held


def _temper(ratio: Floats, factor: float, log_prior: Floats) -> Floats:
    """log q' - log p for q' proportional to p (q / p)^factor."""
    scaled = np.float32(factor) * ratio
    top = scaled.max(axis=1, keepdims=True)
    return scaled - top - np.log(np.exp(scaled - top) @ np.exp(log_prior))[:, None]


def join_folds(question: Question, probe: str, folds: Sequence[Sequence[Answer]], groups: NDArray[np.int64]) -> Finding:
    """Figures with intervals, over all held-out rows, and a p-value that allows for no other test yet.

    Independence is tested twice, by permutations and by the estimate's own interval: twice the smaller p-value.
    """
    answers = [answer for fold in folds for answer in fold]
    rows, saved, influence, told, recalled = (np.concatenate(part) for part in list(zip(*answers, strict=True))[:5])
    codes, group, n = question.attribute.codes[rows], groups[rows], len(rows)
    n_groups = len(np.unique(group))
    by_permutation = combine_p_values(
        [compute_p_value([a.deviation for a in fold], [groups[a.rows] for a in fold]) for fold in folds]
    )
    strata = [np.bincount(question.attribute.codes[mask]) for mask in question.strata]
    chance = float(sum(counts.max() for counts in strata) / sum(counts.sum() for counts in strata))
    mi = float(saved.mean())
    stderr = compute_variance(influence - mi, group) ** 0.5 / n
    p_value = min(1.0, 2 * min(by_permutation, compute_tail(mi, stderr, n_groups)))
    counts = np.bincount(codes)
    known = counts > 0
    recall = np.bincount(codes, weights=recalled) / np.maximum(1, counts)
    k, balanced = int(known.sum()), float(recall[known].mean())
    quantile = compute_quantile(0.975, n_groups)
    half = quantile * compute_variance((recalled - recall[codes]) / counts[codes], group) ** 0.5 / k
    return Finding(
        question.attribute.name, question.condition, probe, n, n_groups, float((told == codes).mean()), balanced,
        chance, 1 / k, max(0.0, balanced - half), min(1.0, balanced + half), mi, stderr, mi - quantile * stderr,
        mi + quantile * stderr, p_value, p_value, leaks=False,
    )  # fmt: skip
