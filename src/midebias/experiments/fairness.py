"""Adult and German credit: accuracy against disparity and leakage, with fairlearn's methods on the same columns."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch

from ..attributes import Categorical
from ..leakage.auditing import audit
from .grid import Cell, Grid
from .mi_columns import measure_mi_columns
from .summary import summarize_runs
from .tabular_methods import METHODS
from .tabular_splits import FOLDS, load_split

MEASURES = (
    "accuracy", "balanced_accuracy", "demographic_parity_difference", "equalized_odds_difference",
    "probe_balanced_accuracy", "mi", "mi_gaussian", "seconds",
)  # fmt: skip  # columns of a row that are averaged


@dataclass(frozen=True)
class TableCell(Cell):
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

    def run(self) -> dict[str, Any]:
        """Train, predict the test rows, and measure: one row of ``results.json``."""
        from fairlearn.metrics import demographic_parity_difference, equalized_odds_difference
        from sklearn.metrics import accuracy_score, balanced_accuracy_score

        split = load_split(self.dataset, self.attribute, self.seed, self.limit)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the compared methods; what they could not do shows in their figures
            outcome = METHODS[self.method](split, self.seed, **self.options)
        truth, decided, c = split.y_test, outcome.decisions, split.c_test
        disparities = (demographic_parity_difference, equalized_odds_difference)
        row: dict[str, Any] = {
            "dataset": self.dataset, "attribute": self.attribute, "method": self.method, "setting": self.setting,
            "seed": self.seed, "accuracy": float(accuracy_score(truth, decided)),
            "balanced_accuracy": float(balanced_accuracy_score(truth, decided)),
            **{m.__name__: float(m(truth, decided, sensitive_features=c)) for m in disparities},
            "probe_balanced_accuracy": None, "mi": None, "mi_gaussian": None, "seconds": outcome.seconds,
        }  # fmt: skip
        if outcome.z is not None and self.probe:
            # Of c, cross-fitted on two halves of frozen z; 0.5 is chance for two categories.
            names = {"linear": "linear", "boosted trees": "trees", "mlp": "perceptron"}
            found = audit(outcome.z, {"c": c}, probes=tuple(names), n_folds=2, random_state=self.seed).findings
            probed = {f"probe_{names[f.probe]}": f.balanced_accuracy for f in found}
            row |= probed | {"probe_balanced_accuracy": max(probed.values())}
            codes = torch.tensor(np.unique(c, return_inverse=True)[1])
            row |= measure_mi_columns(torch.tensor(outcome.z), codes, Categorical(int(codes.max()) + 1), seed=self.seed)
        return {"rows": [row]}


class FairnessTable(Grid[TableCell]):
    """Cells on tables, with their means over seeds or folds."""

    cell_type = TableCell

    def describe(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Mean and standard deviation of every measure of a data set, attribute, method and setting."""
        by = ("dataset", "attribute", "method", "setting")
        return {"table": "fairness", "summary": summarize_runs(rows, by=by, columns=MEASURES)}


_OURS = {  # mi_weight, decision_weight, weight_decay; the first are the defaults, (0.1, 40) little but the decision
    "independence": ((8.0, 1.5), (1.0, 4.0), (0.1, 40.0), (0.3, 2.0)),
    "separation": ((8.0, 3.0), (20.0, 3.0), (1.0, 2.0), (1.0, 8.0, 10.0), (1.0, 5.0, 10.0)),
}


def plan_cells(
    *, datasets: Sequence[str] = ("adult", "german"), seeds: Sequence[int] = (0, 1, 2), quick: bool = False
) -> list[TableCell]:
    """All runs of the table: Adult over seeds, German over five folds with both attributes."""
    cells: list[TableCell] = []
    for dataset in datasets:
        attributes = ["sex"] if dataset == "adult" else ["age"] if quick else ["age", "sex"]
        runs = list(seeds) if dataset == "adult" else list(range(1 if quick else FOLDS))
        cells += [
            TableCell(dataset, attribute, method, setting, options, run, 3000 if quick else None)
            for attribute, (method, setting, options), run in product(attributes, _list_settings(dataset, quick), runs)
        ]
    return cells


def _list_settings(dataset: str, quick: bool) -> Iterator[tuple[str, str, dict[str, Any]]]:
    usual = {"usual": True}
    yield "logistic_regression", "", {}
    yield "logistic_regression", "usual columns", usual
    yield "mlp", "", {"mi_weight": 0.0}
    for criterion, ours in _OURS.items():
        for values in ours[:1] if quick else ours:
            options = dict(zip(("mi_weight", "decision_weight", "weight_decay"), values, strict=False))
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
    setting = f"steps={steps}, critic_steps=10, lr=0.001"
    yield "reference", setting, {"steps": steps, "critic_steps": 10, "lr": 1e-3}
