"""The benchmarks of estimators measure what they say, on little."""

from __future__ import annotations

from pathlib import Path

import pytest

from midebias.benchmarks.estimator_speed import LINEAR, against_public, by_batch, growth, one_call
from midebias.benchmarks.independence import KINDS, draw_p_value, rejections
from midebias.report import draw_cost_by_batch


def test_cost_by_batch_and_its_growth(tmp_path: Path) -> None:
    rows = by_batch([64, 128], dim=4, repeats=1)
    assert {r["estimator"] for r in rows} == {*LINEAR, "gaussian"}
    assert all(r["seconds"] > 0 for r in rows)
    made = [{"kind": "batch", "estimator": "nwj", "batch": n, "seconds": 3e-6 * n} for n in (16, 64, 128)]
    made.append({"kind": "steps", "estimator": "nwj", "ratio": 0.9})
    assert growth(made, least=64) == {"nwj": pytest.approx(1.0)}
    draw_cost_by_batch(tmp_path / "cost.png", made)
    assert (tmp_path / "cost.png").stat().st_size > 5000


def test_one_call_beside_several() -> None:
    for row in one_call(steps=2, n=16, dim=2, repeats=1):
        assert row["ratio"] == pytest.approx(row["one_call"] / row["separate_calls"])


def test_other_implementations_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "theirs.py"
    path.write_text(
        "seen = []\n"
        "def make(dim):\n"
        "    return lambda z, c: seen.append((z.shape, c.shape))\n"
        "IMPLEMENTATIONS = {'idle': ('smile', {'hidden': (4,)}, make)}\n"
    )
    (row,) = against_public(path, n=8, dim=3, repeats=1)
    assert (row["public"], row["estimator"]) == ("idle", "smile")
    assert row["ratio"] > 1


def test_rejections_count_p_values_of_at_most_five_percent() -> None:
    row = draw_p_value(1, n=200)
    assert row["kind"] == list(KINDS)[1]
    rows = [row | {"p_value": p} for p in (0.05, 0.06, 0.5, 0.9)]
    assert rejections(rows) == [
        {"kind": "all", "draws": 4, "rejected": 0.25},
        {"kind": row["kind"], "draws": 4, "rejected": 0.25},
    ]
