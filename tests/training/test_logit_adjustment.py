from __future__ import annotations

import io

import pytest
import torch
from torch import Tensor

from midebias import LogitAdjustment
from midebias.attributes import Categorical, Continuous
from midebias.errors import InputError

from ..conftest import generator


def shifted(n: int = 4000) -> tuple[Tensor, Tensor]:
    g = generator(0)
    y = torch.randint(2, (n,), generator=g)
    return 2.0 * y[:, None] + torch.randn(n, 1, generator=g), y


def test_the_posterior_is_learned_from_the_attribute_alone() -> None:
    c, y = shifted()
    adjustment = LogitAdjustment(Continuous(1), 2).fit(c, y)
    grid = torch.linspace(-1, 3, 9)[:, None]
    truth = torch.sigmoid(2 * (grid[:, 0] - 1))
    assert torch.allclose(adjustment.probabilities(grid)[:, 1], truth, atol=0.08)


@pytest.mark.parametrize("floor", [0.0, 0.1, 1.0])
def test_what_is_added_is_the_log_posterior_with_a_floor_over_the_base_rate(floor: float) -> None:
    c, y = shifted()
    c, y = c[(y == 0) | (torch.arange(4000) % 3 == 0)], y[(y == 0) | (torch.arange(4000) % 3 == 0)]
    adjustment = LogitAdjustment(Continuous(1), 2, floor=floor, strength=0.5).fit(c, y)
    added = adjustment(torch.zeros(len(c), 2), c)
    base = torch.stack([1 - y.float().mean(), y.float().mean()])
    expected = 0.5 * (((1 - floor) * adjustment.probabilities(c) + floor * base) / base).log()
    assert torch.allclose(added, expected, atol=1e-3)


@pytest.mark.parametrize(("known", "rebalance"), [(True, 0.0), (True, 0.5), (True, 1.0), (False, 0.0)])
def test_predictions_keep_the_base_rates(known: bool, rebalance: float) -> None:
    """What is learned of the label without any z is how frequent it is, however it goes with the attribute."""
    g = generator(3)
    y = (torch.rand(20_000, generator=g) < 0.15).long()
    c = torch.where(torch.rand(20_000, generator=g) < 0.8, y, torch.randint(2, (20_000,), generator=g))
    adjustment = LogitAdjustment(Categorical(2), 2, floor=0.0, rebalance=rebalance, steps=20)
    if known:
        adjustment.fit(c, y)
        drawn = torch.multinomial(adjustment.sampling_weights(c, y), 20_000, replacement=True, generator=g)
        c, y = c[drawn], y[drawn]
    else:
        for rows in torch.arange(20_000).split(500):
            adjustment(torch.zeros(500, 2), c[rows], y[rows])
    intercept = torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.LBFGS([intercept], max_iter=50)
    added = adjustment(torch.zeros(len(c), 2), c, y).detach()

    def evaluate() -> Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(intercept + added, y)
        loss.backward()
        return loss

    optimizer.step(evaluate)  # type: ignore[no-untyped-call]
    assert float(intercept.detach().softmax(0)[1]) == pytest.approx(0.15, abs=0.02)


def test_prediction_uses_the_logits_alone() -> None:
    c, y = shifted()
    logits = torch.randn(4000, 2, generator=generator(1))
    adjustment = LogitAdjustment(Continuous(1), 2).fit(c, y)
    assert not torch.equal(adjustment(logits, c), logits)
    assert adjustment.eval()(logits, c) is logits
    assert LogitAdjustment(Continuous(1), 2, strength=0.0)(logits, c) is logits


def test_it_learns_beside_the_task() -> None:
    c, y = shifted()
    adjustment = LogitAdjustment(Continuous(1), 2)
    for rows in torch.arange(4000).split(100):
        for _ in range(5):
            adjustment(torch.zeros(len(rows), 2), c[rows], y[rows])
    assert float(adjustment.probabilities(torch.tensor([[3.0]]))[0, 1]) > 0.9


def test_rows_without_the_attribute_are_left_alone() -> None:
    c, y = shifted(200)
    hidden = torch.where(torch.arange(200)[:, None] % 2 == 0, torch.nan, c)
    adjustment = LogitAdjustment(Continuous(1), 2).fit(hidden, y)
    logits = torch.randn(200, 2, generator=generator(1))
    adjusted = adjustment(logits, hidden)
    assert torch.equal(adjusted[::2], logits[::2])
    assert not torch.isclose(adjusted[1::2], logits[1::2]).all()


def test_no_gradient_flows_into_the_added_term() -> None:
    c, y = shifted(200)
    logits = torch.zeros(200, 2, requires_grad=True)
    LogitAdjustment(Continuous(1), 2).fit(c, y)(logits, c).sum().backward()
    assert torch.equal(logits.grad, torch.ones(200, 2))  # type: ignore[arg-type]


@pytest.mark.parametrize("fitted", [True, False])
def test_state_dict_resumes_bit_for_bit(fitted: bool) -> None:
    c, y = shifted(400)
    first = LogitAdjustment(Continuous(1), 2)
    if fitted:
        first.fit(c, y)
    else:
        first(torch.zeros(400, 2), c, y)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = LogitAdjustment(Continuous(1), 2)
    second.load_state_dict(torch.load(file, weights_only=True))
    for _ in range(3):
        args = (torch.zeros(400, 2), c) if fitted else (torch.zeros(400, 2), c, y)
        assert torch.equal(first(*args), second(*args))


def test_bad_arguments_are_named() -> None:
    c, y = shifted(50)
    for wrong, message in (
        ({"n_classes": 1}, "n_classes"),
        ({"strength": -1.0}, "strength"),
        ({"floor": 2.0}, "floor"),
    ):
        with pytest.raises(InputError, match=message):
            LogitAdjustment(Continuous(1), **{"n_classes": 2, **wrong})  # type: ignore[arg-type]
    adjustment = LogitAdjustment(Continuous(1), 2)
    with pytest.raises(InputError, match="y is needed"):
        adjustment(torch.zeros(50, 2), c)
    with pytest.raises(InputError, match="labels 0 to 1"):
        adjustment.fit(c, y + 1)
    with pytest.raises(InputError, match=r"c must be a torch\.Tensor"):
        adjustment.fit([0.0, 1.0], y)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"c must be a torch\.Tensor"):
        adjustment.sampling_weights(c.numpy(), y)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="logits must have shape"):
        adjustment(torch.zeros(50, 3), c, y)
    with pytest.raises(InputError, match="c holds no row"):
        LogitAdjustment(Categorical(2), 2).fit(torch.full((50,), -1), y)


@pytest.mark.parametrize("rebalance", [0.0, 0.5, 1.0])
def test_what_is_drawn_and_what_is_added_make_up_the_posterior(rebalance: float) -> None:
    """Among rows drawn by the weights the label follows the posterior that is added."""
    g = generator(4)
    y = torch.randint(2, (40_000,), generator=g)
    c = torch.where(torch.rand(40_000, generator=g) < 0.95, y, 1 - y)
    adjustment = LogitAdjustment(Categorical(2), 2, floor=0.0, rebalance=rebalance).fit(c, y)
    weights = adjustment.sampling_weights(c, y)
    drawn = torch.multinomial(weights, 40_000, replacement=True, generator=g)
    agreeing = float((y[drawn] == c[drawn]).float().mean())
    added = adjustment(torch.zeros(2, 2), torch.tensor([0, 1])).softmax(dim=1)  # base rates are alike
    torch.testing.assert_close(added.diagonal(), torch.full((2,), agreeing), rtol=0, atol=0.03)
    expected = 0.95 ** (1 - rebalance) / (0.95 ** (1 - rebalance) + 0.05 ** (1 - rebalance))
    assert agreeing == pytest.approx(expected, abs=0.02)


def test_rows_without_an_attribute_are_drawn_like_the_average() -> None:
    c, y = shifted()
    c[:5] = float("nan")
    weights = LogitAdjustment(Continuous(1), 2, rebalance=0.5).fit(c, y).sampling_weights(c, y)
    assert torch.allclose(weights[:5], weights[5:].mean())
    assert torch.equal(LogitAdjustment(Continuous(1), 2).fit(c, y).sampling_weights(c, y), torch.ones(len(y)).double())


def test_rebalance_out_of_range_is_refused() -> None:
    with pytest.raises(InputError, match="rebalance"):
        LogitAdjustment(Categorical(2), 2, rebalance=1.5)
