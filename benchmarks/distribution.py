"""What several processes bring, and what the information costs to communicate: writes ``results/distribution.json``.

python -m benchmarks.distribution
torchrun --nproc-per-node 2 -m benchmarks.distribution

Either keeps what the other wrote.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from midebias.attributes import Continuous
from midebias.distributed import Traffic
from midebias.experiments.planted_images import load_planted_images
from midebias.experiments.process import keep_freed_memory
from midebias.experiments.run_folder import make_results_document, write_json
from midebias.networks import DigitClassifier
from midebias.penalty import MIPenalty
from midebias.randomness import seeded
from midebias.training import train_step

__all__ = ["measure", "merge_processes", "render_table"]

_LOG = logging.getLogger(__name__)
_ESTIMATORS = ["none", "gaussian", "gaussian_learned", "donsker_varadhan"]


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
    data = load_planted_images("colored-mnist", 0.02, 0, limit=6000).train
    model: Any = cast(Any, _Depths()).to(memory_format=torch.channels_last)
    called = DistributedDataParallel(model) if world > 1 else model
    penalty = None
    if estimator != "none":
        penalty = MIPenalty(model.net.shapes, Continuous(3), estimator=cast(Any, estimator), gradient_ratio=3.0)
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
        before = _count_traffic(penalty)
        started = time.perf_counter()
        worked = time.process_time()
        train_step(
            encode, lambda z: out[-1][-1], penalty, optimizer, batch.x, batch.y, batch.c, mi_weight=None
        )  # fmt: skip
        cpu.append(time.process_time() - worked)
        seconds.append(time.perf_counter() - started)
        after = _count_traffic(penalty)
        traffic.append((after[0] - before[0], after[1] - before[1], after[2] - before[2]))
    kept = slice(3, None)
    step = statistics.median(seconds[kept])
    waited = torch.tensor([t[2] for t in traffic], dtype=torch.float64)
    if world > 1:  # where ranks wait for each other, the one that comes last does not
        dist.all_reduce(waited, op=dist.ReduceOp.MIN)
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
        "communication_share_of_the_last": float(waited[kept].median()) / step,
        "gradient_bytes_per_step": 4 * sum(p.numel() for p in model.parameters()) if world > 1 else 0,
    }


def _count_traffic(penalty: MIPenalty | None) -> tuple[int, int, float]:
    """Bytes, calls and seconds so far."""
    traffic = Traffic() if penalty is None else penalty.traffic
    return traffic.bytes, traffic.calls, traffic.seconds


def merge_processes(path: Path, rows: list[dict[str, Any]], command: str) -> dict[str, Any]:
    """The document of these rows and of those in the file that were made by other numbers of processes."""
    world, kept, commands = rows[0]["processes"], list[dict[str, Any]](), {str(rows[0]["processes"]): command}
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        kept = [r for r in before["rows"] if r["processes"] != world]
        commands = {k: v for k, v in before["commands"].items() if k != str(world)} | commands
    commands = dict(sorted(commands.items()))
    together = sorted([*kept, *rows], key=lambda r: r["processes"])
    return make_results_document(
        " and ".join(f"`{c}`" for c in commands.values()), 0, together, table="distribution", commands=commands
    )


def render_table(document: Mapping[str, Any]) -> str:
    """One process beside the most of them, by estimator."""
    rows = document["rows"]
    most = max(r["processes"] for r in rows)
    one, many = ({r["estimator"]: r for r in rows if r["processes"] == n} for n in (1, most))
    names = [name for name in many if name in one]
    titles = ["plain training" if name == "none" else f"`{name}`" for name in names]
    lines = ["| | " + " | ".join(titles) + " |", "| --- |" + " ---: |" * len(names)]

    def line(title: str, cell: Callable[[str], str]) -> None:
        lines.append(f"| {title} | " + " | ".join(cell(name) for name in names) + " |")

    model = many[names[0]]["gradient_bytes_per_step"]
    line(
        f"bytes a rank sends per step for the information; {model:,} more for the model's gradient",
        lambda e: f"{many[e]['bytes_per_step']:,}",
    )
    line("collectives per step for the information", lambda e: str(many[e]["collectives_per_step"]))
    line(
        f"seconds of CPU of a step and process, one process / {most}",
        lambda e: f"{one[e]['cpu_seconds_per_step']:.2f} / {many[e]['cpu_seconds_per_step']:.2f}",
    )
    line(
        f"images per second, one process / {most}",
        lambda e: f"{one[e]['images_per_second']:,.0f} / {many[e]['images_per_second']:,.0f}",
    )
    line("ratio", lambda e: f"{many[e]['images_per_second'] / one[e]['images_per_second']:.2f}")
    line(
        "share of the step in those collectives, waiting for the other ranks included / of the rank that waits least",
        lambda e: f"{many[e]['communication_share']:.1%} / {many[e]['communication_share_of_the_last']:.1%}",
    )
    return "\n".join(lines) + f"\n\n{document['command']}\n"


def main() -> None:
    """Run the benchmark; rank 0 writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch-size", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--estimators", nargs="*", default=_ESTIMATORS)
    parser.add_argument("--output", type=Path, default=Path("results/distribution.json"))
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
        command = f"{launcher} -m benchmarks.distribution"
        command += f" --batch-size {arguments.batch_size} --steps {arguments.steps}"
        if arguments.estimators != _ESTIMATORS:
            command += f" --estimators {' '.join(arguments.estimators)}"
        command += f" --output {arguments.output}"
        write_json(arguments.output, merge_processes(arguments.output, rows, command))
    if dist.is_initialized():
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
