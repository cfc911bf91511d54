"""One line, really: loops that know nothing of this library, each with a planted attribute."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from midebias import MIPenalty
from midebias.attributes import Categorical
from midebias.leakage import probe
from midebias.networks import seeded

from .conftest import generator

Make = Callable[[Tensor, Tensor, torch.Generator], Tensor]


def images(y: Tensor, c: Tensor, g: torch.Generator) -> Tensor:
    """The class is a bar's direction in one channel; the attribute brightens the other."""
    x = 0.4 * torch.randn(len(y), 2, 10, 10, generator=g)
    x[:, 0, 2:8, 4:6] += 1.5 * (y == 1).float()[:, None, None]
    x[:, 0, 4:6, 2:8] += 1.5 * (y == 0).float()[:, None, None]
    x[:, 1] += 0.7 * (2.0 * c - 1)[:, None, None]
    return x


def tokens(y: Tensor, c: Tensor, g: torch.Generator) -> Tensor:
    """One token tells the class and another the attribute, among words without meaning."""
    n, rows = len(y), torch.arange(len(y))
    x = torch.randint(4, 20, (n, 10), generator=g)
    first = torch.randint(10, (n,), generator=g)
    second = (first + torch.randint(1, 10, (n,), generator=g)) % 10
    x[rows, first], x[rows, second] = y, 2 + c
    return x


def table(y: Tensor, c: Tensor, g: torch.Generator) -> Tensor:
    """One column follows the class, one the attribute, one both, the others neither."""
    x = torch.randn(len(y), 7, generator=g)
    x[:, 0] += 2.2 * (2 * y - 1)
    x[:, 1] += 2 * c - 1
    x[:, 2] += 0.5 * (2 * c - 1) + 0.5 * (2 * y - 1)
    return x


class Convolutional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(2, 12, 3), nn.ReLU(), nn.Conv2d(12, 16, 3), nn.ReLU(), nn.AdaptiveMaxPool2d(2), nn.Flatten(),
            nn.Linear(64, 32),
        )  # fmt: skip
        self.head = nn.Linear(32, 2)


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 32)
        self.layer = nn.TransformerEncoderLayer(32, 2, 64, dropout=0.0, batch_first=True)
        self.head = nn.Linear(32, 2)

    def features(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(self.embed(x))
        return out.mean(dim=1)


class Tabular(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Linear(7, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU())
        self.head = nn.Linear(32, 2)


def their_loop(model: nn.Module, x: Tensor, y: Tensor, c: Tensor, penalty: MIPenalty | None, epochs: int) -> None:
    """Somebody's training loop, and the one line."""
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    steps = epochs * -(-len(x) // 500)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    g = generator(11)
    for _ in range(epochs):
        for rows in torch.randperm(len(x), generator=g).split(500):
            z = model.features(x[rows])  # type: ignore[operator]
            loss = nn.functional.cross_entropy(model.head(z), y[rows])  # type: ignore[operator]
            if penalty is not None:
                loss = loss + 1.0 * penalty(z, c[rows], y[rows])  # the one line
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


@pytest.mark.parametrize(
    ("kind", "make", "least_plain_probe"),
    [(Convolutional, images, 0.95), (Transformer, tokens, 0.95), (Tabular, table, 0.70)],
)
def test_one_line_brings_a_fresh_probe_to_chance(kind: type[nn.Module], make: Make, least_plain_probe: float) -> None:
    g = generator(5)
    y = torch.randint(2, (10_000,), generator=g)
    c = torch.where(torch.rand(10_000, generator=g) < 0.9, y, 1 - y)  # in training the attribute goes with the class
    x = make(y, c, g)
    test_y, test_c = (torch.randint(2, (6000,), generator=g) for _ in range(2))  # in the test it does not
    test_x = make(test_y, test_c, g)
    figures = []
    for penalty in (None, MIPenalty(32, Categorical(2))):
        with seeded(0):
            model = kind()
        their_loop(model, x, y, c, penalty, epochs=14)
        with torch.no_grad():
            z = model.features(test_x)  # type: ignore[operator]
            accuracy = float((model.head(z).argmax(1) == test_y).float().mean())  # type: ignore[operator]
        found = probe(z, test_c)
        figures.append((accuracy, found.balanced_accuracy, found.mi.value))
    (plain_accuracy, plain_probe, _), (accuracy, probed, nats) = figures
    assert plain_probe > least_plain_probe
    assert accuracy > plain_accuracy - 0.01
    assert probed < 0.56, figures
    assert nats < 0.02, figures
