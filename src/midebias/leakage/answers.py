"""Every question put to every probe: cross-fitted answers, and the figure they come to."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .calibration import score_held_out
from .findings import AttributeLeakage, Finding
from .questions import Question
from .split import Labels, Split
from .statistics import Deviation, combine_p_values, compare_with_permutations, compute_normal_quantile


@dataclass(frozen=True)
class Answer:
    """What one probe found for one question, on all held-out rows."""

    question: Question
    probe: str
    saved: NDArray[np.float64]  # log q(c|z) - log p(c), in nats
    right: NDArray[np.bool_]  # whether the likeliest category is the true one
    recalled: NDArray[np.bool_]  # the same, as if categories were equally frequent
    codes: NDArray[np.int64]  # the truth
    chance: float  # accuracy of always answering the most frequent category
    p_value: float

    def to_finding(self, p_adjusted: float) -> Finding:
        """Figures with intervals; ``p_adjusted`` allows for all of the audit's tests."""
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


def answer_questions(
    z: NDArray[np.float32],
    questions: Sequence[Question],
    probes: Sequence[str],
    n_folds: int,
    generator: np.random.Generator,
    seed: int,
    on_step: Callable[[float], None] | None,
) -> list[Answer]:
    """Put every question to every probe, cross-fitted in ``n_folds``; answers come in the order of both."""
    held = np.array_split(generator.permutation(len(z)), n_folds)
    found: dict[tuple[int, str], list[tuple[Any, ...]]] = {}
    for k in range(n_folds):
        rest = generator.permutation(np.concatenate([rows for i, rows in enumerate(held) if i != k]))
        whole = Split(z, rest[len(rest) // 5 :], rest[: len(rest) // 5], held[k], seed=seed + k)
        # A class is a question of its own and one of the strata of another: fitted once.
        known: dict[tuple[int, str], tuple[Any, ...]] = {}
        for i, question in enumerate(questions):
            for probe_name in probes:
                found_in = []
                for mask in question.strata:
                    key = (id(question.attribute), probe_name + str(id(mask)))
                    if key not in known:
                        known[key] = _ask(probe_name, whole, mask, question.attribute.codes)
                    found_in.append(known[key])
                found.setdefault((i, probe_name), []).append(tuple(zip(*found_in, strict=True)))
            if on_step is not None:
                on_step((k * len(questions) + i + 1) / (n_folds * len(questions)))
    answers = []
    for i, question in enumerate(questions):
        codes = [question.attribute.codes[m] for m in question.strata]
        chance = sum(np.bincount(c).max() for c in codes) / sum(len(c) for c in codes)
        for name in probes:
            folds = found[i, name]
            joined = [np.concatenate([part for fold in folds for part in fold[j]]) for j in range(4)]
            p = combine_p_values([sum(fold[4], Deviation(0.0, 0.0)).p_value for fold in folds])
            answers.append(Answer(question, name, joined[0], joined[1], joined[2], joined[3], float(chance), p))
    return answers


def _ask(name: str, whole: Split, mask: NDArray[np.bool_], codes: NDArray[np.int64]) -> tuple[Any, ...]:
    """Answer one question among the rows of a mask: see `Answer`, and the deviation from what permutations give."""
    split = whole.select(mask)
    # A category that only the held-out rows have cannot be told.
    present, compact = np.unique(codes[mask], return_inverse=True)
    local = np.full(len(codes), -1)
    local[mask] = compact
    truth = local[split.held]
    rows = np.arange(len(truth))
    raw, ratio = score_held_out(name, split, Labels(local, len(present)))
    share = np.log(np.bincount(local[split.fit], minlength=len(present)) + 0.5)
    right, recalled = (raw + share).argmax(axis=1) == truth, raw.argmax(axis=1) == truth
    saved, deviation = ratio[rows, truth].astype(np.float64), compare_with_permutations(raw, truth)
    return saved, right, recalled, codes[split.held], deviation


def summarize(question: Question, findings: Sequence[Finding], alpha: float) -> AttributeLeakage:
    """Summarize the probes' answers to one question as one figure."""
    best = max(findings, key=lambda f: f.mi)
    reader = max(findings, key=lambda f: f.balanced_accuracy)
    # The largest of several: their intervals are widened to hold together.
    half = compute_normal_quantile(1 - 0.025 / len(findings)) * best.stderr
    p_adjusted = min(f.p_adjusted for f in findings)
    return AttributeLeakage(
        question.attribute.name, question.condition, best.probe, best.mi, best.mi - half, best.mi + half,
        question.entropy, p_adjusted, p_adjusted < alpha, reader.balanced_accuracy, reader.balanced_chance,
        int((question.attribute.codes < 0).sum()),
    )  # fmt: skip
