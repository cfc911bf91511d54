"""``midebias reproduce imdb``: the table of faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from ..datasets.imdb_faces import IMDB_SPLITS, IMDBFaces, Split
from ..errors import InputError
from ..experiments.faces import ENCODERS, FaceRun, faces_table, run_faces
from ..experiments.run_folder import new_run_folder, results_document, write_json
from ..methods import METHODS
from .console import cells_bar, console, show_plain_table

__all__ = ["reproduce_faces"]


def reproduce_faces(
    root: Path | None,
    *,
    methods: Sequence[str],
    seeds: Sequence[int],
    epochs: int,
    encoder: str,
    weights: str | None,
    image_size: int,
    lists: Path | None,
    quick: bool,
    resume: Path | None,
    output_dir: Path,
) -> None:
    """Train each method on EB1 and on EB2; test on the other and on all ages; write the table into a run folder."""
    if root is None:
        raise InputError("--root must name the imdb_crop folder")
    if encoder not in ENCODERS:
        raise InputError(f"--encoder must be one of {', '.join(ENCODERS)}, got {encoder!r}")
    unknown = [m for m in methods if m not in METHODS]
    if unknown:
        raise InputError(f"--only must name methods of {', '.join(METHODS)}, got {unknown[0]!r}")
    extremes: tuple[Split, ...] = ("eb1", "eb2")
    runs = [
        FaceRun(
            split, method, seed, epochs, encoder, weights, image_size,
            lists=None if lists is None else str(lists), max_steps=20 if quick else None, limit=2000 if quick else None,
        )
        for seed, method, split in product(seeds, methods, extremes)
    ]  # fmt: skip
    for split in IMDB_SPLITS:  # refuses what cannot be read, before a folder is made
        faces = IMDBFaces(root, split, lists=lists)
        left_out = ", ".join(f"{n} {reason}" for reason, n in faces.skipped.items() if n)
        console.print(f"{split}: {len(faces):,} faces; left out: {left_out or 'none'}", soft_wrap=True)
    command = f"midebias reproduce imdb --encoder {encoder} --epochs {epochs} --seeds {','.join(map(str, seeds))}"
    command += f" --image-size {image_size}" + (" --quick" if quick else "")
    folder = new_run_folder(output_dir, "reproduce-imdb") if resume is None else resume
    config: dict[str, Any] = {"command": command, "runs": [asdict(r) for r in runs]}
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    rows: list[dict[str, Any]] = []
    with cells_bar(len(runs)) as done:
        for run, found in run_faces(folder, root, runs):
            rows += found
            write_json(folder / "results.json", results_document(command, list(seeds), rows))
            done(f"{run.name}: " + ", ".join(f"{r['setting']} {r['test_accuracy']:.3f}" for r in found))
    header, lines = faces_table(rows)
    show_plain_table(header, lines, title="Accuracy of gender, trained on one extreme and tested on others")
    console.print(f"results  {folder / 'results.json'}", soft_wrap=True)
