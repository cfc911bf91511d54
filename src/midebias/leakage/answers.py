"""Every question put to every probe: cross-fitted answers, calibrated, and the figures they come to."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .findings import AttributeLeakage, Finding
from .probes import PROBES, choose
from .questions import Question
from .split import Floats, Labels, Split
from .statistics import Deviation, adjust_p_values, combine_p_values, compare_with_permutations

_PRIOR_SHARE = 0.005  # of the prior mixed into every prediction: bounds what one row can cost
_FACTORS = (0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 1.0, 1.2)


class _Answer(NamedTuple):
    """What one probe says of the held-out rows of one fold and stratum."""

    saved: NDArray[np.float64]  # log q(c|z) - log p(c), in nats
    right: NDArray[np.bool_]  # whether the likeliest category is the true one
    recalled: NDArray[np.bool_]  # the same, as if categories were equally frequent
    codes: NDArray[np.int64]  # the truth
    deviation: Deviation  # from what permutations give


def answer_questions(
    z: NDArray[np.float32], questions: Sequence[Question], probes: Sequence[str], n_folds: int,
    generator: np.random.Generator, seed: int, on_step: Callable[[float], None] | None,
) -> tuple[Finding, ...]:  # fmt: skip
    """Put every question to every probe, cross-fitted in ``n_folds``; findings come in the order of both."""
    held = np.array_split(generator.permutation(len(z)), n_folds)
    answers: dict[tuple[int, str], list[list[_Answer]]] = defaultdict(list)  # by fold and stratum
    for k in range(n_folds):
        rest = generator.permutation(np.concatenate([rows for i, rows in enumerate(held) if i != k]))
        whole = Split(z, rest[len(rest) // 5 :], rest[: len(rest) // 5], held[k], seed=seed + k)
        # A class is a question of its own and one of the strata of another: fitted once.
        known: dict[tuple[int, int, str], _Answer] = {}
        for i, question in enumerate(questions):
            for name in probes:
                keys = [(id(question.attribute), id(mask), name) for mask in question.strata]
                for key, mask in zip(keys, question.strata, strict=True):
                    if key not in known:
                        known[key] = _ask(name, whole, mask, question.attribute.codes)
                answers[i, name].append([known[key] for key in keys])
            if on_step is not None:
                on_step((k * len(questions) + i + 1) / (n_folds * len(questions)))
    findings = [_join_folds(q, name, answers[i, name]) for i, q in enumerate(questions) for name in probes]
    adjusted = adjust_p_values([f.p_value for f in findings])
    return tuple(replace(f, p_adjusted=p) for f, p in zip(findings, adjusted, strict=True))


def _ask(name: str, whole: Split, mask: NDArray[np.bool_], codes: NDArray[np.int64]) -> _Answer:
    """Put one question to a probe, among the rows of a mask."""
    split = whole.select(mask)
    # A category that only the held-out rows have cannot be told.
    present, compact = np.unique(codes[mask], return_inverse=True)
    local = np.full(len(codes), -1)
    local[mask] = compact
    labels, truth = Labels(local, len(present)), local[split.held]
    raw, calibrated = _score_held_out(name, split, labels)
    share = np.log(labels.count(split.fit) + 0.5)
    saved = calibrated[np.arange(len(truth)), truth].astype(np.float64)
    right, recalled = (raw + share).argmax(axis=1) == truth, raw.argmax(axis=1) == truth
    return _Answer(saved, right, recalled, codes[split.held], compare_with_permutations(raw, truth))


def _score_held_out(name: str, split: Split, labels: Labels) -> tuple[Floats, Floats]:
    """Fit a probe and score the held-out rows: two arrays (held rows, k) of log q(c|z) - log p(c).

    The first is as the probe gives it, for the permutation test. The second is tempered by one factor, which is chosen
    on the rows aside: never much below zero where a probe learned only noise.
    """
    prior = labels.count(split.fit) + 0.5
    prior = prior / prior.sum()
    with np.errstate(invalid="ignore"):  # OpenBLAS may raise this flag on finite numbers (numpy issue 24067)
        predictions = choose(PROBES[name](split, labels), split, labels)
    if not all(np.isfinite(q).all() for q in predictions):
        raise FloatingPointError(f"the {name} probe gave probabilities that are not finite")
    log_prior = np.log(prior)
    aside, held = (np.log((1 - _PRIOR_SHARE) * q + _PRIOR_SHARE * prior) - log_prior for q in predictions)
    truth = labels.codes[split.aside]
    factors = np.array(_FACTORS)
    gains = [_temper(aside, a, log_prior)[np.arange(len(truth)), truth].mean() for a in factors]
    return held, _temper(held, float(factors[int(np.argmax(gains))]), log_prior)


def _temper(ratio: Floats, factor: float, log_prior: Floats) -> Floats:
    """log q' - log p for q' proportional to p (q / p)^factor."""
    scaled = factor * ratio
    top = scaled.max(axis=1, keepdims=True)
    return scaled - top - np.log(np.exp(scaled - top) @ np.exp(log_prior))[:, None]


def _join_folds(question: Question, probe: str, folds: Sequence[Sequence[_Answer]]) -> Finding:
    """Figures with intervals, over all held-out rows; the p-value is not adjusted yet."""
    answers = [answer for fold in folds for answer in fold]
    saved, right, recalled, codes = (np.concatenate(part) for part in list(zip(*answers, strict=True))[:4])
    p_value = combine_p_values(
        [Deviation(*map(sum, zip(*(a.deviation for a in fold), strict=True))).p_value for fold in folds]
    )
    strata = [np.bincount(question.attribute.codes[mask]) for mask in question.strata]
    chance = float(sum(counts.max() for counts in strata) / sum(counts.sum() for counts in strata))
    n = len(saved)
    mi, stderr = float(saved.mean()), float(saved.std(ddof=1)) / math.sqrt(n)
    counts = np.bincount(codes)
    known = counts > 0
    recall = np.bincount(codes, weights=recalled)[known] / counts[known]
    balanced = float(recall.mean())
    half = 1.96 * math.sqrt(float((recall * (1 - recall) / counts[known]).sum())) / len(recall)
    return Finding(
        question.attribute.name, question.condition, probe, n, float(right.mean()), balanced, chance, 1 / len(recall),
        max(0.0, balanced - half), min(1.0, balanced + half), mi, stderr, mi - 1.96 * stderr, mi + 1.96 * stderr,
        p_value, p_value,
    )  # fmt: skip


def summarize(question: Question, findings: Sequence[Finding], alpha: float) -> AttributeLeakage:
    """Summarize the probes' answers to one question as one figure."""
    best = max(findings, key=lambda f: f.mi)
    reader = max(findings, key=lambda f: f.balanced_accuracy)
    # The largest of several: their intervals are widened to hold together.
    half = NormalDist().inv_cdf(1 - 0.025 / len(findings)) * best.stderr
    p_adjusted = min(f.p_adjusted for f in findings)
    return AttributeLeakage(
        question.attribute.name, question.condition, best.probe, best.mi, best.mi - half, best.mi + half,
        question.entropy, p_adjusted, p_adjusted < alpha, reader.balanced_accuracy, reader.balanced_chance,
        int((question.attribute.codes < 0).sum()),
    )  # fmt: skip
