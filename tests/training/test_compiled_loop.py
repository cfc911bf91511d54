"""The one line in a loop whose network is compiled, or runs in bfloat16."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from midebias import MIPenalty
from midebias.attributes import Categorical
from midebias.randomness import seeded

from ..conftest import generator


def train(compile_encoder: str = "", compile_penalty: str = "", *, half: bool = False, **options: Any) -> list[float]:
    g = generator(0)
    with seeded(0):
        encoder: Any = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 8))
        head = nn.Linear(8, 3)
    penalty: Any = MIPenalty(8, Categorical(2), critic_steps=2, critic_warmup=2, **options)
    optimizer = torch.optim.SGD([*encoder.parameters(), *head.parameters()], lr=0.05)
    if compile_encoder:
        encoder = torch.compile(encoder, backend=compile_encoder)
    if compile_penalty:
        penalty = torch.compile(penalty, backend=compile_penalty)
    told = []
    for _ in range(3):
        c, y = torch.randint(2, (128,), generator=g), torch.randint(3, (128,), generator=g)
        x = torch.randn(128, 10, generator=g) + c[:, None]
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            z: Tensor = encoder(x)
            loss, nats = nn.functional.cross_entropy(head(z), y), penalty(z, c, y)
        optimizer.zero_grad()
        (loss + nats).backward()
        optimizer.step()
        told.append(float(nats.detach()))
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in head.parameters())
    return told


def test_a_compiled_encoder_and_the_default_penalty() -> None:
    plain = train()
    assert max(plain) > 0.2
    assert train("aot_eager") == pytest.approx(plain, rel=1e-4)


@pytest.mark.filterwarnings("ignore")  # the compiler looks at what is deprecated
def test_a_compiled_penalty() -> None:
    assert train(compile_penalty="eager", estimator="gaussian") == pytest.approx(train(estimator="gaussian"), rel=1e-4)


@pytest.mark.parametrize("estimator", ["gaussian", "gaussian_learned", "prequential"])
def test_bfloat16_around_encoder_and_penalty(estimator: str) -> None:
    told = train(half=True, estimator=estimator)
    assert all(0.0 <= nats < 2.0 for nats in told)
    if estimator != "gaussian_learned":  # whose critic follows every digit
        assert told == pytest.approx(train(estimator=estimator), rel=0.2)
