"""``midebias audit``: what somebody's embeddings still tell about an attribute; a gate for continuous integration."""

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from ..column_kinds import describe_columns
from ..errors import InputError
from ..experiments.run_folder import make_run_folder, write_results
from ..leakage.auditing import audit as run_audit
from ..leakage.embedding_files import read_embeddings
from ..leakage.findings import Condition
from .command_line import collect_options, write_command
from .console import show_files, show_line, show_share
from .options import (
    ALL_PROBES,
    AttributeColumns,
    Config,
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

_Criterion = StrEnum("_Criterion", ["any", "independence", "separation"])
_CONDITIONS: dict[_Criterion, Condition] = {
    _Criterion.any: None,
    _Criterion.independence: "overall",
    _Criterion.separation: "within classes",
}


def audit(
    file: EmbeddingsFile,
    attribute: AttributeColumns = None,
    label: Annotated[str | None, Option(help="Column of the task's label: audits within classes too.")] = None,
    given: Annotated[
        str | None, Option(help="Columns of covariates, by commas: audits what is told beyond them, too.")
    ] = None,
    predictions: Annotated[
        str | None, Option(help="Column of a model's answers, or columns of its class probabilities by commas.")
    ] = None,
    groups: GroupColumn = None,
    columns: EmbeddingColumns = None,
    table: EmbeddingTable = None,
    max_leakage: MaxLeakage = None,
    criterion: Annotated[
        _Criterion, Option(help="What --max-leakage looks at: I(Z;C) (independence), I(Z;C|Y) (separation), or any.")
    ] = _Criterion.any,
    probes: Probes = ALL_PROBES,
    certify: Annotated[
        bool, Option("--certify", help="Bound what any classifier can tell, of embeddings in few distinct values.")
    ] = False,
    max_rows: Annotated[int, Option(min=100, help="Probes see so many rows, drawn at random.")] = 50_000,
    seed: Annotated[int, Option(min=0, help="Seeds rows, folds and probes.")] = 0,
    config: Config = None,
    output_dir: OutputDir = Path("runs"),
) -> None:
    """Audit embeddings, ours or anybody's: what do they tell about an attribute, and to which probe?

    Exit status: 0 done, 1 more leakage than --max-leakage, 2 bad arguments or data, or classes of --label too small to
    judge the limit.

    Example: midebias audit embeddings.parquet --attribute sex --label y --max-leakage 0.05
    """
    options = collect_options(locals(), "file", "config", "output_dir")
    names = read_names(attribute)
    check_limit(max_leakage)
    answers = [] if predictions is None else predictions.split(",")
    if answers and label is None:
        raise InputError("--predictions needs --label beside it")
    covariates = [] if given is None else given.split(",")
    single = [*names, *covariates, *(name for name in (label, groups) if name is not None)]
    named = list(dict.fromkeys(single + answers))
    found = read_embeddings(file, named, columns=None if columns is None else columns.split(","), table=table)
    found.check_single(file, single)
    told = {a: found.columns[a] for a in answers}
    roles = {"attribute": names, "label": [] if label is None else [label], "predictions": answers}
    roles["given"] = covariates
    roles["groups"] = [] if groups is None else [groups]
    inputs = [*found.describe(), *describe_columns(found.columns, roles)]
    show_line("\n".join(inputs))
    options["attribute"] = ",".join(names)
    default = {"criterion": "any", "probes": ALL_PROBES, "certify": False, "max_rows": 50_000, "seed": 0}
    shown = {k: v for k, v in options.items() if v != default.get(k)}
    command = write_command(f"audit {shlex.quote(str(file))}", **shown)
    with show_share("audit") as step:
        result = run_audit(
            found.z, {n: found.columns[n] for n in names}, None if label is None else found.columns[label],
            condition_on={w: found.columns[w] for w in covariates} or None,
            predictions=told or None, groups=None if groups is None else found.columns[groups],
            probes=probes.split(","), certify=certify, max_rows=max_rows, random_state=seed, on_step=step,
        )  # fmt: skip
    gate = None if max_leakage is None else result.decide(max_leakage, condition=_CONDITIONS[criterion])
    resolved = {"command": "audit", "file": str(file), **options, "attribute": names}
    folder = make_run_folder(output_dir, "audit", resolved)
    content = result.to_dict()
    del content["schema"]
    content |= {} if gate is None else {"exit_status": gate.exit_status}
    write_results(folder, command, seed, content.pop("rows"), inputs=inputs, **content)
    result.to_html(folder / "report.html", title=f"Leakage audit of {file.name}", command=command)
    show_line(f"\n{result}\n")
    show_files(folder, report="report.html", results="results.json")
    if gate is not None:
        show_line(gate.compare_with_limit("--max-leakage"))
        raise typer.Exit(gate.exit_status)
