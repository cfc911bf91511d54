"""A few hundred generated inputs; ``python -m tests.fuzz --seconds 600`` tries thousands."""

from __future__ import annotations

import random
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils import check_array

import midebias
from midebias.attributes import Categorical
from midebias.errors import InputError

from .fuzz.__main__ import TARGETS
from .fuzz.api import _target
from .fuzz.penalties import ATTRIBUTES, CRITERIA, DTYPES, ESTIMATORS, SCALES, TASKS, check_penalty
from .fuzz.runner import Defect, Target, fuzz, try_input

_SLOW = ("midebias", "audit", "leave_one_group_out", "penalty")


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda t: t.name)
def test_bad_input_has_a_clear_error_or_a_right_answer(target: Target) -> None:
    tally = fuzz(target, inputs=2 if target.name.startswith(_SLOW) else 6, seed=1)
    assert not tally.defects, "\n".join(map(str, tally.defects))


def test_the_fuzzer_finds_what_is_wrong() -> None:
    def fails(error: BaseException) -> Target:
        def feed(rng: random.Random, folder: Path) -> None:
            (folder / "left").write_text("behind")
            raise error

        return Target("planted", feed, ("z",))

    assert isinstance(try_input(fails(KeyError("z")), 0), Defect)
    assert isinstance(try_input(fails(InputError("something is wrong")), 0), Defect)
    assert isinstance(try_input(fails(InputError("")), 0), Defect)
    assert try_input(fails(InputError("z is wrong")), 0) == "z is wrong"


def fed(function: Callable[[Any], Any], *, foreign: bool) -> Defect | str:
    """Feed a function as the public ones are fed."""
    return try_input(_target(function, {"z": 0}, foreign=foreign), 0)


@pytest.mark.parametrize("foreign", [False, True])
def test_an_error_of_ours_is_not_taken_for_a_librarys(foreign: bool) -> None:
    def fail(z: Any) -> None:
        raise ValueError("which the caller cannot read")

    assert isinstance(fed(fail, foreign=foreign), Defect)


def test_an_error_of_a_library_is_not_taken_for_ours() -> None:
    def misuse_sklearn(z: Any) -> None:
        check_array("no array")

    def misuse_torch(z: Any) -> None:
        torch.nn.functional.cross_entropy(torch.zeros(2, 3), torch.zeros(5, dtype=torch.long))

    assert fed(misuse_sklearn, foreign=False) == fed(misuse_torch, foreign=True) == "answered"
    assert isinstance(fed(misuse_sklearn, foreign=True), Defect)
    assert isinstance(fed(misuse_torch, foreign=False), Defect)


def test_lines_and_places_are_those_of_midebias_only() -> None:
    def feed(rng: random.Random, folder: Path) -> None:
        check_array([[1.0]])
        Categorical("two")  # type: ignore[arg-type]

    reached = set[tuple[str, int]]()
    defect = try_input(Target("traced", feed, ("what it does not say",)), 0, reached=reached)
    files = {*Path(midebias.__file__).resolve().parent.rglob("*.py")}
    assert {Path(name).resolve() for name, _ in reached} <= files
    assert reached
    assert isinstance(defect, Defect)
    assert set(re.findall(r"(\S+):\d+", defect.where)) <= {path.name for path in files}


def test_a_folder_above_the_input_names_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def feed(rng: random.Random, folder: Path) -> None:
        raise InputError(f"something in {folder} is wrong")

    (tmp_path / "fuzzed").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "fuzzed"))
    assert isinstance(try_input(Target("planted", feed, ("fuzzed",)), 0), Defect)
    assert "wrong" in str(try_input(Target("planted", feed, ("fuzz-",)), 0))


def test_an_input_comes_again_by_its_number() -> None:
    seen: list[float] = []
    target = Target("numbers", lambda rng, folder: seen.append(rng.random()))
    for number in (3, 4, 3):
        try_input(target, number)
    assert seen[0] == seen[2] != seen[1]


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    task=st.sampled_from(TASKS),
    kind=st.sampled_from(ATTRIBUTES),
    estimator=st.sampled_from(ESTIMATORS),
    criterion=st.sampled_from(CRITERIA),
    dtype=st.sampled_from(DTYPES),
    scale=st.sampled_from(SCALES),
    n=st.integers(0, 70),
    balanced=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_a_penalty_is_finite_over_the_grid(
    task: str,
    kind: str,
    estimator: str,
    criterion: str,
    dtype: torch.dtype,
    scale: str,
    n: int,
    balanced: bool,
    seed: int,
) -> None:
    check_penalty(task, kind, estimator, criterion, dtype, scale=scale, n=n, balanced=balanced, seed=seed)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_a_regression_is_conditioned_on_what_it_is_told_only(criterion: str) -> None:
    from midebias import MIPenalty

    g = torch.Generator().manual_seed(0)
    z, c, y = torch.randn(40, 2, generator=g), torch.randint(2, (40,), generator=g), torch.randn(40, generator=g)
    penalty = MIPenalty(2, Categorical(2), criterion=criterion, estimator="gaussian")  # type: ignore[arg-type]
    if criterion == "separation":
        with pytest.raises(InputError, match="not binned silently"):
            penalty(z, c, y)
    else:
        assert torch.isfinite(penalty(z, c, y))
