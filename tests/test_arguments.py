from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from benchmarks.endurance import fit_memory_trend, read_resident_mib
from midebias import MIPenalty
from midebias.arguments import check_kind, checked
from midebias.attributes import Categorical
from midebias.errors import InputError


@pytest.mark.parametrize(
    ("hint", "good", "bad"),
    [
        (int, [3, -1, np.int64(3)], [True, 3.0, "3", None, 10**30, torch.tensor(3), np.array([1, 2]), 1j]),
        (float, [0.5, 3, np.float32(1), float("nan")], ["0.5", None, 1j, [], torch.ones(2), 10**400]),
        (bool, [True, np.bool_(False)], [1, "yes", None, np.array([True, False])]),
        (str, ["a"], [1, None, b"a"]),
        (int | None, [3, None], ["3", 0.5]),
        (Literal["a", "b"], ["a", "c"], [1, {}, []]),
        (Sequence[int], [(1, 2), [3], np.array([1, 2]), ()], ["12", 1, [1.5], {1: 2}, np.array(1), None, {1, 2}]),
        (int | Sequence[int], [1, (1, 2)], [0.5, ["a"]]),
        (torch.Tensor, [torch.zeros(1)], [np.zeros(1), [0.0]]),
        (torch.nn.Module | None, [torch.nn.Identity(), None], [len, 3]),
        (Callable[..., Any], [len, torch.nn.Identity()], [3, None, "len"]),
        (str | Path | None, ["a", Path("a"), None], [3, b"a", []]),
        (Any, [object()], []),
    ],
)
def test_kinds(hint: Any, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        check_kind("length", value, hint)
    for value in bad:
        with pytest.raises(InputError, match=r"^length must be "):
            check_kind("length", value, hint)


def test_a_checked_function_is_still_itself() -> None:
    @checked
    def area(width: float, *heights: int, scale: float = 1.0, **more: int) -> float:
        """Docs."""
        return width * sum(heights) * scale + len(more)

    assert area(2.0, 1, 2, scale=0.5, a=1) == 4.0
    assert area.__doc__ == "Docs."
    with pytest.raises(InputError, match="heights must be a whole number, got 'x'"):
        area(2.0, 1, "x")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="width"):
        area()  # type: ignore[call-arg]


def test_scalars_of_numpy_become_those_of_python() -> None:
    @checked
    def kind(value: int) -> type:
        return type(value)

    assert kind(np.int64(3)) is int
    MIPenalty(2, Categorical(np.int64(2)), seed=np.int64(3))  # type: ignore[arg-type]


def test_a_trend_is_that_of_the_samples_after_warm_up() -> None:
    trend = fit_memory_trend(range(40), [500.0] * 10 + [100 + 2.5 * k for k in range(30)])
    assert trend.slope == pytest.approx(2.5)
    assert trend.slope_stderr == pytest.approx(0, abs=1e-9)
    assert (trend.first_mib, trend.n) == (102.5, 30)
    with pytest.raises(InputError, match="at must hold"):
        fit_memory_trend([1, 2], [1, 2])
    assert 10 < read_resident_mib() < 1e6
