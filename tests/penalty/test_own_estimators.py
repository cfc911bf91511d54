"""Estimators that somebody else writes: those of docs/extending.md, and modules that lack something."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from midebias import MIPenalty
from midebias.attributes import Categorical
from midebias.errors import InputError
from midebias.estimators import Estimator

from ..conftest import generator

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"


def estimators_of_the_page() -> dict[str, Any]:
    """The classes that the page defines, as its code stands."""
    names: dict[str, Any] = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        classes = block[: block.index("\n\n\npenalty = ")] if "\n\n\npenalty = " in block else block
        if "(Estimator)" in classes:
            exec(compile(classes, PAGE.name, "exec"), names)
    return {k: v for k, v in names.items() if isinstance(v, type) and issubclass(v, Estimator) and v is not Estimator}


def test_the_critic_of_the_page_is_trained_and_descended_on() -> None:
    (kind,) = (k for k in estimators_of_the_page().values() if k.trainable)
    g = generator(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        penalty = MIPenalty(
            4,
            Categorical(2),
            criterion="independence",
            estimator=kind,
            critic_steps=3,
            critic_warmup=60,
            critic_lr=0.05,
        )
    first = [p.detach().clone() for p in penalty.parameters()]
    z = torch.randn(256, 4, generator=g)
    c = torch.randint(2, (256,), generator=g)
    z[:, 0] += 2.0 * c
    z.requires_grad_()
    optimizer = torch.optim.Adam([z], 0.05)
    values = []
    for _ in range(60):
        optimizer.zero_grad()
        nats = penalty(z, c)
        nats.backward()
        optimizer.step()
        values.append(float(nats.detach()))
    assert all(not torch.equal(p, q) for p, q in zip(first, penalty.parameters(), strict=True))
    assert int(penalty.critics.updates[0]) >= 60 + 3 * 50
    assert penalty.health[0].used > 5
    assert penalty.health[0].untrained == 0
    assert values[0] > 0.1
    assert values[-1] < 0.5 * values[0]


def test_the_closed_form_of_the_page_fills_small_batches() -> None:
    (kind,) = (k for k in estimators_of_the_page().values() if k.closed_form)
    g = generator(1)
    penalty = MIPenalty(3, Categorical(2), criterion="independence", estimator=lambda dim, width: kind())
    for _ in range(8):
        c = torch.randint(2, (12,), generator=g)
        z = (torch.randn(12, 3, generator=g) + 2 * c[:, None]).requires_grad_()
        penalty(z, c).backward()
    assert penalty.health[0].used == 8
    assert int(penalty.banks[0].filled) == 64  # type: ignore[arg-type]


class Bare(nn.Module):
    bound = "exact"

    def forward(self, z: Tensor, c: Tensor, groups: Tensor | None = None) -> Tensor:
        return z.sum() * 0.0


class WithoutBound(Estimator):
    def forward(self, z: Tensor, c: Tensor, groups: Tensor | None = None) -> Tensor:
        return z.sum() * 0.0


class WithoutLearningLoss(WithoutBound):
    bound, trainable = "lower", True


@pytest.mark.parametrize(
    ("kind", "lacks"),
    [(Bare, "Bare lacks assumption, trainable"), (WithoutBound, "lacks bound"),
     (WithoutLearningLoss, "lacks learning_loss"), (object, "got object")],
)  # fmt: skip
def test_a_module_that_lacks_something_is_refused_by_name(kind: Any, lacks: str) -> None:
    with pytest.raises(InputError, match=lacks):
        MIPenalty(3, Categorical(2), estimator=lambda dim, width: kind())
