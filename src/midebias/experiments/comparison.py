"""Methods x settings x seeds: every cell in a process and a file of its own, so that a killed run goes on."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch

from ..errors import DataError, InputError
from .image_data import Palette, hold_out, load
from .image_run import parse_method, run_method
from .process import keep_freed_memory
from .published import PUBLISHED, SOURCES
from .run_folder import metrics, results_document, write_json, write_metrics

__all__ = ["CEILING", "Cell", "Comparison", "comparison_table", "grid", "summarize"]


CEILING = "ceiling"
_CONTENT = ("row", "history", "trace")
_SUMMARIZED = (
    "test_accuracy",
    "train_accuracy",
    "probe_accuracy",
    "mi",
    "seconds_per_epoch",
    "peak_memory_mb",
    "reweighted_accuracy",
    "conditional_mi",
)


@dataclass(frozen=True)
class Cell:
    """One run: a method on a data set in one setting, from one seed.

    Attributes
    ----------
    setting : float or None
        Variance of Colored MNIST, rho of Biased MNIST.
    method : str
        A name, with options if any; see `parse_method`. Or "ceiling": plain training without the bias.
    palette, image_size, label, attribute
        See `load`.
    held_out : bool
        Judge on a quarter of the training images: see `hold_out`.
    batch_size : int, optional
        Default is the method's own.
    """

    dataset: str
    setting: float | None
    method: str
    seed: int
    epochs: int
    network: str = "paper"
    limit: int | None = None
    max_steps: int | None = None
    palette: Palette | None = None
    image_size: int | None = None
    held_out: bool = False
    batch_size: int | None = None
    label: str | None = None
    attribute: str | None = None

    @property
    def name(self) -> str:
        """File name of the cell, without its ending."""
        setting = "" if self.setting is None else f"-{self.setting:.3f}"
        method = self.method.replace(":", "-")
        return f"{Path(self.dataset).stem}{setting}-{self.network}-{method}-seed{self.seed}"

    def run(self, on_step: Callable[[], None] | None = None) -> dict[str, Any]:
        """Train and evaluate: the row, the cell that made it, and what happened on the way."""
        data = load(
            self.dataset,
            self.setting,
            self.seed,
            limit=self.limit,
            palette=self.palette,
            image_size=self.image_size,
            label=self.label,
            attribute=self.attribute,
            unbiased=self.method == CEILING,
        )
        if self.held_out:
            data = hold_out(data, self.seed)
        name, options = parse_method("plain" if self.method == CEILING else self.method)
        out = run_method(
            name,
            data,
            epochs=self.epochs,
            seed=self.seed,
            network=self.network,
            batch_size=self.batch_size,
            max_steps=self.max_steps,
            # Where testing takes longer than an epoch, one test at the end.
            evaluate_every=None if len(data.train) >= len(data.test) else sys.maxsize,
            options=options,
            on_step=on_step,
        )
        row = out.row | {"method": self.method}
        trace = [{k: _rounded(v) for k, v in point.items()} for point in out.trace]
        return {"cell": asdict(self), "row": row, "history": out.history, "trace": trace}


def _rounded(value: float | Sequence[float]) -> float | list[float]:
    """To five digits: traces are for pictures, and there are many."""
    return float(f"{value:.5g}") if isinstance(value, (int, float)) else [float(f"{v:.5g}") for v in value]


class Comparison:
    """A grid of cells and the folder their results lie in.

    Parameters
    ----------
    folder : Path
        ``cells/`` in it holds a file per finished cell, written whole or not at all; those are not run again.
    cells : sequence of Cell
    command : str
        Recorded in ``results.json``.
    """

    def __init__(self, folder: Path, cells: Sequence[Cell], *, command: str) -> None:
        names = [c.name for c in cells]
        if not cells:
            raise InputError("nothing to compare: methods, settings and seeds must each name at least one")
        if len(set(names)) != len(names):
            raise InputError("methods, settings and seeds must not repeat")
        self.folder, self.cells, self.command = folder, tuple(cells), command

    def finished(self) -> dict[str, dict[str, Any]]:
        """Finished cells by name.

        Raises
        ------
        DataError
            When a file is damaged or was made with other settings.
        """
        done = {}
        for cell in self.cells:
            path = self._path(cell)
            if not path.is_file():
                continue
            try:
                content = json.loads(path.read_text(encoding="utf-8"))
                made_by = Cell(**content["cell"])
                done[cell.name] = {k: content[k] for k in _CONTENT}
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise DataError(f"{path} is damaged ({error}): delete it to run that cell again") from error
            if json.dumps(asdict(made_by)) != json.dumps(asdict(cell)):
                raise DataError(f"{path} was made with other settings than asked for: use another folder")
        return done

    def run(self, only: Sequence[str] | None = None, *, jobs: int = 1) -> Iterator[tuple[Cell, dict[str, Any]]]:
        """Run what is missing, a process per cell; yields each row and keeps ``results.json`` up to date.

        Parameters
        ----------
        only : sequence of str, optional
            Methods to run now; the cells of others are left for another time, or another machine.
        jobs : int, default 1
            Cells at a time, which share the processor's threads.

        Raises
        ------
        DataError
            When a cell fails; what is finished stays.
        """
        if jobs < 1:
            raise InputError(f"jobs must be at least 1, got {jobs}")
        done = self.finished()
        wanted = [cell for cell in self.cells if only is None or cell.method in only]
        for cell in wanted:
            if cell.name in done:
                yield cell, done[cell.name]["row"]
        for cell, content in self._run_apart([cell for cell in wanted if cell.name not in done], jobs):
            done[cell.name] = content
            self._write(done)
            yield cell, content["row"]
        self._write(done)

    def traces(self) -> dict[str, list[dict[str, Any]]]:
        """Training over time of the cells of the first seed that penalise mutual information, by title."""
        done = self.finished()
        found = {}
        for cell in self.cells:
            content = done.get(cell.name)
            if content and cell.seed == self.cells[0].seed and any(p["weights"] for p in content["trace"]):
                found[f"{cell.method}, {content['row']['setting'].replace('=', ' ')}"] = content["trace"]
        return found

    def _run_apart(self, cells: Sequence[Cell], jobs: int) -> Iterator[tuple[Cell, dict[str, Any]]]:
        """Each in a process of its own, so that its peak memory is its own; in the order in which they end."""
        waiting, running = list(reversed(cells)), dict[subprocess.Popen[str], Cell]()
        environment = dict(os.environ)
        if jobs > 1:
            environment["OMP_NUM_THREADS"] = str(max(1, torch.get_num_threads() // jobs))
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    cell = waiting.pop()
                    running[self._start(cell, environment)] = cell
                ended = [process for process in running if process.poll() is not None]
                for process in ended:
                    cell = running.pop(process)
                    yield cell, self._result(cell, process)
                if not ended:
                    time.sleep(0.1)
        finally:
            for process, cell in running.items():
                process.kill()
                process.wait()
                self._path(cell).with_suffix(".stderr").unlink(missing_ok=True)

    def _start(self, cell: Cell, environment: Mapping[str, str]) -> subprocess.Popen[str]:
        path = self._path(cell)
        path.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "midebias.experiments.comparison", json.dumps(asdict(cell)), str(path)]
        # A file, not a pipe: nobody reads along, and a full pipe would stop the process.
        with path.with_suffix(".stderr").open("w", encoding="utf-8") as errors:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, text=True, env=environment
            )

    def _result(self, cell: Cell, process: subprocess.Popen[str]) -> dict[str, Any]:
        path = self._path(cell)
        errors = path.with_suffix(".stderr")
        said = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        errors.unlink()
        if process.returncode or not path.is_file():
            raise DataError(f"{cell.name} failed: {(said or [f'exit status {process.returncode}'])[-1]}")
        content = json.loads(path.read_text(encoding="utf-8"))
        return {k: content[k] for k in _CONTENT}

    def _path(self, cell: Cell) -> Path:
        return self.folder / "cells" / f"{cell.name}.json"

    def _write(self, done: Mapping[str, Mapping[str, Any]]) -> None:
        rows = [done[c.name]["row"] for c in self.cells if c.name in done]
        seeds = list(dict.fromkeys(c.seed for c in self.cells))
        datasets = {r["dataset"] for r in rows}
        document = results_document(
            self.command,
            seeds,
            rows,
            summary=summarize(rows),
            published={d: {"source": SOURCES[d], "test_accuracy": PUBLISHED[d]} for d in datasets if d in PUBLISHED},
        )
        write_json(self.folder / "results.json", document)
        rows = [
            {"cell": c.name} | row
            for c in self.cells
            if c.name in done
            for row in metrics(done[c.name]["trace"], done[c.name]["history"])
        ]
        write_metrics(self.folder / "metrics.csv", rows)


def grid(
    dataset: str,
    settings: Sequence[float | None],
    methods: Sequence[str],
    seeds: Sequence[int],
    *,
    epochs: int,
    network: str = "paper",
    limit: int | None = None,
    reference_steps: int | None = None,
    palette: Palette | None = None,
    image_size: int | None = None,
    held_out: bool = False,
    batch_size: int | None = None,
    label: str | None = None,
    attribute: str | None = None,
) -> list[Cell]:
    """All combinations. The reference recipe, whose epoch costs many, ends after ``reference_steps`` where given."""
    return [
        Cell(
            dataset,
            setting,
            method,
            seed,
            epochs,
            network,
            limit,
            max_steps=reference_steps if method.split(":")[0] == "reference" else None,
            palette=palette,
            image_size=image_size,
            held_out=held_out,
            batch_size=batch_size,
            label=label,
            attribute=attribute,
        )
        for seed, setting, method in product(seeds, settings, methods)
    ]


def summarize(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Mean and standard deviation over seeds of each method in each setting."""
    keys = ("dataset", "setting", "network", "method")
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[k] for k in keys), []).append(row)
    summary = []
    for key, mine in groups.items():
        entry: dict[str, Any] = dict(zip(keys, key, strict=True))
        entry["seeds"] = len(mine)
        for column in _SUMMARIZED:
            if column not in mine[0]:
                continue
            values = [r[column] for r in mine]
            entry[column] = statistics.mean(values)
            entry[column + "_std"] = statistics.stdev(values) if len(values) > 1 else 0.0
        entry["test_accuracy_min"] = min(r["test_accuracy"] for r in mine)
        entry["epochs"] = mine[0]["epochs"]
        entry["chance"] = statistics.mean(r["chance"] for r in mine)
        summary.append(entry)
    return summary


def comparison_table(document: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of text: a method a line, a setting a column, published figures below and marked.

    The best of our own runs in each setting, the ceiling aside, is in bold (two asterisks around it). Of held-out
    images the reweighted accuracy is shown, and I(Z;C|Y) in nats.
    """
    summary = document["summary"]
    settings = list(dict.fromkeys(e["setting"] for e in summary))
    methods = list(dict.fromkeys(e["method"] for e in summary))
    found = {(e["method"], e["setting"]): e for e in summary}
    column = "reweighted_accuracy" if "reweighted_accuracy" in summary[0] else "test_accuracy"
    rivals = [e for e in summary if e["method"] != CEILING] or summary
    best = {s: max((e[column] for e in rivals if e["setting"] == s), default=None) for s in settings}
    lines = []
    for method in methods:
        line = [method]
        for setting in settings:
            entry = found.get((method, setting))
            if entry is None:
                line.append("")
                continue
            text = f"{entry[column]:.3f}"
            if entry["seeds"] > 1:
                text += f" ± {entry[column + '_std']:.3f}"
            if "conditional_mi" in entry:
                text += f", {round(entry['conditional_mi'], 2) + 0.0:.2f} nats"  # 0.00, and not -0.00
            line.append(f"**{text}**" if entry[column] == best[setting] else text)
        lines.append(line)
    for published in document.get("published", {}).values():
        for name, figures in published["test_accuracy"].items():
            if any(s in figures for s in settings):
                lines.append([f"{name} (published)", *(f"{figures[s]:.3f}" if s in figures else "" for s in settings)])
    return ["method", *settings], lines


def _main() -> None:
    """Run the cell given as JSON and write its file; ends when the process that started it is gone."""
    keep_freed_memory()
    cell, path = Cell(**json.loads(sys.argv[1])), Path(sys.argv[2])
    parent = os.getppid()

    def end_if_orphaned() -> None:
        if os.getppid() != parent:
            sys.exit(1)

    write_json(path, cell.run(end_if_orphaned), indent=None)


if __name__ == "__main__":
    _main()
