from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from midebias import MIPenalty, estimate_mi
from midebias.attributes import Attributes, Categorical, Continuous
from midebias.errors import InputError, TooFewSamples
from midebias.estimators import (
    CLUB,
    NWJ,
    SMILE,
    BarberAgakov,
    DonskerVaradhan,
    GaussianMI,
    InfoNCE,
    JensenShannon,
    LearnedGaussianMI,
)
from midebias.estimators.log_determinant import compute_gaussian_information, compute_wilks_bias
from midebias.marginals import center_within

from ..conftest import generator
from ..constructions import correlated_normals, only_through_groups, shifted_normals


@pytest.mark.parametrize("dim", [1, 3, 8])
@pytest.mark.parametrize("rho", [0.3, 0.6, 0.9])
def test_gaussian_mi_matches_the_closed_form(dim: int, rho: float) -> None:
    z, c, truth = correlated_normals(5000, dim, rho, seed=dim)
    assert float(GaussianMI(ridge=0.0)(z, c)) == pytest.approx(truth, abs=0.04 + 0.02 * truth)


@pytest.mark.parametrize(("dim", "rho"), [(1, 0.9), (3, 0.6), (5, 0.5)])
def test_donsker_varadhan_matches_the_closed_form(dim: int, rho: float) -> None:
    z, c, truth = correlated_normals(4000, dim, rho, seed=1)
    result = estimate_mi(z, c, estimator="donsker_varadhan", n_folds=2)
    assert result.bound == "lower"
    assert result.value == pytest.approx(truth, abs=0.06 + 0.1 * truth)
    assert result.value < truth + 3 * result.stderr


@pytest.mark.parametrize("shift", [0.5, 1.5, 3.0])
def test_both_on_a_discrete_continuous_mixture(shift: float) -> None:
    z, c, truth = shifted_normals(6000, shift, seed=2)
    neural = estimate_mi(z, c, max_steps=200, n_folds=2, n_permutations=0)
    assert neural.value == pytest.approx(truth, abs=0.05)
    closed = float(GaussianMI()(z, Categorical(2).encode(c)[0]))
    # The log-determinant is not exact for a mixture; it must see the dependence and stay near it.
    assert 0.7 * truth - 0.02 < closed < 1.6 * truth + 0.02


@pytest.mark.parametrize("estimator", ["gaussian_linear", "donsker_varadhan"])
def test_zero_within_its_interval_for_independent_pairs(estimator: str) -> None:
    inside = 0
    for seed in range(2, 7):
        z, c, _ = correlated_normals(2000, 2, 0.0, seed)
        options: Any = {"estimator": estimator, "random_state": seed, "n_folds": 2, "max_steps": 200}
        result = estimate_mi(z, c, n_permutations=0, **options)
        low, high = result.interval
        inside += low - 0.003 <= 0.0 <= high + 0.003
    assert inside >= 4


@pytest.mark.parametrize("estimator", ["gaussian_linear", "donsker_varadhan"])
def test_conditional_is_zero_where_only_the_groups_connect(estimator: str) -> None:
    z, c, y = only_through_groups(4000, seed=3)
    options: Any = {"estimator": estimator, "n_folds": 2, "max_steps": 200, "n_permutations": 0}
    joint, within = estimate_mi(z, c, **options), estimate_mi(z, c, condition_on=y, **options)
    assert joint.value > 0.7
    assert abs(within.value) < 0.02


def test_random_features_see_what_linear_ones_do_not() -> None:
    g = generator(4)
    z = torch.randn(4000, 1, generator=g)
    c = z.square() + 0.3 * torch.randn(4000, 1, generator=g)
    linear, random = float(GaussianMI()(z, c)), float(GaussianMI(features="random", n_features=32)(z, c))
    assert abs(linear) < 0.02
    assert random > 0.5


def test_random_features_are_drawn_afresh_each_call() -> None:
    z, c, _ = correlated_normals(500, 2, 0.7, 0)
    estimator = GaussianMI(features="random", n_features=8)
    first = float(estimator(z, c))
    assert first != float(estimator(z, c))
    assert first == float(GaussianMI(features="random", n_features=8)(z, c))


def test_fixed_projection() -> None:
    z, c, _ = correlated_normals(2000, 3, 0.8, 0)
    projection = torch.eye(3)[:, :2]
    assert float(GaussianMI(projection=projection)(z, c)) == pytest.approx(float(GaussianMI()(z[:, :2], c)), abs=1e-5)


@pytest.mark.parametrize("grouped", [False, True])
def test_more_columns_than_rows_is_the_same_formula(grouped: bool) -> None:
    g = generator(11)
    n, p, padding = 100, 20, 130
    z = torch.randn(n, p, generator=g, dtype=torch.float64)
    c = z[:, :2] + torch.randn(n, 2, generator=g, dtype=torch.float64)
    groups = torch.randint(2, (n,), generator=g) if grouped else None
    gradients, values = [], []
    for width in (p, p + padding):
        wide = torch.cat([z, z.new_zeros(n, width - p)], dim=1).requires_grad_()
        # The ridge is in units of the mean variance, to which columns of zeros do not contribute.
        value = GaussianMI(ridge=0.1 * width / p)(wide, c, groups)
        value.backward()
        assert wide.grad is not None
        values.append(value.detach())
        gradients.append(wide.grad[:, :p])
    assert float(values[0]) > 0.2
    torch.testing.assert_close(values[1], values[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("n", [60, 200])
@pytest.mark.parametrize("rho", [0.0, 0.7])
def test_the_finite_sample_excess_is_removed(n: int, rho: float) -> None:
    """Averaged over draws the corrected estimate hits the truth, where the plug-in formula is far above it."""
    values = []
    for seed in range(150):
        z, c, truth = correlated_normals(n, 3, rho, seed)
        values.append(float(GaussianMI(ridge=0.0)(z, c)))
    spread = torch.tensor(values).std() / len(values) ** 0.5
    assert compute_wilks_bias(3, 3, n - 1) > 2 * spread
    assert sum(values) / len(values) == pytest.approx(truth, abs=4 * float(spread))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(0.01, 100.0), dim=st.integers(1, 5))
def test_gaussian_mi_is_invariant_to_invertible_linear_maps(seed: int, scale: float, dim: int) -> None:
    z, c, _ = correlated_normals(400, dim, 0.6, seed)
    # Where a side is nearly singular, rounding and the ridge decide.
    assume(max(float(torch.linalg.cond(v.T.cov().reshape(dim, dim))) for v in (z, c)) < 300)
    g = generator(seed)
    orthogonal = torch.linalg.qr(torch.randn(dim, dim, generator=g)).Q
    before = float(GaussianMI(ridge=0.0)(z, c))
    after = float(GaussianMI(ridge=0.0)(scale * z @ orthogonal + 3.0, 5.0 - c))
    assert after == pytest.approx(before, abs=1e-3)
    assert float(GaussianMI(ridge=0.0)(c, z)) == pytest.approx(before, abs=1e-3)


def _numeric_gradient(f, z: Tensor, epsilon: float) -> Tensor:  # type: ignore[no-untyped-def]
    gradient = torch.zeros_like(z)
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            up, down = z.clone(), z.clone()
            up[i, j] += epsilon
            down[i, j] -= epsilon
            gradient[i, j] = (f(up) - f(down)) / (2 * epsilon)
    return gradient


@pytest.mark.parametrize("conditional", [False, True])
def test_gaussian_gradient_against_finite_differences(conditional: bool) -> None:
    z, c, _ = correlated_normals(24, 2, 0.6, 0)
    z, c = z.double(), c.double()
    groups = torch.arange(24) % 3 if conditional else None
    estimator = GaussianMI(ridge=0.0)
    variable = z.clone().requires_grad_()
    estimator(variable, c, groups).backward()
    numeric = _numeric_gradient(lambda v: estimator(v, c, groups), z, 1e-5)
    assert torch.allclose(variable.grad, numeric, rtol=1e-3, atol=1e-6)  # type: ignore[arg-type]


@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_the_written_out_gradient_is_that_of_three_determinants(ridge: float) -> None:
    z = torch.randn(2, 24, 3, generator=generator(0), dtype=torch.float64)
    c = torch.randn(24, 2, generator=generator(1), dtype=torch.float64)
    y = torch.randint(2, (24,), generator=generator(2))
    z[0, :, :2] += c
    z[1] = 10 * z[1] + 3
    c = center_within(c, y)[0]
    z.requires_grad_()

    def slow(one: Tensor) -> Tensor:
        centred = center_within(one, y)[0]
        joint = torch.cat([centred, c], dim=1)
        moments = joint.T @ joint / len(c)
        moments = moments + torch.diag_embed(torch.eye(5)[:3].sum(0).double()) * ridge * moments.diagonal()[:3].mean()
        return 0.5 * (torch.logdet(moments[:3, :3]) + torch.logdet(moments[3:, 3:]) - torch.logdet(moments))

    weight = torch.tensor([1.0, 2.0], dtype=torch.float64)
    (found,) = torch.autograd.grad((weight * compute_gaussian_information(z, c, y, ridge=ridge)).sum(), z)
    (truth,) = torch.autograd.grad((weight * torch.stack([slow(one) for one in z])).sum(), z)
    torch.testing.assert_close(found, truth, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("conditional", [False, True])
def test_donsker_varadhan_gradient_against_finite_differences(conditional: bool) -> None:
    z, c, _ = correlated_normals(16, 2, 0.6, 0)
    z, c = z.double(), c.double()
    groups = torch.arange(16) % 2 if conditional else None
    estimator = DonskerVaradhan(2, 2, n_groups=2 if conditional else 0, standardize=False).double()
    state = estimator.get_extra_state()

    def value(v: Tensor) -> Tensor:
        estimator.set_extra_state(state)  # the same permutation each time
        return estimator(v, c, groups)

    variable = z.clone().requires_grad_()
    value(variable).backward()
    assert torch.allclose(variable.grad, _numeric_gradient(value, z, 1e-5), rtol=1e-3, atol=1e-7)  # type: ignore[arg-type]


def test_a_constant_attribute_carries_no_information() -> None:
    z = torch.randn(100, 3, generator=generator(0)).requires_grad_()
    value = GaussianMI()(z, torch.ones(100, 2))
    value.backward()
    assert float(value.detach()) == 0.0
    assert torch.equal(z.grad, torch.zeros_like(z))  # type: ignore[arg-type]


def test_a_collapsed_representation_carries_no_information() -> None:
    c = torch.randn(100, 1, generator=generator(0))
    for features in ("linear", "random"):
        value = GaussianMI(features=features, n_features=4)(torch.zeros(100, 3, requires_grad=True), c)  # type: ignore[arg-type]
        value.backward()
        assert abs(float(value.detach())) < 1e-6


def test_a_class_with_one_member_changes_nothing() -> None:
    z, c, _ = correlated_normals(300, 2, 0.7, 0)
    y = torch.zeros(300, dtype=torch.long)
    alone = torch.cat([y, torch.tensor([5])])
    far_z, far_c = torch.cat([z, torch.full((1, 2), 9.0)]), torch.cat([c, torch.full((1, 2), -9.0)])
    assert float(GaussianMI()(far_z, far_c, alone)) == pytest.approx(float(GaussianMI()(z, c, y)), abs=1e-4)


@pytest.mark.parametrize("estimator", [GaussianMI(), DonskerVaradhan(2, 2)])
def test_bad_inputs_name_the_argument(estimator) -> None:  # type: ignore[no-untyped-def]
    z, c, _ = correlated_normals(50, 2, 0.5, 0)
    with pytest.raises(InputError, match="z contains NaN"):
        estimator(torch.where(z == z.max(), torch.nan, z), c)
    with pytest.raises(InputError, match="z must have shape"):
        estimator(z[:, 0], c)
    with pytest.raises(InputError, match="z must have a floating dtype"):
        estimator(z.long(), c)
    with pytest.raises(TooFewSamples, match="z holds 1 sample"):
        estimator(z[:1], c[:1])
    with pytest.raises(InputError, match="c must be encoded"):
        estimator(z, c[:10])
    with pytest.raises(InputError, match="integer labels"):
        estimator(z, c, torch.rand(50, generator=generator(0)))


def test_too_few_samples_are_refused_not_guessed() -> None:
    z, c, _ = correlated_normals(10, 8, 0.5, 0)
    with pytest.raises(TooFewSamples, match="too few"):
        GaussianMI(ridge=0.0)(z, c)


def test_truth_values_are_labels_of_groups() -> None:
    z, c, _ = correlated_normals(80, 2, 0.5, 0)
    groups = torch.arange(80) % 2
    for build in (
        lambda: GaussianMI(group_signs=True),
        lambda: LearnedGaussianMI(2, 2),
        lambda: BarberAgakov(2, Continuous(2), n_groups=2),
    ):
        assert float(build()(z, c, groups.bool()).detach()) == float(build()(z, c, groups).detach())


def test_bad_constructor_arguments() -> None:
    with pytest.raises(InputError, match="clip"):
        SMILE(2, 2, clip=1e300)
    with pytest.raises(InputError, match="c must be encoded"):
        GaussianMI()(torch.zeros(9, 2), torch.zeros(9, 0))
    with pytest.raises(InputError, match="features"):
        GaussianMI(features="cubic")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="ridge"):
        GaussianMI(ridge=-1.0)
    z, c, _ = correlated_normals(50, 2, 0.5, 0)
    with pytest.raises(InputError, match="n_groups"):
        DonskerVaradhan(2, 2)(z, c, torch.zeros(50, dtype=torch.long))


def test_estimate_mi_is_reproducible_and_checks_its_arguments() -> None:
    z, c, _ = shifted_normals(500, 1.0, 0)
    first, second = (estimate_mi(z, c, max_steps=50, n_folds=2, random_state=7) for _ in range(2))
    assert first == second
    with pytest.raises(InputError, match="at least 100"):
        estimate_mi(z[:50], c[:50])
    with pytest.raises(InputError, match="c has 499 rows, z has 500"):
        estimate_mi(z, c[:-1])
    with pytest.raises(InputError, match="estimator"):
        estimate_mi(z, c, estimator="guess")  # type: ignore[arg-type]


def test_several_representations_together_are_as_one_by_one() -> None:
    groups = torch.arange(300) % 3
    c = torch.randn(300, 2, generator=generator(0))
    first = torch.randn(300, 5, generator=generator(1)) + c[:, :1]
    second = torch.randn(300, 9, generator=generator(2)) * 3
    second[:, 0] += c[:, 1].abs()
    constant = torch.zeros(300, 4)
    options = {"features": "random", "n_features": 16, "ridge": 1e-2, "attribute_degree": 2}
    for inside in (None, groups):
        leaves = [z.clone().requires_grad_() for z in (first, second, constant)]
        together = GaussianMI(**options, seed=4).estimate_several(leaves, c, inside)
        together.sum().backward()
        alone = GaussianMI(**options, seed=4)
        for k, z in enumerate((first, second, constant)):
            leaf = z.clone().requires_grad_()
            value = alone(leaf, c, inside)
            value.backward()
            assert together[k].item() == pytest.approx(value.item(), abs=1e-5)
            assert torch.allclose(leaves[k].grad, leaf.grad, atol=1e-6)  # type: ignore[arg-type]
        assert together[2].item() == 0.0
    with pytest.raises(InputError, match="random"):
        GaussianMI().estimate_several([first], c)


CRITICS = (DonskerVaradhan, NWJ, JensenShannon, SMILE, InfoNCE)


@pytest.mark.parametrize("kind", CRITICS)
@pytest.mark.parametrize("critic", ["joined", "separable", "bilinear"])
def test_each_critic_learns_and_its_gradient_reaches_z(kind, critic: str) -> None:  # type: ignore[no-untyped-def]
    z, c, _ = correlated_normals(512, 2, 0.8, 0)
    groups = torch.arange(512) % 3
    estimator = kind(2, 2, critic=critic, hidden=(16,), n_groups=3)
    before = float(estimator(z, c, groups).detach())
    estimator.update(z, c, groups, torch.optim.Adam(estimator.parameters(), 1e-2), steps=60)
    leaf = z.clone().requires_grad_()
    value = estimator(leaf, c, groups)
    value.backward()
    assert float(value.detach()) > (before if critic == "bilinear" else max(before, 0.0)) + 0.1
    assert float(leaf.grad.abs().sum()) > 0  # type: ignore[union-attr]


@pytest.mark.parametrize("critic", ["joined", "separable", "bilinear"])
@pytest.mark.parametrize("n_groups", [0, 3])
def test_pairwise_scores_are_the_scores_of_all_pairs(critic: str, n_groups: int) -> None:
    z, c, _ = correlated_normals(7, 2, 0.5, 0)
    groups = torch.arange(7) % 3 if n_groups else None
    net = NWJ(2, 2, critic=critic, n_groups=n_groups).critic  # type: ignore[arg-type]
    table = net.pairwise(z, c, groups)
    one_by_one = [net(z, c[j].expand(7, 2), groups) for j in range(7)]
    assert torch.allclose(table, torch.stack(one_by_one, dim=1), atol=1e-5)


@pytest.mark.parametrize("grouped", [False, True])
def test_info_nce_in_chunks_is_as_in_one(grouped: bool) -> None:
    z, c, _ = correlated_normals(50, 2, 0.7, 0)
    groups = torch.arange(50) % 2 if grouped else None
    values, gradients = [], []
    for chunk in (50, 16):
        leaf = z.clone().requires_grad_()
        value = InfoNCE(2, 2, chunk=chunk, n_groups=2)(leaf, c, groups)
        value.backward()
        values.append(value.item())
        gradients.append(leaf.grad)
    assert values[0] == pytest.approx(values[1], abs=1e-5)
    assert torch.allclose(*gradients, atol=1e-6)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", CRITICS)
def test_scores_of_ten_thousand_stay_finite(kind) -> None:  # type: ignore[no-untyped-def]
    z, c, _ = correlated_normals(64, 2, 0.5, 0)
    estimator = kind(2, 2, critic="bilinear")
    with torch.no_grad():
        for parameter in estimator.parameters():
            parameter.mul_(1e4)
    leaf = z.to(torch.bfloat16).requires_grad_()
    value, loss = estimator(leaf, c), estimator.learning_loss(z, c)
    value.backward()
    assert math.isfinite(value.item())
    assert math.isfinite(loss.item())
    assert bool(torch.isfinite(leaf.grad).all())  # type: ignore[arg-type]


def test_moving_average_leaves_the_value_and_changes_the_gradient() -> None:
    z, c, _ = correlated_normals(64, 2, 0.7, 0)
    plain, averaged = DonskerVaradhan(2, 2), DonskerVaradhan(2, 2, moving_average=0.1)
    first = [e.learning_loss(z, c) for e in (plain, averaged)]
    assert first[0].item() == pytest.approx(first[1].item(), abs=1e-6)
    averaged.log_average -= 1.0
    state = plain.get_extra_state()
    averaged.set_extra_state(state)
    gradients = []
    for e in (plain, averaged):
        e.zero_grad()
        e.learning_loss(z, c).backward()
        gradients.append(e.critic.layers[-1].weight.grad)
    assert not torch.allclose(gradients[0], gradients[1], rtol=1e-3)
    with pytest.raises(InputError, match="moving_average"):
        DonskerVaradhan(2, 2, moving_average=2.0)


@torch.no_grad()
@pytest.mark.parametrize("grouped", [False, True])
def test_club_in_moments_is_the_mean_over_all_pairs(grouped: bool) -> None:
    n = 12
    groups = torch.arange(n) % 3 if grouped else None
    attribute = Attributes(Continuous(1), Categorical(3), Continuous(1))
    raw = torch.stack(
        [torch.randn(n, generator=generator(0)), torch.arange(n) % 3 * 1.0, torch.randn(n, generator=generator(1))], 1
    )
    c, z = attribute.encode(raw)[0], torch.randn(n, 2, generator=generator(2))
    club = CLUB(2, attribute, n_groups=3)
    by_hand = club.log_q(z, c, groups).mean()
    for i in range(n):
        same = torch.arange(n) if groups is None else (groups == groups[i]).nonzero().squeeze(1)
        labels = None if groups is None else groups[i].expand(len(same))
        by_hand = by_hand - club.log_q(z[i].expand(len(same), 2), c[same], labels).mean() / n
    assert float(club(z, c, groups)) == pytest.approx(float(by_hand), abs=1e-5)
    sampled = CLUB(2, attribute, n_groups=3, sampled=True)
    many = torch.stack([sampled(z, c, groups) for _ in range(400)])
    assert float(many.mean()) == pytest.approx(float(by_hand), abs=4 * float(many.std()) / 20)


@torch.no_grad()
def test_barber_agakov_is_entropy_less_cross_entropy() -> None:
    c = torch.tensor([0, 0, 1, 2])
    codes = Categorical(4).encode(c)[0]  # the fourth category is empty
    estimator = BarberAgakov(1, Categorical(4))
    z = torch.randn(4, 1, generator=generator(0))
    entropy = 1.5 * math.log(2)
    assert float(estimator(z, codes)) == pytest.approx(entropy + float(estimator.log_q(z, codes).mean()), abs=1e-5)
    assert float(estimator.learning_loss(z, codes)) > 0


def test_a_decoders_answer_is_a_density_over_all_parts_of_the_attribute() -> None:
    attribute = Attributes(Categorical(2), Continuous(1), Categorical(3))
    places = torch.linspace(-20, 20, 2001)
    given = torch.cartesian_prod(torch.arange(2.0), places, torch.arange(3.0))
    encoded, _ = attribute.encode(given)
    z = torch.randn(1, 4, generator=generator(0)).expand(len(given), 4)
    estimator = BarberAgakov(4, attribute, n_groups=2, seed=1)
    answers = [estimator.log_q(z, encoded, torch.full((len(z),), label)).detach() for label in (0, 1)]
    for log_q in answers:
        assert float(log_q.double().exp().sum()) * 0.02 == pytest.approx(1, abs=2e-3)
    assert float((answers[0] - answers[1]).abs().max()) > 1e-3  # the group is seen
    with pytest.raises(InputError, match="y holds label 2 but n_groups is 2"):
        estimator.log_q(z, encoded, torch.full((len(z),), 2))


def test_barber_agakov_learns_the_closed_form() -> None:
    z, c, truth = correlated_normals(1000, 1, 0.8, 0)
    estimator = BarberAgakov(1, 1)
    estimator.update(z, c, None, torch.optim.Adam(estimator.parameters(), 1e-2), steps=150, batch_size=256)
    assert float(estimator(z, c).detach()) == pytest.approx(truth, abs=0.06)


@pytest.mark.parametrize("name", ["nwj", "jensen_shannon", "smile", "info_nce", "club", "barber_agakov"])
@pytest.mark.parametrize("criterion", ["independence", "separation"])
def test_every_estimator_serves_as_penalty(name: str, criterion: str) -> None:
    g = generator(0)
    y = torch.arange(300) % 2
    c = torch.randint(2, (300,), generator=g)
    z = (2.0 * c[:, None] + torch.randn(300, 3, generator=g)).requires_grad_()
    penalty = MIPenalty(3, Categorical(2), criterion=criterion, estimator=name, critic_warmup=60)  # type: ignore[arg-type]
    nats = penalty(z, c, y)
    nats.backward()
    assert nats.item() > 0.1
    assert float(z.grad.abs().sum()) > 0  # type: ignore[union-attr]


def test_names_and_options_of_critics_are_checked() -> None:
    with pytest.raises(InputError, match="critic must be"):
        NWJ(2, 2, critic="deep")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="clip"):
        SMILE(2, 2, clip=0.0)
    with pytest.raises(InputError, match="chunk"):
        InfoNCE(2, 2, chunk=0)
    with pytest.raises(InputError, match="label 5"):
        NWJ(2, 2, critic="bilinear", n_groups=3)(
            torch.randn(6, 2, generator=generator(0)), torch.ones(6, 2), torch.arange(6)
        )


@pytest.mark.parametrize("n_groups", [0, 2])
@pytest.mark.parametrize("critic", ["joined", "separable", "bilinear"])
@pytest.mark.parametrize(
    "name", ["donsker_varadhan", "moving_average", "nwj", "jensen_shannon", "smile", "info_nce", "info_nce_in_chunks"]
)
def test_updates_in_one_call_are_those_of_the_learning_loss(name: str, critic: str, n_groups: int) -> None:
    z, c, _ = correlated_normals(60, 3, 0.7, 0)
    groups = torch.arange(60) % 2 if n_groups else None
    kinds = {
        "nwj": NWJ, "jensen_shannon": JensenShannon, "smile": SMILE, "info_nce": InfoNCE, "info_nce_in_chunks": InfoNCE,
    }  # fmt: skip
    options = {"moving_average": {"moving_average": 0.3}, "info_nce_in_chunks": {"chunk": 25}}.get(name, {})

    def build():  # type: ignore[no-untyped-def]
        return kinds.get(name, DonskerVaradhan)(3, 3, critic=critic, n_groups=n_groups, hidden=(8, 6), **options)

    _assert_updates_follow_the_learning_loss(build, z, c, groups)


@pytest.mark.parametrize("n_groups", [0, 2])
@pytest.mark.parametrize(
    "attribute", [Categorical(3), Continuous(2), Attributes(Categorical(2), Continuous(1), Categorical(3))]
)
def test_a_decoders_updates_in_one_call_are_those_of_its_learning_loss(attribute, n_groups: int) -> None:  # type: ignore[no-untyped-def]
    g = generator(0)
    z, values = torch.randn(60, 3, generator=g), torch.randn(60, 2, generator=g)
    codes = torch.randint(3, (60,), generator=g), torch.randint(2, (60,), generator=g)
    given = {1: codes[0], 2: values, 3: torch.stack([codes[1].float(), values[:, 0], codes[0].float()], dim=1)}
    width = 1 if isinstance(attribute, Categorical) else 2 if isinstance(attribute, Continuous) else 3
    encoded, _ = attribute.encode(given[width])
    groups = torch.arange(60) % 2 if n_groups else None
    for kind in (CLUB, BarberAgakov):
        _assert_updates_follow_the_learning_loss(
            lambda kind=kind: kind(3, attribute, n_groups=n_groups, hidden=(8, 6)), z, encoded, groups
        )


def _assert_updates_follow_the_learning_loss(build, z: Tensor, c: Tensor, groups: Tensor | None) -> None:  # type: ignore[no-untyped-def]
    """Three updates in one call, in three calls, and by the learning loss, from the same draws, end alike."""
    ends, losses = [], []
    for way in ("one call", "three calls", "learning loss"):
        estimator = build()
        optimizer = torch.optim.SGD(estimator.parameters(), lr=0.1)
        if way == "one call":
            last = estimator.update(z, c, groups, optimizer, steps=3)
        for _ in range(0 if way == "one call" else 3):
            if way == "three calls":
                last = estimator.update(z, c, groups, optimizer)
            else:
                optimizer.zero_grad()
                loss = estimator.learning_loss(z, c, groups)
                loss.backward()
                optimizer.step()
                last = float(loss.detach())
        losses.append(last)
        ends.append(torch.cat([p.detach().flatten() for p in estimator.parameters()]))
    assert losses[0] == losses[1] == pytest.approx(losses[2], rel=1e-4, abs=1e-5)
    assert torch.equal(ends[0], ends[1])
    assert torch.allclose(ends[0], ends[2], atol=2e-6)
    assert not torch.allclose(ends[0], torch.cat([p.detach().flatten() for p in build().parameters()]), atol=1e-4)


@pytest.mark.parametrize("degree", [1, 2])
def test_learned_features_predict_c_within_groups(degree: Any) -> None:
    g = generator(3)
    estimator = LearnedGaussianMI(6, 2, attribute_degree=degree, seed=1)
    optimizer = torch.optim.Adam(estimator.parameters(), lr=0.01)
    z, groups = torch.randn(400, 6, generator=g), torch.arange(400) % 2
    c = z[:, :2] + 5.0 * groups[:, None]
    first = estimator.update(z, c, groups, optimizer)
    assert estimator.update(z, c, groups, optimizer, steps=150) < 0.3 * first


BUILDS = {
    **{kind.__name__: lambda kind=kind, **k: kind(3, 3, hidden=(16, 8), **k) for kind in CRITICS},
    "CLUB": lambda **k: CLUB(3, Continuous(3), hidden=(16, 8), **k),
    "BarberAgakov": lambda **k: BarberAgakov(3, Continuous(3), hidden=(16, 8), **k),
    "LearnedGaussianMI": lambda **k: LearnedGaussianMI(3, 3, **k),
}


@pytest.mark.parametrize("scale", [1e-4, 1e3])
@pytest.mark.parametrize("name", BUILDS)
def test_place_and_scale_of_z_change_nothing(name: str, scale: float) -> None:
    z, c, _ = correlated_normals(300, 3, 0.8, seed=1)
    moved = scale * (z + 20.0)
    values, slopes = [], []
    for each in (z, moved):
        estimator = BUILDS[name](seed=3)
        optimizer = torch.optim.Adam(estimator.parameters(), lr=3e-3)
        for _ in range(20):
            estimator.update(each, c, None, optimizer)
        each = each.clone().requires_grad_()
        value = estimator(each, c)
        values.append(float(value.detach()))
        slopes.append(torch.autograd.grad(value, each)[0])
    assert values[1] == pytest.approx(values[0], rel=0.02, abs=2e-3)
    assert abs(values[0]) > 1e-3
    assert float((slopes[1] * scale - slopes[0]).norm()) < 0.05 * float(slopes[0].norm())


@pytest.mark.parametrize("kind", CRITICS)
def test_marginal_pairs_stay_within_their_group(kind) -> None:  # type: ignore[no-untyped-def]
    # c is one value in each group, so that a pair permuted within its group is the pair it was.
    groups = torch.arange(60) % 3
    z, c = torch.randn(60, 2, generator=generator(0)), groups[:, None].float()
    estimator = kind(2, 1, n_groups=3, hidden=(8,))
    joint, marginal = estimator.scores(z, c, groups)
    assert torch.equal(joint, marginal)
    assert float(joint.detach().std()) > 1e-3


@pytest.mark.parametrize("kind", CRITICS)
def test_a_critic_learns_from_scores_beyond_every_threshold(kind) -> None:  # type: ignore[no-untyped-def]
    z, c, _ = correlated_normals(40, 3, 0.7, 0)
    estimator = kind(3, 3, hidden=(8, 6), seed=2)
    with torch.no_grad():
        last = [*estimator.parameters()][-2]
        last.mul_(300.0 / float(estimator.scores(z, c, None)[0].abs().max()))
    optimizer = torch.optim.Adam(estimator.parameters(), lr=1e-2)
    first = estimator.update(z, c, None, optimizer)
    assert all(bool(torch.isfinite(p.grad).all()) for p in estimator.parameters())
    assert any(bool(p.grad.any()) for p in estimator.parameters())
    assert estimator.update(z, c, None, optimizer, steps=50) < first


def test_an_update_moves_no_other_critic_of_the_same_optimizer() -> None:
    z, c, _ = correlated_normals(200, 2, 0.5, seed=0)
    first, second = DonskerVaradhan(2, 2, seed=0), DonskerVaradhan(2, 2, seed=1)
    optimizer = torch.optim.Adam([*first.parameters(), *second.parameters()])
    first.update(z, c, None, optimizer)
    before = [p.detach().clone() for p in first.parameters()]
    second.update(z, c, None, optimizer)
    assert all(torch.equal(p, q) for p, q in zip(first.parameters(), before, strict=True))


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e25])
@pytest.mark.parametrize("kind", [DonskerVaradhan, CLUB])
def test_a_critic_that_refuses_z_has_learned_nothing_from_it(kind: Any, value: float) -> None:
    estimator = kind(2, 1)
    optimizer = torch.optim.Adam(estimator.parameters(), lr=0.01)
    z, c, _ = correlated_normals(64, 1, 0.5, seed=0)
    z = torch.cat([z, z], dim=1).float()
    estimator.update(z, c.float(), None, optimizer)
    before = {name: kept.clone() for name, kept in estimator.state_dict().items()}
    z[0, 0] = value
    with pytest.raises(InputError, match=r"^z "):
        estimator.update(z, c.float(), None, optimizer)
    with pytest.raises(InputError, match=r"^z "):
        estimator.learning_loss(z, c.float())
    assert all(torch.equal(kept, before[name]) for name, kept in estimator.state_dict().items())
