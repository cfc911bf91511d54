"""What a representation tells about an attribute beyond covariates: probes of what these leave of z."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..attributes import encode_covariates
from ..column_kinds import read_columns
from ..covariates import CovariateRegression, expand_covariates
from ..errors import InputError
from ..normal_scores import compute_normal_scores
from .answers import FACTORS, Answer, predict_ratios
from .questions import Question
from .split import Floats, Labels, Rows, Split, deal_groups
from .statistics import Deviation

_FUNCTIONS = 24  # of covariates, that the baseline reads
_BASELINES = ("linear", "boosted trees")
_COMPARED = 400  # rows whose residuals stand for all


@dataclass(frozen=True)
class Covariates:
    """Columns (n, k), in which categories are one-hot, whether each row has them all, and their names."""

    values: NDArray[np.float32]
    known: NDArray[np.bool_]
    names: tuple[str, ...]

    def take(self, rows: NDArray[np.intp]) -> "Covariates":
        """Some of the rows."""
        return Covariates(self.values[rows], self.known[rows], self.names)

    @property
    def condition(self) -> str:
        """The condition of a question, in words."""
        return f"given {', '.join(self.names)}"


def read_covariates(values: Any, n: int) -> Covariates:
    """Read ``condition_on`` of n rows by the rules for attributes. Raises `InputError` where no row has them all."""
    columns = read_columns(values, "condition_on", n=n, like="z")
    encoded, known = encode_covariates(columns)
    if int(known.sum()) < 2:
        raise InputError("condition_on has no row without a missing value")
    return Covariates(encoded.numpy(), known.numpy(), tuple(column.name for column in columns))


def answer_beside_covariates(
    z: NDArray[np.float32], covariates: Covariates, questions: Sequence[Question], probes: Sequence[str],
    folds: Sequence[Rows], groups: NDArray[np.int64], generator: np.random.Generator, seed: int,
) -> dict[tuple[int, str], list[list[Answer]]]:  # fmt: skip
    r"""Put questions, whose one stratum are rows that have the covariates w, to every probe, cross-fitted in folds.

    A baseline predicts q(c|w). A probe of z less what w predicts of it, over its deviation, moves that by its own
    ratio, :math:`q(c|z,w) \propto q(c|w) (q(c|\tilde z)/q(c))^a`. What it saves is compared with the mean of the same
    prediction over other rows' residuals: so what the baseline gets wrong is not read as a leak.
    """
    known = np.flatnonzero(covariates.known)
    w = compute_normal_scores(torch.from_numpy(covariates.values[known]))
    residuals = CovariateRegression(w).standardize(torch.from_numpy(z[known])).numpy()
    parts = []
    for values in (residuals, expand_covariates(w, _FUNCTIONS).numpy()):
        parts.append(np.zeros((len(z), values.shape[1]), dtype=np.float32))
        parts[-1][known] = values
    answers: dict[tuple[int, str], list[list[Answer]]] = {}
    for k, held in enumerate(folds):
        rest = np.setdiff1d(np.arange(len(z)), held, assume_unique=True)
        aside, *fit = deal_groups(groups, rest, 5, generator)
        rows = generator.permutation(np.concatenate(fit)), aside, held
        of_z, of_w = (Split(values, *rows, seed=seed + k) for values in parts)
        for i, question in enumerate(questions):
            (mask,) = question.strata
            labels = _number(question.attribute.codes, mask)
            split = of_z.select(mask)
            baseline = _predict_baseline(of_w.select(mask), labels)
            for name in probes:
                answer = _ask(name, split, baseline, labels, generator)
                answers.setdefault((i, name), []).append([answer])
    return answers


def _number(codes: NDArray[np.int64], mask: NDArray[np.bool_]) -> Labels:
    present, compact = np.unique(codes[mask], return_inverse=True)
    local = np.full(len(codes), -1)
    local[mask] = compact
    return Labels(local, len(present))


def _predict_baseline(split: Split, labels: Labels) -> tuple[Floats, Floats]:
    """Log q(c|w) of the rows aside and of those held out, by what makes the former likeliest."""
    truth = labels.codes[split.aside]
    best, chosen = -np.inf, None
    for name in _BASELINES:
        log_prior, *ratios = predict_ratios(name, split, labels)
        found = tuple(_normalize(ratio + log_prior) for ratio in ratios)
        likelihood = float(found[0][np.arange(len(truth)), truth].mean()) if len(truth) else 0.0
        if chosen is None or likelihood > best:
            best, chosen = likelihood, found
    assert chosen is not None
    return chosen[0], chosen[1]


def _ask(
    name: str, split: Split, baseline: tuple[Floats, Floats], labels: Labels, generator: np.random.Generator
) -> Answer:
    _, *ratios = predict_ratios(name, split, labels)
    known, truth = labels.codes[split.aside], labels.codes[split.held]
    some, others = (generator.permutation(len(rows))[:_COMPARED] for rows in (known, truth))
    gains = [float(_save(a * ratios[0], baseline[0], known, some).mean()) if len(known) else 0.0 for a in FACTORS]
    ratio = FACTORS[int(np.argmax(gains))] * ratios[1]
    saved = _save(ratio, baseline[1], truth, others)
    told, recalled = (baseline[1] + ratio).argmax(axis=1), ratios[1].argmax(axis=1) == truth
    # Given w, permuting c is no test: the interval alone says what is significant.
    return Answer(split.held, saved, saved, told, recalled, Deviation(np.zeros(len(saved)), 0.0), max(gains))


def _save(ratio: Floats, log_q: Floats, truth: NDArray[Any], others: Rows) -> NDArray[np.float64]:
    """Nats that each row's own residuals save about its c, compared with those of other rows beside its own w."""
    if not len(truth):
        return np.zeros(0)
    place = np.arange(len(truth))
    own = _normalize(log_q + ratio)[place, truth]
    total = np.exp(log_q) @ np.exp(ratio[others]).T  # of each row, with each of the others' residuals
    likelihoods = np.exp(log_q[place, truth])[:, None] * np.exp(ratio[others][:, truth]).T / total
    saved: NDArray[np.float64] = own - np.log(likelihoods.mean(axis=1))
    return saved


def _normalize(scores: Floats) -> Floats:
    top = scores - scores.max(axis=1, keepdims=True, initial=-np.inf)
    normal: Floats = top - np.log(np.exp(top).sum(axis=1, keepdims=True))
    return normal
