"""Attributes of many categories: nothing is read where there is nothing, and what is there is still found."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midebias import audit
from midebias.leakage.inputs import CodedColumn
from midebias.leakage.many_categories import join_rare
from midebias.leakage.statistics import compare_with_marginal


def draw_categories(rng: np.random.Generator, n: int, k: int, kind: str) -> np.ndarray:
    rates = np.ones(k) if kind == "uniform" else 1 / np.arange(1, k + 1)
    return rng.choice(k, n, p=rates / rates.sum())


@pytest.mark.parametrize(
    ("k", "kind", "probes"),
    [
        (300, "uniform", ["mlp"]),
        (1000, "uniform", ["mlp"]),
        (500, "zipf", ["mlp"]),
        (40, "uniform", ["linear", "nearest neighbours"]),
        (700, "uniform", ["linear", "nearest neighbours"]),
    ],
)
def test_independent_z_leaks_nothing_about_any_number_of_categories(k: int, kind: str, probes: list[str]) -> None:
    for seed in range(3 if k < 100 else 1):
        rng = np.random.default_rng(seed)
        c = np.array([f"town {i}" for i in draw_categories(rng, 2000, k, kind)])
        result = audit(rng.normal(size=(2000, 3)), c, probes=probes, random_state=seed)
        assert not result.leaks
        for finding in result.findings:
            assert finding.low <= 0 <= finding.high
            assert abs(finding.mi) < 0.01


@pytest.mark.parametrize(("k", "kind"), [(40, "uniform"), (300, "uniform"), (300, "zipf"), (800, "uniform")])
def test_a_leak_about_many_categories_is_found(k: int, kind: str) -> None:
    rng = np.random.default_rng(0)
    c = draw_categories(rng, 2000, k, kind)
    z = rng.normal(size=(2000, 8)) + rng.normal(size=(k, 8))[c] * 0.45**0.5
    result = audit(z, np.char.add("n", c.astype(str)), probes=["linear"])
    assert result.leaks
    assert 0.02 < result.leakage < 8 / 2 * np.log(1.45)


def test_names_of_categories_change_no_figure() -> None:
    rng = np.random.default_rng(1)
    c = draw_categories(rng, 800, 200, "zipf")
    z = rng.normal(size=(800, 4)) + 0.3 * rng.normal(size=(200, 4))[c]
    renamed = rng.permutation(200)[c]
    first, second = (audit(z, np.char.add("n", v.astype(str)), probes=["linear", "mlp"]) for v in (c, renamed))
    assert [(f.mi, f.p_value) for f in first.findings] == [(f.mi, f.p_value) for f in second.findings]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 60), min_size=20, max_size=400), st.integers(2, 20))
def test_of_very_many_categories_the_rare_ones_are_joined(values: list[int], most: int) -> None:
    codes = np.unique([*values, 0, 1], return_inverse=True)[1]
    column = CodedColumn("c", np.append(codes, -1), tuple(f"v{i}" for i in range(codes.max() + 1)), False)
    joined = join_rare(column, most)
    if len(column.names) <= most:
        assert joined is column
    assert len(joined.names) == len(set(joined.names)) <= max(most, 2)
    assert joined.codes[-1] == -1
    pairs = set(zip(codes.tolist(), joined.codes[:-1].tolist(), strict=True))
    assert len(pairs) == len(column.names)  # a function of the category
    assert {after for _, after in pairs} == set(range(len(joined.names)))
    least = len(codes) // most + 1
    for i in np.flatnonzero(np.bincount(codes) >= least):  # a frequent one stays alone
        assert sum(after == dict(pairs)[i] for _, after in pairs) == 1


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 40), st.integers(2, 12), st.integers(0, 1000))
def test_a_score_that_does_not_look_at_z_saves_nothing(n: int, k: int, seed: int) -> None:
    """Whatever it says of categories, seen or not; and permutations of c save nothing on average."""
    rng = np.random.default_rng(seed)
    c, scores = rng.integers(k, size=n), rng.normal(size=(n, k))
    saved, influence = compare_with_marginal(np.tile(scores[:1], (n, 1)), c)
    np.testing.assert_allclose(saved, 0, atol=1e-12)
    np.testing.assert_allclose(influence, 0, atol=1e-12)
    saved, influence = compare_with_marginal(scores, c)
    assert saved.mean() == pytest.approx(influence.mean())
    assert np.mean([compare_with_marginal(scores, np.roll(c, shift))[0].mean() for shift in range(n)]) <= 1e-12
    shifted = compare_with_marginal(scores + rng.normal(size=k), c)[0]
    np.testing.assert_allclose(shifted, saved, atol=1e-9)  # what depends on c alone cancels
