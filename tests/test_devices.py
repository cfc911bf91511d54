"""What runs on the CPU runs on another device, with the same numbers."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from midebias import FeatureMap, LogitAdjustment, MIPenalty, estimate_mi
from midebias.attributes import Attribute, Attributes, Categorical, Continuous
from midebias.devices import follow
from midebias.experiments.image_methods import build_method
from midebias.methods import METHODS, Reference
from midebias.networks import GlobalPoolClassifier
from midebias.randomness import seeded
from midebias.training import train_step
from midebias.training.data import Batch, Problem, TensorData
from midebias.training.evaluation import evaluate

from .conftest import generator
from .second_device import DEVICE, use_second_device

NAMED = (
    "prequential",
    "gaussian", "gaussian_linear", "gaussian_learned", "donsker_varadhan", "nwj", "jensen_shannon", "smile", "info_nce",
    "club", "barber_agakov",
)  # fmt: skip


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        with seeded(0):
            self.conv, self.embedding, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 6), nn.Linear(6, 3)

    def depths(self, x: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.conv(x).relu()
        return maps, self.embedding(maps.mean(dim=(2, 3))).relu()


def batches(kind: str) -> list[tuple[Tensor, Tensor, Tensor]]:
    g = generator(1)
    out = []
    for n in (80, 80, 80, 30):
        y = torch.randint(3, (n,), generator=g)
        label, number = (y + torch.randint(2, (n,), generator=g)) % 3, torch.randn(n, generator=g)
        x = torch.randn(n, 3, 5, 5, generator=g)
        x[:, 0] += label[:, None, None]
        x[:, 1] += number[:, None, None]
        if kind == "missing":
            label[torch.rand(n, generator=g) < 0.2] = -1
        c = {"continuous": number, "mixed": torch.stack([label.float(), number], dim=1)}.get(kind, label)
        out.append((x, y, c))
    return out


def trained(estimator: Any, criterion: Any, kind: str, mi_weight: Any, there: bool) -> tuple[list[float], Tensor]:
    attribute: Attribute = {
        "continuous": Continuous(1), "mixed": Attributes(Categorical(3), Continuous(1)),
    }.get(kind, Categorical(3))  # fmt: skip
    net = Net()
    penalty = MIPenalty(
        [FeatureMap(4), 6], attribute, criterion=criterion, estimator=estimator, critic_steps=4, critic_warmup=40
    )
    adjustment = LogitAdjustment(attribute, 3) if kind != "missing" else None
    if there:
        net.to(DEVICE)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    nats = []
    for x, y, c in batches(kind):
        if there:
            x, y, c = x.to(DEVICE), y.to(DEVICE), c if kind == "mixed" else c.to(DEVICE)
        result = train_step(
            net.depths,
            net.head,
            penalty,
            optimizer,
            x,
            y,
            c,
            mi_weight=mi_weight,
            adjustment=adjustment,
            max_grad_norm=5.0,
        )
        nats += result.mi
    assert all(p.device.type == (DEVICE if there else "cpu") for p in net.parameters())
    return nats, torch.cat([p.detach().cpu().flatten() for p in net.parameters()])


CASES = [
    *product(NAMED, ("separation",), ("categorical",), (None,)),
    *product(("gaussian_linear", "smile"), ("independence",), ("categorical",), (1.0,)),
    *product(("gaussian", "club"), ("separation",), ("continuous", "mixed", "missing"), (1.0,)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))
def test_training_on_another_device(case: tuple[str, str, str, float | None], monkeypatch: pytest.MonkeyPatch) -> None:
    nats, weights = trained(*case, there=False)
    with use_second_device(monkeypatch):
        nats_there, weights_there = trained(*case, there=True)
    assert nats_there == nats
    assert torch.equal(weights_there, weights)
    assert max(nats) > 0


def test_an_estimate_is_made_wherever_the_pairs_are(monkeypatch: pytest.MonkeyPatch) -> None:
    g = generator(2)
    y = torch.randint(2, (300,), generator=g)
    z = torch.randn(300, 2, generator=g) + y[:, None]
    with use_second_device(monkeypatch):
        there = estimate_mi(
            z.to(DEVICE), z[:, :1].to(DEVICE), condition_on=y.to(DEVICE), max_steps=20, n_permutations=9
        )
    here = estimate_mi(z, z[:, :1], condition_on=y, max_steps=20, n_permutations=9)
    assert (there.value, there.p_value) == (here.value, here.p_value)


def test_the_other_device_refuses_what_a_gpu_does(monkeypatch: pytest.MonkeyPatch) -> None:
    with use_second_device(monkeypatch):
        there, here = torch.ones(3, 3).to(DEVICE), torch.ones(3, 3)
        assert float((there + torch.tensor(1.0)).sum()) == 18
        for refused in (lambda: there + here, lambda: here @ there, lambda: here[there.long()]):
            with pytest.raises(RuntimeError, match="same device"):
                refused()
        with pytest.raises(RuntimeError, match="generator"):
            torch.randn(3, generator=generator(0), device=DEVICE)


def test_representations_come_back_to_where_the_images_are(monkeypatch: pytest.MonkeyPatch) -> None:
    x, c = torch.rand(40, 3, 8, 8, generator=generator(3)), torch.zeros(40, 1)
    data = TensorData(x, torch.arange(40) % 3, c, c)
    methods = [build_method("plain", network="lnl", precision="float32") for _ in range(2)]
    here = evaluate(methods[0], data, batch_size=16)
    with use_second_device(monkeypatch):
        methods[1].model.to(DEVICE)
        there = evaluate(methods[1], data, batch_size=16)
    assert all(type(t) is Tensor for t in there)
    assert all(torch.equal(a, b) for a, b in zip(here, there, strict=True))


@pytest.mark.parametrize("name", list(METHODS))
def test_a_method_takes_its_step_on_another_device(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    g = generator(4)
    levels, y = torch.randint(2, (60, 3), generator=g), torch.arange(60) % 10
    batch = Batch(torch.rand(60, 3, 8, 8, generator=g), y, levels, levels.float())
    problem = Problem(10, Continuous(3), (2, 2, 2))
    options = {"critic_steps": 1} if name == "reference" else {}

    def train(move: bool) -> dict[str, Tensor]:
        with seeded(0):
            model = GlobalPoolClassifier()
        # Before the optimisers know of its parameters, which here, and on a GPU not, are others after the move.
        method = METHODS[name](model.to(DEVICE) if move else model, problem, precision="float32", **options)
        method.prepare(batch.levels, batch.c, batch.y)
        given = batch
        if move:
            if isinstance(method, Reference):
                follow(method.critic, method.critic_optimizer, torch.device(DEVICE))
            method.move_state(DEVICE)
            given = Batch(*(v.to(DEVICE) for v in (batch.x, batch.y, batch.levels, batch.c)))
        method.begin_epoch([given])
        for _ in range(2):
            method.step(given, lambda: given, 1e-3)
        return {k: v.cpu() for k, v in method.model.state_dict().items()}

    here = train(False)
    with use_second_device(monkeypatch):
        there = train(True)
    assert all(torch.equal(value, there[key]) for key, value in here.items())
