from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from midebias.reporting.figures import draw_poster, draw_training


@pytest.mark.parametrize("names", [["plain"], ["plain", "reference", "mib"], ["somebody else's"]])
def test_the_poster_is_drawn_for_any_methods(tmp_path: Path, names: list[str]) -> None:
    path = tmp_path / "poster.png"
    draw_poster(
        path,
        digits=np.linspace(0, 1, 4 * 28 * 28 * 3).reshape(4, 28, 28, 3),
        truth=[1, 2, 3, 4],
        answers={n: [1, 2, 0, 0] for n in names},
        history={n: [{"step": 10, "seconds": s, "test_accuracy": 0.1 * s} for s in (1.0, 2.0)] for n in names},
        rows=[{"method": n, "probe_accuracy": 0.5, "mi": 0.7, "chance": 0.1} for n in names],
        title="A title",
    )
    assert path.stat().st_size > 20_000


@pytest.mark.parametrize(("depths", "runs"), [(0, 1), (1, 2), (3, 11)])
def test_training_is_drawn_with_and_without_a_penalty(depths: int, runs: int, tmp_path: Path) -> None:
    trace = [
        {"step": s, "loss": 1 / s, "mi": [0.1 - 0.05 * s] * depths, "weights": [2.0 * depths] * depths}
        for s in (1, 2, 3)
    ]
    draw_training(tmp_path / "training.png", {f"run {i}": trace for i in range(runs)})
    assert (tmp_path / "training.png").stat().st_size > 5_000
