from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from midebias import MIPenalty
from midebias.attributes import Attribute, Attributes, Categorical, Continuous
from midebias.errors import InputError
from midebias.estimators import GaussianMI
from midebias.randomness import seeded

from ..conftest import generator

CLOSED = ["gaussian", "gaussian_linear", "gaussian_learned"]


def common_cause(n: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """z and c follow w, and nothing else connects them."""
    g = generator(seed)
    w = torch.randn(n, 1, generator=g)
    z = torch.cat([2 * w, (2 * w).sin()], dim=1) + 0.5 * torch.randn(n, 2, generator=g)
    return z, w.square() + 0.5 * torch.randn(n, 1, generator=g), w


def read(n: int, estimator: str, condition: Attribute | None, seed: int = 0) -> float:
    z, c, w = common_cause(n, seed)
    options: dict[str, Any] = {"criterion": "independence"} if condition is None else {"condition_on": condition}
    penalty = MIPenalty(2, Continuous(), estimator=estimator, critic_warmup=30, **options)  # type: ignore[arg-type]
    penalty(z, c, w)
    return penalty.estimates[0]


@pytest.mark.parametrize("estimator", CLOSED)
def test_what_only_w_connects_is_no_reason_to_move(estimator: str) -> None:
    given = [read(1024, estimator, Continuous(), seed) for seed in range(6)]
    assert abs(sum(given) / 6) < 0.05
    if estimator != "gaussian_linear":
        assert read(1024, estimator, None) > 0.3


def test_exact_for_jointly_normal_triples() -> None:
    g = generator(0)
    w, noise = torch.randn(20_000, 2, generator=g), torch.randn(20_000, 2, generator=g)
    c = w[:, :1] + noise[:, :1]
    z = w[:, 1:] - w[:, :1] + 0.6 * noise[:, :1] + 0.8 * noise[:, 1:]
    truth = -0.5 * torch.tensor(1 - 0.6**2).log()
    assert GaussianMI()(z, c, w) == pytest.approx(float(truth), abs=0.02)
    penalty = MIPenalty(1, Continuous(), condition_on=Continuous(2), estimator="gaussian_linear")
    assert float(penalty(z[:4000], c[:4000], w[:4000])) == pytest.approx(float(truth), abs=0.06)


def test_the_default_takes_off_what_w_tells_too() -> None:
    found = []
    for condition in (None, Continuous()):
        criterion: Any = "independence" if condition is None else "separation"
        penalty = MIPenalty(2, Continuous(), criterion=criterion, condition_on=condition)
        values = []
        for seed in range(12):
            penalty(*common_cause(512, seed))
            values.append(penalty.estimates[0])
        found.append(sum(values[4:]) / 8)
    assert found[0] > 0.2
    assert abs(found[1]) < 0.03


@pytest.mark.parametrize("seed", range(3))
def test_independent_pairs_read_zero_however_many_functions_are_taken_off(seed: int) -> None:
    g, values = generator(seed), []
    for _ in range(40):
        z, c, w = (torch.randn(128, k, generator=g) for k in (6, 2, 4))
        values.append(float(GaussianMI()(z, c, torch.cat([w, w.square(), w**3], dim=1))))
    mean = torch.tensor(values)
    assert abs(float(mean.mean())) < 4 * float(mean.std()) / 40**0.5


def test_gradients_are_those_of_finite_differences() -> None:
    g = generator(1)
    z, c, w = (torch.randn(30, k, generator=g, dtype=torch.float64) for k in (3, 2, 2))
    z = z + c[:, :1]
    leaf = z.clone().requires_grad_()
    estimator = GaussianMI(ridge=0.1)
    (gradient,) = torch.autograd.grad(estimator(leaf, c, w), leaf)
    for place in ((0, 0), (7, 2)):
        up, down = z.clone(), z.clone()
        up[place] += 1e-5
        down[place] -= 1e-5
        numeric = (float(estimator(up, c, w)) - float(estimator(down, c, w))) / 2e-5
        # The expected excess counts as a constant, and it hangs on z by the ridge.
        assert float(gradient[place]) == pytest.approx(numeric, abs=2e-3)


def test_a_sign_that_follows_w_is_seen() -> None:
    g = generator(2)
    z, w = torch.randn(2000, 1, generator=g), torch.randn(2000, 1, generator=g)
    penalty = MIPenalty(1, Continuous(), condition_on=Continuous(), estimator="gaussian_linear")
    told = [float(penalty(z, z * w.sign() + 0.3 * torch.randn(2000, 1, generator=g), w)) for _ in range(20)]
    assert sum(told) / 20 > 0.03


def test_labels_that_are_declared_are_labels() -> None:
    g = generator(3)
    y, c = torch.randint(3, (300,), generator=g), torch.randint(2, (300,), generator=g)
    z = torch.randn(300, 4, generator=g) + c[:, None]
    plain = MIPenalty(4, Categorical(2), estimator="gaussian")(z, c, y)
    assert MIPenalty(4, Categorical(2), estimator="gaussian", condition_on=Categorical(3))(z, c, y) == plain
    two = torch.stack([y, y % 2], dim=1)
    joint = MIPenalty(4, Categorical(2), estimator="gaussian", condition_on=Categorical((3, 2)))(z, c, two)
    assert joint == MIPenalty(4, Categorical(2), estimator="gaussian")(z, c, 2 * y + y % 2)


def test_rows_that_miss_w_are_left_out_and_counted() -> None:
    z, c, w = common_cause(400, 0)
    site = torch.randint(2, (400, 1), generator=generator(0)).float()
    both = torch.cat([w, site], dim=1)
    missing = both.clone()
    missing[:50, 0], missing[50:80, 1] = float("nan"), -1
    kind = Attributes(Continuous(), Categorical(2))
    penalty, other = (MIPenalty(2, Continuous(), estimator="gaussian", condition_on=kind) for _ in range(2))
    assert penalty(z, c, missing) == other(z[80:], c[80:], both[80:])
    assert penalty.health[0].missing == 80


def test_small_batches_are_filled_up_and_resume() -> None:
    batches = [common_cause(40, seed) for seed in range(4)]
    penalty, resumed = (
        MIPenalty(2, Continuous(), condition_on=Continuous(), estimator="gaussian_learned", critic_warmup=5)
        for _ in range(2)
    )
    for batch in batches[:2]:
        penalty(*batch)
    resumed.load_state_dict(copy.deepcopy(penalty.state_dict()))
    for batch in batches[2:]:
        assert penalty(*batch) == resumed(*batch)
        assert penalty.estimates == resumed.estimates != [0.0]


def test_an_encoder_loses_c_and_keeps_w() -> None:
    """z mixes a quantity that is wanted with one that goes along with it, and is to be told no more than that does."""
    g = generator(4)
    w = torch.randn(2000, 1, generator=g)
    c = w + torch.randn(2000, 1, generator=g)
    x = torch.cat([w, c, torch.zeros(2000, 4)], dim=1) + 0.5 * torch.randn(2000, 6, generator=g)
    x = x @ torch.randn(6, 6, generator=g)
    with seeded(0):
        encoder, head = torch.nn.Linear(6, 2), torch.nn.Linear(2, 1)
    penalty = MIPenalty(2, Continuous(), condition_on=Continuous(), estimator="gaussian_linear")
    optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=2e-2)
    assert float(GaussianMI()(x, c, w)) > 0.6
    for _ in range(150):
        z = encoder(x)
        loss = (head(z) - w).square().mean() + 2 * penalty(z, c, w)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    z = encoder(x).detach()
    assert float(GaussianMI()(z, c, w)) < 0.02
    assert float(GaussianMI()(z, w)) > 0.5


@pytest.mark.parametrize("estimator", ["donsker_varadhan", "club"])
def test_other_estimators_refuse_a_quantity(estimator: str) -> None:
    with pytest.raises(InputError, match=r"condition_on=Continuous\(1\) holds a quantity"):
        MIPenalty(2, Continuous(), condition_on=Continuous(), estimator=estimator)  # type: ignore[arg-type]


def test_bad_inputs_name_the_argument() -> None:
    z, c, w = common_cause(100, 0)
    penalty = MIPenalty(2, Continuous(), condition_on=Continuous(), estimator="gaussian")
    for bad, message in (
        (w[:9], "y must have 100 rows like z"),
        (torch.cat([w, w], dim=1), r"y, of condition_on=Continuous\(1\)"),
        (w * float("inf"), "infinity"),
    ):
        with pytest.raises(InputError, match=message):
            penalty(z, c, bad)
    with pytest.raises(InputError, match="goes with criterion='separation'"):
        MIPenalty(2, Continuous(), criterion="independence", condition_on=Continuous())
    with pytest.raises(InputError, match="y must have 100 rows like z"):
        GaussianMI()(z, c, w[:9])
    with pytest.raises(InputError, match="y contains NaN"):
        GaussianMI()(z, c, w * float("nan"))
