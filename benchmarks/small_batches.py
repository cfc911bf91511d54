"""Accumulated batches of 16 beside batches of 512: what a penalty reads with a bank, and the memory that it takes."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from midebias import MIPenalty
from midebias.attributes import Categorical
from midebias.experiments.process import measure_peak_memory_mb
from midebias.randomness import seeded

from .script import Script, format_table

__all__ = ["LEAKS", "measure_memory", "measure_reading", "render_table"]

_LARGE, _SMALL, _WARM_UP = 512, 16, 4
_WIDTH, _TOKENS, _LAYERS = 256, 64, 6  # of the network whose memory is measured


def _shift(x: Tensor, c: Tensor) -> None:
    x[:, 0] += 1.5 * (c - 0.5)


def _stretch(x: Tensor, c: Tensor) -> None:
    x[:, 0] *= 1 + c


def _flip(x: Tensor, c: Tensor) -> None:
    x[:, 1] = x[:, 1].abs() * x[:, 0].sign() * torch.where(torch.rand(len(c)) < 0.9, 2 * c - 1, 1 - 2 * c)


def _leave(x: Tensor, c: Tensor) -> None:
    pass


LEAKS: Mapping[str, Callable[[Tensor, Tensor], None]] = {
    "shift": _shift, "spread": _stretch, "sign of a product": _flip, "none": _leave,
}  # fmt: skip


class _Encoder(nn.Module):
    """Layers, of which the first half is frozen and all are recomputed in the backward pass, if asked to."""

    def __init__(self, layers: list[nn.Module], *, frozen: bool, recomputed: bool) -> None:
        super().__init__()
        self.layers, self.recomputed = nn.ModuleList(layers), recomputed
        if frozen:
            for layer in layers[: len(layers) // 2]:
                layer.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = checkpoint(layer, x, use_reentrant=False) if self.recomputed else layer(x)
        return x


def measure_reading(leak: str, estimator: str, seed: int, *, bank: int, steps: int) -> dict[str, Any]:
    """Mean reading of whole batches and of their parts while the second half of a recomputed encoder is trained."""
    with seeded(seed):
        layers = [nn.Sequential(nn.Linear(a, b), nn.Tanh()) for a, b in ((8, 32), (32, 32), (32, 32))]
        encoder = _Encoder([*layers, nn.Linear(32, 8)], frozen=True, recomputed=True)
    optimizer = torch.optim.Adam([p for p in encoder.parameters() if p.requires_grad], lr=1e-3)
    named: Any = estimator
    whole, parts = (
        MIPenalty(8, Categorical(2), criterion="independence", estimator=named, bank=kept, seed=seed)
        for kept in (None, bank)
    )
    read: dict[str, list[float]] = {"whole": [], "parts": []}
    generator = torch.Generator().manual_seed(seed)
    for step in range(steps):
        with seeded(1000 * seed + step):
            x, c = torch.randn(_LARGE, 8), torch.randint(2, (_LARGE,), generator=generator)
            LEAKS[leak](x, c)
        of_parts = []
        for rows in torch.arange(_LARGE).split(_SMALL):
            z = encoder(x[rows])
            loss = (z - x[rows].flip(1)).square().mean() + 0.1 * parts(z, c[rows])
            (loss * _SMALL / _LARGE).backward()
            of_parts.append(parts.estimates[0])
        with torch.no_grad():
            whole(encoder(x), c)
        optimizer.step()
        optimizer.zero_grad()
        if step >= _WARM_UP:
            read["whole"].append(whole.estimates[0])
            read["parts"].append(statistics.fmean(of_parts))
    return {"part": "reading", "leak": leak, "estimator": estimator, "seed": seed, "bank": bank, "steps": steps} | {
        name: statistics.fmean(values) for name, values in read.items()
    }


def train_transformer(*, bank: int, frozen: bool, recomputed: bool, steps: int = 3) -> float:
    """Peak memory of this process in MiB over steps of 16 sequences, above that before the network was made."""
    before = measure_peak_memory_mb()
    with seeded(0):
        layers = [
            nn.TransformerEncoderLayer(_WIDTH, 4, 4 * _WIDTH, dropout=0.0, batch_first=True) for _ in range(_LAYERS)
        ]
        encoder, head = _Encoder(list(layers), frozen=frozen, recomputed=recomputed), nn.Linear(_WIDTH, 2)
    parameters = [p for p in [*encoder.parameters(), *head.parameters()] if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=1e-4)
    penalty = MIPenalty(_WIDTH, Categorical(2), bank=bank) if bank else None
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        x = torch.randn(_SMALL, _TOKENS, _WIDTH, generator=generator).requires_grad_(recomputed and not frozen)
        y, c = torch.randint(2, (2, _SMALL), generator=generator)
        z = encoder(x).mean(dim=1)
        loss = nn.functional.cross_entropy(head(z), y)
        if penalty is not None:
            loss = loss + penalty(z, c, y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return measure_peak_memory_mb() - before


def measure_memory(*, bank: int, frozen: bool, recomputed: bool) -> dict[str, Any]:
    """`train_transformer` without and with a penalty, each in a process of its own."""
    settings = {"frozen": frozen, "recomputed": recomputed}
    peaks = []
    for kept in (0, bank):
        code = f"from benchmarks.small_batches import train_transformer as t; print(t(bank={kept}, **{settings}))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        peaks.append(float(done.stdout.split()[-1]))
    return {"part": "memory", **settings, "bank": bank, "plain_mb": peaks[0], "penalty_mb": peaks[1]}


def render_table(document: Mapping[str, Any]) -> str:
    """Readings of parts beside those of whole batches, and peak memory."""
    rows, lines = [r for r in document["rows"] if r["part"] == "reading"], []
    for leak in LEAKS:
        for estimator in dict.fromkeys(r["estimator"] for r in rows):
            some = [r for r in rows if (r["leak"], r["estimator"]) == (leak, estimator)]
            if some:
                whole, parts = (statistics.fmean(r[key] for r in some) for key in ("whole", "parts"))
                ratio = f"{parts / whole:.2f}" if leak != "none" else "–"
                lines.append([leak, f"`{estimator}`", f"{whole:.3f}", f"{parts:.3f}", ratio])
    header = ("what c moves", "estimator", "batches of 512, nats", "batches of 16, nats", "ratio")
    seeds = sorted({r["seed"] for r in rows})
    text = "\n".join(format_table(header, lines, left=2)) + (
        f"\n\n`bank={rows[0]['bank']}`, means over {rows[0]['steps'] - _WARM_UP} batches of 512 and seeds "
        f"{', '.join(map(str, seeds))}. `{document['command']}`\n"
    )
    words = {False: "no", True: "yes"}
    memory = [
        [words[r["recomputed"]], words[r["frozen"]], f"{r['plain_mb']:.0f}", f"{r['penalty_mb']:.0f}",
         f"{r['penalty_mb'] / r['plain_mb']:.3f}"]
        for r in document["rows"] if r["part"] == "memory"
    ]  # fmt: skip
    header = ("gradient checkpointing", "first half frozen", "peak without, MiB", "peak with the penalty, MiB", "ratio")
    return (
        f"{text}\n"
        + "\n".join(format_table(header, memory, left=2))
        + (
            "\n\nOf a transformer of 6 layers of 256 columns, on batches of 16 sequences of 64, each in a process of "
            "its own; above the memory before the network was made.\n"
        )
    )


if __name__ == "__main__":
    script = Script(
        "small_batches", __doc__, estimators=["prequential", "gaussian", "gaussian_linear"], leaks=[*LEAKS],
        seeds=[0, 1], bank=512, steps=20,
    )  # fmt: skip
    given, found = script.given, list[dict[str, Any]]()
    if script.output.exists():  # goes on from what it holds
        found = json.loads(Path(script.output).read_text(encoding="utf-8"))["rows"]
    done = {tuple(r.get(k) for k in ("leak", "estimator", "seed", "recomputed")) for r in found}
    for both in (True, False):
        if (None, None, None, both) not in done:
            found.append(measure_memory(bank=given["bank"], frozen=both, recomputed=both))
            script.write(found, given["seeds"])
    for estimator in given["estimators"]:
        for leak in given["leaks"]:
            for seed in given["seeds"]:
                if (leak, estimator, seed, None) not in done:
                    found.append(measure_reading(leak, estimator, seed, bank=given["bank"], steps=given["steps"]))
                    script.write(found, given["seeds"])
