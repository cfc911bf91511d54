from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from midebias.report import draw_poster


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
