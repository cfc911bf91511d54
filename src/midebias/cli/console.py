"""What commands show: progress bars on a terminal, plain lines elsewhere, and tables."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

console = Console(highlight=False, markup=False, emoji=False)  # a folder may be called "[red]" or ":smile:"


def show_line(text: str) -> None:
    """Print a line that the terminal wraps, so that it can be copied whole."""
    console.print(text, soft_wrap=True)


def show_files(folder: Path, **names: str) -> None:
    """A line for each file of a run folder, by what it is."""
    for what, name in names.items():
        show_line(f"{what:<8} {folder / name}")


class Bars:
    """One bar per method; off a terminal, a line per evaluation."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._task, self._name = progress, TaskID(0), ""

    def start(self, name: str, steps: int) -> None:
        """Begin a bar of so many steps."""
        self._name = name
        self._task = self._progress.add_task(name, total=steps, note="")
        if not console.is_terminal:
            console.print(f"{name}: {steps} steps")

    def step(self) -> None:
        """One step done."""
        self._progress.advance(self._task)

    def evaluation(self, entry: Mapping[str, Any]) -> None:
        """A test evaluation: shown beside the bar, or as a line."""
        note = f"test accuracy {entry['test_accuracy']:.3f}"
        self._progress.update(self._task, note=note)
        if not console.is_terminal:
            console.print(f"{self._name}: step {entry['step']}, {entry['seconds']:.0f} s, {note}")


@contextmanager
def show_bars() -> Iterator[Bars]:
    """Progress for the commands that run long."""
    name, note = TextColumn("{task.description:<10}", markup=False), TextColumn("{task.fields[note]}", markup=False)
    columns = (name, BarColumn(bar_width=30), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(), note)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield Bars(progress)


@contextmanager
def show_cells(total: int) -> Iterator[Callable[[str], None]]:
    """Progress over runs: call with a line about each as it ends."""
    columns = (BarColumn(bar_width=30), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("runs", total=total)

        def advance(line: str) -> None:
            show_line(line)
            progress.advance(task)

        yield advance


@contextmanager
def show_share(name: str) -> Iterator[Callable[[float], None]]:
    """Progress of one long thing: call with the share that is done."""
    text = TextColumn("{task.description}", markup=False)
    columns = (text, BarColumn(bar_width=30), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task(name, total=1.0)
        yield lambda share: progress.update(task, completed=share)


_COLUMNS = {
    "method": ("method", "{}"),
    "epochs": ("epochs", "{:.2f}"),
    "train_accuracy": ("train\naccuracy", "{:.3f}"),
    "test_accuracy": ("test\naccuracy", "{:.3f}"),
    "mi": ("I(Z;C) ≥\nnats", "{:.2f}"),
    "probe_accuracy": ("probe\nreads c", "{:.3f}"),
    "chance": ("chance", "{:.3f}"),
    "seconds": ("seconds", "{:.0f}"),
}


def show_table(rows: Sequence[Mapping[str, Any]], *, title: str) -> None:
    """The rows of `results.json`, in the columns people look at."""
    lines = [[pattern.format(row[key]) for key, (_, pattern) in _COLUMNS.items()] for row in rows]
    show_plain_table([header for header, _ in _COLUMNS.values()], lines, title=title, collapse=True)


def show_plain_table(
    header: Sequence[str], lines: Sequence[Sequence[str]], *, title: str, collapse: bool = False
) -> None:
    """A table of text; cells between two asterisks are shown bold. ``collapse`` sets the columns closer together."""
    table = Table(
        title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1), pad_edge=False, collapse_padding=collapse
    )
    for i, name in enumerate(header):
        table.add_column(name.replace("=", "\n"), justify="right" if i else "left", no_wrap=True)
    for line in lines:
        table.add_row(*(Text(t.strip("*"), style="bold" if t.startswith("**") else "") for t in line))
    console.print(table, soft_wrap=not console.is_terminal)
