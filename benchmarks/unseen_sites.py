"""Leakage and accuracy on sites that training never had: other palettes, other scanners, other registers.

``python -m benchmarks.unseen_sites --root FOLDER`` reads Fashion-MNIST from a folder; without one the clothes are left
out. Ten sites are seen in training, where each is the usual one of a class; ten others make the test, where they say
nothing about the class. A fresh probe is trained on half of the test's z and reads the site of the other half.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from midebias.attributes import Attribute, Categorical, Continuous
from midebias.datasets import BiasedMNIST, fetch_adult
from midebias.datasets.files import Source, read_gray_images
from midebias.experiments.image_methods import build_method
from midebias.experiments.summary import format_spread, summarize_runs
from midebias.leakage.network_probe import probe
from midebias.lightning import MethodModule
from midebias.methods import METHODS
from midebias.networks import Classifier, build_perceptron
from midebias.randomness import seeded
from midebias.training.data import Problem, TensorData
from midebias.training.evaluation import evaluate

from .script import Script, format_table

__all__ = ["DATA_SETS", "draw_sites", "measure_sites", "render_table"]

_SITES = 10
_METHODS = ("plain", "balanced", "mib", "mib (sites described)", "plain (standardised by site)")


@dataclass(frozen=True)
class SiteData:
    """Rows of ten sites to train on, and of ten others to test on; ``described`` says in numbers what each site does.

    ``sites`` number those of the test rows.
    """

    train: TensorData
    test: TensorData
    sites: Tensor
    described: Tensor
    n_classes: int


def draw_sites(y: Tensor, rho: float, generator: torch.Generator) -> Tensor:
    """A site of each row: with probability ``rho`` that of its class, else one of the ten, uniformly."""
    any_site = torch.randint(_SITES, (len(y),), generator=generator)
    return torch.where(torch.rand(len(y), generator=generator) < rho, y % _SITES, any_site)


def _load_palettes(seed: int, rows: int, rho: float, root: str | None) -> SiteData:
    """Digits on backgrounds of ten colours; of ten others in the test."""
    generator = np.random.default_rng([seed, 7])
    others = generator.uniform(0, 255, size=(_SITES, 3))
    train = BiasedMNIST(split="train", rho=rho + (1 - rho) / _SITES, seed=seed, limit=rows)
    test = BiasedMNIST(split="test", rho=1 / _SITES, seed=seed, backgrounds=others)
    colours = train.images[:, :, 0, 0]  # no digit reaches the corner
    return _gather(
        (train.images, train.targets, train.colour_classes), (test.images, test.targets, test.colour_classes), colours
    )


def _load_scanners(seed: int, rows: int, rho: float, root: str | None, *, source: Source) -> SiteData:
    """Gray images, each site with a gain and an offset of each channel, an exponent, and noise of its own."""
    g = torch.Generator().manual_seed(1000 + seed)
    parts, described = [], torch.empty(0)
    for split, bias, most in (("train", rho, rows), ("test", 0.0, 10_000)):
        labels, gray = read_gray_images(root, split, most, seed=seed, source=source)
        y = torch.from_numpy(labels[:most])
        sites = draw_sites(y, bias, g)
        gain, offset = 0.5 + 0.5 * torch.rand(_SITES, 3, generator=g), 0.3 * torch.rand(_SITES, 3, generator=g)
        exponent, noise = 2 ** (2 * torch.rand(_SITES, generator=g) - 1), 0.1 * torch.rand(_SITES, generator=g)
        x = torch.from_numpy(gray[:most])[:, None].float().div(255) ** exponent[sites][:, None, None, None]
        x = gain[sites][:, :, None, None] * x + offset[sites][:, :, None, None]
        x = x + noise[sites][:, None, None, None] * torch.randn(x.shape, generator=g)
        parts.append((x.contiguous(memory_format=torch.channels_last), y, sites))
        if split == "train":
            numbers = torch.cat([gain, offset, exponent.log2()[:, None], noise[:, None]], dim=1)
            described = ((numbers - numbers.mean(0)) / numbers.std(0))[sites]
    return _gather(parts[0], parts[1], described)


def _load_registers(seed: int, rows: int, rho: float, root: str | None) -> SiteData:
    """Adult's numbers, which each register keeps with a scale, a shift and a rounding of its own."""
    g = torch.Generator().manual_seed(2000 + seed)
    parts, described = [], torch.empty(0)
    for split in ("train", "test"):
        table = fetch_adult(split=split)
        numbers = table.data.select_dtypes("number")
        x = torch.from_numpy(np.log1p(numbers.to_numpy(dtype=np.float32)))
        x = (x - x.mean(0)) / x.std(0)
        y = torch.from_numpy(np.asarray(table.target).astype(np.int64))
        x, y = (x[:rows], y[:rows]) if split == "train" else (x, y)
        # The five sites of a class, each alike.
        own = y * (_SITES // 2) + torch.randint(_SITES // 2, (len(y),), generator=g)
        sites = draw_sites(own, rho if split == "train" else 0.0, g)
        scale = 2 ** (torch.rand(_SITES, x.shape[1], generator=g) - 0.5)
        shift = torch.randn(_SITES, x.shape[1], generator=g) * 0.5
        parts.append(((scale[sites] * x + shift[sites])[:, :, None, None], y, sites))
        if split == "train":
            described = torch.cat([scale.log2(), shift], dim=1)[sites]
    return _gather(parts[0], parts[1], described)


def _gather(train: tuple[Tensor, ...], test: tuple[Tensor, ...], described: Tensor) -> SiteData:
    rows = (TensorData(x, y, sites[:, None], sites) for x, y, sites in (train, test))
    return SiteData(next(rows), next(rows), test[2], described, int(train[1].max()) + 1)


DATA_SETS: Mapping[str, Callable[[int, int, float, str | None], SiteData]] = {
    "palettes of digits": _load_palettes,
    "scanners of digits": lambda *a: _load_scanners(*a, source="mnist"),
    "scanners of clothes": lambda *a: _load_scanners(*a, source="fashion"),
    "registers of incomes": _load_registers,
}


class _Perceptron(Classifier):
    """Of a table's rows."""

    def __init__(self, inputs: int, n_classes: int) -> None:
        super().__init__()
        self.dim, self.shapes = 16, (16,)
        self.encoder = build_perceptron(inputs, (64, 64), self.dim)
        self.head = torch.nn.Linear(self.dim, n_classes)

    def depths(self, x: Tensor) -> tuple[Tensor, ...]:
        return (self.encoder(x.flatten(1)),)


def measure_sites(name: str, method: str, seed: int, *, rows: int, rho: float, epochs: int, root: str | None) -> Any:
    """Train once; accuracy, and what a fresh probe reads of the site, on sites that training had and on others."""
    data = DATA_SETS[name](seed, rows, rho, root)
    kind, _, how = method.rstrip(")").partition(" (")
    attribute: Attribute = Categorical(_SITES)
    train = data.train
    if how == "sites described":
        attribute = Continuous(data.described.shape[1])
        train = TensorData(train.x, train.y, train.levels, data.described)
    problem = Problem(data.n_classes, attribute, (_SITES,))
    if train.x.shape[2:] == (1, 1):  # columns of a table
        with seeded(seed):
            network = _Perceptron(train.x.shape[1], data.n_classes)
        built = METHODS[kind](network, problem, seed=seed)
    else:
        built = build_method(kind, problem, seed=seed)
    MethodModule(built, train, epochs=epochs, seed=seed).advance(2**62)
    row: dict[str, Any] = {"data": name, "method": method, "seed": seed}
    z, logits = evaluate(built, data.test)
    if how == "standardised by site":
        z, logits = _standardize(z, data.sites, built.model.head, evaluate(built, train)[0])
    found = probe(z, data.sites, random_state=seed)
    row |= {"accuracy": float((logits.argmax(1) == data.test.y).float().mean()), "mi": found.mi.value}
    return row | {"probe_accuracy": found.accuracy, "chance": found.chance}


def _standardize(z: Tensor, sites: Tensor, head: Any, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Give z of each site the mean and deviation of the training rows, as ComBat does without its prior."""
    out = z.clone()
    for site in range(_SITES):
        rows = sites == site
        centred = (z[rows] - z[rows].mean(0)) / z[rows].std(0).clamp(min=1e-6)
        out[rows] = centred * reference.std(0) + reference.mean(0)
    with torch.no_grad():
        return out, head(out)


def render_table(document: Mapping[str, Any]) -> str:
    """Markdown: means and standard deviations over seeds, and the leakage over that of plain training."""
    columns = ("accuracy", "mi", "probe_accuracy")
    summary = summarize_runs(document["rows"], by=("data", "method"), columns=columns)
    plain = {row["data"]: row["mi"] for row in summary if row["method"] == "plain"}
    lines = format_table(
        ("data", "method", "accuracy", "I(Z;site), nats", "of plain training's", "probe reads the site"),
        [
            (
                r["data"], r["method"], format_spread(r, "accuracy"), format_spread(r, "mi"),
                f"{r['mi'] / plain[r['data']]:.2f}", format_spread(r, "probe_accuracy"),
            )
            for r in summary
        ],
        left=2,
    )  # fmt: skip
    return "\n".join([*lines, "", f"On ten sites that training never had. `{document['command']}`"])


def main() -> None:
    """Measure what is asked for, and write the rows."""
    script = Script(
        "unseen_sites", __doc__, data=[*DATA_SETS], methods=[*_METHODS], seeds=[0, 1, 2], rows=6_000, rho=0.5,
        epochs=8, root=None,
    )  # fmt: skip
    given, found = script.given, list[dict[str, Any]]()
    seeds: Sequence[int] = given["seeds"]
    options = {name: given[name] for name in ("rows", "rho", "epochs", "root")}
    for name, method, seed in product(given["data"], given["methods"], seeds):
        if name.endswith("clothes") and given["root"] is None:
            continue
        found.append(measure_sites(name, method, seed, **options))
        script.write(found, seeds)


if __name__ == "__main__":
    main()
