"""The benchmarks of estimators measure what they say, on little."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.estimator_speed import LINEAR, fit_growth, time_by_batch, time_one_call, time_public
from benchmarks.independence import KINDS, count_rejections, draw_p_value
from benchmarks.tables import render_document
from midebias.errors import InputError
from midebias.experiments.estimator_comparison import estimate_publicly, read_public_estimates


def test_cost_by_batch_and_its_growth() -> None:
    rows = time_by_batch([64, 128], dim=4, repeats=1)
    assert {r["estimator"] for r in rows} == {*LINEAR, "gaussian"}
    assert all(r["seconds"] > 0 for r in rows)
    made = [{"kind": "batch", "estimator": "nwj", "batch": n, "seconds": 3e-6 * n} for n in (16, 64, 128)]
    made.append({"kind": "steps", "estimator": "nwj", "ratio": 0.9})
    assert fit_growth(made, least=64) == {"nwj": pytest.approx(1.0)}


def test_one_call_beside_several() -> None:
    for row in time_one_call(steps=2, n=16, dim=2, repeats=1):
        assert row["ratio"] == pytest.approx(row["one_call"] / row["separate_calls"])


def test_other_implementations_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "theirs.py"
    path.write_text(
        "seen = []\n"
        "def make(dim):\n"
        "    return lambda z, c: seen.append((z.shape, c.shape))\n"
        "IMPLEMENTATIONS = {'idle': ('smile', {'hidden': (4,)}, make)}\n"
    )
    (row,) = time_public(path, n=8, dim=3, repeats=1)
    assert (row["public"], row["estimator"]) == ("idle", "smile")
    assert row["ratio"] > 1


def test_estimates_of_others_stand_beside_ours_on_the_same_pairs(tmp_path: Path) -> None:
    path = tmp_path / "theirs.py"
    path.write_text("ESTIMATES = {'columns': lambda z, c, seed: float(z.shape[1] + c.shape[1]) + seed}\n")
    estimates = read_public_estimates(path)
    (row,) = estimate_publicly("swiss-roll", 2, estimates, n=50)
    assert (row["task"], row["seed"], row["estimator"], row["value"]) == ("swiss-roll", 2, "columns", 5.0)
    assert estimate_publicly("classes-2-1", 0, estimates, n=50) == []  # categories
    assert estimate_publicly("conditional-2", 0, estimates, n=50) == []  # groups
    mine = row | {"estimator": "estimate_mi", "value": row["truth"] + 0.05, "low": 0.7, "high": 1.0}
    share = {"hits": 1, "of": 1, "share": 1.0}
    summary = dict.fromkeys(("within_small", "within_all", "covered"), share)
    text = render_document({"table": "estimators", "rows": [mine, row], "summary": summary, "n": 50, "command": "here"})
    assert f"| columns | 1 | 0 | 1 | {5 - row['truth']:.3f} | 0.050 |" in text
    with pytest.raises(InputError, match="'lost' returned nan on swiss-roll, seed 2"):
        estimate_publicly("swiss-roll", 2, {"lost": lambda z, c, seed: float("nan")}, n=50)
    for text, said in (("[]", "must define ESTIMATES"), ("{'estimate_mi': print}", "which the table has already")):
        path.write_text(f"ESTIMATES = {text}\n")
        with pytest.raises(InputError, match=said):
            read_public_estimates(path)


def test_rejections_count_p_values_of_at_most_five_percent() -> None:
    row = draw_p_value(1, n=200)
    assert row["kind"] == list(KINDS)[1]
    rows = [row | {"p_value": p} for p in (0.05, 0.06, 0.5, 0.9)]
    assert count_rejections(rows) == [
        {"kind": "all", "draws": 4, "rejected": 0.25},
        {"kind": row["kind"], "draws": 4, "rejected": 0.25},
    ]
