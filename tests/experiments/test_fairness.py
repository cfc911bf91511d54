from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.tables import render_document
from midebias.datasets import fetch_adult
from midebias.errors import DataError
from midebias.experiments.fairness import FairnessTable, TableCell, plan_cells
from midebias.experiments.tabular_methods import METHODS
from midebias.experiments.tabular_splits import load_split
from midebias.reporting.fairness_figure import draw_front


def test_a_run_that_breaks_down_leaves_the_others_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(split: object, seed: int, **options: object) -> None:
        raise RuntimeError("diverged\nat a second line")

    monkeypatch.setitem(METHODS, "mib", broken)
    cells = [c for c in plan_cells(seeds=[0], quick=True) if c.method in ("mib", "logistic_regression")]
    cells = [c for c in cells if c.dataset == "german"]
    table = FairnessTable(tmp_path, cells, command="x")
    with pytest.raises(DataError, match="RuntimeError: diverged, and 1 more"):
        list(table.run())
    assert {table.cells[i].method for i, c in enumerate(cells) if c.name in table.read_records()} == {
        "logistic_regression"
    }


def test_a_run_of_the_fairness_table_is_kept_and_summarised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [TableCell("german", "age", "mib", "", {"epochs": 2}, fold, limit=300, probe=False) for fold in (0, 1)]
    whole = FairnessTable(tmp_path, cells, command="test")
    assert [cell.seed for cell, _ in whole.run()] == [0, 1]
    monkeypatch.delitem(METHODS, "mib")
    assert [cell.seed for cell, _ in whole.run()] == [0, 1]  # nothing is done twice
    document = json.loads((tmp_path / "results.json").read_text())
    (entry,) = document["summary"]
    assert entry["seeds"] == 2
    mean = sum(r["accuracy"] for r in document["rows"]) / 2
    assert entry["accuracy"] == pytest.approx(mean)
    assert "| **MI backpropagation** |" in render_document(document)
    parity, _ = draw_front(tmp_path / "front.png", document["summary"]).get_axes()
    assert [list(drawn.lines[0].get_ydata()) for drawn in parity.containers] == [[entry["accuracy"]]]


def test_usual_columns_are_of_the_same_rows() -> None:
    split = load_split("german", "age", 0)
    usual = split.with_usual_columns()
    assert len(usual.x) == len(split.x)
    assert len(usual.x_test) == len(split.x_test)
    np.testing.assert_array_equal(usual.y, split.y)
    numbers = [j for j in range(usual.x.shape[1]) if len(np.unique(usual.x[:, j])) > 2]
    np.testing.assert_allclose(usual.x[:, numbers].mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(usual.x[:, numbers].std(axis=0), 1)


def test_the_table_holds_every_method_and_no_two_cells_of_one_name() -> None:
    cells = plan_cells()
    assert {c.method for c in cells} == set(METHODS)
    assert len({c.name for c in cells}) == len(cells)
    assert {(c.dataset, c.attribute) for c in cells} == {("adult", "sex"), ("german", "age"), ("german", "sex")}


def test_a_second_shuffle_of_german_has_folds_of_its_own_that_hold_every_row_once() -> None:
    first, second = ([load_split("german", "age", fold + k) for fold in range(5)] for k in (0, 5))
    for folds in (first, second):
        assert sum(len(f.frame_test) for f in folds) == 1000
        assert len(pd.concat([f.frame_test for f in folds]).drop_duplicates()) > 990
    assert not first[0].frame_test.equals(second[0].frame_test)


def test_a_third_of_adult_is_held_out_of_its_training_file() -> None:
    split, other = load_split("adult-thirds", "sex", 0), load_split("adult-thirds", "sex", 1)
    assert (len(split.frame), len(split.frame_test)) == (21708, 10853)
    everything = pd.concat([split.frame, split.frame_test])
    given = fetch_adult().data
    assert sorted(everything["fnlwgt"]) == sorted(given["fnlwgt"])
    assert split.y.sum() + split.y_test.sum() == 7841
    assert not split.frame_test.equals(other.frame_test)
