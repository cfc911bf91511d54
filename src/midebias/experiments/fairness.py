"""Adult and German credit: accuracy against disparity and leakage, with fairlearn's methods on the same columns."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..attributes import Categorical
from ..datasets import fetch_adult, fetch_german
from ..errors import InputError
from ..methods.reference import Reference
from ..networks.classifier import Classifier
from ..randomness import seeded
from ..sklearn.base import MIDebiasClassifier
from ..tabular.columns import columns_of_frame
from ..tabular.networks import TabularEncoder
from ..tabular.piecewise_linear import PiecewiseLinear
from ..tabular.preprocessing import TablePreprocessor
from ..training.data import Batch, Problem
from .mi_columns import measure_mi_columns
from .run_folder import results_document, write_json

__all__ = ["METHODS", "FairCell", "FairnessTable", "fair_cells", "probes", "summarise"]

_HIDDEN, _DIM, _EPOCHS, _BATCH = (256, 64), 2, 20, 2048
_FOLDS = 5


@dataclass(frozen=True)
class FairCell:
    """One run: a method with its options, a data set and attribute, a seed (of Adult) or fold (of German)."""

    dataset: str
    attribute: str
    method: str
    setting: str
    options: dict[str, Any]
    seed: int
    limit: int | None = None
    probe: bool = True

    @property
    def name(self) -> str:
        """File name of its record."""
        setting = self.setting.replace(" ", "").replace(",", "-").replace("=", "")
        return f"{self.dataset}-{self.attribute}-{self.method}-{setting or 'default'}-{self.seed}"


@dataclass(frozen=True)
class _Split:
    """Training and test rows: frames, their matrices (the same columns for every method), labels and attribute."""

    frame: Any
    frame_test: Any
    x: NDArray[np.float64]
    x_test: NDArray[np.float64]
    y: NDArray[Any]
    y_test: NDArray[Any]
    c: NDArray[Any]
    c_test: NDArray[Any]

    def with_usual_columns(self) -> _Split:
        """The same rows as most people would hand them to a linear model: numbers standardised, categories one-hot."""
        from sklearn.compose import ColumnTransformer, make_column_selector
        from sklearn.preprocessing import OneHotEncoder, StandardScaler

        numbers = make_column_selector(dtype_include="number")
        others = make_column_selector(dtype_exclude="number")
        columns = ColumnTransformer(
            [("numbers", StandardScaler(), numbers), ("others", OneHotEncoder(handle_unknown="ignore"), others)],
            sparse_threshold=0,
        )
        x = columns.fit_transform(self.frame)
        return replace(self, x=x, x_test=columns.transform(self.frame_test))


@dataclass(frozen=True)
class _Outcome:
    """Decisions on the test rows, seconds of fitting, and z of the test rows where there is one."""

    decisions: NDArray[Any]
    seconds: float
    z: NDArray[np.float64] | None = None


def load_split(dataset: str, attribute: str, seed: int, limit: int | None = None) -> _Split:
    """Adult's official split, or fold ``seed`` of German's five; ``limit`` keeps so many rows of each part.

    Folds 5 to 9 are those of a second shuffle of the rows, and so on. "adult-thirds" is Adult's training file alone, a
    random third of which, drawn by ``seed``, is the test.
    """
    if dataset == "adult":
        train, test = fetch_adult(attribute=attribute), fetch_adult(split="test", attribute=attribute)
        frame, frame_test = train.data, test.data
        y, y_test = train.target.to_numpy(), test.target.to_numpy()
        c, c_test = (b.sensitive_features[attribute].astype(str).to_numpy() for b in (train, test))
    elif dataset == "adult-thirds":
        adult = fetch_adult(attribute=attribute)
        labels, sensitive = adult.target.to_numpy(), adult.sensitive_features[attribute].astype(str).to_numpy()
        b, a = np.split(np.random.default_rng(seed).permutation(len(labels)), [len(labels) // 3])
        frame, frame_test = adult.data.iloc[a], adult.data.iloc[b]
        y, y_test, c, c_test = labels[a], labels[b], sensitive[a], sensitive[b]
    elif dataset == "german":
        from sklearn.model_selection import StratifiedKFold

        german = fetch_german(attribute=attribute)
        labels, sensitive = german.target.to_numpy(), german.sensitive_features[attribute].astype(str).to_numpy()
        folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed // _FOLDS)
        strata = np.char.add(labels.astype(str), sensitive.astype(str))
        a, b = list(folds.split(german.data, strata))[seed % _FOLDS]
        frame, frame_test = german.data.iloc[a], german.data.iloc[b]
        y, y_test, c, c_test = labels[a], labels[b], sensitive[a], sensitive[b]
    else:
        raise InputError(f"dataset must be 'adult', 'adult-thirds' or 'german', got {dataset!r}")
    n = len(frame) if limit is None else limit
    frame, frame_test = frame.iloc[:n].reset_index(drop=True), frame_test.iloc[:n].reset_index(drop=True)
    y, y_test, c, c_test = y[:n], y_test[:n], c[:n], c_test[:n]
    preprocessor = TablePreprocessor()
    x = preprocessor.fit_transform(columns_of_frame(frame), None)
    x_test = preprocessor.transform(columns_of_frame(frame_test))
    reading = PiecewiseLinear.learned(x, MIDebiasClassifier().n_pieces)
    if reading is not None:  # as the encoder of midebias reads them
        x, x_test = (reading(torch.from_numpy(part)).numpy() for part in (x, x_test))
    return _Split(frame, frame_test, x, x_test, y, y_test, c, c_test)


# -- methods ---------------------------------------------------------------------------------------------------


def _midebias(split: _Split, seed: int, **options: Any) -> _Outcome:
    model = MIDebiasClassifier(random_state=seed, **options)
    started = time.perf_counter()
    model.fit(split.frame, split.y, sensitive_features=split.c)
    seconds = time.perf_counter() - started
    return _Outcome(model.predict(split.frame_test), seconds, model.transform(split.frame_test))


def _logistic() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=200)


def _logistic_regression(split: _Split, seed: int, *, usual: bool = False) -> _Outcome:
    split = split.with_usual_columns() if usual else split
    started = time.perf_counter()
    model = _logistic().fit(split.x, split.y)
    seconds = time.perf_counter() - started
    return _Outcome(model.predict(split.x_test), seconds, model.decision_function(split.x_test)[:, None])


def _exponentiated_gradient(split: _Split, seed: int, *, criterion: str, eps: float, usual: bool = False) -> _Outcome:
    from fairlearn.reductions import DemographicParity, EqualizedOdds, ExponentiatedGradient

    split = split.with_usual_columns() if usual else split
    constraint = DemographicParity() if criterion == "independence" else EqualizedOdds()
    model = ExponentiatedGradient(_logistic(), constraint, eps=eps)
    started = time.perf_counter()
    model.fit(split.x, split.y, sensitive_features=split.c)
    seconds = time.perf_counter() - started
    return _Outcome(np.asarray(model.predict(split.x_test, random_state=seed)), seconds)


def _threshold_optimizer(split: _Split, seed: int, *, criterion: str, usual: bool = False) -> _Outcome:
    """On the plain network, or on logistic regression of the usual columns; it is shown the attribute at prediction."""
    from fairlearn.postprocessing import ThresholdOptimizer

    split = split.with_usual_columns() if usual else split
    started = time.perf_counter()
    if usual:
        plain = _logistic().fit(split.x, split.y)
    else:
        plain = MIDebiasClassifier(mi_weight=0.0, preprocess=False, random_state=seed).fit(
            split.x, split.y, sensitive_features=split.c
        )
    constraint = "demographic_parity" if criterion == "independence" else "equalized_odds"
    model: Any = ThresholdOptimizer(
        estimator=plain,
        constraints=constraint,
        prefit=True,
        predict_method="predict_proba",
    )
    model.fit(split.x, split.y, sensitive_features=split.c)
    seconds = time.perf_counter() - started
    decisions = model.predict(split.x_test, sensitive_features=split.c_test, random_state=seed)
    return _Outcome(np.asarray(decisions), seconds)


def _correlation_remover(split: _Split, seed: int, *, alpha: float) -> _Outcome:
    """Linear correlations with the attribute are taken out of the columns; logistic regression on the rest.

    The remover reads the attribute at prediction too.
    """
    from fairlearn.preprocessing import CorrelationRemover

    levels = np.unique(split.c)
    codes, codes_test = ((c == levels[1]).astype(float)[:, None] for c in (split.c, split.c_test))
    remover = CorrelationRemover(sensitive_feature_ids=[0], alpha=alpha)
    started = time.perf_counter()
    z = remover.fit_transform(np.hstack([codes, split.x]))
    model = _logistic().fit(z, split.y)
    seconds = time.perf_counter() - started
    z_test = remover.transform(np.hstack([codes_test, split.x_test]))
    return _Outcome(model.predict(z_test), seconds, z_test)


def _adversarial(split: _Split, seed: int, *, criterion: str, alpha: float) -> _Outcome:
    """fairlearn's adversarial classifier: our network's widths, epochs and batches, its own adversary and rate.

    At our learning rate of 0.003 it diverged from some seeds.
    """
    from fairlearn.adversarial import AdversarialFairnessClassifier

    constraint = "demographic_parity" if criterion == "independence" else "equalized_odds"
    n = len(split.x)
    batch = min(_BATCH, n)
    epochs = max(_EPOCHS, -(-60 // max(1, n // batch)))
    with seeded(seed):
        model = AdversarialFairnessClassifier(
            backend="torch", predictor_model=[*_HIDDEN, "leaky_relu"], adversary_model=[32, "leaky_relu"],
            constraints=constraint, learning_rate=1e-3, alpha=alpha, epochs=epochs, batch_size=batch, shuffle=True,
            random_state=seed,
        )  # fmt: skip
        # fairlearn seeds torch with the whole part of a fraction, which is 0: without another order of the rows, all
        # seeds would give one and the same model.
        order = np.random.default_rng(seed).permutation(n)
        started = time.perf_counter()
        model.fit(split.x[order], split.y[order], sensitive_features=split.c[order])
        seconds = time.perf_counter() - started
        return _Outcome(np.asarray(model.predict(split.x_test)).ravel(), seconds)


class _TabularClassifier(Classifier):
    """Our network as the compared methods know it."""

    def __init__(self, n_inputs: int) -> None:
        super().__init__()
        self.encoder = TabularEncoder(n_inputs, _HIDDEN, _DIM)
        self.head = torch.nn.Linear(_DIM, 2)
        self.dim, self.shapes = _DIM, (_DIM,)

    def depths(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        """z alone."""
        return (self.encoder(x),)


def _reference(split: _Split, seed: int, *, steps: int, critic_steps: int, lr: float) -> _Outcome:
    """The reference recipe, so many steps of it."""
    levels = np.unique(split.c)
    x, y = torch.tensor(split.x, dtype=torch.float32), torch.tensor(split.y)
    c = torch.tensor((split.c == levels[1]).astype(np.int64))
    with seeded(seed):
        model = _TabularClassifier(x.shape[1])
    method = Reference(model, Problem(2, Categorical(2), (2,)), lr=lr, critic_steps=critic_steps, seed=seed)
    generator = torch.Generator().manual_seed(seed)

    def batch() -> Batch:
        rows = torch.randint(len(x), (method.batch_size,), generator=generator)
        return Batch(x[rows], y[rows], c[rows, None], c[rows])

    started = time.perf_counter()
    method.begin_epoch(batch() for _ in range(min(steps, len(x) // method.batch_size)))
    for _ in range(steps):
        method.step(batch(), batch, lr)
    seconds = time.perf_counter() - started
    z, logits = method.representations(torch.tensor(split.x_test, dtype=torch.float32))
    return _Outcome(logits.argmax(1).numpy(), seconds, z.double().numpy())


METHODS: dict[str, Callable[..., _Outcome]] = {
    "mib": _midebias,
    "mlp": _midebias,
    "logistic_regression": _logistic_regression,
    "exponentiated_gradient": _exponentiated_gradient,
    "threshold_optimizer": _threshold_optimizer,
    "correlation_remover": _correlation_remover,
    "adversarial": _adversarial,
    "reference": _reference,
}
"""Name -> function of a split, a seed and options."""


# -- what is measured ------------------------------------------------------------------------------------------


def probes(z: NDArray[np.float64], c: NDArray[Any], *, seed: int = 0) -> dict[str, float]:
    """Balanced accuracy of three fresh probes of c, fitted on half of the rows of frozen z and tested on the others.

    A linear one, boosted trees and a perceptron; c counts balanced in fitting. 0.5 is chance for two categories.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(seed)
    a, b, ca, cb = train_test_split(z, c, test_size=0.5, random_state=seed, stratify=c)
    scaler = StandardScaler().fit(a)
    a, b = scaler.transform(a), scaler.transform(b)
    levels, counts = np.unique(ca, return_counts=True)
    # The perceptron takes no class weights everywhere: rows of each category are drawn alike often.
    share = {level: 1 / (len(levels) * n) for level, n in zip(levels, counts, strict=True)}
    drawn = rng.choice(len(ca), size=len(ca), p=np.array([share[v] for v in ca]))
    found = {
        "linear": LogisticRegression(class_weight="balanced", max_iter=500).fit(a, ca),
        "trees": HistGradientBoostingClassifier(class_weight="balanced", max_iter=60, random_state=seed).fit(a, ca),
        "perceptron": MIDebiasClassifier(
            mi_weight=0.0, hidden_layer_sizes=(64, 64), preprocess=False, epochs=None, random_state=seed
        ).fit(a[drawn], ca[drawn]),
    }
    return {name: float(balanced_accuracy_score(cb, probe.predict(b))) for name, probe in found.items()}


def run_cell(cell: FairCell) -> dict[str, Any]:
    """Train, predict the test rows, and measure: one row of ``results.json``."""
    from fairlearn.metrics import demographic_parity_difference, equalized_odds_difference
    from sklearn.metrics import accuracy_score, balanced_accuracy_score

    split = load_split(cell.dataset, cell.attribute, cell.seed, cell.limit)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the compared methods; what they could not do shows in their figures
        outcome = METHODS[cell.method](split, cell.seed, **cell.options)
    truth, decided, c = split.y_test, outcome.decisions, split.c_test
    row: dict[str, Any] = {
        "dataset": cell.dataset, "attribute": cell.attribute, "method": cell.method, "setting": cell.setting,
        "seed": cell.seed,
        "accuracy": float(accuracy_score(truth, decided)),
        "balanced_accuracy": float(balanced_accuracy_score(truth, decided)),
        "demographic_parity_difference": float(demographic_parity_difference(truth, decided, sensitive_features=c)),
        "equalized_odds_difference": float(equalized_odds_difference(truth, decided, sensitive_features=c)),
        "probe_balanced_accuracy": None, "mi": None, "mi_gaussian": None,
        "seconds": outcome.seconds,
    }  # fmt: skip
    if outcome.z is not None and cell.probe:
        found = probes(outcome.z, c, seed=cell.seed)
        row |= {f"probe_{k}": v for k, v in found.items()} | {"probe_balanced_accuracy": max(found.values())}
        codes = torch.tensor(np.unique(c, return_inverse=True)[1])
        row |= measure_mi_columns(torch.tensor(outcome.z), codes, Categorical(int(codes.max()) + 1), seed=cell.seed)
    return row


# -- the table -------------------------------------------------------------------------------------------------

_OURS: dict[str, tuple[dict[str, float], ...]] = {  # the first are the defaults, (0.1, 40) little but the decision
    "independence": (
        {"mi_weight": 8.0, "decision_weight": 1.5},
        {"mi_weight": 1.0, "decision_weight": 4.0},
        {"mi_weight": 0.1, "decision_weight": 40.0},
        {"mi_weight": 0.3, "decision_weight": 2.0},
    ),
    "separation": (
        {"mi_weight": 8.0, "decision_weight": 3.0},
        {"mi_weight": 20.0, "decision_weight": 3.0},
        {"mi_weight": 1.0, "decision_weight": 2.0},
        {"mi_weight": 1.0, "decision_weight": 8.0, "weight_decay": 10.0},
        {"mi_weight": 1.0, "decision_weight": 5.0, "weight_decay": 10.0},
    ),
}


def fair_cells(
    *, datasets: Sequence[str] = ("adult", "german"), seeds: Sequence[int] = (0, 1, 2), quick: bool = False
) -> list[FairCell]:
    """All runs of the table: Adult over seeds, German over five folds with both attributes."""
    cells: list[FairCell] = []
    for dataset in datasets:
        attributes = ["sex"] if dataset == "adult" else ["age"] if quick else ["age", "sex"]
        runs = list(seeds) if dataset == "adult" else list(range(1 if quick else _FOLDS))
        for attribute in attributes:
            for method, setting, options in _settings(dataset, quick):
                cells += [
                    FairCell(dataset, attribute, method, setting, options, run, 3000 if quick else None) for run in runs
                ]
    return cells


def _settings(dataset: str, quick: bool) -> Iterator[tuple[str, str, dict[str, Any]]]:
    usual = {"usual": True}
    yield "logistic_regression", "", {}
    yield "logistic_regression", "usual columns", usual
    yield "mlp", "", {"mi_weight": 0.0}
    for criterion, ours in _OURS.items():
        for options in ours[:1] if quick else ours:
            setting = ", ".join([criterion, *(f"{k}={v:g}" for k, v in options.items())])
            yield "mib", setting, {"criterion": criterion, **options}
        yield "threshold_optimizer", criterion, {"criterion": criterion}
        yield "exponentiated_gradient", f"{criterion}, eps=0.01", {"criterion": criterion, "eps": 0.01}
        if not quick:
            yield "threshold_optimizer", f"{criterion}, usual columns", {"criterion": criterion} | usual
            setting = f"{criterion}, eps=0.01, usual columns"
            yield "exponentiated_gradient", setting, {"criterion": criterion, "eps": 0.01} | usual
        for alpha in (1.0,) if quick else (0.3, 3.0):
            yield "adversarial", f"{criterion}, alpha={alpha:g}", {"criterion": criterion, "alpha": alpha}
    for alpha in (1.0,) if quick else (0.5, 1.0):
        yield "correlation_remover", f"alpha={alpha:g}", {"alpha": alpha}
    steps = 50 if quick else 1500 if dataset == "adult" else 300
    options = {"steps": steps, "critic_steps": 10, "lr": 1e-3}
    yield "reference", f"steps={steps}, critic_steps=10, lr=0.001", options


class FairnessTable:
    """Runs kept one file each in ``folder/cells``, so that what was interrupted goes on."""

    def __init__(self, folder: Path, cells: Sequence[FairCell], *, command: str) -> None:
        self.folder, self.cells, self.command = folder, list(cells), command
        self.failed: dict[str, str] = {}

    def finished(self) -> dict[str, dict[str, Any]]:
        """Rows that are there, by cell."""
        found = {}
        for cell in self.cells:
            path = self.folder / "cells" / f"{cell.name}.json"
            if path.is_file():
                found[cell.name] = json.loads(path.read_text(encoding="utf-8"))
        return found

    def run(self, only: Sequence[str] | None = None) -> Iterator[tuple[FairCell, dict[str, Any]]]:
        """Do what is missing, of the methods in ``only``; yields each cell and its row.

        A run that breaks down leaves the others alone: ``failed`` says which, and why.
        """
        done = self.finished()
        for cell in self.cells:
            if cell.name in done or (only is not None and cell.method not in only):
                continue
            try:
                row = run_cell(cell)
            except (RuntimeError, ValueError, ArithmeticError) as error:
                self.failed[cell.name] = f"{type(error).__name__}: {error}".splitlines()[0]
                continue
            write_json(self.folder / "cells" / f"{cell.name}.json", row)
            yield cell, row

    def document(self) -> dict[str, Any]:
        """``results.json``: rows, and their means and standard deviations over seeds or folds."""
        done = self.finished()
        rows = [done[c.name] for c in self.cells if c.name in done]
        seeds = sorted({r["seed"] for r in rows})
        return results_document(self.command, seeds, rows, table="fairness", summary=summarise(rows))


_MEASURES = (
    "accuracy", "balanced_accuracy", "demographic_parity_difference", "equalized_odds_difference",
    "probe_balanced_accuracy", "mi", "mi_gaussian", "seconds",
)  # fmt: skip


def summarise(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Mean and standard deviation of every measure over the runs of a data set, attribute, method and setting."""
    groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        key = tuple(str(row[k]) for k in ("dataset", "attribute", "method", "setting"))
        groups.setdefault(key, []).append(row)
    summary = []
    for (dataset, attribute, method, setting), runs in groups.items():
        entry: dict[str, Any] = {
            "dataset": dataset, "attribute": attribute, "method": method, "setting": setting, "runs": len(runs)
        }  # fmt: skip
        for name in _MEASURES:
            values = [r[name] for r in runs if r.get(name) is not None]
            entry[name] = float(np.mean(values)) if values else None
            entry[f"{name}_std"] = float(np.std(values, ddof=1)) if len(values) > 1 else None
        summary.append(entry)
    return summary
