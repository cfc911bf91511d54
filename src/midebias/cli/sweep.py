"""``midebias sweep``: many weights of the penalty, judged on held-out biased data, and one of them chosen."""

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from typer import Option

from ..errors import DataError, InputError
from ..experiments.image_loading import check_setting
from ..experiments.image_methods import choose_image_size
from ..experiments.image_sweep import RUN_OPTIONS, ImageSweep
from ..experiments.own_images import FOLDER_OPTIONS
from ..experiments.report_content import write_report
from ..experiments.run_folder import make_run_folder, read_config, write_config, write_results
from ..experiments.table_sweep import TableSweep
from ..experiments.weight_choice import WeightTrial, find_front
from ..experiments.weight_search import HIGHEST, LOWEST, Sweep, open_study, read_trials, search_weights
from . import options as shared
from .command_line import collect_options, parse_numbers, write_command
from .console import show_cells, show_files, show_line, show_plain_table
from .table_file import is_table, read_table
from .trainer_options import Accelerator, Precision

_EPOCHS = 5  # of images
_TOLERANCE = 0.02
_LEAST_ROWS = 60  # of a table
_REQUIRED = ("dataset", "weights", "trials", "seeds", "epochs", "network", "seed")


def sweep(
    dataset: shared.DatasetOrTable = None,
    setting: Annotated[
        float | None, Option(help="Variance of colored-mnist and -fashion, rho of the biased ones.")
    ] = None,
    weights: Annotated[str, Option(help="Weights to begin with, by commas.")] = "0.1,1,3,10",
    trials: Annotated[int, Option(min=1, help="How many weights in all; the rest is proposed by the sampler.")] = 8,
    seeds: Annotated[str, Option(help="Each weight is trained from each of these; by commas.")] = "0",
    epochs: Annotated[
        int | None, Option(min=1, help="Passes over the training set; 5, or 20 and more of a table.")
    ] = None,
    network: shared.Network = "paper",
    network_weights: Annotated[
        str | None, Option(help="File of weights, or 'pretrained'. Networks of timm and torchvision only.")
    ] = None,
    batch_size: shared.BatchSize = None,
    learning_rate: shared.LearningRate = None,
    accelerator: Accelerator = None,
    precision: Precision = None,
    limit: Annotated[int | None, Option(min=1024, help="First so many training images only.")] = None,
    image_size: shared.ImageSize = None,
    root: shared.ImageRoot = None,
    table: shared.ImageTableFile = None,
    image: shared.ImageColumn = None,
    split_by: shared.SplitColumn = None,
    label: shared.LabelColumn = None,
    attribute: shared.AttributeColumn = None,
    criterion: Annotated[
        shared.Criterion | None, Option(help="separation: I(Z;C|Y), independence: I(Z;C). Tables only.")
    ] = None,
    tolerance: Annotated[
        float | None,
        Option(min=0.0, max=1.0, help="Accuracy that less leakage may cost, 0.02 if not given. Tables only."),
    ] = None,
    storage: Annotated[
        str | None,
        Option(help="Journal file or database URL that several machines share; default is in the run folder."),
    ] = None,
    seed: Annotated[int, Option(min=0, help="Seeds the sampler.")] = 0,
    resume: Annotated[Path | None, Option(help="Run folder to go on with; options come from it.")] = None,
    config: shared.Config = None,
    output_dir: shared.OutputDir = Path("runs"),
) -> None:
    """Try many weights of the penalty; show what less leakage costs, and choose one on held-out biased data.

    For images a weight is a gradient ratio (mib's gradient_ratio), for tables what a nat costs (mi_weight).

    Trials are kept as they end: an interrupted sweep goes on with --resume; machines share trials by --storage.

    Example: midebias sweep colored-mnist --setting 0.02 --limit 20000 --trials 8
    """
    options = collect_options(locals(), "resume", "config", "output_dir")
    if resume is not None:
        options = read_config(
            resume, "sweep", lambda kept: {k: kept[k] if k in _REQUIRED else kept.get(k) for k in options}
        )
    if options["dataset"] is None:
        raise InputError("name a data set, or a run folder with --resume")
    given, run_seeds = (
        parse_numbers(options["weights"], float, "--weights"),
        parse_numbers(options["seeds"], int, "--seeds"),
    )
    if any(not LOWEST <= w <= HIGHEST for w in given):
        raise InputError(f"--weights must lie between {LOWEST} and {HIGHEST}, got {options['weights']}")
    swept = _make_sweep(options, run_seeds)
    shared = options["storage"]  # opened before there is a folder: what cannot be used leaves none behind
    study = None if shared is None else open_study(shared, options["seed"])
    record = {"command": "sweep", **options}
    if resume is None and isinstance(swept, ImageSweep):
        swept.prepare(given[0], run_seeds[0], memory=0)
    folder = resume or make_run_folder(output_dir, "sweep", record)
    write_config(folder, record)
    command = write_command(f"sweep {shlex.quote(options['dataset'])}", **options | {"dataset": None})
    study = study or open_study(str(folder / "journal.log"), options["seed"])
    left = max(0, options["trials"] - len(read_trials(study)))
    show_line(f"{options['trials']} weights, {left} of them to run; folder {folder}")
    with show_cells(left) as advance:
        for t in search_weights(study, swept, given, options["trials"]):
            advance(f"weight {t.weight:.3g}: {swept.accuracy} {t.accuracy:.3f}, leakage {t.leakage:.3f} nats")
    _report(folder, command, read_trials(study), options, swept)


def _make_sweep(options: dict[str, Any], seeds: Sequence[int]) -> Sweep:
    """Images or a table, with what does not go together refused."""
    dataset = options["dataset"]
    if is_table(dataset):
        of_images = {*FOLDER_OPTIONS, *RUN_OPTIONS, "setting", "limit", "network_weights"} - {
            "label",
            "attribute",
            "epochs",
        }
        for name in sorted(of_images):
            if options[name] not in (None, "paper"):
                raise InputError(f"--{name.replace('_', '-')} applies to images only, and {dataset} is a table")
        frame, attributes, _ = read_table(Path(dataset), options["label"], options["attribute"])
        if len(frame) < _LEAST_ROWS:
            raise DataError(f"{dataset} has {len(frame)} rows; a sweep holds a third out and needs {_LEAST_ROWS}")
        return TableSweep(
            frame, label=options["label"], attributes=attributes, criterion=options["criterion"] or "separation",
            epochs=options["epochs"], tolerance=_TOLERANCE if options["tolerance"] is None else options["tolerance"],
            seeds=seeds,
        )  # fmt: skip
    for name in ("criterion", "tolerance"):
        if options[name] is not None:
            raise InputError(f"--{name} applies to tables (.csv, .parquet) only")
    check_setting(dataset, options["setting"], **{k: options.get(k) for k in FOLDER_OPTIONS})
    image_size = choose_image_size(options["image_size"], options["network"], dataset)
    return ImageSweep(options | {"epochs": options["epochs"] or _EPOCHS, "image_size": image_size}, seeds)


def _report(folder: Path, command: str, trials: Sequence[WeightTrial], options: dict[str, Any], swept: Sweep) -> None:
    best = trials[swept.choose(trials)]
    tried = [(t, front, t is best) for t, front in zip(trials, find_front(trials), strict=True)]
    name = swept.dial.removeprefix("mi_").replace("_", " ")
    rows = [
        {swept.dial: t.weight}
        | {k: v for k, v in asdict(t).items() if k not in ("weight", "resamples")}
        | {"front": front, "chosen": chosen}
        for t, front, chosen in tried
    ]
    write_results(folder, command, options["seed"], rows, rule=swept.rule, **{swept.dial: best.weight})
    points = [
        {
            "label": f"{name} {t.weight:.3g}", "x": t.leakage, "x_err": t.leakage_stderr, "y": t.accuracy,
            "y_err": t.accuracy_stderr, "front": front, "chosen": chosen,
        }
        for t, front, chosen in tried if t.finite
    ]  # fmt: skip
    verdict = (
        f"{name.capitalize()} {best.weight:.3g} is chosen, of {len(trials)} tried: "
        f"{swept.accuracy} {best.accuracy:.3f}, {swept.leakage.removesuffix(', nats')} {best.leakage:.3f} nats."
    )
    front_content = {"points": points, "x_label": swept.leakage, "y_label": swept.accuracy, "rule": swept.rule}
    title = f"{name.capitalize()}s on {options['dataset']}"
    write_report(folder, title=title, verdict=verdict, front=front_content, settings=options, command=command)
    lines = [
        [
            f"{t.weight:.3g}", f"{t.accuracy:.3f} ± {t.accuracy_stderr:.3f}",
            f"{t.leakage:.3f} ± {t.leakage_stderr:.3f}", "front" if front else "", "chosen" if chosen else "",
        ]
        for t, front, chosen in tried
    ]  # fmt: skip
    show_plain_table([name, swept.accuracy, swept.leakage, "", " "], lines, title=f"{name.capitalize()}s")
    show_line(swept.rule)
    show_files(folder, report="report.html", results="results.json")
