"""What the benchmarks share: options on the command line, the record that is written, tables in Markdown."""

from __future__ import annotations

import argparse
import logging
import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from midebias.experiments.run_folder import make_results_document, write_json

__all__ = ["Script", "format_table"]

_LOG = logging.getLogger("benchmarks")


class Script:
    """A benchmark on the command line, run as ``python -m benchmarks.NAME``.

    Parameters
    ----------
    name : str
        Of the module; ``results/NAME.json``, with hyphens, is what it writes unless ``--output`` names another file.
    doc : str or None
        Of the module; its first line is the help.
    **defaults : bool, int, float, str, list or None
        Options with their defaults. A list of numbers or words is given joined by commas; an option without a default
        is a word.

    Attributes
    ----------
    given : mapping
        What was asked for, by option.
    output : Path
    """

    def __init__(self, name: str, doc: str | None, **defaults: Any) -> None:
        parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
        for option, default in defaults.items():
            kind: Any = str if default is None else type(default)
            if isinstance(default, list):
                kind = partial(_split, type(default[0]))
            parser.add_argument(f"--{option.replace('_', '-')}", type=kind, default=default)
        parser.add_argument("--output", type=Path, default=Path(f"results/{name.replace('_', '-')}.json"))
        self.given: Mapping[str, Any] = vars(parser.parse_args())
        self.name, self.output = name, self.given["output"]
        logging.basicConfig(level=logging.INFO, format="%(message)s")

    @property
    def command(self) -> str:
        """The command line that was given, with all options."""
        words = [f"python -m benchmarks.{self.name}"]
        for option, value in self.given.items():
            if value is not None:
                parts = value if isinstance(value, list) else [value]
                text = ",".join(f"{v:g}" if isinstance(v, float) else str(v) for v in parts)
                words.append(f"--{option.replace('_', '-')} {shlex.quote(text)}")
        return " ".join(words)

    def write(self, rows: Sequence[Mapping[str, Any]], seed: Any, **more: Any) -> None:
        """Write what there is so far, and log the last row; ``more`` goes beside the rows."""
        if rows:
            _LOG.info("%s", rows[-1])
        table = self.name.replace("_", " ")
        write_json(self.output, make_results_document(self.command, seed, rows, table=table, **more))


def _split(kind: Callable[[str], Any], text: str) -> list[Any]:
    return [kind(part) for part in text.split(",")]


def format_table(header: Sequence[str], rows: Sequence[Sequence[object]], *, left: int = 1) -> list[str]:
    """Lines of a Markdown table; the first ``left`` columns are words, the others numbers."""
    rule = [" --- "] * left + [" ---: "] * (len(header) - left)
    return [f"| {' | '.join(header)} |", f"|{'|'.join(rule)}|", *(f"| {' | '.join(map(str, row))} |" for row in rows)]
