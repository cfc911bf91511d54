from __future__ import annotations

import copy
import io
import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from midebias import FeatureMap, MIPenalty, Tokens
from midebias.attributes import Categorical, Continuous
from midebias.errors import InputError
from midebias.estimators import GaussianMI
from midebias.penalty import DualAscent
from midebias.penalty.preconditioning import precondition
from midebias.randomness import seeded
from midebias.representations import Summary

from ..conftest import generator


def biased_batch(n: int = 200, dim: int = 6, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    g = generator(seed)
    y = torch.randint(3, (n,), generator=g)
    c = torch.randint(2, (n,), generator=g)
    z = torch.randn(n, dim, generator=g)
    z[:, 0] += 2.0 * c
    z[:, 1] += y
    return z, c, y


def encoder_and_head(seed: int = 0) -> tuple[nn.Module, nn.Module]:
    with seeded(seed):
        return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 5)), nn.Linear(5, 3)


@pytest.mark.parametrize(
    "estimator", ["prequential", "gaussian_learned", "gaussian", "gaussian_linear", "donsker_varadhan"]
)
@pytest.mark.parametrize("criterion", ["separation", "independence"])
def test_backward_equals_the_loss_with_its_weight_added(estimator, criterion) -> None:  # type: ignore[no-untyped-def]
    x, c, y = biased_batch()
    encoder, head = encoder_and_head()
    penalty = MIPenalty(5, Categorical(2), criterion=criterion, estimator=estimator, gradient_ratio=0.7, bank=100)
    z = encoder(x)
    assert float(penalty.backward(nn.functional.cross_entropy(head(z), y), z, c, y)) > 0
    balanced = [p.grad for p in (*encoder.parameters(), *head.parameters())]
    encoder, head = encoder_and_head()
    again = MIPenalty(5, Categorical(2), criterion=criterion, estimator=estimator, bank=100)
    z = encoder(x)
    (nn.functional.cross_entropy(head(z), y) + penalty.weights[0] * again(z, c, y)).backward()
    for joined, p in zip(balanced, (*encoder.parameters(), *head.parameters()), strict=True):
        assert p.grad is not None
        assert joined is not None
        assert torch.allclose(joined, p.grad, rtol=1e-4, atol=1e-6 * float(p.grad.abs().max()))


def test_backward_equals_the_loss_with_its_weights_added_at_several_depths() -> None:
    x, c, y = biased_batch()

    def forward() -> tuple[Tensor, Tensor, Tensor, list[nn.Parameter]]:
        with seeded(1):
            first, second, head = nn.Linear(6, 12), nn.Linear(12, 5), nn.Linear(5, 3)
        h = torch.tanh(first(x)).reshape(-1, 4, 3)
        z = torch.tanh(second(h.flatten(1)))
        return nn.functional.cross_entropy(head(z), y), h, z, [p for m in (first, second, head) for p in m.parameters()]

    task_loss, h, z, balanced = forward()
    penalty = MIPenalty((FeatureMap(4), 5), Categorical(2), estimator="gaussian_linear", gradient_ratio=0.3)
    penalty.backward(task_loss, [h, z], c, y)
    assert penalty.weights[0] != penalty.weights[1]
    loss, h, z, added = forward()
    for shape, values, weight in ((FeatureMap(4), h, penalty.weights[0]), (5, z, penalty.weights[1])):
        loss = loss + weight * MIPenalty(shape, Categorical(2), estimator="gaussian_linear")(values, c, y)
    loss.backward()
    for p, q in zip(balanced, added, strict=True):
        assert p.grad is not None
        assert q.grad is not None
        assert torch.allclose(p.grad, q.grad, rtol=1e-4, atol=1e-6 * float(q.grad.abs().max()))


def test_the_encoder_is_passed_once() -> None:
    """The balanced form runs one backward pass through the encoder."""
    x, c, y = biased_batch()
    encoder, head = encoder_and_head()
    passes = []
    encoder[0].register_full_backward_hook(lambda *_: passes.append(1))  # type: ignore[operator, index]
    z = encoder(x.requires_grad_())
    MIPenalty(5, Categorical(2)).backward(nn.functional.cross_entropy(head(z), y), z, c, y)
    assert len(passes) == 1


def test_balanced_gradient_has_the_length_asked_for() -> None:
    x, c, y = biased_batch()
    encoder, head = encoder_and_head()

    def gradient(weight: float | None) -> Tensor:
        z = encoder(x).detach().requires_grad_()
        loss = nn.functional.cross_entropy(head(z * 1.0), y)
        if weight is None:
            loss.backward()
        else:
            MIPenalty(5, Categorical(2), gradient_ratio=weight).backward(loss, z, c, y)
        assert z.grad is not None
        return z.grad

    task = gradient(None)
    assert torch.equal(gradient(0.0), task)
    for weight in (0.5, 3.0):
        assert float((gradient(weight) - task).norm() / task.norm()) == pytest.approx(weight, rel=1e-3)


def test_descending_removes_the_attribute_from_z() -> None:
    z, c, y = biased_batch(400)
    z.requires_grad_()
    optimizer = torch.optim.Adam([z], 0.05)
    penalty = MIPenalty(6, Categorical(2), estimator="gaussian")
    before = float(penalty(z, c, y).detach())
    for _ in range(80):
        optimizer.zero_grad()
        penalty(z, c, y).backward()
        optimizer.step()
    assert float(penalty(z, c, y).detach()) < 0.1 * before


def test_a_small_batch_is_filled_up_from_the_bank() -> None:
    penalty = MIPenalty(6, Categorical(2), estimator="gaussian_linear")
    z, c, y = biased_batch(640)
    values = [float(penalty(z[rows], c[rows], y[rows])) for rows in torch.arange(640).split(16)]
    full = float(MIPenalty(6, Categorical(2), estimator="gaussian_linear")(z, c, y))
    assert sum(values[4:]) / len(values[4:]) == pytest.approx(full, rel=0.1)
    # 64 pairs, not 16: the spread is that of the bigger sample
    alone = MIPenalty(6, Categorical(2), estimator="gaussian_linear", bank=0)
    lone = torch.tensor([float(alone(z[rows], c[rows], y[rows])) for rows in torch.arange(640).split(16)])
    assert float(torch.tensor(values[4:]).std()) < 0.7 * float(lone.std())


def test_a_filled_up_batch_carries_the_gradient_of_all_its_rows() -> None:
    z, c, y = biased_batch(64)
    penalty = MIPenalty(6, Categorical(2), estimator="gaussian_linear")
    penalty(z[:48], c[:48], y[:48])
    new = z[48:].clone().requires_grad_()
    penalty(new, c[48:], y[48:]).backward()
    # Filled up it is the estimate on all 64 rows, of which sixteen are ours and stand for all.
    every = torch.cat([z[48:], z[:48]]).requires_grad_()
    alone = MIPenalty(6, Categorical(2), estimator="gaussian_linear", bank=0)
    alone(every, torch.cat([c[48:], c[:48]]), torch.cat([y[48:], y[:48]])).backward()
    assert every.grad is not None
    torch.testing.assert_close(new.grad, every.grad[:16] * 64 / 16, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("estimator", ["prequential", "gaussian_learned", "gaussian", "donsker_varadhan"])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_tiny_batches_do_not_end_an_epoch(estimator: str, n: int) -> None:
    z, c, y = biased_batch(n)
    penalty = MIPenalty(6, Categorical(2), estimator=estimator, critic_steps=1)  # type: ignore[arg-type]
    value = penalty(z.requires_grad_(), c, y)
    value.backward()
    assert float(value.detach()) >= 0.0
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()


def test_a_constant_attribute_gives_zero_and_no_gradient() -> None:
    z, _, y = biased_batch()
    value = MIPenalty(6, Categorical(2))(z.requires_grad_(), torch.zeros(200, dtype=torch.long), y)
    value.backward()
    assert float(value.detach()) == 0.0
    assert not z.grad.any()  # type: ignore[union-attr]


def test_an_untrained_critic_is_not_descended_on() -> None:
    z, c, y = biased_batch()
    penalty = MIPenalty(6, Categorical(2), estimator="donsker_varadhan", critic_steps=0).train()
    value = penalty(z.requires_grad_(), c, y)
    value.backward()
    assert float(value.detach()) == 0.0
    assert penalty.health[0].untrained == 1
    assert not z.grad.any()  # type: ignore[union-attr]
    for _ in range(98):
        penalty(z, c, y)
    with pytest.warns(RuntimeWarning, match="was untrained"):
        penalty(z, c, y)


def test_an_estimate_that_overflows_is_counted_told_once_and_not_descended_on() -> None:
    z, c, y = biased_batch()

    class Overflowing(GaussianMI):
        def forward(self, z: Tensor, c: Tensor, groups: Tensor | None = None, pool: object = None) -> Tensor:
            return z.sum() * math.inf

    penalty = MIPenalty(6, Categorical(2), estimator=lambda dim, attribute_dim: Overflowing())
    for _ in range(99):
        leaf = z.clone().requires_grad_()
        penalty(leaf, c, y).backward()
        assert not leaf.grad.any()  # type: ignore[union-attr]
    with pytest.warns(RuntimeWarning, match="on representation 0 for 100 calls, .* was not finite: the penalty has no"):
        penalty(z, c, y)
    assert penalty.health[0].not_finite == 100
    again = MIPenalty(6, Categorical(2), estimator=lambda dim, attribute_dim: Overflowing())
    again.load_state_dict(penalty.state_dict())
    for each in (penalty, again):
        each(z, c, y)  # a second warning would be an error here


@pytest.mark.parametrize("closed_form", [True, False])
def test_a_critic_below_zero_for_long_is_told_of_a_closed_form_is_not(closed_form: bool) -> None:
    z, c, y = biased_batch()

    class Below(GaussianMI):
        def forward(self, z: Tensor, c: Tensor, groups: Tensor | None = None, pool: object = None) -> Tensor:
            return z.sum() * 0 - 1

    Below.closed_form = closed_form
    penalty = MIPenalty(6, Categorical(2), estimator=lambda dim, attribute_dim: Below())
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for _ in range(101):
            penalty(z, c, y)
    assert [str(w.message)[:33] for w in told] == ([] if closed_form else ["MIPenalty has not descended on re"])
    assert penalty.health[0].negative == 101


def test_a_negative_estimate_is_counted_and_not_descended_on() -> None:
    g = generator(0)
    penalty = MIPenalty(3, Continuous(1), criterion="independence", estimator="gaussian_linear")
    negative = 0
    for _ in range(20):
        z = torch.randn(600, 3, generator=g, requires_grad=True)
        value = penalty(z, torch.randn(600, 1, generator=g))
        value.backward()
        if float(value.detach()) == 0.0:
            negative += 1
            assert not z.grad.any()  # type: ignore[union-attr]
    assert negative == penalty.health[0].negative > 0


def test_missing_values_are_masked_and_counted() -> None:
    z, c, y = biased_batch()
    hidden = torch.where(torch.arange(200) % 4 == 0, -1, c)
    z_kept = z[hidden >= 0]
    penalty = MIPenalty(6, Categorical(2), bank=0)
    value = penalty(z.requires_grad_(), hidden, y)
    assert float(value.detach()) > 0.1
    value.backward()
    assert penalty.health[0].missing == 50
    assert not z.grad[hidden < 0].any()  # type: ignore[index]
    kept = MIPenalty(6, Categorical(2), bank=0)(z_kept, c[hidden >= 0], y[hidden >= 0])
    assert float(kept.detach()) == pytest.approx(float(value.detach()), abs=1e-5)
    all_missing = penalty(z, torch.full((200,), -1), y)
    assert float(all_missing.detach()) == 0.0


def test_eval_mode_changes_nothing() -> None:
    z, c, y = biased_batch()
    penalty = MIPenalty(6, Categorical(2), estimator="donsker_varadhan")
    penalty(z, c, y)
    penalty.eval()
    before = {k: copy.deepcopy(v) for k, v in penalty.state_dict().items() if "extra" not in k}
    penalty(z, c, y)
    for key, value in before.items():
        assert torch.equal(value, penalty.state_dict()[key]), key


@pytest.mark.parametrize("estimator", ["prequential", "gaussian_learned", "gaussian", "donsker_varadhan"])
def test_state_dict_resumes_bit_for_bit(estimator: str) -> None:
    z, c, y = biased_batch()

    def fresh() -> MIPenalty:
        return MIPenalty(6, Categorical(2), estimator=estimator, bank=300)  # type: ignore[arg-type]

    penalty = fresh()
    for _ in range(3):
        penalty(z, c, y)
    file = io.BytesIO()
    torch.save(penalty.state_dict(), file)
    file.seek(0)
    resumed = fresh()
    resumed.load_state_dict(torch.load(file, weights_only=True))
    for _ in range(3):
        assert float(penalty(z, c, y).detach()) == float(resumed(z, c, y).detach())


def test_the_attribute_and_the_seed_reach_the_estimator() -> None:
    degrees = [MIPenalty(4, a).estimators[0].attribute_degree for a in (Categorical(2), Continuous(8), Continuous(9))]
    assert degrees == [1, 2, 1]  # products of many columns would be too many
    first, second = (MIPenalty(4, Categorical(2), seed=s).estimators[0].state_dict() for s in (0, 1))
    assert any(not torch.equal(first[name], second[name]) for name in first)


def test_only_a_conditional_critic_is_told_the_group() -> None:
    for criterion, width in (("independence", 3 + 2), ("separation", 3 + 2 + 7)):
        penalty = MIPenalty(3, Categorical(2), criterion=criterion, estimator="nwj", n_groups=7)  # type: ignore[arg-type]
        assert next(penalty.estimators.parameters()).shape[1] == width


def test_one_seed_one_result() -> None:
    z, c, y = biased_batch()
    values = [
        [float(p(z, c, y).detach()) for _ in range(3)]
        for p in (MIPenalty(6, Categorical(2), seed=s, estimator="donsker_varadhan") for s in (3, 3, 4))
    ]
    assert values[0] == values[1] != values[2]


def test_feature_maps_and_tokens_are_read_by_mean_and_maximum() -> None:
    g = generator(0)
    c = torch.randint(2, (300,), generator=g)
    y = torch.zeros(300, dtype=torch.long)
    image = torch.randn(300, 4, 5, 5, generator=g)
    image[:, 2] += 0.8 * c[:, None, None]
    on_map = MIPenalty(FeatureMap(4), Categorical(2), estimator="gaussian_linear")(image, c, y)
    tokens = image.flatten(2).transpose(1, 2)
    on_tokens = MIPenalty(Tokens(4), Categorical(2), estimator="gaussian_linear")(tokens, c, y)
    assert float(on_map) > 0.5
    assert float(on_map) == pytest.approx(float(on_tokens), abs=1e-5)


def test_a_gradient_too_large_for_float16_is_cut_and_not_infinite() -> None:
    h = torch.zeros(2, 3, dtype=torch.float16, requires_grad=True)
    summary = Summary(h, 3)
    (summary.values * torch.tensor([1e6, -1e6, 2.0])).sum().backward()
    assert h.grad is not None
    assert h.grad[0].tolist() == [65504.0, -65504.0, 2.0]
    assert summary.add_gradient(torch.zeros_like(h), torch.full((2, 3), 1e9))[0, 0] == 65504.0


def test_condition_on_another_column() -> None:
    z, c, y = biased_batch()
    both = torch.stack([y, c], dim=1)
    within_c = MIPenalty(6, Categorical(2), condition_on=lambda column: column[:, 1])(z, c, both)
    assert float(within_c.detach()) == 0.0  # given c itself nothing about c is left


def test_bad_inputs_name_the_argument() -> None:
    z, c, y = biased_batch()
    penalty = MIPenalty(6, Categorical(2))
    with pytest.raises(InputError, match="y is needed"):
        penalty(z, c)
    with pytest.raises(InputError, match=r"z must have shape \(n, 6\)"):
        penalty(z[:, :3], c, y)
    with pytest.raises(InputError, match="z contains NaN"):
        penalty(z * float("nan"), c, y)
    with pytest.raises(InputError, match="c must have 200 rows"):
        penalty(z, c[:10], y)
    with pytest.raises(InputError, match="labels 0 to 1"):
        penalty(z, c + 1, y)
    with pytest.raises(InputError, match="y must hold integer"):
        penalty(z, c, y.float())
    with pytest.raises(InputError, match="y must have shape"):
        penalty(z, c, y[:10])
    with pytest.raises(InputError, match="representations"):
        penalty([z, z], c, y)
    two = MIPenalty([6, 6], Categorical(2))
    for call in (lambda h: two([z, h], c, y), lambda h: two.backward(z.sum(), [z, h], c, y)):
        with pytest.raises(InputError, match=r"z\[1\] must have shape \(n, 6\)"):
            call(z[:, :3])
    with pytest.raises(InputError, match="z needs a gradient"):
        penalty.backward(z.sum(), z, c, y)
    leaf = z.clone().requires_grad_()
    other = torch.ones(1, requires_grad=True)
    with pytest.raises(InputError, match="does not depend on z"):
        penalty.backward(other.sum(), leaf * 1.0, c, y)


@pytest.mark.parametrize(
    "wrong",
    [{"criterion": "fairness"}, {"gradient_ratio": -1.0}, {"critic_lr": 0.0}, {"estimator": "guess"}, {"bank": -1}],
)
def test_bad_settings_name_the_argument(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        MIPenalty(6, Categorical(2), **wrong)  # type: ignore[arg-type]


def test_preconditioning_multiplies_the_gradient_by_a_power_of_the_covariance_within_groups() -> None:
    g = generator(3)
    y = torch.randint(2, (4000,), generator=g)
    z = (
        torch.randn(4000, 3, generator=g, dtype=torch.float64) * torch.tensor([1.0, 0.5, 0.1]).double()
        + 5.0 * y[:, None]
    )
    z.requires_grad_()
    out = precondition(z, y, 0.5)
    assert torch.equal(out, z)
    out.sum().backward()
    assert z.grad is not None
    variance = torch.tensor([1.0, 0.25, 0.01]).double()
    torch.testing.assert_close(z.grad.mean(0), (variance / variance.mean() + 0.01).sqrt(), rtol=0.05, atol=0.03)


@pytest.mark.parametrize("n", [12, 30])
def test_preconditioning_by_rows_or_by_columns_is_one_matrix(n: int) -> None:
    g = generator(5)
    z = torch.randn(n, 20, generator=g, dtype=torch.float64) * torch.linspace(0.1, 2, 20, dtype=torch.float64)
    z.requires_grad_()
    direction = torch.randn(n, 20, generator=g, dtype=torch.float64)
    (precondition(z, None, 1 / 3) * direction).sum().backward()
    centred = (z - z.mean(0)).detach()
    covariance = centred.T @ centred
    values, vectors = torch.linalg.eigh(covariance / covariance.diagonal().mean())
    expected = direction @ (vectors * (values.clamp(min=0) + 0.01) ** (1 / 3)) @ vectors.T
    torch.testing.assert_close(z.grad, expected)


def test_a_wide_representation_of_an_attribute_of_many_values_costs_no_one_hot_in_the_bank() -> None:
    g = generator(6)
    penalty = MIPenalty(300, Categorical(500), criterion="independence", estimator="gaussian", bank=128)
    assert sum(b.numel() for b in penalty.banks[0].buffers()) < 128 * 303
    code = torch.randn(500, 300, generator=g)
    used = []
    for _ in range(30):
        c = torch.randint(500, (96,), generator=g)
        z = (code[c] + 0.1 * torch.randn(96, 300, generator=g)).requires_grad_()
        used.append(penalty(z, c).item())
    assert penalty.health[0].too_few == 0
    assert max(used) > 0


def test_preconditioned_gradient_still_descends() -> None:
    z, c, y = biased_batch(n=400)
    z = (z * torch.tensor([1.0, 3.0, 0.1, 1.0, 1.0, 0.03])).requires_grad_()
    plain, shaped = (
        MIPenalty(6, Categorical(2), estimator="gaussian_linear", preconditioning=p, seed=4) for p in (0.0, 0.5)
    )
    (a,) = torch.autograd.grad(plain(z, c, y), z)
    (b,) = torch.autograd.grad(shaped(z, c, y), z)
    assert not torch.allclose(a, b)
    assert float((a * b).sum()) > 0


def test_preconditioning_leaves_a_constant_representation_alone() -> None:
    z = torch.ones(10, 3, requires_grad=True)
    weights = torch.randn(10, 3, generator=generator(0))
    (precondition(z, None, 0.5) * weights).sum().backward()
    assert z.grad is not None
    assert torch.equal(z.grad, weights)


def test_preconditioning_out_of_range_is_refused() -> None:
    with pytest.raises(InputError, match="preconditioning"):
        MIPenalty(6, Categorical(2), preconditioning=1.5)


def test_under_a_budget_the_weight_grows_until_the_budget_is_met_and_fades_below_it() -> None:
    budget = DualAscent(0.1, memory=0.0)
    for _ in range(50):
        budget.observe(0.5)
    assert float(budget.multiplier) == pytest.approx(math.exp(50 * 0.02))
    budget.observe(float("nan"))
    assert float(budget.multiplier) == pytest.approx(math.exp(50 * 0.02))
    for _ in range(50):
        budget.observe(0.1)
    assert float(budget.multiplier) == pytest.approx(math.exp(50 * 0.02))
    for _ in range(2000):
        budget.observe(-0.2)
    assert float(budget.multiplier) == pytest.approx(budget.lowest)


def test_a_budget_is_met_by_descent() -> None:
    """z may move freely towards what c says, at a reward; the multiplier stops it where the budget lies."""
    g = generator(8)
    c = torch.randint(2, (400,), generator=g)
    noise = torch.randn(400, 2, generator=g)
    strength = torch.tensor(0.5, requires_grad=True)
    penalty = MIPenalty(2, Categorical(2), criterion="independence", estimator="gaussian_linear", max_mi=0.05, bank=0)
    optimizer = torch.optim.SGD([strength], lr=0.02)
    for _ in range(1000):
        z = noise + strength * torch.stack([2.0 * c - 1, torch.zeros(400)], dim=1)
        loss = -0.3 * strength + penalty(z, c)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert penalty.estimates[0] == pytest.approx(0.05, rel=0.1)


def test_the_multiplier_is_saved_and_scales_what_a_call_returns() -> None:
    z, c, y = biased_batch()
    penalty = MIPenalty(6, Categorical(2), estimator="gaussian_linear", max_mi=0.01, seed=1)
    for _ in range(20):
        penalty(z, c, y)
    assert penalty.multipliers[0] > 1.2
    other = MIPenalty(6, Categorical(2), estimator="gaussian_linear", max_mi=0.01, seed=1)
    other.load_state_dict(penalty.state_dict())
    assert other.multipliers == penalty.multipliers
    other.eval()
    assert float(other(z, c, y)) == pytest.approx(other.multipliers[0] * other.estimates[0], rel=1e-5)
    assert other.multipliers == penalty.multipliers  # a call in evaluation mode does not move it


def test_a_budget_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="max_mi"):
        MIPenalty(6, Categorical(2), max_mi=0.0)


def test_the_weights_are_what_the_gradients_were_multiplied_by() -> None:
    z = torch.randn(256, 4, generator=generator(0))
    y, c = torch.arange(256) % 2, torch.arange(256) // 2 % 2
    z[:, 0] += c
    target = torch.randn(256, 4, generator=generator(1))
    for ratio in (0.5, 2.0):
        penalty = MIPenalty(4, Categorical(2), estimator="gaussian_linear", gradient_ratio=ratio)
        assert penalty.weights == (0.0,)
        alone = z.clone().requires_grad_()
        (g_mi,) = torch.autograd.grad(copy.deepcopy(penalty)(alone, c, y), alone)
        (g_task,) = torch.autograd.grad((alone * target).mean(), alone)
        joined = z.clone().requires_grad_()
        penalty.backward((joined * target).mean(), joined, c, y)
        assert joined.grad is not None
        assert torch.allclose(joined.grad, g_task + penalty.weights[0] * g_mi, atol=1e-7)
        assert penalty.weights[0] == pytest.approx(ratio * float(g_task.norm() / g_mi.norm()), rel=1e-4)


def test_penalty_estimates_several_depths_as_each_alone() -> None:
    """Together or apart only the random features differ: the means over many draws agree."""
    c, y = torch.arange(512) % 2, torch.arange(512) // 2 % 4
    z = [torch.randn(512, d, generator=generator(d)) for d in (3, 6)]
    z[0][:, 0] += c
    z[1][:, 1] += 0.5 * c
    both = MIPenalty((3, 6), Categorical(2), estimator="gaussian")
    each = [MIPenalty(d, Categorical(2), estimator="gaussian", seed=1) for d in (3, 6)]
    sums = [0.0, 0.0, 0.0, 0.0]
    for _ in range(50):
        both(z, c, y)
        for k in (0, 1):
            sums[k] += both.estimates[k] / 50
            sums[2 + k] += each[k](z[k], c, y).item() / 50
    assert sums[:2] == pytest.approx(sums[2:], abs=0.02)
    assert sums[0] > sums[1] > 0.01


@pytest.mark.parametrize("levels", [2, 3])
@pytest.mark.parametrize("dtype", [torch.long, torch.int8, torch.float32])
def test_labels_numbered_from_minus_one_are_refused(levels: int, dtype: torch.dtype) -> None:
    g = generator(0)
    c, y, z = (
        torch.randint(levels, (1000,), generator=g),
        torch.randint(2, (1000,), generator=g),
        torch.randn(1000, 3, generator=g),
    )
    for code in (c - 1, 2 * c - 1) if levels == 2 else (c - 1,):
        with pytest.raises(InputError, match=r"c holds -1, which means missing, in .* rows, and never"):
            MIPenalty(3, Categorical(levels), estimator="gaussian")(z, code.to(dtype), y)
    both = torch.stack([c, torch.where(c > 0, 1, -1)], dim=1)
    with pytest.raises(InputError, match="c holds -1"):
        MIPenalty(3, Categorical((levels, 2)), estimator="gaussian")(z, both, y)


def test_labels_that_are_missing_are_not_taken_for_a_coding() -> None:
    g = generator(0)
    c, y = torch.randint(2, (1000,), generator=g), torch.randint(2, (1000,), generator=g)
    z = torch.randn(1000, 3, generator=g)
    penalty = MIPenalty(3, Categorical(2), estimator="gaussian")
    penalty(z, torch.where(torch.arange(1000) % 3 == 0, -1, c), y)
    penalty(z, torch.where(c == 0, -1, 1), y)  # both have been seen
    nan = torch.where(c == 0, torch.nan, 1.0)
    MIPenalty(3, Categorical(2), estimator="gaussian")(z, nan, y)  # said without a number


@pytest.mark.parametrize("estimator", ["prequential", "gaussian_learned", "donsker_varadhan", "club"])
def test_no_estimator_learns_in_inference_mode(estimator: Any) -> None:
    z, c = torch.randn(100, 3, generator=generator(0)), torch.arange(100) % 2
    penalty = MIPenalty(3, Categorical(2), estimator=estimator, critic_warmup=2, critic_steps=2)
    with torch.inference_mode(), pytest.raises(InputError, match=r"inference_mode.*penalty\.eval\(\)"):
        penalty(z, c, c)
    with torch.no_grad():
        penalty(z, c, c)


def test_labels_in_a_reused_buffer_are_read_anew() -> None:
    z, c = torch.randn(128, 4, generator=torch.Generator().manual_seed(0)), torch.arange(128) % 2
    held = np.zeros(128, dtype=np.int64)
    y = torch.from_numpy(held)
    reused, fresh = (MIPenalty(4, Categorical(2), estimator="gaussian_linear") for _ in range(2))
    assert float(reused(z, c, y)) == float(fresh(z, c, y.clone()))
    held[:] = np.arange(128) // 2 % 3
    assert float(reused(z, c, y)) == float(fresh(z, c, y.clone()))
    held[:] = -1
    with pytest.raises(InputError, match="labels >= 0"):
        reused(z, c, y)
