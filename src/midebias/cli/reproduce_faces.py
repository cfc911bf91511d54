"""``midebias reproduce imdb``: gender of faces without age."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from ..datasets.imdb_faces import IMDB_SPLITS, IMDBFaces, Split
from ..errors import InputError
from ..experiments.faces import ENCODERS, FaceCell, FacesTable
from ..experiments.summary import format_spread, tabulate
from ..methods import METHODS
from .console import show_line, show_plain_table
from .run_grid import Reproduction, run_grid


def reproduce_faces(
    given: Reproduction, *, root: Path | None, encoder: str, epochs: int, image_size: int, lists: Path | None,
    weights: str | None, accelerator: str | None, precision: str | None,
) -> None:  # fmt: skip
    """Train each method on EB1 and on EB2, test it on the other and on all ages, and show the table."""
    given.check_only(METHODS, "methods of")
    if given.resume is not None:
        table = FacesTable.resume(given.resume)
        if root is not None:
            table = FacesTable(given.resume, [replace(c, root=str(root)) for c in table.cells], command=table.command)
        _list_faces(table.cells[0])
    else:
        if root is None:
            raise InputError("--root must name the imdb_crop folder")
        if encoder not in ENCODERS:
            raise InputError(f"--encoder must be one of {', '.join(ENCODERS)}, got {encoder!r}")
        extremes: tuple[Split, ...] = ("eb1", "eb2")
        cells = [
            FaceCell(
                str(root), split, method, seed, epochs, encoder, weights, image_size,
                lists=None if lists is None else str(lists), accelerator=accelerator, precision=precision,
                max_steps=20 if given.quick else None, limit=2000 if given.quick else None,
            )
            for seed, method, split in product(given.seeds, given.only or ("plain", "reference", "mib"), extremes)
        ]  # fmt: skip
        command = given.write_command(
            "imdb", encoder=encoder, epochs=epochs, image_size=image_size, accelerator=accelerator, precision=precision
        )
        table = FacesTable(given.output_dir, cells, command=command)
        _list_faces(cells[0])  # refuses what cannot be read, before a folder is made
        for cell in {c.method: c for c in cells}.values():
            cell.prepare()
        table.begin("reproduce-imdb")
    run_grid(table, only=given.only, jobs=given.jobs, describe=_describe, report=_report)


def _list_faces(cell: FaceCell) -> None:
    for split in IMDB_SPLITS:
        faces = IMDBFaces(cell.root, split, lists=cell.lists)
        left_out = ", ".join(f"{n} {reason}" for reason, n in faces.skipped.items() if n)
        show_line(f"{split}: {len(faces):,} faces; left out: {left_out or 'none'}")


def _describe(rows: Sequence[dict[str, Any]]) -> str:
    return ", ".join(f"{r['setting']} {r['test_accuracy']:.3f}" for r in rows)


def _report(folder: Path, document: dict[str, Any]) -> None:
    header, lines = tabulate(document["summary"], lambda entry: format_spread(entry, "test_accuracy"))
    show_plain_table(header, lines, title="Accuracy of gender, trained on one extreme and tested on others")
