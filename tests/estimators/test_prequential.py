"""`PrequentialMI`: what it sees in wide z, what it does not see where nothing is, and what its gradient erases."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from midebias import MIPenalty, estimate_mi
from midebias.attributes import Categorical, Continuous
from midebias.errors import InputError, TooFewSamples
from midebias.estimators import PrequentialMI
from midebias.randomness import seeded

ROWS, BATCH = 8000, 512
Leak = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]


def read(z: Tensor, c: Tensor, y: Tensor | None = None, *, passes: int = 3) -> float:
    """Mean of the last 20 estimates of a penalty that is called on batches of the same rows, pass after pass."""
    criterion = "independence" if y is None else "separation"
    penalty = MIPenalty(z.shape[1], Categorical(int(c.max()) + 1), criterion=criterion, estimator="prequential")
    generator, values = torch.Generator().manual_seed(1), []
    with torch.no_grad():
        for _ in range(passes):
            for rows in torch.randperm(len(z), generator=generator).split(BATCH):
                values.append(float(penalty(z[rows], c[rows], None if y is None else y[rows])))
    return sum(values[-20:]) / len(values[-20:])


def draw(dim: int, rows: int = ROWS, n_categories: int = 2) -> tuple[Tensor, Tensor, torch.Generator]:
    generator = torch.Generator().manual_seed(dim)
    c = torch.randint(n_categories, (rows,), generator=generator)
    return torch.randn(rows, dim, generator=generator), c, generator


@pytest.mark.parametrize(("dim", "n_categories"), [(16, 10), (64, 2), (256, 2)])
def test_independent_z_reads_nothing_however_often_its_rows_come_round(dim: int, n_categories: int) -> None:
    z, c, _ = draw(dim, n_categories=n_categories)
    assert read(z, c, passes=4) < 0.01


@pytest.mark.parametrize("dim", [16, 64, 256])
def test_a_shift_spread_over_all_columns_reads_its_information(dim: int) -> None:
    z, c, _ = draw(dim)
    z += math.sqrt(0.4458 / dim) * (2 * c[:, None] - 1)  # 0.184 nats
    assert read(z, c) == pytest.approx(0.184, abs=0.03)


def _scale(z: Tensor, c: Tensor, g: torch.Generator) -> tuple[Tensor, Tensor]:
    z[:, 0] *= torch.where(c == 1, 2.073, 1.0)
    return z, c


def _flip(sign: Tensor, g: torch.Generator) -> Tensor:
    return ((sign > 0) ^ (torch.rand(len(sign), generator=g) < 0.2802)).long()


def _cross(z: Tensor, c: Tensor, g: torch.Generator) -> tuple[Tensor, Tensor]:
    return z, _flip(z[:, 0] * z[:, 1], g)


def _wave(z: Tensor, c: Tensor, g: torch.Generator) -> tuple[Tensor, Tensor]:
    return z, _flip(torch.sin(3 * z[:, 0]), g)


def _stretch(z: Tensor, c: Tensor, g: torch.Generator) -> tuple[Tensor, Tensor]:
    return z * torch.where(c == 1, 1 + 0.68 / math.sqrt(z.shape[1]), 1.0)[:, None], c


@pytest.mark.parametrize("dim", [16, 64])
@pytest.mark.parametrize("leak", [_scale, _cross, _wave, _stretch])
def test_a_nonlinear_leak_of_a_tenth_of_a_nat_is_seen(leak: Leak, dim: int) -> None:
    assert 0.06 < read(*leak(*draw(dim))) < 0.13


def test_a_leak_in_one_class_only_is_seen_whatever_the_labels_are_called() -> None:
    z, c, generator = draw(32)
    y = torch.randint(2, (len(z),), generator=generator)
    z[:, 3] += 0.7 * (2 * c - 1) * (y == 0)
    first = read(z, c, y)
    assert 0.06 < first < 0.13
    assert read(z, c, 94110 + 5 * y) == pytest.approx(first, abs=1e-6)


def test_no_more_is_told_than_the_attribute_holds() -> None:
    z, c, _ = draw(8, n_categories=3)
    z[:, :3] += 100.0 * torch.nn.functional.one_hot(c, 3)
    rare = torch.where(torch.arange(len(c)) % 50 == 0, c, 0)
    z[:, 3] = 50.0 * rare
    assert read(z, c, passes=1) == pytest.approx(math.log(3), abs=0.01)
    assert read(z, rare, passes=1) < 0.12  # H(C) is 0.11


def test_a_quantity_is_read_to_the_second_order() -> None:
    generator = torch.Generator().manual_seed(0)
    c = torch.randn(4000, generator=generator)
    z = torch.randn(4000, 32, generator=generator)
    z[:, 0] = 0.6 * c + 0.8 * z[:, 0]
    z[:, 1] += c.square()
    penalty = MIPenalty(32, Continuous(), criterion="independence", estimator="prequential")
    values = [float(penalty(z[k : k + 500], c[k : k + 500]).detach()) for k in range(0, 4000, 500)]
    truth = -0.5 * math.log(1 - 0.36) - 0.5 * math.log(1 - 2 / 3)
    assert sum(values[2:]) / 6 == pytest.approx(truth, abs=0.12)


def test_descent_moves_a_map_hardly_further_than_needed_and_erases_the_shift() -> None:
    """The means of z given c become equal: LEACE's condition for what no linear predictor finds."""
    z, c, _ = draw(32)
    z += math.sqrt(0.4458 / 32) * (2 * c[:, None] - 1)
    penalty = MIPenalty(32, Categorical(2), criterion="independence", estimator="prequential")
    with seeded(0):
        encoder = torch.nn.Linear(32, 32)
    with torch.no_grad():
        encoder.weight.copy_(torch.eye(32))
        encoder.bias.zero_()
    optimizer = torch.optim.Adam(encoder.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 240)
    generator = torch.Generator().manual_seed(2)
    for _ in range(16):
        for rows in torch.randperm(ROWS, generator=generator).split(BATCH)[:-1]:
            optimizer.zero_grad()
            penalty(encoder(z[rows]), c[rows]).backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        after = encoder(z)
    difference = after[c == 1].mean(0) - after[c == 0].mean(0)
    covariance = torch.cov(after.T).double() + 1e-5 * torch.eye(32)
    separation = difference.double() @ torch.linalg.solve(covariance, difference.double())
    before = z[c == 1].mean(0) - z[c == 0].mean(0)
    moved = (after - z).square().sum(1).mean()
    direction = before / before.norm()
    assert separation < 0.08  # 1.23 at first: a linear probe is at most at 0.557 then
    assert moved < 1.5 * ((z - z.mean(0)) @ direction).square().mean()


def test_independent_pairs_hardly_pull() -> None:
    z, c, _ = draw(64, rows=4096)
    penalty = MIPenalty(64, Categorical(2), criterion="independence", estimator="prequential")
    pulls = []
    for rows in torch.arange(4096).split(BATCH):
        leaf = z[rows].requires_grad_()
        penalty(leaf, c[rows]).backward()
        pulls.append(leaf.grad.norm().item() * math.sqrt(BATCH))
    assert sum(pulls) / len(pulls) < 0.15  # a shift of 0.184 nats pulls with 0.5


def test_evaluation_learns_nothing_and_half_a_batch_is_enough_to_judge() -> None:
    z, c, _ = draw(8)
    z[:, 0] += c
    values = torch.nn.functional.one_hot(c, 2).float()
    estimator = PrequentialMI(8, 2, sizes=(2,))
    before = {name: value.clone() for name, value in estimator.state_dict().items() if isinstance(value, Tensor)}
    estimator.eval()
    first = float(estimator(z[:512], values[:512]).detach())
    assert first > 0.05
    after = estimator.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items() if not name.endswith("extra_state"))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_precisions_read_alike(dtype: torch.dtype) -> None:
    z, c, _ = draw(8, rows=1024)
    z[:, 0] += c
    values = torch.nn.functional.one_hot(c, 2).float()
    read_by = {t: PrequentialMI(8, 2, sizes=(2,)) for t in (torch.float32, dtype)}
    for _ in range(3):
        told = {t: float(estimator(z.to(t), values)) for t, estimator in read_by.items()}
    assert told[dtype] == pytest.approx(told[torch.float32], abs=0.01)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dim": 0}, "dim"),
        ({"memory": 0.0}, "memory"),
        ({"sizes": (3,)}, "sizes"),
        ({"attribute_degree": 3}, "attribute_degree"),
        ({"ridge": -1.0}, "ridge"),
        ({"smoothing": math.inf}, "smoothing"),
    ],
)
def test_refusals_name_the_argument(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        PrequentialMI(**{"dim": 4, "attribute_dim": 2, **arguments})  # type: ignore[arg-type]  # what is refused


def test_few_rows_and_what_does_not_vary() -> None:
    z, c, _ = draw(4, rows=64)
    values = torch.nn.functional.one_hot(c, 2).float()
    for given, options in ((7, {}), (64, {"fresh": 7})):  # those that fill a batch up do not count
        with pytest.raises(TooFewSamples, match="7 samples"):
            PrequentialMI(4, 2)(z[:given], values[:given], **options)
    assert float(PrequentialMI(4, 2)(torch.ones(64, 4), values)) <= 0
    assert float(PrequentialMI(4, 2)(z, values[:1].expand(64, 2))) <= 0


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e-30])
def test_z_that_does_not_vary_tells_nothing_and_has_no_gradient(scale: float) -> None:
    """As that of a network whose units have all died."""
    _, c, _ = draw(4, rows=256)
    penalty = MIPenalty(4, Categorical(2), criterion="independence", estimator="prequential")
    for rows in torch.arange(256).split(64):
        leaf = torch.full((64, 4), scale).requires_grad_()
        penalty(leaf, c[rows]).backward()
        assert penalty.estimates == [0.0]
        assert leaf.grad is not None
        assert not bool(leaf.grad.any())


@pytest.mark.parametrize("dim", [64, 512])
def test_one_dominant_direction_and_dead_columns_are_no_hindrance(dim: int) -> None:
    z, c, generator = draw(dim, rows=1024)
    z = 1e-4 * z + 100.0 * torch.randn(1024, 1, generator=generator)
    z[:, :4] = 0.0
    penalty = MIPenalty(dim, Categorical(2), criterion="independence", estimator="prequential")
    for rows in torch.arange(1024).split(256):
        leaf = z[rows].requires_grad_()
        penalty(leaf, c[rows]).backward()
        assert leaf.grad is not None
        assert bool(leaf.grad.isfinite().all())
        assert abs(penalty.estimates[0]) < 0.1


def test_estimate_mi_says_that_it_is_not_for_it() -> None:
    z, c, _ = draw(4, rows=200)
    with pytest.raises(InputError, match="'prequential' reads batch after batch"):
        estimate_mi(z, c, estimator="prequential", n_permutations=0)
