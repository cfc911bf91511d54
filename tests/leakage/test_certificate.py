"""Certificates against exact enumeration, brute force, invariances, and through all doors."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.stats import binom, multinomial

from midebias import audit
from midebias.cli import run
from midebias.errors import InputError
from midebias.leakage import Certificate, certify
from midebias.leakage.confidence import (
    limit_balanced_accuracy,
    limit_information,
    limit_proportion,
    limit_total_variation,
    measure_information,
)

DELTA = 0.05


def list_counts(n: int, k: int) -> Iterator[tuple[int, ...]]:
    """Yield all ways to put n rows into k cells."""
    for head in product(range(n + 1), repeat=k - 1):
        if sum(head) <= n:
            yield (*head, n - sum(head))


def list_shares(k: int, steps: int) -> list[tuple[float, ...]]:
    return [tuple(v / steps for v in counts) for counts in list_counts(steps, k)]


def compute_total_variation(p: Any, q: Any) -> float:
    return float(np.abs(np.array(p) - np.array(q)).sum() / 2)


@pytest.mark.parametrize(("n", "m", "k", "steps"), [(5, 9, 2, 20), (4, 5, 3, 5)])
def test_the_difference_of_decisions_is_covered_at_every_outcome_of_few_rows(
    n: int, m: int, k: int, steps: int
) -> None:
    first, second = list(list_counts(n, k)), list(list_counts(m, k))
    bounds = np.array([[limit_total_variation(np.array(a), np.array(b), DELTA) for b in second] for a in first])
    chances = {
        (size, p): multinomial(size, p).pmf(np.array(outcomes))
        for size, outcomes in ((n, first), (m, second))
        for p in list_shares(k, steps)
    }
    coverage = [
        chances[n, p] @ (bounds >= compute_total_variation(p, q) - 1e-12) @ chances[m, q]
        for p, q in product(list_shares(k, steps), repeat=2)
    ]
    assert 1 - DELTA <= min(coverage) < 1 - DELTA / 2  # valid, and not by far


def limit_by_brute_force(first: NDArray[Any], second: NDArray[Any]) -> float:
    """The same supremum over a dense grid of rates, with all sets of cells and whole sums of binomials."""
    n, m = int(first.sum()), int(second.sum())
    sets = np.array([(sum(a), sum(b)) for a, b in list_sets(first, second)])
    best, y = 0.0, np.arange(m + 1)
    for b in np.linspace(0, 1, 201):
        low, high = binom.ppf(0.025 * DELTA, m, b), binom.isf(0.025 * DELTA, m, b)
        agree = sets[(sets[:, 1] >= low) & (sets[:, 1] <= high)]
        if not len(agree):
            continue
        most = np.floor(n * ((agree[:, 0] / n - agree[:, 1] / m).max() + y / m) + 1e-9)
        rates = np.linspace(b, 1, 801)
        allowed = (binom.pmf(y, m, b) * binom.cdf(most, n, rates[:, None])).sum(axis=1) > 0.95 * DELTA
        best = max(best, float((rates[allowed] - b).max(initial=0)))
    return best


def list_sets(first: NDArray[Any], second: NDArray[Any]) -> list[tuple[list[int], list[int]]]:
    chosen = [np.array(c, dtype=bool) for c in product((0, 1), repeat=len(first))]
    return [(first[c].tolist(), second[c].tolist()) for c in chosen]


@pytest.mark.parametrize(
    ("first", "second"), [((3, 2, 4), (6, 1, 3)), ((7, 5, 6, 2), (9, 9, 9, 3)), ((20, 30), (40, 45))]
)
def test_the_difference_of_decisions_is_the_supremum(first: Any, second: Any) -> None:
    first, second = np.array(first), np.array(second)
    error = 0.5 * math.sqrt(1 / first.sum() + 1 / second.sum())
    found, expected = limit_total_variation(first, second, DELTA), limit_by_brute_force(first, second)
    assert expected - 2e-3 <= found <= expected + 0.15 * error


def test_many_cells_are_bounded_no_closer_than_all_their_sets() -> None:
    first, second = np.full(12, 5), np.array([7] * 6 + [3] * 6)
    of_sets = limit_total_variation(first, second, DELTA)
    of_mixtures = limit_total_variation(np.r_[first, 0], np.r_[second, 0], DELTA)  # a cell without rows
    assert of_sets - 1e-9 <= of_mixtures <= of_sets + 0.03


def test_information_is_covered_at_every_outcome_of_few_rows() -> None:
    outcomes = np.array(list(list_counts(10, 4)))
    bounds = np.array([limit_information([counts.reshape(2, 2)], DELTA) for counts in outcomes])
    for joint in [
        (0.25,) * 4,
        (0.4, 0.1, 0.1, 0.4),
        (0.5, 0.0, 0.0, 0.5),
        (0.7, 0.1, 0.15, 0.05),
        (0.45, 0.45, 0.0, 0.1),
    ]:
        truth = measure_information([np.array(joint).reshape(2, 2) * 1000])
        assert multinomial(10, joint).pmf(outcomes) @ (bounds >= truth - 1e-12) >= 1 - DELTA


def test_balanced_accuracy_of_three_groups_is_covered_at_every_outcome_of_few_rows() -> None:
    sizes, rates = (3, 4, 5), (0.0, 0.3, 0.5, 0.9)
    outcomes = list(product(*(range(size + 1) for size in sizes)))
    bounds = [limit_balanced_accuracy(np.array([x, np.subtract(sizes, x)]), DELTA) for x in outcomes]
    for p in product(rates, repeat=3):
        truth = (max(p) + max(1 - v for v in p)) / 3
        chance = [math.prod(binom.pmf(v, size, q) for v, size, q in zip(x, sizes, p, strict=True)) for x in outcomes]
        assert np.array(chance) @ (np.array(bounds) >= truth - 1e-12) >= 1 - DELTA


def test_a_proportion_is_bounded_as_by_the_rule_of_three() -> None:
    assert limit_proportion(0, 1000, DELTA) == pytest.approx(3 / 1000, rel=0.01)
    assert limit_proportion(7, 7, DELTA) == 1.0


def draw(n: int = 2000, k: int = 6, seed: int = 0, groups: int = 2) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    rng = np.random.default_rng(seed)
    c = rng.integers(groups, size=n)
    cell = np.where(rng.random(n) < 0.1, c % k, rng.integers(k, size=n))
    return cell, c, (cell + rng.integers(3, size=n) > k // 2).astype(int)


def list_bounds(certificate: Certificate) -> NDArray[Any]:
    return np.array([[b.balanced_accuracy, b.decision_difference, b.mi] for b in certificate.bounds])


@pytest.mark.parametrize("groups", [2, 3])
def test_names_and_order_change_nothing(groups: int) -> None:
    cell, c, y = draw(groups=groups)
    bounds = list_bounds(certify(cell, c, y))
    other = certify(np.array([3, 0, 5, 1, 4, 2])[cell], np.array(["x", "b", "m"])[c], 1 - y)
    assert list_bounds(other) == pytest.approx(bounds, abs=1e-9)
    order = np.random.default_rng(1).permutation(len(c))
    assert list_bounds(certify(np.eye(6)[cell][order], c[order], y[order])) == pytest.approx(bounds, abs=1e-9)


def test_cells_may_have_names() -> None:
    cell, c, _ = draw()
    names = np.array(list("uvwxyz"))[cell]
    expected = list_bounds(certify(cell, c))
    for z in (names, names.tolist(), pd.Series(names), pd.DataFrame({"cell": names}), cell[:, None].tolist()):
        assert list_bounds(certify(z, c)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("groups", [2, 3])
def test_more_rows_and_less_confidence_make_smaller_bounds(groups: int) -> None:
    cell, c, y = draw(n=600, groups=groups)
    bounds = list_bounds(certify(cell, c, y))
    assert (list_bounds(certify(np.tile(cell, 10), np.tile(c, 10), np.tile(y, 10))) < bounds).all()
    assert (list_bounds(certify(cell, c, y, confidence=0.8)) < bounds).all()
    assert (list_bounds(certify(cell, c, y, confidence=0.999)) > bounds).all()


@pytest.mark.parametrize("groups", [2, 3])
def test_with_many_rows_bounds_come_down_to_what_is_seen(groups: int) -> None:
    cell, c, y = (np.tile(part, 300) for part in draw(groups=groups))
    for b in certify(cell, c, y).bounds:
        assert b.balanced_accuracy_seen < b.balanced_accuracy < b.balanced_accuracy_seen + 0.003
        assert b.decision_difference_seen < b.decision_difference < b.decision_difference_seen + 0.006
        assert b.mi_seen < b.mi < 1.2 * b.mi_seen


def test_most_resamples_lie_below_the_bounds() -> None:
    rng, k = np.random.default_rng(0), 4
    p, q = np.array([0.3, 0.3, 0.2, 0.2]), np.array([0.25, 0.25, 0.25, 0.25])
    joint = np.stack([0.3 * p, 0.7 * q], axis=1)
    truth = np.array(
        [0.5 + compute_total_variation(p, q) / 2, compute_total_variation(p, q), measure_information([joint * 1e6])]
    )
    held = np.zeros(3)
    for _ in range(200):
        counts = rng.multinomial(500, joint.ravel())
        cell, c = np.repeat(np.arange(k), 2).repeat(counts), np.tile([0, 1], k).repeat(counts)
        held += list_bounds(certify(cell, c))[0] >= truth
    assert held.min() / 200 >= 0.92


def test_what_is_only_told_within_a_class_is_bounded_there() -> None:
    rng = np.random.default_rng(0)
    y, c = rng.integers(2, size=(2, 4000))
    certificate = certify(c ^ y, {"sex": c}, y)
    overall, within = certificate.bounds
    assert overall.decision_difference < 0.1 < 0.99 < within.decision_difference
    assert overall.mi < 0.01 < 0.65 < within.mi
    assert certificate.parity_difference == overall.decision_difference
    assert certificate.odds_difference == within.decision_difference
    assert certify(c ^ y, c).odds_difference is None


def test_the_largest_bound_counts_of_several_attributes() -> None:
    cell, c, _ = draw()
    certificate = certify(cell, {"sex": c, "none": np.arange(len(c)) % 2})
    sex, none = certificate.bounds
    assert none.decision_difference < sex.decision_difference == certificate.parity_difference
    assert "sex: balanced accuracy at most" in str(certificate)


def test_a_group_without_rows_in_a_class_can_be_told_there_for_all_that_is_known() -> None:
    cell, c, y = draw()
    known = (c == 0) | (y == 0)
    within = certify(cell[known], c[known], y[known]).bounds[1]
    assert within.decision_difference == within.balanced_accuracy == 1.0
    assert within.mi < math.log(2)  # the other class counts with what is known of it


def test_missing_attributes_are_left_out_and_counted() -> None:
    cell, c, _ = draw()
    values = np.where(np.arange(len(c)) < 300, np.nan, c)
    (bound,) = certify(cell, values).bounds
    assert bound.missing == 300
    assert sum(bound.groups.values()) == len(c) - 300
    (of_known,) = certify(cell[300:], c[300:]).bounds
    assert bound.decision_difference == of_known.decision_difference


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"z": np.random.default_rng(0).normal(size=(2000, 2))}, "z takes 2,000 distinct values.*n_cells"),
        ({"z": np.where(np.arange(2000) < 9, np.nan, 1.0)}, "z is missing in 9 rows"),
        ({"z": np.full((2000, 2), np.nan)}, "z contains NaN"),
        ({"c": np.random.default_rng(0).normal(size=2000)}, "'c' is a quantity"),
        ({"c": [f"c{i % 201}" for i in range(2000)]}, "'c' has 201 categories; at most 200"),
        ({"c": np.zeros(2000)}, "'c' never varies"),
        ({"c": np.zeros(1999)}, "c has 1999 rows, z has 2000"),
        ({"y": np.where(np.arange(2000) < 9, np.nan, 1.0)}, "y is missing in 9 rows"),
        ({"y": np.random.default_rng(0).normal(size=2000)}, "'y' is a quantity"),
        ({"y": np.zeros((2000, 2))}, "y must be one column, got 2"),
        ({"confidence": 1.0}, r"confidence must lie in \(0, 1\)"),
        ({"z": np.zeros(1), "c": np.zeros(1), "y": None}, "needs at least 2"),
    ],
)
def test_what_cannot_be_certified_is_refused(change: dict[str, Any], message: str) -> None:
    cell, c, y = draw()
    with pytest.raises(InputError, match=message):
        certify(**({"z": cell, "c": c, "y": y} | change))


def test_an_audit_holds_the_certificate(tmp_path: Path) -> None:
    cell, c, y = draw()
    z = np.eye(6)[cell]
    result = audit(z, {"sex": c}, y, probes=["linear"], certify=True, alpha=0.1)
    assert result.certificate is not None
    assert list_bounds(result.certificate) == pytest.approx(list_bounds(certify(z, {"sex": c}, y, confidence=0.9)))
    assert Certificate.from_dict(json.loads(result.to_json())["certificate"]) == result.certificate
    assert "Certified at 90%" in str(result)
    result.to_html(tmp_path / "page.html")
    assert "difference of decisions, at most" in (tmp_path / "page.html").read_text()
    assert audit(z, {"sex": c}, probes=["linear"]).certificate is None
    with pytest.raises(InputError, match="certify takes rows for independent"):
        audit(z, {"sex": c}, groups=np.arange(2000) // 10, probes=["linear"], certify=True)


def write_table(path: Path, cell: Any, c: Any, y: Any) -> Path:
    pd.DataFrame({"cell": cell, "sex": c, "y": y}).to_csv(path / "cells.csv", index=False)
    return path / "cells.csv"


def write_arrays(path: Path, cell: Any, c: Any, y: Any) -> Path:
    np.savez(path / "cells.npz", z=np.eye(6)[cell], sex=c, y=y)
    return path / "cells.npz"


@pytest.mark.parametrize("write", [write_table, write_arrays])
def test_the_command_certifies_as_the_function_does(write: Callable[..., Path], tmp_path: Path) -> None:
    cell, c, y = draw()
    command = ["audit", str(write(tmp_path, cell, c, y)), "--attribute", "sex", "--label", "y", "--probes", "linear"]
    assert run([*command, "--certify", "--output-dir", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "audit-001" / "results.json").read_text())
    found = list_bounds(Certificate.from_dict(results["certificate"]))
    assert found == pytest.approx(list_bounds(certify(cell, {"sex": c}, y)))


def test_the_command_says_why_it_cannot_certify(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _, c, _ = draw()
    np.savez(tmp_path / "z.npz", z=np.random.default_rng(0).normal(size=(2000, 3)), sex=c)
    command = ["audit", str(tmp_path / "z.npz"), "--attribute", "sex", "--certify", "--output-dir", str(tmp_path)]
    assert run(command) == 2
    assert "a continuous z cannot be certified" in capfd.readouterr().err
