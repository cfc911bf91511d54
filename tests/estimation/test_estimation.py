from __future__ import annotations

import math

import pytest
import torch

from midebias import estimate_mi
from midebias.attributes import Attributes, Categorical, Continuous
from midebias.datasets.synthetic import TASKS
from midebias.errors import InputError
from midebias.estimation import bracket_mi
from midebias.estimation.copula import EllipticalCopula, compute_student_scores
from midebias.estimation.density_ratio import choose_degrees_of_freedom
from midebias.estimation.nearest_neighbours import estimate_by_neighbours
from midebias.estimation.permutation_test import compute_p_value
from midebias.marginals import draw_permutation_within
from midebias.normal_scores import compute_normal_scores
from midebias.whitening import whiten

from ..conftest import generator
from ..constructions import correlated_normals, only_through_groups

QUICK = {"max_steps": 100, "n_permutations": 39, "n_folds": 2}


@pytest.mark.parametrize("name", ["normal-2", "asinh-1", "classes-2-1", "conditional-2"])
def test_the_default_finds_the_truth(name: str) -> None:
    task = TASKS[name]
    z, c, groups = task.sample(3000, seed=3)
    result = estimate_mi(z, c, condition_on=groups, **QUICK)  # type: ignore[arg-type]
    assert result.value == pytest.approx(task.truth, abs=max(0.08, 0.1 * task.truth))
    assert result.p_value == pytest.approx(1 / 40)
    assert result.assumption


def test_what_only_groups_connect_is_none_within_them() -> None:
    z, c, y = only_through_groups(1500, seed=3)
    assert estimate_mi(z, c, **QUICK).value > 0.6  # type: ignore[arg-type]
    within = estimate_mi(z, c, condition_on=y, **QUICK)  # type: ignore[arg-type]
    assert abs(within.value) < 0.03


def test_symmetric_in_z_and_a_categorical_attribute() -> None:
    z, c, _ = TASKS["classes-2-1"].sample(1500, seed=0)
    forwards = estimate_mi(z, c, **QUICK)  # type: ignore[arg-type]
    backwards = estimate_mi(c[:, None].float(), z, **QUICK)  # type: ignore[arg-type]
    assert forwards.value == pytest.approx(backwards.value, abs=1e-5)


def test_invariant_to_monotone_maps_of_columns() -> None:
    z, c, _ = correlated_normals(1000, 1, 0.7, 0)
    first = estimate_mi(z, c, **QUICK)  # type: ignore[arg-type]
    second = estimate_mi(z.sinh(), c**3, **QUICK)  # type: ignore[arg-type]
    assert first.value == pytest.approx(second.value, abs=1e-4)


@pytest.mark.parametrize("estimator", ["nwj", "jensen_shannon", "smile", "info_nce", "club", "barber_agakov"])
def test_every_estimator_is_cross_fitted_and_says_its_direction(estimator: str) -> None:
    z, c, truth = correlated_normals(1500, 1, 0.7, 1)
    result = estimate_mi(z, c, estimator=estimator, max_steps=250, n_permutations=0, n_folds=2)  # type: ignore[arg-type]
    assert result.bound == ("upper" if estimator == "club" else "lower")
    if estimator == "club":
        assert result.value > truth - 0.1
    else:
        assert 0.6 * truth < result.value < truth + 3 * result.stderr + 0.05


def test_names_mean_what_they_mean_to_the_penalty() -> None:
    """A leak that no correlation shows: linear features are blind to it, random and learned ones are not."""
    g = generator(0)
    c = torch.randint(2, (2000,), generator=g)
    z = torch.randn(2000, 1, generator=g)
    z = torch.cat([z * (1 + 2 * c[:, None]), torch.randn(2000, 1, generator=g)], dim=1)
    found = {
        name: estimate_mi(z, c, estimator=name, max_steps=300, n_permutations=0, n_folds=2)  # type: ignore[arg-type]
        for name in ("gaussian_linear", "gaussian", "gaussian_learned", "auto")
    }
    assert abs(found["gaussian_linear"].value) < 0.01
    assert found["gaussian"].value == pytest.approx(found["auto"].value, abs=0.05)
    assert found["gaussian_learned"].value == pytest.approx(found["auto"].value, abs=0.05)
    assert found["auto"].value > 0.1
    assert {f.bound for f in found.values()} == {"exact", "lower"}


@pytest.mark.parametrize("name", ["gaussian", "gaussian_learned"])
@pytest.mark.parametrize("conditional", [False, True])
def test_features_find_nothing_where_there_is_nothing(name: str, conditional: bool) -> None:
    g = generator(1)
    z, c = torch.randn(1000, 5, generator=g), torch.randn(1000, 2, generator=g)
    y = torch.randint(3, (1000,), generator=g) if conditional else None
    found = estimate_mi(z, c, condition_on=y, estimator=name, max_steps=100, n_permutations=0)  # type: ignore[arg-type]
    assert abs(found.value) < 4 * found.stderr + 0.01


@pytest.mark.parametrize("estimator", ["nwj", "jensen_shannon", "smile", "info_nce", "club", "barber_agakov"])
def test_few_pairs_give_a_finite_estimate(estimator: str) -> None:
    z, c, _ = correlated_normals(100, 1, 0.7, 1)
    result = estimate_mi(z, c, estimator=estimator, max_steps=20, n_permutations=0)  # type: ignore[arg-type]
    assert math.isfinite(result.value)
    assert math.isfinite(result.stderr)


def test_a_bracket_holds_the_truth() -> None:
    z, c, truth = correlated_normals(1500, 1, 0.7, 2)
    bracket = bracket_mi(z, c, max_steps=250, n_folds=2, n_permutations=0)
    assert bracket.lower.value - 2 * bracket.lower.stderr < truth < bracket.upper.value + 0.1
    assert bracket.alarms == ()


def test_info_nce_warns_near_what_its_batch_allows() -> None:
    z = torch.randn(400, 4, generator=generator(0))
    result = estimate_mi(z, z * 2, estimator="info_nce", max_steps=400, n_permutations=0, n_folds=2)
    assert result.value < math.log(200)
    assert any("log(200)" in alarm for alarm in result.alarms)


def test_several_attributes_jointly_and_one_by_one_with_missing_values() -> None:
    g = generator(5)
    kind, age = torch.randint(2, (900,), generator=g).float(), torch.randn(900, generator=g)
    z = torch.stack([kind, age], dim=1) + torch.randn(900, 2, generator=g)
    c = torch.stack([kind, age], dim=1)
    c[:300, 1] = math.nan
    attribute = Attributes(Categorical(2), Continuous(1))
    result = estimate_mi(z, c, attribute=attribute, per_attribute=True, **QUICK)  # type: ignore[arg-type]
    first, second = result.parts
    assert (result.n, first.n, second.n) == (600, 900, 600)
    assert second.value == pytest.approx(0.5 * math.log(2), abs=0.1)
    assert first.value == pytest.approx(0.11, abs=0.07)
    assert result.value == pytest.approx(0.5 * math.log(2) + 0.11, abs=0.17)


def test_false_positives_are_as_rare_as_they_say() -> None:
    g = generator(0)
    found = 0
    for _ in range(120):
        z, c = torch.randn(60, 2, generator=g), torch.randn(60, 1, generator=g)
        found += compute_p_value(z, c, None, n_permutations=39, generator=g) <= 0.05
    assert 0 < found <= 14  # 6 expected


def test_the_test_sees_what_no_correlation_shows() -> None:
    g = generator(0)
    z = torch.randn(300, 1, generator=g)
    assert compute_p_value(z, z.abs(), None, n_permutations=99, generator=g) == 0.01


@pytest.mark.parametrize("name", ["normal-1", "additive-uniform-0.1", "bimodal", "student-1-dof3"])
def test_neighbours_confirm_the_truth_of_the_samplers(name: str) -> None:
    task = TASKS[name]
    z, c, groups = task.sample(2000, seed=0)
    local = estimate_by_neighbours(compute_normal_scores(z), compute_normal_scores(c), groups)
    assert float(local.mean()) == pytest.approx(task.truth, abs=4 * float(local.std()) / len(local) ** 0.5 + 0.03)


def test_neighbours_of_categories_and_of_atoms() -> None:
    task = TASKS["discrete-uniform-5"]
    z, c, _ = task.sample(2000, seed=0)
    local = estimate_by_neighbours(compute_normal_scores(z), 1e3 * c[:, None].float(), None)
    assert float(local.mean()) == pytest.approx(task.truth, abs=0.04)
    g = generator(0)
    kind = torch.randint(2, (2000, 1), generator=g).float()
    same = torch.rand(2000, 1, generator=g) < 0.8
    other = torch.where(same, kind, 1 - kind)
    truth = math.log(2) + 0.8 * math.log(0.8) + 0.2 * math.log(0.2)
    assert float(estimate_by_neighbours(kind, other, None).mean()) == pytest.approx(truth, abs=0.03)


@pytest.mark.parametrize("dof", [1.0, 2.0, 7.3])
def test_student_scores_are_quantiles(dof: float) -> None:
    normal = torch.linspace(-4, 4, 9)
    student = compute_student_scores(normal, dof).double()
    t = torch.linspace(0, 1, 200_001, dtype=torch.float64)
    for x, expected in zip(student, torch.special.ndtr(normal.double()), strict=True):
        # The distribution function by quadrature in the angle, in which the density is a power of the cosine.
        angles = torch.atan(x / math.sqrt(dof)) * t
        area = torch.trapezoid(angles.cos() ** (dof - 1), angles)
        constant = math.exp(math.lgamma((dof + 1) / 2) - math.lgamma(dof / 2)) / math.sqrt(math.pi)
        assert float(0.5 + constant * area) == pytest.approx(float(expected), rel=2e-3, abs=1e-6)


@pytest.mark.parametrize("dof", [2.0, math.inf])
@pytest.mark.parametrize("separate", [False, True])
def test_a_copulas_ratio_is_one_on_average_and_its_logarithm_the_truth(dof: float, separate: bool) -> None:
    g = generator(0)
    z, c, truth = correlated_normals(6000, 2, 0.6, 1)
    groups = torch.randint(2, (6000,), generator=g)
    if separate:
        c = c * (1 - 2 * groups)[:, None]
    if dof == 2.0:
        tails = (dof / torch.randn(6000, 2, generator=g).square().sum(dim=1, keepdim=True)).sqrt()
        z, c = z * tails, c * tails
        truth += _shared_tails(2, 2)
    z, c = compute_normal_scores(z, groups), compute_normal_scores(c, groups)
    assert choose_degrees_of_freedom(z, c, groups, separate=separate, seed=0) == dof
    copula = EllipticalCopula(z, c, groups, dof=dof, separate=separate)
    a, b, rho = copula.rotate(z, c, groups)
    assert float(copula.compute_log_ratio(a, b, rho).mean()) == pytest.approx(truth, abs=0.05)
    within = draw_permutation_within(groups, g)
    assert float(copula.compute_log_ratio(a, b[within], rho).exp().mean()) == pytest.approx(1.0, abs=0.1)
    table = copula.compute_all_log_ratios(a[:7], b[:9], rho[:7])
    one = [
        float(copula.compute_log_ratio(a[i : i + 1], b[j : j + 1], rho[i : i + 1])) for i in range(7) for j in range(9)
    ]
    assert table.flatten().tolist() == pytest.approx(one, abs=2e-4)


def _shared_tails(dim: int, dof: int) -> float:
    """Information of uncorrelated Student columns: Arellano-Valle, Contreras-Reyes, Genton 2013."""

    def f(x: float) -> float:
        return math.lgamma(x / 2) - x / 2 * float(torch.digamma(torch.tensor(x / 2)))

    return f(dof) + f(dof + 2 * dim) - 2 * f(dof + dim)


def test_more_blocks_more_information_and_less_of_z_no_more() -> None:
    z, c, truth = correlated_normals(2000, 2, 0.7, 0)
    whole = estimate_mi(z, c, estimator="gaussian_linear", n_permutations=0).value
    part = estimate_mi(z[:, :1], c, estimator="gaussian_linear", n_permutations=0).value
    assert part <= whole  # data processing
    other_z, other_c, other = correlated_normals(2000, 1, 0.5, 1)
    both = estimate_mi(
        torch.cat([z, other_z], dim=1), torch.cat([c, other_c], dim=1), estimator="gaussian_linear", n_permutations=0
    )
    assert both.value == pytest.approx(truth + other, abs=0.06)


def test_constant_columns_duplicated_rows_and_half_precision_are_no_obstacle() -> None:
    z, c, truth = correlated_normals(600, 1, 0.7, 0)
    z = torch.cat([z, torch.ones(600, 1), z], dim=1).to(torch.bfloat16).repeat(2, 1)
    result = estimate_mi(z, c.repeat(2, 1), **QUICK)  # type: ignore[arg-type]
    assert 0.5 * truth < result.value < 3 * truth
    constant = estimate_mi(torch.ones(200, 2), c[:200], **QUICK)  # type: ignore[arg-type]
    assert abs(constant.value) < 0.05
    assert constant.p_value == 1.0


def test_whitening_drops_what_does_not_vary() -> None:
    values = torch.cat([torch.randn(50, 2, generator=generator(0)), torch.ones(50, 1)], dim=1)
    white = whiten(values)
    assert torch.allclose(white.T @ white / 50, torch.eye(2), atol=1e-4)


def test_arguments_out_of_range_are_named() -> None:
    z, c, _ = correlated_normals(200, 1, 0.5, 0)
    with pytest.raises(InputError, match="estimator"):
        estimate_mi(z, c, estimator="guess")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="n_folds"):
        estimate_mi(z, c, n_folds=1)
    with pytest.raises(InputError, match="n_folds must leave 10 of 200 samples"):
        estimate_mi(z, c, n_folds=21)
    with pytest.raises(InputError, match="n_permutations"):
        estimate_mi(z, c, n_permutations=-1)
