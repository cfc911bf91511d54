"""``midebias reproduce fairness``: Adult and German credit, in a run folder that can be gone on with."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from ..errors import DataError, InputError
from ..experiments.fairness import METHODS, FairCell, FairnessTable, fair_cells
from ..experiments.run_folder import new_run_folder, write_json
from ..reporting.front import draw_front
from .console import cells_bar, console, show_plain_table

__all__ = ["reproduce_fairness"]


def reproduce_fairness(
    *, seeds: Sequence[int], quick: bool, only: str | None, resume: Path | None, output_dir: Path
) -> None:
    """Run what is missing of the table, write ``results.json`` and the picture, show the means."""
    table = _resumed(resume) if resume is not None else _begun(seeds, quick, output_dir)
    wanted = None if only is None else only.split(",")
    unknown = [m for m in wanted or () if m not in METHODS]
    if unknown:
        raise InputError(f"--only: {unknown[0]!r} is not of {', '.join(METHODS)}")
    folder, there = table.folder, table.finished()
    console.print(f"{len(table.cells)} runs, {len(there)} of them done; folder {folder}", soft_wrap=True)
    left = sum(c.name not in there and (wanted is None or c.method in wanted) for c in table.cells)
    with cells_bar(left) as done:
        for cell, row in table.run(wanted):
            done(
                f"{cell.name}: accuracy {row['accuracy']:.3f}, parity {row['demographic_parity_difference']:.3f}, "
                f"odds {row['equalized_odds_difference']:.3f}, {row['seconds']:.0f} s"
            )
    document = table.document()
    write_json(folder / "results.json", document)
    draw_front(folder / "front.png", document["summary"])
    lines = [
        [f"{e['dataset']}, {e['attribute']}", e["method"], e["setting"], *(_text(e, n) for n in _SHOWN)]
        for e in document["summary"]
    ]
    header = ["data", "method", "setting", "accuracy", "parity", "odds", "probe"]
    show_plain_table(header, lines, title="Means on the test rows")
    console.print(f"picture  {folder / 'front.png'}", soft_wrap=True)
    console.print(f"results  {folder / 'results.json'}", soft_wrap=True)
    if table.failed:
        name, why = next(iter(table.failed.items()))
        raise DataError(f"{len(table.failed)} of {len(table.cells)} runs broke down, {name} for one ({why})")


_SHOWN = ("accuracy", "demographic_parity_difference", "equalized_odds_difference", "probe_balanced_accuracy")


def _text(entry: dict[str, Any], name: str) -> str:
    return "" if entry[name] is None else f"{entry[name]:.3f}"


def _begun(seeds: Sequence[int], quick: bool, output_dir: Path) -> FairnessTable:
    if any(s < 0 for s in seeds):
        raise InputError(f"--seeds must be at least 0, got {min(seeds)}")
    cells = fair_cells(seeds=seeds, quick=quick)
    command = f"midebias reproduce fairness{' --quick' if quick else ''} --seeds {','.join(map(str, seeds))}"
    folder = new_run_folder(output_dir, "reproduce-fairness")
    config = {"table": "fairness", "command": command, "cells": [dataclasses.asdict(c) for c in cells]}
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return FairnessTable(folder, cells, command=command)


def _resumed(folder: Path) -> FairnessTable:
    try:
        config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        return FairnessTable(folder, [FairCell(**c) for c in config["cells"]], command=str(config["command"]))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        raise DataError(f"--resume {folder} holds no table that can go on ({error})") from error
