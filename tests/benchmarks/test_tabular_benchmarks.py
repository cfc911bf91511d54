from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.utils import Bunch

from benchmarks.budgets import fit_with_budget, summarize_budgets
from benchmarks.fit_time import summarize_fit_times
from benchmarks.other_tables import render_table as render_splits
from benchmarks.other_tables import run_split, summarize_splits
from benchmarks.repeated_folds import compute_signed_differences, measure_fold, summarize_folds
from benchmarks.tables import render_document
from midebias.datasets import fetch_adult


def test_a_run_under_a_budget_is_recorded() -> None:
    adult = fetch_adult()
    few = Bunch(**{k: adult[k][:600] for k in ("data", "target", "sensitive_features")})
    rows = [
        fit_with_budget(few, few, criterion="separation", max_mi=budget, seed=0, epochs=2)
        for budget in (0.02, math.inf)
    ]
    budgeted, plain = rows
    assert plain["max_mi"] is None
    assert plain["held_out_mi"] is None
    assert plain["mi_weight"] == 0
    assert budgeted["held_out_mi"] is not None
    assert 0 <= plain["test_accuracy"] <= 1
    recorded = {"table": "budgets", "summary": summarize_budgets(rows), "seed": [0], "command": "a command"}
    table = render_document(recorded)
    assert "| separation | 0.02 | " in table
    assert "| separation | none |  | " in table


def test_signed_differences_tell_who_is_decided_against() -> None:
    truth, first = np.array([0, 0, 0, 0, 1, 1]), np.array([True, True, False, False, True, False])
    decided = np.array([0, 1, 1, 1, 0, 1])
    parity, (wrongly, rightly) = compute_signed_differences(decided, truth, first)
    assert parity == pytest.approx(1 / 3 - 1)
    assert wrongly == pytest.approx(0.5 - 1)
    assert rightly == pytest.approx(0 - 1)


def test_a_fold_is_measured_and_told() -> None:
    row = measure_fold("logistic regression", "age", 6)
    assert row["parity_difference"] == abs(row["signed_parity_difference"])
    assert 0.6 < row["accuracy"] < 0.9
    summary = summarize_folds([row, row | {"fold": 7}])
    recorded = {"table": "repeated folds", "summary": summary, "seed": [6, 7], "command": "a command"}
    table = render_document(recorded)
    assert "| age | logistic regression | " in table
    assert "`a command`" in table


def test_the_table_of_fit_times_is_over_the_plain_network() -> None:
    rows = [
        {"method": name, "seed": seed, "cpu_seconds": seconds * (1 + seed), "seconds": 1.0}
        for seed in (0, 1)
        for name, seconds in (("plain network", 2.0), ("separation", 3.0))
    ]
    recorded = {"table": "fit time", "summary": summarize_fit_times(rows), "command": "a command"}
    assert "| separation | 4.5 | 1.50 (1.50 to 1.50) |" in render_document(recorded | {"versions": {"threads": "1"}})


def test_other_tables_are_averaged_over_splits_and_constant_answers_counted() -> None:
    (row,) = [r for r in run_split("german", 0, None, peers=False) if r["method"] == "midebias, plain"]
    assert 0.6 < row["accuracy"] < 0.9
    rows = [row, {**row, "seed": 1, "accuracy": row["accuracy"] - 0.02, "positive": 1.0}]
    (entry,) = summarize_splits(rows)
    assert entry["accuracy"] == pytest.approx(row["accuracy"] - 0.01)
    assert (entry["splits"], entry["constant"]) == (2, 1)
    assert "| german | midebias, plain |" in render_splits({"summary": [entry], "command": "a command"})
