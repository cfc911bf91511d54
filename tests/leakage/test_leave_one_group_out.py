"""Repeated subjects, and sites that no probe has seen."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midebias import audit
from midebias.cli import run
from midebias.errors import InputError
from midebias.leakage import leave_one_group_out
from midebias.leakage.split import deal_groups


def repeat_subjects(subjects: int, times: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """z tells who somebody is, and nothing of c about somebody it has not seen."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(subjects), times)
    return (
        3 * rng.normal(size=(subjects, 6))[who] + rng.normal(size=(len(who), 6)),
        rng.integers(0, 2, subjects)[who],
        who,
    )


@pytest.mark.parametrize("probe", ["linear", "nearest neighbours", "mlp"])
def test_repeated_subjects_leak_nothing_once_they_are_named(probe: str) -> None:
    for seed in range(3):
        z, c, who = repeat_subjects(80, 10, seed)
        grouped = audit(z, c, groups=who, probes=[probe], random_state=seed)
        assert not grouped.leaks
        assert grouped.interval[0] <= 0 <= grouped.interval[1]
        assert grouped.findings[0].n_groups == 80
        if probe != "linear":  # the identity of 80 subjects is not linear
            assert audit(z, c, probes=[probe], random_state=seed).leakage > 0.1


def test_a_leak_about_subjects_is_found_with_wider_intervals() -> None:
    z, c, who = repeat_subjects(100, 10)
    z[:, 0] += 8 * c
    grouped, alone = audit(z, c, groups=who, probes=["linear"]), audit(z, c, probes=["linear"])
    assert grouped.leaks
    assert grouped.findings[0].stderr > 1.5 * alone.findings[0].stderr


def test_an_attribute_that_changes_within_subjects_is_found() -> None:
    z, _, who = repeat_subjects(40, 12)
    c = np.random.default_rng(5).integers(0, 2, len(who))
    assert not audit(z, c, groups=who, probes=["linear"]).leaks
    z[:, 0] += 4 * c
    assert audit(z, c, groups=who, probes=["linear"]).leaks


def test_names_of_groups_change_no_figure_and_one_row_each_is_no_group() -> None:
    z, c, who = repeat_subjects(30, 8)
    first = audit(z, c, groups=who, probes=["linear"])
    for names in (pd.Series(who).map(lambda i: f"p{97 - i}"), who + 0.5, [str(i) for i in who]):
        assert audit(z, c, groups=names, probes=["linear"]).summary == first.summary
    assert audit(z, c, groups=np.arange(240) + 5, probes=["linear"]).findings == audit(z, c, probes=["linear"]).findings


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=5, max_size=60), st.integers(2, 6))
def test_parts_hold_every_row_once_and_split_no_group(groups: list[int], n_parts: int) -> None:
    codes = np.array(groups)
    parts = deal_groups(codes, np.arange(len(codes)), n_parts, np.random.default_rng(0))
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(codes)))
    owners = [set(codes[part].tolist()) for part in parts]
    assert sum(map(len, owners)) == len(set(groups))


def draw_sites(names: list[object]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """z tells sex at all sites but the last, and the label at all."""
    rng = np.random.default_rng(0)
    site, sex, y = rng.integers(3, size=900), rng.integers(0, 2, 900), rng.integers(0, 2, 900)
    z = rng.normal(size=(900, 4))
    z[:, 0] += 2 * sex * (site < 2)
    z[:, 1] += 3 * y
    return z, sex, y, np.array(names)[site]


@pytest.mark.parametrize("names", [["A", "B", "C"], [94110, 94111, 94112], [1000000.5, 1000000.25, 1000000.125]])
def test_leakage_and_accuracy_on_sites_never_seen(names: list[object]) -> None:
    z, sex, y, site = draw_sites(names)
    result = leave_one_group_out(z, {"sex": sex}, y, groups=site, probes=["linear"])
    found = {s.condition: s for s in result.summary}
    assert [found[f"group = {name}"].leaks for name in names] == [True, True, False]
    assert found[f"group = {names[0]}"].leakage > 0.1
    assert all(f.n == (site == names[0]).sum() for f in result.findings if f.condition == f"group = {names[0]}")
    accuracy = {g["group"]: g["accuracy"] for g in result.groups if g["attribute"] == "group"}
    assert set(accuracy) == {str(name) for name in names}
    assert all(0.85 < value < 1 for value in accuracy.values())
    assert "group = " in str(result)


def test_a_site_is_never_fitted_on() -> None:
    """At the last site z tells sex the other way round: whoever had seen it would do better than this."""
    z, sex, _, site = draw_sites(["A", "B", "C"])
    z[:, 0] -= 2 * sex * (site == "C")
    found = {s.condition: s for s in leave_one_group_out(z, sex, groups=site, probes=["linear"]).summary}
    assert found["group = C"].leakage < -0.1
    assert found["group = C"].balanced_accuracy < 0.5


def test_probes_that_saw_one_category_tell_nothing_elsewhere() -> None:
    """Their scores differ by rounding only, which is no leak."""
    z, sex, y, site = draw_sites(["A", "B", "C"])
    result = leave_one_group_out(z, np.where(site == "A", sex, 0), y, groups=site, probes=["linear", "mlp"])
    assert {s.condition: s.leaks for s in result.summary} == {"overall": False, "group = A": False}
    assert any("group B: c never varies" in warning for warning in result.warnings)


@pytest.mark.parametrize(
    ("function", "groups", "named"),
    [
        (audit, np.zeros(7), "groups has 7 rows, z has 200"),
        (audit, np.arange(200) % 3, "groups has 3 distinct values, needs at least 10; see leave_one_group_out"),
        (audit, [None] * 50 + list(range(150)), "groups is missing in 50 rows"),
        (audit, np.zeros((200, 2)), "groups must be one column"),
        (leave_one_group_out, np.zeros(200), "groups must have 2 to 50 distinct values, got 1"),
        (leave_one_group_out, np.arange(200), "groups must have 2 to 50 distinct values, got 200"),
    ],
)
def test_bad_groups_are_named(function: object, groups: object, named: str) -> None:
    z, c = np.random.default_rng(0).normal(size=(200, 2)), np.arange(200) % 2
    with pytest.raises(InputError, match=named):
        function(z, c, groups=groups, probes=["linear"])  # type: ignore[operator]


def test_the_command_takes_groups(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    z, c, who = repeat_subjects(60, 8)
    frame = pd.DataFrame({f"z_{i}": z[:, i] for i in range(6)} | {"sex": c, "person": [f"p{i}" for i in who]})
    frame.to_parquet(tmp_path / "e.parquet")
    command = ["audit", str(tmp_path / "e.parquet"), "--attribute", "sex", "--probes", "nearest neighbours"]
    command += ["--max-leakage", "0", "--output-dir", str(tmp_path / "runs")]
    assert run(command) == 1
    assert run([*command, "--groups", "person"]) == 0
    assert "No leakage above --max-leakage 0 nats was shown." in capfd.readouterr().out
    document = json.loads((tmp_path / "runs" / "audit-002" / "results.json").read_text())
    assert document["exit_status"] == 0
    assert document["settings"]["groups"] == 60
    assert run([*command, "--groups", "nobody"]) == 2
