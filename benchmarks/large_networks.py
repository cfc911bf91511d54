"""What the penalty costs beside a large network: its share of a ResNet-50 step, and wide z with many values of c.

python -m benchmarks.large_networks --output results/large-networks.json
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from midebias.attributes import Categorical
from midebias.experiments.process import keep_freed_memory
from midebias.penalty import MIPenalty
from midebias.randomness import seeded
from midebias.representations import FeatureMap, Shape
from midebias.training import train_step

from .script import Script, format_table

__all__ = ["ResNet50", "measure_call", "measure_share", "render_table"]


class _Bottleneck(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = 4 * width
        self.body = nn.Sequential(
            nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs),
        )  # fmt: skip
        self.skip = (
            nn.Identity()
            if stride == 1 and inputs == outputs
            else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = nn.functional.relu(self.body(x) + self.skip(x))
        return out


class ResNet50(nn.Module):
    """Layers and sizes of ResNet-50 (He et al., CVPR 2016), so that its cost is measured without torchvision."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
        )  # fmt: skip
        inputs, stages = 64, []
        for width, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
            layers = []
            for i in range(blocks):
                layers.append(_Bottleneck(inputs, width, stride if i == 0 else 1))
                inputs = 4 * width
            stages.append(nn.Sequential(*layers))
        self.stages = nn.ModuleList(stages)

    def depths(self, x: Tensor) -> tuple[Tensor, ...]:
        """Feature maps of stages 1 and 3, and the pooled z (n, 2048)."""
        first = self.stages[0](self.stem(x))
        third = self.stages[2](self.stages[1](first))
        return first, third, self.stages[3](third).mean(dim=(2, 3))


_DEPTHS: tuple[Shape, ...] = (FeatureMap(256), FeatureMap(1024), 2048)


def measure_share(
    estimator: str, *, depths: bool, batch_size: int, pixels: int, critic_steps: int, steps: int
) -> dict[str, Any]:
    """Medians over ``steps`` of a whole training step and of the penalty alone on what that step gave it, in turns.

    Seconds of processor time, all threads together: what else the machine does hardly matters.
    """
    generator = torch.Generator().manual_seed(0)
    with seeded(0):
        model, head = cast(Any, ResNet50()).to(memory_format=torch.channels_last), nn.Linear(2048, 2)
    shapes: Any = _DEPTHS if depths else 2048

    def encoder(x: Tensor) -> Tensor | tuple[Tensor, ...]:
        found: tuple[Tensor, ...] = model.depths(x)
        return found if depths else found[-1]

    penalty = MIPenalty(shapes, Categorical(12), estimator=cast(Any, estimator), critic_steps=critic_steps)
    optimizer = torch.optim.Adam([*model.parameters(), *head.parameters()], lr=1e-4)
    whole, alone = list[float](), list[float]()
    for _ in range(steps + 1):
        x = torch.randn(batch_size, 3, pixels, pixels, generator=generator).to(memory_format=torch.channels_last)
        y = torch.randint(2, (batch_size,), generator=generator)
        c = torch.randint(12, (batch_size,), generator=generator)
        started = time.process_time()
        train_step(encoder, head, penalty, optimizer, x, y, c, mi_weight=None)
        whole.append(time.process_time() - started)
        with torch.no_grad():
            found = encoder(x)
        leaves = [found.requires_grad_()] if isinstance(found, Tensor) else [h.requires_grad_() for h in found]
        loss = torch.stack([h.square().mean() for h in leaves]).sum()
        started = time.process_time()
        penalty.backward(loss, leaves[0] if len(leaves) == 1 else leaves, c, y)
        alone.append(time.process_time() - started)
    step, cost = statistics.median(whole[1:]), statistics.median(alone[1:])
    return {
        "estimator": estimator, "representations": "two feature maps and z" if depths else "z",
        "batch_size": batch_size, "pixels": pixels, "critic_steps": critic_steps, "steps": steps,
        "step_cpu_seconds": step, "penalty_cpu_seconds": cost, "share": cost / step,
    }  # fmt: skip


def measure_call(estimator: str, dim: int, values: int, *, batch_size: int = 256, steps: int = 5) -> dict[str, Any]:
    """Processor time of a call with its backward pass, and the bytes of the bank."""
    generator = torch.Generator().manual_seed(0)
    penalty = MIPenalty(dim, Categorical(values), criterion="independence", estimator=cast(Any, estimator))
    code = torch.randn(values, dim, generator=generator)

    def call() -> float:
        c = torch.randint(values, (batch_size,), generator=generator)
        z = (0.1 * code[c] + torch.randn(batch_size, dim, generator=generator)).requires_grad_()
        started = time.process_time()
        penalty(z, c).backward()
        return time.process_time() - started

    call()
    seconds = statistics.median(call() for _ in range(steps))
    (bank,) = penalty.banks
    size = sum(b.numel() * b.element_size() for b in bank.buffers())
    return {
        "estimator": estimator, "dim": dim, "values": values, "batch_size": batch_size, "cpu_seconds": seconds,
        "bank_bytes": size,
    }  # fmt: skip


def render_table(document: Mapping[str, Any]) -> str:
    """The penalty's share of a step, and what a call costs by columns and values."""
    shares = [
        (f"`{r['estimator']}`", r["representations"], f"{r['step_cpu_seconds']:.1f}", f"{100 * r['share']:.1f}%")
        for r in document["rows"]
    ]
    calls = [
        (f"`{s['estimator']}`", f"{s['dim']:,}", f"{s['values']:,}", f"{1e3 * s['cpu_seconds']:.0f}",
         f"{s['bank_bytes'] / 2**20:.1f} MiB")
        for s in document["sizes"]
    ]  # fmt: skip
    lines = format_table(
        ("estimator", "representations", "seconds of a step", "of these the penalty"), shares, left=2
    )  # fmt: skip
    lines += ["", *format_table(("estimator", "columns of z", "values of c", "milliseconds of a call", "bank"), calls)]
    first, steps = document["rows"][0], document["rows"][0]["steps"]
    lines += [
        "",
        f"Above: batches of {first['batch_size']} at {first['pixels']} pixels, K = {first['critic_steps']}, "
        f"12 values of c. Below: batches of {document['sizes'][0]['batch_size']}, K = 10. "
        f"Processor time of one thread, medians of {steps} and 5 repetitions, seed 0: `{document['command']}`",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    script = Script("large_networks", __doc__, steps=3, pixels=224)
    keep_freed_memory()
    given = script.given
    shares: list[dict[str, Any]] = []
    sizes: list[dict[str, Any]] = []
    for estimator in ("gaussian", "prequential", "gaussian_learned", "donsker_varadhan"):
        for dim, values in ((128, 10), (512, 10), (2048, 10), (2048, 100), (2048, 1000)):
            sizes.append(measure_call(estimator, dim, values))
            script.write(shares, 0, sizes=sizes)
    for estimator, depths in (
        ("gaussian", False), ("gaussian", True), ("prequential", False), ("gaussian_learned", False),
        ("donsker_varadhan", False),
    ):  # fmt: skip
        sizing: Any = {"batch_size": 24, "pixels": given["pixels"], "critic_steps": 20, "steps": given["steps"]}
        shares.append(measure_share(estimator, depths=depths, **sizing))
        script.write(shares, 0, sizes=sizes)
