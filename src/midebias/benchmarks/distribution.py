"""What several processes bring, and what the information costs to communicate: writes ``results/distribution.json``.

torchrun --nproc-per-node 2 -m midebias.benchmarks.distribution --output results/distribution-2.json
python -m midebias.benchmarks.distribution --output results/distribution-1.json
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..attributes import Continuous
from ..networks import DigitClassifier, seeded
from ..penalty import MIPenalty
from ..training_step import train_step
from .image_data import load_colored_mnist
from .process import keep_freed_memory
from .results import results_document, write_json

__all__ = ["measure"]

_LOG = logging.getLogger(__name__)


class _Depths(nn.Module):
    """The digit network with all that a step needs as outputs of one call, as DDP wants it."""

    def __init__(self) -> None:
        super().__init__()
        with seeded(0):
            self.net = DigitClassifier()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        depths = self.net.depths(x)
        return (*depths, self.net.head(depths[-1]))


def measure(estimator: str, *, batch_size: int, steps: int) -> dict[str, Any]:
    """Median seconds of a step on Colored MNIST at a global batch size, and what of it was the penalty's traffic."""
    world = dist.get_world_size() if dist.is_initialized() else 1
    rank = dist.get_rank() if world > 1 else 0
    data = load_colored_mnist(0.02, 0, limit=6000).train
    model = _Depths().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    called = DistributedDataParallel(model) if world > 1 else model
    penalty = MIPenalty(model.net.shapes, Continuous(3), estimator=estimator, mi_weight=3.0)  # type: ignore[arg-type]
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    seconds, cpu, traffic = list[float](), list[float](), list[tuple[int, int, float]]()
    out: list[tuple[Tensor, ...]] = []

    def encode(x: Tensor) -> tuple[Tensor, ...]:
        out[:] = [called(x)]
        return out[0][:-1]

    for _ in range(steps):
        rows = torch.randperm(len(data), generator=generator)[:batch_size].tensor_split(world)[rank]
        batch = data.batch(rows)
        if world > 1:
            dist.barrier()
        before = (penalty.traffic.bytes, penalty.traffic.calls, penalty.traffic.seconds)
        started = time.perf_counter()
        worked = time.process_time()
        train_step(
            encode, lambda z: out[-1][-1], penalty, optimizer, batch.x, batch.y, batch.c, combine="balanced"
        )  # fmt: skip
        cpu.append(time.process_time() - worked)
        seconds.append(time.perf_counter() - started)
        traffic.append(
            (
                penalty.traffic.bytes - before[0],
                penalty.traffic.calls - before[1],
                penalty.traffic.seconds - before[2],
            )
        )
    kept = slice(3, None)
    step = statistics.median(seconds[kept])
    return {
        "estimator": estimator,
        "processes": world,
        "batch_size": batch_size,
        "steps": steps,
        "seconds_per_step": step,
        "cpu_seconds_per_step": statistics.median(cpu[kept]),
        "images_per_second": batch_size / step,
        "bytes_per_step": int(statistics.median(t[0] for t in traffic[kept])),
        "collectives_per_step": int(statistics.median(t[1] for t in traffic[kept])),
        "communication_seconds_per_step": statistics.median(t[2] for t in traffic[kept]),
        "communication_share": statistics.median(t[2] for t in traffic[kept]) / step,
        "gradient_bytes_per_step": 4 * sum(p.numel() for p in model.parameters()) if world > 1 else 0,
    }


def main() -> None:
    """Run the benchmark; rank 0 writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--estimators", nargs="*", default=["gaussian", "gaussian_learned", "donsker_varadhan"])
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    keep_freed_memory()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    rows = [measure(e, batch_size=arguments.batch_size, steps=arguments.steps) for e in arguments.estimators]
    world = dist.get_world_size() if dist.is_initialized() else 1
    if world == 1 or dist.get_rank() == 0:
        for row in rows:
            _LOG.info("%s", row)
        launcher = f"torchrun --nproc-per-node {world}" if world > 1 else "python"
        command = (
            f"{launcher} -m midebias.benchmarks.distribution --batch-size {arguments.batch_size} "
            f"--steps {arguments.steps} --output {arguments.output}"
        )
        write_json(arguments.output, results_document(command, 0, rows))
    if dist.is_initialized():
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
