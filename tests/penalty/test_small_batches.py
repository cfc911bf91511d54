"""Small batches that a bank fills up read what large ones do, while the encoder moves, and no critic reads its rows."""

from __future__ import annotations

import statistics

import pytest
import torch
from torch import Tensor, nn

from midebias import MIPenalty
from midebias.attributes import Categorical
from midebias.randomness import seeded

from ..conftest import generator


def draw_rows(n: int, seed: int, shift: float, stretch: float = 0.0) -> tuple[Tensor, Tensor]:
    g = generator(seed)
    c = torch.randint(2, (n,), generator=g)
    x = torch.randn(n, 8, generator=g)
    x[:, 0] += shift * (c - 0.5)
    x[:, 0] *= 1 + stretch * c
    return x, c


def read_along(
    estimator: str, *, shift: float, stretch: float = 0.0, steps: int = 24, large: int = 512, bank: int = 512
) -> tuple[float, float]:
    """Mean readings of whole batches and of their sixteenth-row parts, while an encoder turns and stretches z."""
    with seeded(0):
        encoder = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 8))
    optimizer = torch.optim.Adam(encoder.parameters(), lr=1e-3)
    settings = {"criterion": "independence", "estimator": estimator}
    whole = MIPenalty(8, Categorical(2), **settings)  # type: ignore[arg-type]
    parts = MIPenalty(8, Categorical(2), bank=bank, **settings)  # type: ignore[arg-type]
    readings: tuple[list[float], list[float]] = [], []
    for step in range(steps):
        x, c = draw_rows(large, step, shift, stretch)
        z = encoder(x)
        of_parts = []
        for rows in torch.arange(large).split(16):
            parts(z[rows].detach(), c[rows])
            of_parts.append(parts.estimates[0])
        whole(z.detach(), c)
        if step >= 4:
            readings[0].append(whole.estimates[0])
            readings[1].append(statistics.mean(of_parts))
        optimizer.zero_grad()
        (z - x.flip(1)).square().mean().backward()  # a task of its own
        optimizer.step()
    return statistics.mean(readings[0]), statistics.mean(readings[1])


@pytest.mark.parametrize("estimator", ["gaussian", "gaussian_linear"])
def test_parts_read_what_the_whole_batch_does(estimator: str) -> None:
    whole, parts = read_along(estimator, shift=1.5)
    assert whole > 0.05
    assert parts == pytest.approx(whole, rel=0.1)


def test_a_critic_that_is_fed_small_batches_does_not_learn_its_bank_by_heart() -> None:
    whole, parts = read_along("gaussian_learned", shift=0.0, stretch=1.0, steps=16, bank=2048)
    assert whole > 0.03  # which no linear function of z shows
    assert parts == pytest.approx(whole, rel=0.2)


@pytest.mark.parametrize("n", [16, 100, 512])
def test_a_part_of_a_batch_takes_as_large_a_part_of_the_critic_steps(n: int) -> None:
    penalty = MIPenalty(
        8, Categorical(2), criterion="independence", estimator="gaussian_learned", bank=2048, critic_steps=8
    )
    x, c = draw_rows(512, 0, 1.0)
    penalty(x, c)
    before = int(penalty.critics.updates[0])
    penalty(x[:n], c[:n])
    assert int(penalty.critics.updates[0]) - before == {16: 1, 100: 2, 512: 8}[n]


@pytest.mark.parametrize(("estimator", "steps"), [("gaussian", 24), ("gaussian_linear", 24), ("gaussian_learned", 8)])
def test_parts_of_independent_rows_read_nothing(estimator: str, steps: int) -> None:
    _, parts = read_along(estimator, shift=0.0, steps=steps)
    assert abs(parts) < 0.03


def test_a_critic_does_not_learn_from_the_pairs_that_fill_the_batch() -> None:
    penalty = MIPenalty(8, Categorical(2), criterion="independence", estimator="gaussian_learned", bank=512)
    bank = penalty.banks[0]
    assert bank.fill_to == 128
    x, c = draw_rows(512, 0, 1.0)
    penalty(x, c)
    seen = list[int]()
    learner = penalty.estimators[0]
    update = learner.update

    def watch(z: Tensor, *rest: object) -> object:
        seen.extend(int((x == row).all(1).nonzero()[0]) for row in z)
        return update(z, *rest)

    learner.update = watch  # type: ignore[method-assign,assignment]
    penalty(x[:16] + 1, c[:16])
    assert seen
    assert max(seen) < 512 - 112  # the newest 112 stand beside the 16


def test_what_fills_a_batch_up_is_not_learned_twice() -> None:
    """Rows that come round in a bank are no news: predictors that had learned them would read 0.03 nats in them."""
    z, c = draw_rows(4096, 0, 0.0)
    penalty = MIPenalty(8, Categorical(2), criterion="independence", estimator="prequential")
    values = []
    for rows in torch.arange(4096).split(16):
        penalty(z[rows], c[rows])
        values.append(penalty.estimates[0])
    assert abs(statistics.mean(values[-100:])) < 0.01
