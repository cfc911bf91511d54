"""What `test_distributed` runs in one process and, under torchrun, in two: ``torchrun ... -m tests.ranks OUTPUT``."""

from __future__ import annotations

import sys
import tempfile
import warnings
from itertools import product
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from midebias import FeatureMap, LogitAdjustment, MIPenalty
from midebias.attributes import Attribute, Categorical, Continuous
from midebias.errors import InputError
from midebias.randomness import seeded
from midebias.training.checkpoints import write_checkpoint

ESTIMATORS = ("prequential", "gaussian", "gaussian_linear", "gaussian_learned", "donsker_varadhan")
OTHERS = ("nwj", "jensen_shannon", "smile", "info_nce", "club", "barber_agakov")
CASES = [
    *product(ESTIMATORS, ("separation", "independence"), ("added", "balanced"), ("categorical",)),
    *product(("gaussian", "gaussian_learned"), ("separation",), ("added",), ("continuous", "missing", "small", "map")),
    *product(("gaussian", "gaussian_learned"), ("separation",), ("added",), ("quantity",)),
    *product(OTHERS, ("separation",), ("balanced",), ("categorical",)),
    ("gaussian", "separation", "balanced", "empty"),
    ("donsker_varadhan", "separation", "added", "empty"),
    ("gaussian", "independence", "balanced", "budget"),
    ("gaussian", "separation", "added", "adjusted"),
]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        with seeded(0):
            self.encoder = nn.Sequential(nn.Linear(10, 24), nn.ReLU(), nn.Linear(24, 8))
            self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z = self.encoder(x)
        return z, self.head(z)


def batches(kind: str) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Global batches; the last ones are small and odd."""
    generator = torch.Generator().manual_seed(1)
    sizes = {"small": [24, 24, 24, 7], "empty": [128, 128, 70, 1], "map": [128, 96, 128]}.get(
        kind, [128, 128, 128, 65, 33]
    )
    out = []
    for n in sizes:
        y = torch.randint(3, (n,), generator=generator)
        x = torch.randn(n, 10, generator=generator)
        c = (y + torch.randint(2, (n,), generator=generator)) % 3
        x[:, 0] += y
        x[:, 1] += 2 * c
        if kind == "missing":
            c[torch.rand(n, generator=generator) < 0.3] = -1
        if kind == "continuous":
            noise = torch.randn(n, 2, generator=generator)
            x[:, 2:4] += noise
            out.append((x, y, noise + y[:, None]))
        else:
            out.append((x, y, c))
    return out


def train(case: tuple[str, str, str, str], rank: int, world: int) -> dict[str, Any]:
    estimator, criterion, combine, kind = case
    attribute: Attribute = Continuous(2) if kind == "continuous" else Categorical(3)
    options: dict[str, Any] = {"critic_steps": 2, "critic_warmup": 3}
    if estimator in OTHERS:  # whose estimates lie below zero, and count as none, until they have learned something
        options |= {"critic_steps": 10, "critic_warmup": 60}
    if kind == "budget":
        options["max_mi"] = 0.05
    if kind == "quantity":
        options["condition_on"] = Continuous()
    shape: Any = [FeatureMap(2), 8] if kind == "map" else 8
    penalty = MIPenalty(shape, attribute, criterion=criterion, estimator=estimator, **options)  # type: ignore[arg-type]
    adjustment = LogitAdjustment(attribute, 3) if kind == "adjusted" else None
    net = Net()
    model = DistributedDataParallel(net) if world > 1 else net
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    estimates = []
    for x, y, c in batches(kind):
        n = len(x)
        if kind == "empty" and world > 1 and n < 128:  # all rows with the last rank
            x, y, c = (v if rank == world - 1 else v[:0] for v in (x, y, c))
        else:
            x, y, c = (v.tensor_split(world)[rank] for v in (x, y, c))
        z, logits = model(x)
        if adjustment is not None:
            logits = adjustment(logits, c, y)
        # The mean over the global batch, whatever this rank's share: DDP averages over ranks.
        loss = nn.functional.cross_entropy(logits, y, reduction="sum") * world / n
        given = [z.reshape(len(z), 2, 2, 2), z] if kind == "map" else z
        optimizer.zero_grad()
        if combine == "added":
            (loss + 0.5 * penalty(given, c, x[:, 2] if kind == "quantity" else y)).backward()
        else:
            penalty.backward(loss, given, c, y)
        optimizer.step()
        estimates.append(list(penalty.estimates))
    return {
        "weights": [p.detach().clone() for p in net.parameters()],
        "estimates": torch.tensor(estimates),
        # A constant added to Donsker-Varadhan's critic changes nothing: its last bias drifts with rounding.
        "critic": [p.detach().clone() for p in penalty.parameters() if p.numel() > 1],
        "health": [vars(h).copy() for h in penalty.health],
        "bytes": penalty.traffic.bytes,
    }


def fit(devices: int) -> list[Tensor]:
    """Two epochs in a Lightning Trainer."""
    import lightning.pytorch as pl
    from torch.utils.data import TensorDataset

    from midebias.lightning import DebiasModule, SeededLoader

    net = Net()
    x, y, c = batches("categorical")[0]
    penalty = MIPenalty(8, Categorical(3), estimator="gaussian_learned", critic_steps=2, critic_warmup=3)
    module = DebiasModule(net.encoder, net.head, penalty, optimizer=lambda p: torch.optim.SGD(p, lr=0.1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = pl.Trainer(
            accelerator="cpu", devices=devices, strategy="ddp" if devices > 1 else "auto", max_epochs=2, logger=False,
            enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
            use_distributed_sampler=False, default_root_dir=tempfile.gettempdir(),
        )  # fmt: skip
        trainer.fit(module, SeededLoader(TensorDataset(x, y, c), 64, seed=2))
    return [p.detach().clone() for p in net.parameters()]


def shard(world: int) -> list[Tensor]:
    """Parameters under FSDP; the penalty sees whole representations either way."""
    from torch.distributed.fsdp import fully_shard

    net = Net()
    if world > 1:
        fully_shard(net)
    penalty = MIPenalty(8, Categorical(3), estimator="gaussian")
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for x, y, c in batches("categorical")[:2]:
        x, y, c = (v.tensor_split(world)[dist.get_rank() if world > 1 else 0] for v in (x, y, c))
        z, logits = net(x)
        optimizer.zero_grad()
        (nn.functional.cross_entropy(logits, y) + 0.5 * penalty(z, c, y)).backward()
        optimizer.step()
    return [p.full_tensor().detach() if world > 1 else p.detach() for p in net.parameters()]  # type: ignore[attr-defined]


def refusals(rank: int) -> list[str]:
    """What each rank says when one of them is given nonsense."""
    said = []
    for name in ("z", "c"):
        penalty = MIPenalty(4, Categorical(3), criterion="independence", estimator="gaussian")
        z, c = torch.zeros(8, 4, requires_grad=True), torch.zeros(8, dtype=torch.long)
        if rank == 1:
            z, c = (z + float("nan"), c) if name == "z" else (z, c + 7)
        try:
            penalty.backward(z.sum(), z, c)
        except InputError as error:
            said.append(str(error))
    adjustment = LogitAdjustment(Categorical(2), 3)
    y = torch.zeros(8, dtype=torch.long)
    try:
        adjustment(torch.zeros(8, 3), y, y + 3 * rank)
    except InputError as error:
        said.append(str(error))
    return said


def main() -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    results: dict[str, Any] = {"-".join(case): train(case, rank, world) for case in CASES}
    try:
        results["fsdp"] = shard(world)
    except (RuntimeError, ValueError, AssertionError, NotImplementedError, ImportError) as error:
        results["fsdp"] = str(error)
    results["refusals"] = refusals(rank)
    results["lightning"] = fit(world)  # in the group that is there
    write_checkpoint(Path(sys.argv[1]) / f"rank{rank}", results)
    if dist.is_initialized():
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
