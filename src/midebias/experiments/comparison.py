"""The grid of methods, settings and seeds on images, and its table of accuracies."""

import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

from .augmentation import Augmentation
from .grid import Cell, Grid
from .image_data import ImageData, hold_out
from .image_loading import check_setting, load_images
from .image_methods import parse_method
from .own_images import FOLDER_OPTIONS
from .planted_images import Palette
from .published import PUBLISHED, SOURCES
from .run_folder import flatten_metrics, write_metrics
from .summary import format_spread, summarize_runs, tabulate

_SETTINGS = (
    "epochs", "seed", "network", "weights", "augment", "batch_size", "learning_rate", "max_steps", "precision",
)  # fmt: skip
CEILING = "ceiling"  # plain training without the bias, as a method's name


@dataclass(frozen=True)
class ImageCell(Cell):
    """One run: a method on a data set in one setting, from one seed."""

    moving: ClassVar[tuple[str, ...]] = ("root",)

    dataset: str
    setting: float | None  # variance of Colored MNIST, rho of Biased MNIST
    method: str  # a name with its options, see `parse_method`; or "ceiling": plain training without the bias
    seed: int
    epochs: int
    network: str = "paper"
    limit: int | None = None
    max_steps: int | None = None
    palette: Palette | None = None
    image_size: int | None = None
    held_out: bool = False  # judge by `hold_out`
    batch_size: int | None = None
    label: str | None = None
    attribute: str | None = None
    root: str | None = None
    table: str | None = None
    image: str | None = None
    split_by: str | None = None
    class_weights: bool = False
    weights: str | None = None
    augment: Augmentation = "none"
    learning_rate: float | None = None
    accelerator: Any = None
    precision: str | None = None

    @property
    def name(self) -> str:
        """File name of the cell, without its ending."""
        setting = "" if self.setting is None else f"-{self.setting:.3f}"
        network, method = self.network.replace(":", "-"), self.method.replace(":", "-")
        return f"{Path(self.dataset.replace(':', '-')).stem}{setting}-{network}-{method}-seed{self.seed}"

    @property
    def _options(self) -> dict[str, Any]:
        names = ("limit", "palette", "class_weights", *FOLDER_OPTIONS)
        return {name: getattr(self, name) for name in names} | {"unbiased": self.method == CEILING}

    def check(self) -> None:
        """Refuse a data set or setting that cannot be loaded. Raises `InputError`."""
        check_setting(self.dataset, self.setting, **self._options)

    def load(self, **options: Any) -> ImageData:
        """Load what it is trained and judged on; with ``memory=0`` images stay in their files."""
        data = load_images(self.dataset, self.setting, self.seed, **self._options, **options)
        return hold_out(data, self.seed) if self.held_out else data

    def prepare(self, data: ImageData, *, trainer: Any = None, **watching: Any) -> Any:
        """Prepare the `ImageRun` on ``data``. Raises `InputError` where method, network, data and device do not fit."""
        from ..lightning.trainer import make_trainer
        from .image_run import ImageRun

        name, options = parse_method("plain" if self.method == CEILING else self.method)
        settings = {name: getattr(self, name) for name in _SETTINGS}
        trainer = trainer or make_trainer(accelerator=self.accelerator or "auto", devices=1)
        return ImageRun(name, data, trainer=trainer, options=options, **settings, **watching)

    def run(self) -> dict[str, Any]:
        """Train and evaluate: the row, and what happened on the way."""
        data = self.load()
        # Where testing takes longer than an epoch, one test at the end.
        every = None if len(data.train) >= len(data.test) else sys.maxsize
        out = self.prepare(data, evaluate_every=every).train()
        row = out.row | {"method": self.method}
        trace = [{k: _round(v) for k, v in point.items()} for point in out.trace]
        return {"rows": [row], "history": out.history, "trace": trace}


def _round(value: float | Sequence[float]) -> float | list[float]:
    """Round to five digits: traces are for pictures, and there are many."""
    return float(f"{value:.5g}") if isinstance(value, (int, float)) else [float(f"{v:.5g}") for v in value]


class Comparison(Grid[ImageCell]):
    """Cells on images, each in a process of its own."""

    cell_type = ImageCell
    apart = True

    def traces(self) -> dict[str, list[dict[str, Any]]]:
        """Training over time of the cells of the first seed that penalise mutual information, by title."""
        done = self.read_records()
        traces = {}
        for cell in self.cells:
            record = done.get(cell.name)
            if record and cell.seed == self.cells[0].seed and any(p["weights"] for p in record["trace"]):
                traces[f"{cell.method}, {record['rows'][0]['setting'].replace('=', ' ')}"] = record["trace"]
        return traces

    def write(self, done: Mapping[str, Mapping[str, Any]]) -> None:
        """Write ``results.json``, and training over time to ``metrics.csv``."""
        super().write(done)
        rows = [
            {"cell": c.name} | row
            for c in self.cells
            if c.name in done
            for row in flatten_metrics(done[c.name]["trace"], done[c.name]["history"])
        ]
        write_metrics(self.folder / "metrics.csv", rows)

    def describe(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Means over seeds, and what others published."""
        datasets = {r["dataset"] for r in rows}
        published = {d: {"source": SOURCES[d], "test_accuracy": PUBLISHED[d]} for d in datasets if d in PUBLISHED}
        return {"summary": summarize(rows), "published": published}


def plan_cells(
    dataset: str, settings: Sequence[float | None], methods: Sequence[str], seeds: Sequence[int], *,
    reference_steps: int | None = None, **options: Any,
) -> list[ImageCell]:  # fmt: skip
    """All combinations; the reference recipe, whose epoch costs many, ends after ``reference_steps`` where given."""
    return [
        ImageCell(
            dataset, setting, method, seed, **options,
            max_steps=reference_steps if method.split(":")[0] == "reference" else None,
        )
        for seed, setting, method in product(seeds, settings, methods)
    ]  # fmt: skip


_AVERAGED = (
    "test_accuracy", "train_accuracy", "probe_accuracy", "mi", "seconds_per_epoch", "peak_memory_mb",
    "reweighted_accuracy", "conditional_mi", "unbiased_accuracy", "worst_group_accuracy", "conflicting_accuracy",
)  # fmt: skip
_OF_GROUPS = {
    "unbiased_accuracy": "mean of groups", "worst_group_accuracy": "worst group",
    "conflicting_accuracy": "against bias",
}  # fmt: skip


def summarize(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Mean and standard deviation over seeds of each method in each setting, and the lowest test accuracy."""
    by = ("dataset", "setting", "network", "method")
    summary = summarize_runs(rows, by=by, columns=_AVERAGED)
    for entry in summary:
        mine = [r for r in rows if all(r[k] == entry[k] for k in by)]
        entry["test_accuracy_min"] = min(r["test_accuracy"] for r in mine)
        entry["epochs"] = mine[0]["epochs"]
        entry["chance"] = statistics.mean(r["chance"] for r in mine)
    return summary


def tabulate_comparison(document: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of text: a method a line, a setting a column, published figures below and marked.

    The best run of a setting, the ceiling aside, is in bold. Of held-out images I(Z;C|Y) in nats is shown, too.
    """
    summary = document["summary"]
    column = "reweighted_accuracy" if "reweighted_accuracy" in summary[0] else "test_accuracy"
    rivals = [e for e in summary if e["method"] != CEILING] or summary

    def show(entry: Mapping[str, Any]) -> str:
        text = format_spread(entry, column)
        if "conditional_mi" in entry:
            text += f", {round(entry['conditional_mi'], 2) + 0.0:.2f} nats"  # 0.00, and not -0.00
        best = max((e[column] for e in rivals if e["setting"] == entry["setting"]), default=None)
        return f"**{text}**" if entry[column] == best else text

    header, lines = tabulate(summary, show)
    settings = header[1:]
    if len(settings) == 1 and all(name in summary[0] for name in _OF_GROUPS):
        header = [*header, *_OF_GROUPS.values()]
        lines = [[*line, *(format_spread(e, k) for k in _OF_GROUPS)] for line, e in zip(lines, summary, strict=True)]
    for published in document.get("published", {}).values():
        for name, figures in published["test_accuracy"].items():
            if any(s in figures for s in settings):
                lines.append([f"{name} (published)", *(f"{figures[s]:.3f}" if s in figures else "" for s in settings)])
    return header, lines
