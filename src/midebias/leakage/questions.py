"""The audit's questions (an attribute overall, within classes, in each class), put to every probe on held-out rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .inputs import Column
from .probes import Labels, Split, calibrated_scores
from .result import AttributeLeakage, Finding
from .statistics import Deviation, combined_p_value, normal_quantile, permutation_deviation

__all__ = ["Question", "answered", "questions_about", "summarized"]

_FEWEST_IN_CLASS = 200
_MOST_CLASSES = 20


@dataclass(frozen=True)
class Question:
    """An attribute in one condition: the strata that c is told apart in, each a mask over the rows."""

    attribute: Column
    condition: str
    strata: tuple[NDArray[np.bool_], ...]


def questions_about(attribute: Column, y: Column | None, warnings: list[str]) -> Iterator[Question]:
    """What to ask about an attribute; sentences about what cannot be asked are added to ``warnings``."""
    present = attribute.codes >= 0
    smallest = int(np.bincount(attribute.codes[present]).min())
    if smallest < 30:
        warnings.append(
            f"the rarest category of {attribute.name} has {smallest} rows: what leaks about it may go unseen"
        )
    yield Question(attribute, "overall", (present,))
    if y is None:
        return
    masks: dict[str, NDArray[np.bool_]] = {}
    unseen = 0
    for code, name in enumerate(y.names):
        mask = present & (y.codes == code)
        counts = np.sort(np.bincount(attribute.codes[mask], minlength=1))
        # c has to vary within a class for anything to be told apart there.
        enough = mask.sum() >= _FEWEST_IN_CLASS and mask.sum() - counts[-1] >= 20
        if enough and len(masks) < _MOST_CLASSES:
            masks[name] = mask
        else:
            unseen += int(mask.sum())
    if unseen:
        warnings.append(
            f"{unseen:,} rows are in classes in which {attribute.name} hardly varies, or with fewer than "
            f"{_FEWEST_IN_CLASS} rows: not audited within classes"
        )
    if masks:
        yield Question(attribute, "within classes", tuple(masks.values()))
    for name, mask in masks.items():
        yield Question(attribute, f"y = {name}", (mask,))


@dataclass(frozen=True)
class _Part:
    """What one probe found for one question, on all held-out rows."""

    question: Question
    probe: str
    saved: NDArray[np.float64]
    right: NDArray[np.bool_]
    recalled: NDArray[np.bool_]
    codes: NDArray[np.int64]
    chance: float
    p_value: float

    def finding(self, p_adjusted: float) -> Finding:
        n = len(self.saved)
        mi, stderr = float(self.saved.mean()), float(self.saved.std(ddof=1)) / math.sqrt(n)
        counts = np.bincount(self.codes)
        known = counts > 0
        recall = np.bincount(self.codes, weights=self.recalled)[known] / counts[known]
        balanced = float(recall.mean())
        half = 1.96 * math.sqrt(float((recall * (1 - recall) / counts[known]).sum())) / len(recall)
        return Finding(
            self.question.attribute.name, self.question.condition, self.probe, n, float(self.right.mean()), balanced,
            self.chance, 1 / len(recall), max(0.0, balanced - half), min(1.0, balanced + half), mi, stderr,
            mi - 1.96 * stderr, mi + 1.96 * stderr, self.p_value, p_adjusted,
        )  # fmt: skip


def answered(
    z: NDArray[np.float32],
    questions: Sequence[Question],
    probes: Sequence[str],
    n_folds: int,
    generator: np.random.Generator,
    seed: int,
    on_step: Callable[[float], None] | None,
) -> list[_Part]:
    """Every question put to every probe, in the order of both."""
    held = np.array_split(generator.permutation(len(z)), n_folds)
    found: dict[tuple[int, str], list[tuple[Any, ...]]] = {}
    for k in range(n_folds):
        rest = generator.permutation(np.concatenate([rows for i, rows in enumerate(held) if i != k]))
        whole = Split(z, rest[len(rest) // 5 :], rest[: len(rest) // 5], held[k], seed=seed + k)
        # A class is asked for itself and as one of the strata: fitted once.
        known: dict[tuple[int, str], tuple[Any, ...]] = {}
        for i, question in enumerate(questions):
            for probe_name in probes:
                answers = []
                for mask in question.strata:
                    key = (id(question.attribute), probe_name + str(id(mask)))
                    if key not in known:
                        known[key] = _judged(probe_name, whole, mask, question.attribute.codes)
                    answers.append(known[key])
                found.setdefault((i, probe_name), []).append(tuple(zip(*answers, strict=True)))
            if on_step is not None:
                on_step((k * len(questions) + i + 1) / (n_folds * len(questions)))
    parts = []
    for i, question in enumerate(questions):
        codes = [question.attribute.codes[m] for m in question.strata]
        chance = sum(np.bincount(c).max() for c in codes) / sum(len(c) for c in codes)
        for name in probes:
            folds = found[i, name]
            joined = [np.concatenate([part for fold in folds for part in fold[j]]) for j in range(4)]
            p = combined_p_value([sum(fold[4], Deviation(0.0, 0.0)).p_value for fold in folds])
            parts.append(_Part(question, name, joined[0], joined[1], joined[2], joined[3], float(chance), p))
    return parts


def _judged(name: str, whole: Split, mask: NDArray[np.bool_], codes: NDArray[np.int64]) -> tuple[Any, ...]:
    """Nats saved, answers right and recalled by held-out row, and the deviation from what permutations give."""
    split = whole.within(mask)
    # A category that is not there while fitting cannot be told; it is one that only the held-out rows have.
    present, compact = np.unique(codes[mask], return_inverse=True)
    local = np.full(len(codes), -1)
    local[mask] = compact
    truth = local[split.held]
    rows = np.arange(len(truth))
    raw, ratio, _ = calibrated_scores(name, split, Labels(local, len(present)))
    share = np.log(np.bincount(local[split.fit], minlength=len(present)) + 0.5)
    right, recalled = (raw + share).argmax(axis=1) == truth, raw.argmax(axis=1) == truth
    return ratio[rows, truth].astype(np.float64), right, recalled, codes[split.held], permutation_deviation(raw, truth)


def summarized(question: Question, findings: Sequence[Finding], alpha: float) -> AttributeLeakage:
    """The probes' answers to one question as one figure."""
    best = max(findings, key=lambda f: f.mi)
    reader = max(findings, key=lambda f: f.balanced_accuracy)
    # The largest of several: their intervals are widened to hold together.
    half = normal_quantile(1 - 0.025 / len(findings)) * best.stderr
    entropy = total = 0.0
    for mask in question.strata:
        counts = np.bincount(question.attribute.codes[mask]).astype(float)
        p = counts[counts > 0] / counts.sum()
        entropy -= counts.sum() * float((p * np.log(p)).sum())
        total += counts.sum()
    p_adjusted = min(f.p_adjusted for f in findings)
    return AttributeLeakage(
        question.attribute.name, question.condition, best.probe, best.mi, best.mi - half, best.mi + half,
        entropy / total, p_adjusted, p_adjusted < alpha, reader.balanced_accuracy, reader.balanced_chance,
        int((question.attribute.codes < 0).sum()),
    )  # fmt: skip
