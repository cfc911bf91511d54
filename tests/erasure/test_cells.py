"""Erasers that end in cells, with a certificate from rows that nothing was fitted to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from midebias import MIEraser
from midebias.column_kinds import read_columns
from midebias.errors import InputError
from midebias.leakage import certify
from midebias.leakage.cells import hold_aside
from midebias.random_state import draw_seed


def draw(n: int = 1200) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(0)
    c, y = rng.integers(2, size=(2, n))
    return rng.normal(size=(n, 5)) + np.outer(2 * c, np.eye(5)[0]) + np.outer(y, np.eye(5)[1]), y, c


def list_aside(n: int) -> Any:
    return hold_aside(read_columns(np.arange(n) % 2, "c"), n, draw_seed(0))[1]


@pytest.mark.parametrize(("method", "criterion"), [("linear", "independence"), ("nonlinear", "separation")])
def test_erased_rows_are_in_cells_and_certified(method: Any, criterion: Any, tmp_path: Path) -> None:
    z, y, c = draw()
    eraser = MIEraser(method=method, criterion=criterion, n_cells=16, random_state=0).fit(z, y, {"sex": c})
    erased, aside = eraser.transform(z), list_aside(len(c))
    assert len(np.unique(erased, axis=0)) == 16
    expected = certify(erased[aside], {"sex": c[aside]}, y[aside] if criterion == "separation" else None)
    assert eraser.certificate_.parity_difference == pytest.approx(expected.parity_difference)
    assert [b.criterion for b in eraser.certificate_.bounds] == [b.criterion for b in expected.bounds]
    assert eraser.certificate_.balanced_accuracy < 0.75 < certify((z[:, 0] > 1).astype(int), c).balanced_accuracy
    eraser.save(tmp_path / "eraser.safetensors")
    loaded = MIEraser.load(tmp_path / "eraser.safetensors")
    assert np.array_equal(loaded.transform(z), erased)
    assert loaded.certificate_ == eraser.certificate_


@pytest.mark.parametrize("method", ["linear", "nonlinear"])
def test_nothing_is_fitted_to_the_rows_aside(method: Any) -> None:
    z, _, c = draw()
    aside, rng = list_aside(len(c)), np.random.default_rng(1)
    other_z, other_c = z.copy(), c.copy()
    other_z[aside], other_c[aside] = 100 + 5 * rng.normal(size=(len(aside), 5)), rng.integers(2, size=len(aside))
    first, second = (
        MIEraser(method=method, n_cells=16, random_state=0).fit(part, sensitive_features=groups).transform(z)
        for part, groups in ((z, c), (other_z, other_c))
    )
    assert np.array_equal(first, second)


def test_single_precision_stays_single() -> None:
    z, _, c = draw()
    eraser = MIEraser(method="linear", n_cells=4, random_state=0).fit(z.astype(np.float32), sensitive_features=c)
    assert eraser.transform(z.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize(
    ("parameters", "arguments", "message"),
    [
        ({"n_cells": 1}, {}, "n_cells must lie in 2 to 1,024"),
        ({"n_cells": 2.5}, {}, "n_cells must be a whole number"),
        ({"n_cells": 4, "aware": True}, {}, "n_cells needs aware=False"),
        ({"n_cells": 4}, {"groups": np.arange(1200) // 4}, "n_cells takes rows for independent"),
        ({"n_cells": 4}, {"sensitive_features": np.linspace(0, 1, 1200)}, "is a quantity"),
    ],
)
def test_what_cannot_be_certified_is_refused(
    parameters: dict[str, Any], arguments: dict[str, Any], message: str
) -> None:
    z, _, c = draw()
    with pytest.raises(InputError, match=message):
        MIEraser(method="linear", **parameters).fit(z, **({"sensitive_features": c} | arguments))


def test_batches_make_no_cells() -> None:
    z, _, c = draw()
    with pytest.raises(InputError, match="n_cells=None"):
        MIEraser(method="linear", n_cells=4).partial_fit(z, sensitive_features=c)
