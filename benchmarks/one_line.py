"""The one line in training loops of others, each with a planted attribute."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from midebias.attributes import Categorical
from midebias.experiments.summary import format_spread, summarize_runs
from midebias.leakage import probe
from midebias.penalty import MIPenalty
from midebias.randomness import seeded

from .script import Script, format_table

__all__ = ["LOOPS", "render_table", "summarize_loops", "train_with_and_without"]

_TRAIN, _TEST, _EPOCHS, _BATCH, _DIM = 10_000, 6_000, 14, 500, 32

Make = Callable[[Tensor, Tensor, torch.Generator], Tensor]


def _images(y: Tensor, c: Tensor, g: torch.Generator) -> Tensor:
    """The class is a bar's direction in one channel; the attribute brightens the other."""
    x = 0.4 * torch.randn(len(y), 2, 10, 10, generator=g)
    x[:, 0, 2:8, 4:6] += 1.5 * (y == 1).float()[:, None, None]
    x[:, 0, 4:6, 2:8] += 1.5 * (y == 0).float()[:, None, None]
    x[:, 1] += 0.7 * (2.0 * c - 1)[:, None, None]
    return x


def _tokens(y: Tensor, c: Tensor, g: torch.Generator) -> Tensor:
    """One token tells the class and another the attribute, among words without meaning."""
    n, rows = len(y), torch.arange(len(y))
    x = torch.randint(4, 20, (n, 10), generator=g)
    first = torch.randint(10, (n,), generator=g)
    second = (first + torch.randint(1, 10, (n,), generator=g)) % 10
    x[rows, first], x[rows, second] = y, 2 + c
    return x


def _table(y: Tensor, c: Tensor, g: torch.Generator) -> Tensor:
    """One column follows the class, one the attribute, one both, the others neither."""
    x = torch.randn(len(y), 7, generator=g)
    x[:, 0] += 2.2 * (2 * y - 1)
    x[:, 1] += 2 * c - 1
    x[:, 2] += 0.5 * (2 * c - 1) + 0.5 * (2 * y - 1)
    return x


class _Convolutional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(2, 12, 3), nn.ReLU(), nn.Conv2d(12, 16, 3), nn.ReLU(), nn.AdaptiveMaxPool2d(2), nn.Flatten(),
            nn.Linear(64, _DIM),
        )  # fmt: skip
        self.head = nn.Linear(_DIM, 2)


class _Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, _DIM)
        self.layer = nn.TransformerEncoderLayer(_DIM, 2, 64, dropout=0.0, batch_first=True)
        self.head = nn.Linear(_DIM, 2)

    def features(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(self.embed(x))
        return out.mean(dim=1)


class _Tabular(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Linear(7, 64), nn.ReLU(), nn.Linear(64, _DIM), nn.ReLU())
        self.head = nn.Linear(_DIM, 2)


LOOPS: Mapping[str, tuple[type[nn.Module], Make]] = {
    "convolutions on images": (_Convolutional, _images),
    "transformer on tokens": (_Transformer, _tokens),
    "perceptron on a table": (_Tabular, _table),
}


def _their_loop(model: Any, x: Tensor, y: Tensor, c: Tensor, penalty: MIPenalty | None, seed: int) -> float:
    """Somebody's training loop, and the one line; processor seconds."""
    started = time.process_time()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _EPOCHS * -(-len(x) // _BATCH))
    g = torch.Generator().manual_seed(seed)
    for _ in range(_EPOCHS):
        for rows in torch.randperm(len(x), generator=g).split(_BATCH):
            z = model.features(x[rows])
            loss = nn.functional.cross_entropy(model.head(z), y[rows])
            if penalty is not None:
                loss = loss + 1.0 * penalty(z, c[rows], y[rows])  # the one line
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return time.process_time() - started


def train_with_and_without(name: str, seed: int) -> list[dict[str, Any]]:
    """Trained without the line and with it: accuracy and a fresh probe where attribute and class are independent."""
    kind, make = LOOPS[name]
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(2, (_TRAIN,), generator=g)
    c = torch.where(torch.rand(_TRAIN, generator=g) < 0.9, y, 1 - y)  # in training the attribute goes with the class
    x = make(y, c, g)
    test_y, test_c = (torch.randint(2, (_TEST,), generator=g) for _ in range(2))  # in the test it does not
    test_x = make(test_y, test_c, g)
    rows = []
    for with_line in (False, True):
        with seeded(seed):
            model: Any = kind()
        penalty = MIPenalty(_DIM, Categorical(2), seed=seed) if with_line else None
        seconds = _their_loop(model, x, y, c, penalty, seed)
        with torch.no_grad():
            z = model.features(test_x)
            accuracy = float((model.head(z).argmax(1) == test_y).float().mean())
        found = probe(z, test_c, random_state=seed)
        rows.append(
            {
                "loop": name,
                "line": with_line,
                "seed": seed,
                "test_accuracy": accuracy,
                "probe_balanced_accuracy": found.balanced_accuracy,
                "mi": found.mi.value,
                "cpu_seconds": seconds,
            }
        )
    return rows


def summarize_loops(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Mean and standard deviation over seeds of each loop without the line and with it."""
    columns = ("test_accuracy", "probe_balanced_accuracy", "mi", "cpu_seconds")
    return summarize_runs(rows, by=("loop", "line"), columns=columns)


def render_table(document: Mapping[str, Any]) -> str:
    """A row per loop, without the line and with it."""
    rows = [
        (e["loop"], "**with the line**" if e["line"] else "without",
         *(format_spread(e, c) for c in ("test_accuracy", "probe_balanced_accuracy", "mi")), f"{e['cpu_seconds']:.0f}")
        for e in document["summary"]
    ]  # fmt: skip
    lines = format_table(("loop", "", "test accuracy", "fresh probe", "leakage, nats", "CPU seconds"), rows, left=2)
    seeds = ", ".join(map(str, document["seed"]))
    return "\n".join([*lines, "", f"Mean ± standard deviation over seeds {seeds}. `{document['command']}`", ""])


if __name__ == "__main__":
    script = Script("one_line", __doc__, seeds=[0, 1, 2])
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for seed, name in product(script.given["seeds"], LOOPS):
        rows += train_with_and_without(name, seed)
        script.write(rows, script.given["seeds"], summary=summarize_loops(rows))
