from __future__ import annotations

import pytest
import torch

from benchmarks.published_tasks import TASKS, is_hit, render_table
from midebias.estimation.nearest_neighbours import estimate_by_neighbours
from midebias.normal_scores import compute_normal_scores


def test_there_are_forty() -> None:
    assert len(TASKS) == 40
    for task in TASKS.values():
        z, c = task.draw(20, torch.Generator().manual_seed(0))
        assert len(z) == len(c) == 20
        assert bool(z.isfinite().all() and c.isfinite().all())
        assert 0.1 < task.truth < 2.0


@pytest.mark.parametrize(
    "name",
    ["bimodal 1 x 1", "wiggly of normal 1 x 1", "Student 1 x 1, 1 degree", "Swiss roll 2 x 1", "normal 2 x 2, dense"],
)
def test_neighbours_confirm_the_truth(name: str) -> None:
    z, c = TASKS[name].draw(2000, torch.Generator().manual_seed(1))
    local = estimate_by_neighbours(compute_normal_scores(z), compute_normal_scores(c), None)
    assert float(local.mean()) == pytest.approx(TASKS[name].truth, abs=4 * float(local.std()) / 2000**0.5 + 0.03)


def test_the_table_counts_hits_and_names_what_is_missed() -> None:
    row = {"task": "a", "truth": 1.0, "n": 100, "seed": 0, "estimator": "estimate_mi", "value": 1.05, "seconds": 2.0}
    miss = row | {"task": "b", "value": 0.8}
    assert is_hit(row)
    assert not is_hit(miss)
    text = render_table({"rows": [row, miss], "command": "run"})
    assert "| `estimate_mi` | 100 | 2 | 1 | 0.125 | 2.0 |" in text
    assert "b, 100 pairs: 0.80 for 1.00" in text
