"""What the Donsker-Varadhan estimator of the penalty adds: all pairs, one factor of the scores, an upper gradient."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from midebias.estimators import DonskerVaradhan

from ..constructions import correlated_normals

GROUPS = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 2, 3])


def pairs(n: int = 10) -> tuple[Tensor, Tensor]:
    z, c, _ = correlated_normals(n, 2, 0.8, 0)
    return z.double(), c.double()


def overconfident(factor: float, **options: bool) -> DonskerVaradhan:
    """A critic of random weights whose scores are so many times as large."""
    estimator = DonskerVaradhan(2, 2, critic="bilinear", n_groups=4, standardize=False, **options).double()
    with torch.no_grad():
        for parameter in estimator.critic.parameters():
            parameter.mul_(factor)
    return estimator


@torch.no_grad()
@pytest.mark.parametrize("critic", ["joined", "separable", "bilinear"])
@pytest.mark.parametrize("grouped", [False, True])
def test_all_pairs_are_every_z_with_every_c_of_its_group(critic: str, grouped: bool) -> None:
    z, c = pairs()
    groups = GROUPS if grouped else torch.zeros_like(GROUPS)
    estimator = DonskerVaradhan(2, 2, critic=critic, n_groups=4, all_pairs=True, standardize=False).double()
    joint, total = 0.0, 0.0
    for i in range(10):
        inside = [j for j in range(10) if groups[j] == groups[i]]
        own = groups[i : i + 1]
        joint += float(estimator.critic(z[i : i + 1], c[i : i + 1], own)) / 10
        total += sum(math.exp(float(estimator.critic(z[i : i + 1], c[j : j + 1], own))) for j in inside) / len(inside)
    value = estimator(z, c, groups if grouped else None)
    assert float(value) == pytest.approx(joint - math.log(total / 10), abs=1e-6)
    assert float(estimator.learning_loss(z, c, groups if grouped else None)) == pytest.approx(-float(value), abs=1e-6)


def test_many_rows_that_come_sorted_are_paired_as_others_are() -> None:
    z, c, truth = correlated_normals(3_000, 2, 0.8, 0)
    estimator = DonskerVaradhan(2, 2, critic="separable", all_pairs=True)
    optimizer = torch.optim.Adam(estimator.parameters(), lr=3e-3)
    for rows in torch.arange(3_000).split(250) * 10:
        estimator.update(z[rows], c[rows], None, optimizer)
    order = c[:, 0].argsort()
    with torch.no_grad():
        shuffled, by_c = float(estimator(z, c)), float(estimator(z[order], c[order]))
    assert shuffled > 0.5 * float(truth)
    assert by_c == pytest.approx(shuffled, abs=0.1)


@pytest.mark.parametrize("all_pairs", [False, True])
@pytest.mark.parametrize("factor", [0.1, 3.0, 100.0])
def test_the_factor_makes_the_bound_as_large_as_a_factor_below_one_can(all_pairs: bool, factor: float) -> None:
    z, c = pairs(60)
    groups = torch.arange(60) % 4
    best = -math.inf
    for share in torch.linspace(0, 1, 201).tolist():
        best = max(best, float(overconfident(factor * share, all_pairs=all_pairs)(z, c, groups).detach()))
    value = float(overconfident(factor, all_pairs=all_pairs, calibrate=True)(z, c, groups).detach())
    assert value >= 0
    assert value == pytest.approx(best, abs=2e-3)


def test_of_independent_pairs_a_calibrated_bound_is_near_zero_where_the_plain_one_is_far_below() -> None:
    g = torch.Generator().manual_seed(0)
    z, c = torch.randn(400, 2, generator=g).double(), torch.randn(400, 2, generator=g).double()
    groups = torch.zeros(400, dtype=torch.long)
    assert float(overconfident(10.0)(z, c, groups).detach()) < -1
    assert 0 <= float(overconfident(10.0, calibrate=True)(z, c, groups).detach()) < 0.02


@pytest.mark.parametrize("all_pairs", [False, True])
def test_the_upper_gradient_is_that_of_the_difference_of_means_and_leaves_the_value(all_pairs: bool) -> None:
    z, c = pairs(40)
    groups = torch.arange(40) % 4
    leaf = z.clone().requires_grad_()
    estimator = overconfident(1.0, all_pairs=all_pairs, upper_gradient=True)
    plain = overconfident(1.0, all_pairs=all_pairs)
    value = estimator(leaf, c, groups)
    value.backward()
    assert float(value.detach()) == pytest.approx(float(plain(z, c, groups).detach()), abs=1e-12)

    again = z.clone().requires_grad_()
    joint = plain.critic(again, c, groups)
    if all_pairs:
        scores = plain.critic.pairwise(again, c, groups)
        same = (groups[:, None] == groups).double()
        marginal = (scores * same).sum(dim=1) / same.sum(dim=1)
    else:
        fresh = overconfident(1.0)
        marginal = fresh.critic(again, c[fresh._permute(40, groups)], groups)
    (joint.mean() - marginal.mean()).backward()
    assert torch.allclose(leaf.grad, again.grad, atol=1e-9)  # type: ignore[arg-type]
    assert float(leaf.grad.abs().max()) > 1e-4  # type: ignore[union-attr]
