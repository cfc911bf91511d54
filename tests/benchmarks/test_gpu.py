"""What a step asks the device for, and what becomes of numbers that are known late."""

from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.gpu import StepCounter, draw_batch, measure, simulate_device
from midebias import MIPenalty
from midebias.attributes import Categorical
from midebias.deferred_reads import read_later
from midebias.errors import InputError
from midebias.estimators import GaussianMI
from midebias.experiments.image_methods import build_method
from midebias.marginals import find_range, keep_range
from midebias.methods import METHODS
from midebias.training.data import Problem

from ..conftest import generator


def count_reads(name: str, **options: Any) -> dict[str, Any]:
    batch = draw_batch(64, 12, "cpu")
    method = build_method(name, Problem(10, Categorical(4), (4,)), network="lnl", precision="float32", **options)
    method.prepare(batch.levels, batch.c, batch.y)
    method.begin_epoch([batch])
    return measure(method, batch, steps=1)


def test_reads_are_counted_by_the_line_that_asks() -> None:
    labels = torch.tensor([3, 1, 2])
    with StepCounter() as counter:
        kept = keep_range(labels)
        assert find_range(kept) == (1, 3)
        assert find_range(kept) == (1, 3)  # asked for once
        labels[0] = 5
        assert find_range(labels) == (1, 5)  # of what is not kept, again
        torch.linalg.eigh(torch.eye(2))  # asks, but not from a line of the package
    assert sum(counter.reads.values()) == 2
    assert {place.partition(":")[0] for place in counter.reads} == {"marginals.py"}
    assert not counter.waits


@pytest.mark.parametrize("name", list(METHODS))
def test_a_step_asks_for_nothing(name: str) -> None:
    counts = count_reads(name, **({"critic_steps": 1} if name == "reference" else {}))
    assert counts["read_at"] == {}
    assert counts["waits"] == (1 if name == "mib" else 0)  # where c is whitened


@pytest.mark.parametrize("estimator", ["gaussian_linear", "gaussian_learned", "donsker_varadhan", "info_nce", "club"])
def test_a_step_of_another_estimator_asks_for_nothing(estimator: str) -> None:
    assert count_reads("mib", estimator=estimator, critic_steps=2)["read_at"] == {}


def biased(n: int = 200, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    g = generator(seed)
    y, c = torch.randint(3, (n,), generator=g), torch.randint(4, (n,), generator=g)
    return torch.randn(n, 5, generator=g) + c[:, None] * torch.linspace(0, 1, 5), c, y


def build_plain(dim: int, attribute_dim: int) -> GaussianMI:
    return GaussianMI()


def train(estimator: Any, *, late: bool, **options: Any) -> tuple[MIPenalty, list[Tensor]]:
    penalty = MIPenalty(5, Categorical(4), estimator=estimator, critic_steps=3, critic_warmup=20, **options)
    gradients = []
    for seed in range(6):
        z, c, y = biased(seed=seed)
        leaf = z.requires_grad_()
        if late:
            with simulate_device():
                penalty(leaf, c, y).backward()
        else:
            penalty(leaf, c, y).backward()
        assert leaf.grad is not None
        gradients.append(leaf.grad)
    return penalty, gradients


CASES = [  # with labels as many signs are drawn as there is room for
    (build_plain, "separation", 0.1), ("gaussian_learned", "independence", None),
    ("donsker_varadhan", "separation", 0.1),
]  # fmt: skip


@pytest.mark.parametrize(("estimator", "criterion", "max_mi"), CASES)
def test_what_is_known_late_changes_nothing(estimator: Any, criterion: str, max_mi: float | None) -> None:
    options = {"criterion": criterion, "max_mi": max_mi}
    (late, its), (soon, others) = (train(estimator, late=each, **options) for each in (True, False))
    assert late.health == soon.health
    assert late.health[0].used >= 4
    assert late.estimates == pytest.approx(soon.estimates, rel=1e-4)
    assert late.multipliers == pytest.approx(soon.multipliers, rel=1e-5)
    for mine, other in zip(its, others, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-6)


def test_an_error_comes_once_it_is_known() -> None:
    z, c, y = biased()
    penalty = MIPenalty(5, Categorical(4))
    wrong = [
        (torch.where(torch.arange(5) == 2, torch.nan, z), c, y, "z contains NaN"),
        (z, c + 1, y, "c column 0 must hold labels 0 to 3"),
        (z, c, y - 1, "y must hold labels >= 0"),
    ]
    for *given, message in wrong:
        with pytest.raises(InputError, match=message):  # noqa: SIM117 # raised where the device's numbers arrive
            with simulate_device():
                value = penalty(*given)
        assert float(value.detach()) >= 0.0
        with pytest.raises(InputError, match=message):
            penalty(*given)


def test_rows_without_attribute_are_counted_when_they_come_late() -> None:
    z, c, y = biased()
    hidden = torch.where(torch.arange(200) % 10 == 0, -1, c)
    penalty = MIPenalty(5, Categorical(4), estimator=build_plain, bank=0)
    expected = float(MIPenalty(5, Categorical(4), estimator=build_plain, bank=0)(z, hidden, y))
    values = []
    for labels in (c, hidden, hidden):
        with simulate_device():
            values.append(float(penalty(z, labels, y)))
    assert penalty.health[0].missing == 40
    assert values[1] == pytest.approx(expected, rel=0.1)  # others stood in for those that miss it
    assert values[2] == expected


def test_room_for_labels_grows() -> None:
    z, c, y = biased()
    penalty = MIPenalty(5, Categorical(4), estimator=build_plain, bank=0, n_groups=3)
    exact = [float(MIPenalty(5, Categorical(4), estimator=build_plain, bank=0)(z, c, v)) for v in (y, y + 4)]
    values = []
    for labels in (y, y + 4, y + 4):
        with simulate_device():
            values.append(float(penalty(z, c, labels)))
    assert [values[0], values[2]] == pytest.approx(exact, rel=1e-5)
    assert abs(values[1] - values[0]) > 1e-6  # all counted as the highest label


def test_numbers_are_read_in_the_order_in_which_they_were_asked_for() -> None:
    told: list[Any] = []
    with simulate_device():
        for k in range(3):
            read_later(torch.tensor([k, k]), told.append)
        assert told == []
    assert told == [[0, 0], [1, 1], [2, 2]]
    read_later(torch.tensor(7), told.append)  # on the CPU at once
    assert told[-1] == 7
