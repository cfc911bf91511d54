"""Numbers as they were before modules moved, as near as another CPU comes; `python -m tests.frozen` is exact."""

from __future__ import annotations

import pytest

from .frozen.compute import FROZEN, compute
from .frozen.table import read_table

EXPECTED = read_table()["values"]


def test_every_name_is_in_the_table() -> None:
    assert set(FROZEN) == set(EXPECTED)


@pytest.mark.parametrize("name", list(FROZEN))
def test_nothing_moved(name: str) -> None:
    tolerance = FROZEN[name].tolerance
    assert compute(name) == pytest.approx(EXPECTED[name], rel=tolerance, abs=0.1 * tolerance)
