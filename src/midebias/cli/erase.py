"""``midebias erase``: somebody's embeddings with an attribute taken out, in a file of the same kind."""

import shlex
import shutil
import time
import warnings
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from typer import Option

from ..column_kinds import Column, describe_columns
from ..errors import InputError
from ..experiments.erasure_report import describe_cost, write_erasure
from ..experiments.run_folder import make_run_folder
from ..leakage.embedding_files import read_embeddings
from ..leakage.embedding_writers import write_embeddings
from ..leakage.findings import format_change
from ..leakage.inputs import check_range
from ..matrices import read_matrix
from .command_line import collect_options, write_command
from .console import show_files, show_line, show_share
from .options import (
    ALL_PROBES,
    AttributeColumns,
    Config,
    Criterion,
    EmbeddingColumns,
    EmbeddingsFile,
    EmbeddingTable,
    GroupColumn,
    MaxLeakage,
    OutputDir,
    Probes,
    check_limit,
    read_names,
)

_Method = StrEnum("_Method", ["nonlinear", "linear"])
_Unseen = StrEnum("_Unseen", ["error", "unaware"])
_DEFAULTS: dict[str, Any] = {
    "method": "nonlinear", "criterion": "independence", "unseen": "error", "probes": ALL_PROBES,
    "max_rows": 20_000, "seed": 0,
}  # fmt: skip


def erase(
    file: EmbeddingsFile,
    attribute: AttributeColumns = None,
    keep: Annotated[
        str | None, Option(help="Columns by commas whose covariance with the representation is kept.")
    ] = None,
    criterion: Annotated[
        Criterion, Option(help="independence: erases I(Z;C); separation: I(Z;C|Y), with Y in --label.")
    ] = Criterion.independence,
    label: Annotated[
        str | None, Option(help="Column of the task's label, whose probe is reported, and which separation needs.")
    ] = None,
    method: Annotated[
        _Method, Option(help="linear: in closed form, against linear probes alone; nonlinear: against others too.")
    ] = _Method.nonlinear,
    max_mi: Annotated[
        float | None, Option(help="Budget in nats: the map that moves rows least and leaves no more is taken.")
    ] = None,
    min_neighbours: Annotated[
        float | None, Option(help="Share of neighbours that the nonlinear map keeps without --max-mi, at any leakage.")
    ] = None,
    aware: Annotated[
        bool, Option("--aware", help="Erase by a map that is given the attribute, such as a batch.")
    ] = False,
    unseen: Annotated[
        _Unseen, Option(help="What --aware does with categories that it was not fitted on, and missing ones.")
    ] = _Unseen.error,
    groups: GroupColumn = None,
    columns: EmbeddingColumns = None,
    use_rep: Annotated[str | None, Option(help="Key of obsm of an .h5ad; default is X.")] = None,
    table: EmbeddingTable = None,
    max_leakage: MaxLeakage = None,
    probes: Probes = ALL_PROBES,
    max_rows: Annotated[int, Option(min=100, help="Probes see so many rows held out, drawn at random.")] = 20_000,
    seed: Annotated[int, Option(min=0, help="Seeds what is held out, the eraser and the probes.")] = 0,
    config: Config = None,
    output_dir: OutputDir = Path("runs"),
) -> None:
    """Take an attribute out of embeddings, ours or anybody's, and write a file of the same kind.

    The eraser is fitted on two thirds of the rows, and audited on the others, before and after. The file that is
    written has all rows, and all other columns as they were.

    Exit status: 0 done, 1 more leakage of rows held out than --max-leakage, 2 bad arguments or data, or classes of
    --label too small to judge the limit.

    Example: midebias erase embeddings.parquet --attribute sex --keep income --max-leakage 0.02
    """
    options = collect_options(locals(), "config", "output_dir")
    from ..erasure import MIEraser  # with scikit-learn, which other commands start faster without
    from ..experiments.erasure import hold_out

    roles: dict[str, list[str]] = {
        "attribute": read_names(attribute), "keep": [] if keep is None else keep.split(","),
        "label": [] if label is None else [label], "groups": [] if groups is None else [groups],
    }  # fmt: skip
    check_limit(max_leakage)
    for role, names in roles.items():
        if role != "attribute" and (taken := set(names) & set(roles["attribute"])):
            raise InputError(f"--{role} names {min(taken)!r}, which --attribute says is to be erased")
    if criterion == Criterion.separation and label is None:
        raise InputError("--criterion separation needs --label")
    if use_rep is not None and file.suffix.lower() != ".h5ad":
        raise InputError(f"--use-rep is for .h5ad, and {file} is none: name the representation with --columns")
    named, chosen = list(dict.fromkeys(chain(*roles.values()))), columns or use_rep
    found = read_embeddings(file, named, columns=None if chosen is None else chosen.split(","), table=table)
    found.check_single(file, named)
    inputs = [*found.describe(), *describe_columns(found.columns, roles)]
    z = read_matrix(found.z, "z")
    check_range(z)
    coded = [name for name, values in zip(found.dimensions, z.T, strict=False) if Column(name, values).is_category]
    if len(coded) < len(found.dimensions) == z.shape[1] and coded:
        inputs.append(f"part of z, few whole numbers: {', '.join(coded)}; if that is a label, say so with --keep")
    show_line("\n".join(inputs))
    c, kept, labels, group = ({name: found.columns[name] for name in names} for names in roles.values())
    y, of = next(iter(labels.values()), None), next(iter(group.values()), None)
    held = hold_out(
        len(z), c, y if criterion == Criterion.separation else None, kept | labels, of,
        random_state=seed, max_rows=max_rows, probes=probes.split(","),
    )  # fmt: skip
    fitted = np.isin(np.arange(len(z)), held.rows, invert=True)
    inputs.append(f"fitted on {fitted.sum():,} rows, audited on {len(held.rows):,} others")
    show_line(inputs[-1])
    before = z[held.rows]
    with show_share("audit before") as step:
        first = held.audit(before, on_step=step)
    told = held.audit_useful(before)
    try:
        leaked = first.decide(condition=held.condition).worst.leakage
    except InputError as error:
        raise InputError(f"--criterion separation: {error}, with 200 rows each in the third held out") from error
    start = time.perf_counter()
    shared: dict[str, Any] = {"criterion": str(criterion), "aware": aware, "unseen": str(unseen), "random_state": seed}
    fit: dict[str, Any] = {"sensitive_features": c, "keep": kept or None, "groups": of, "fit_on": fitted}
    own: dict[str, Any] = {"method": str(method), "max_mi": max_mi, "min_neighbours": min_neighbours}
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", UserWarning)
        eraser = MIEraser(**shared | own).fit(z, y, **fit)
    seconds, notes = time.perf_counter() - start, [str(w.message) for w in said if w.category is UserWarning]
    straight = method == _Method.linear or aware
    linear = None if straight else MIEraser(method="linear", **shared).fit(z, y, **fit).transform(before)
    options |= {"file": str(file), "attribute": ",".join(roles["attribute"])}
    folder = make_run_folder(output_dir, "erase", {"command": "erase", **options, "attribute": roles["attribute"]})
    try:
        erased = eraser.transform(z, *[c] * aware)
        written = write_embeddings(file, folder / file.name, found.dimensions, erased)
        after = read_matrix(read_embeddings(folder / file.name, (), columns=written).z, "z")[held.rows]
    except BaseException:
        shutil.rmtree(folder)  # nothing is left behind that is not whole
        raise
    eraser.save(folder / "eraser.safetensors")
    with show_share("audit after") as step:
        second = held.audit(after, on_step=step)
    measured = held.compare(before, linear, after, told=told, audits=(first, second))
    decided = second.decide(max_leakage or 0.0, condition=held.condition)
    text = f"Before: at least {max(0.0, leaked):.3f} nats. After: {decided.text}"
    text += "" if max_leakage is None else f" {decided.compare_with_limit('--max-leakage')}"
    shown = {k: v for k, v in options.items() if k != "file" and v != _DEFAULTS.get(k)}
    command = write_command(f"erase {shlex.quote(str(file))}", **shown)
    write_erasure(
        folder, command, options, before=first, after=second, decided=decided, text=text, measured=measured,
        fitted=int(fitted.sum()), held=len(held.rows), notes=notes, inputs=inputs, seconds_of_fit=seconds,
        **({} if max_leakage is None else {"exit_status": decided.exit_status}),
    )  # fmt: skip
    table_of_change = format_change(first.summary, second.summary)
    show_line("\n".join(["", *table_of_change, "", *notes, text, describe_cost(measured), ""]))
    show_files(folder, file=file.name, eraser="eraser.safetensors", report="report.html", results="results.json")
    if max_leakage is not None:
        raise typer.Exit(decided.exit_status)
