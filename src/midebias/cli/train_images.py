"""``midebias train`` of images: check the options, load, train, and leave a run folder behind."""

import json
import math
import shlex
import warnings
from collections.abc import Mapping
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

from safetensors.torch import save

from ..atomic_writing import write_atomically
from ..datasets import read_palette
from ..errors import DataError, InputError
from ..experiments.comparison import ImageCell
from ..experiments.image_data import ImageData
from ..experiments.image_methods import check_network, choose_image_size
from ..experiments.image_outcome import Outcome
from ..experiments.own_images import FOLDER_OPTIONS
from ..experiments.planted_images import BIASED, COLORED
from ..experiments.report_content import describe_training, write_report
from ..experiments.run_folder import (
    flatten_metrics,
    list_versions,
    make_run_folder,
    read_config,
    write_metrics,
    write_results,
)
from ..methods import METHODS
from ..networks.backbones import Backbone
from ..reporting.method_titles import title_method
from ..reporting.model_card import write_model_card
from ..reporting.training_figure import draw_training
from .command_line import write_command
from .console import console, show_bars, show_line, show_table
from .trainer_options import TRAINER_OPTIONS, make_trainer

_CHECKPOINT = "checkpoint.safetensors"
_METHOD_OPTIONS = (
    "gradient_ratio",
    "mi_lr_ratio",
    "mi_weight",
    "max_mi",
    "n_cells",
    "criterion",
    "estimator",
    "critic_steps",
    "rebalance",
)
_OF_CELL = (
    "network", "weights", "augment", *FOLDER_OPTIONS, "class_weights", "epochs", "seed", "limit", "batch_size",
    "learning_rate", "max_steps", "precision",
)  # fmt: skip
_RUN_OPTIONS = ("palette", *_OF_CELL, "checkpoint_every", *TRAINER_OPTIONS)


def resolve_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Check the options of ``midebias train`` for images; those that decide the run, as ``config.yaml`` has them."""
    dataset, method = given["dataset"], given["method"]
    # NaN passes the ranges of some typers.
    for option in ("mi_weight", "gradient_ratio", "mi_lr_ratio", "learning_rate"):
        if given[option] is not None and not 0 <= given[option] < math.inf:
            raise InputError(f"--{option.replace('_', '-')} must be at least 0 and finite, got {given[option]}")
    if given["max_mi"] is not None and not 0 < given["max_mi"] < math.inf:
        raise InputError(f"--max-mi must be a positive number of nats, got {given['max_mi']}")
    options = {k: given[k] for k in _METHOD_OPTIONS if given[k] is not None}
    for option in options:
        if option not in signature(METHODS[method]).parameters:
            raise InputError(f"--{option.replace('_', '-')} does not apply to --method {method}")
    check_network(given["network"], given["weights"])
    image_size = choose_image_size(given["image_size"], given["network"], dataset)
    for option, of in (("variance", COLORED), ("rho", BIASED)):
        if given[option] is not None and dataset.partition(":")[0] not in of:
            raise InputError(f"--{option} applies to {' and '.join(of)} only")
    resolved = {"command": "train"} | {k: given[k] for k in ("dataset", "variance", "rho", "method")}
    resolved |= options | {k: given[k] for k in _RUN_OPTIONS}
    return resolved | {"epochs": given["epochs"] or 5, "image_size": image_size}


def train_images(resolved: dict[str, Any], *, folder: Path | None = None, output_dir: Path = Path("runs")) -> None:
    """Train as resolved, into a new run folder or on in one that is there; see `ImageRun`."""
    trainer = make_trainer(resolved)
    if trainer.is_global_zero:
        _train(resolved, trainer, folder=folder, output_dir=output_dir)
        return
    console.quiet = True
    try:
        _train(resolved, trainer, folder=folder, output_dir=None)
    except (InputError, DataError):
        raise SystemExit(2) from None  # the first rank says why
    except KeyboardInterrupt:
        raise SystemExit(0) from None  # as agreed; another status would make the Trainer kill the first rank


def _train(resolved: dict[str, Any], trainer: Any, *, folder: Path | None, output_dir: Path | None) -> None:
    """Load, train and report; where there is no ``output_dir``, and no outcome, leave that to another."""
    if folder is not None and (folder / "results.json").exists():
        show_line(f"{folder} is finished: nothing to do")
        return
    method = ":".join([resolved["method"], *(f"{k}={resolved[k]}" for k in _METHOD_OPTIONS if k in resolved)])
    cell = ImageCell(
        resolved["dataset"], resolved["rho"] if resolved["variance"] is None else resolved["variance"], method,
        palette=None if resolved.get("palette") is None else read_palette(Path(resolved["palette"])),
        **{k: resolved[k] for k in _OF_CELL if k in resolved},
    )  # fmt: skip
    data = cell.load()
    if folder is not None and (folder / _CHECKPOINT).exists():
        cell = replace(cell, weights=None)  # they lie in it
    with show_bars() as shown, warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # alarms are shown as lines
        run = cell.prepare(
            data, trainer=trainer, checkpoint_every=resolved["checkpoint_every"], on_step=shown.step,
            on_evaluation=shown.evaluation, on_alarm=show_line,
        )  # fmt: skip
        method = resolved["method"]
        if folder is None and output_dir is not None:
            folder = make_run_folder(output_dir, f"train-{data.dataset}-{method}", resolved)
        images = f"{data.dataset}, {data.setting}, {len(data.train):,} images"
        show_line(f"{method} on {images}, seed {cell.seed}; run folder {folder}")
        for line in data.description:
            show_line(line)
        shown.start(method, run.module.last_step)
        outcome = run.train(folder and folder / _CHECKPOINT)
    if outcome is None or folder is None:
        return
    _report(folder, resolved, data, outcome)
    (folder / _CHECKPOINT).unlink(missing_ok=True)
    show_table([outcome.row], title=f"{data.dataset}, {data.setting}")
    of_groups = {name: outcome.row[f"{name}_accuracy"] for name in ("unbiased", "worst_group", "conflicting")}
    figures = [f"{name.replace('_', ' ')} {value:.3f}" for name, value in of_groups.items() if value is not None]
    show_line(f"accuracy    {', '.join(figures)}")
    show_line(f"run folder  {folder}")


def _report(folder: Path, resolved: dict[str, Any], data: ImageData, outcome: Outcome) -> None:
    """Write the network, the record, the picture, the page and the model card."""
    method, row = resolved["method"], outcome.row
    title = f"{title_method(method)} on {data.dataset}, {data.setting}"
    trace = {title: outcome.trace}
    model = outcome.method.model
    weights = {k: v.contiguous() for k, v in model.state_dict().items()}
    built = {"network": json.dumps(model.description)} if isinstance(model, Backbone) else None
    write_atomically(folder / "model.safetensors", save(weights, metadata=built))
    write_metrics(folder / "metrics.csv", flatten_metrics(outcome.trace, outcome.history))
    draw_training(folder / "training.png", trace)
    options = resolved | dict.fromkeys(("command", "dataset", "checkpoint_every"))
    command = write_command(f"train {shlex.quote(resolved['dataset'])}", **options)
    more = {} if outcome.alarms is None else {"alarms": outcome.alarms}
    write_results(folder, command, resolved["seed"], [row], history=outcome.history, names=data.names, **more)
    verdict = (
        f"{title_method(method)} reaches {row['test_accuracy']:.3f} on the test set, {row['unbiased_accuracy']:.3f} on "
        f"average over groups of label and attribute and {row['worst_group_accuracy']:.3f} in the worst; a fresh probe "
        f"reads the attribute with accuracy {row['probe_accuracy']:.3f}, chance {row['chance']:.3f}: at least "
        f"{row['mi']:.2f} nats."
    )
    training = describe_training(trace)
    write_report(folder, title=title, verdict=verdict, training=training, settings=resolved, command=command)
    penalised = method == "mib" and resolved.get("gradient_ratio") != 0
    card = write_model_card(
        data=f"{row['train_images']:,} images of {data.dataset}, {data.setting}",
        label=data.names.get("label", "y"), attributes=data.names.get("attributes", ["c"]), method=method,
        criterion=resolved.get("criterion", "separation") if penalised else None,
        measured_on=f"{len(data.test):,} test images", verdict=None, command=command, versions=list_versions(),
        figures={
            "accuracy": f"{row['test_accuracy']:.3f}",
            "accuracy, mean over groups of label and attribute": f"{row['unbiased_accuracy']:.3f}",
            "accuracy in the worst of them": f"{row['worst_group_accuracy']:.3f}",
            "attribute read by a fresh probe, accuracy": f"{row['probe_accuracy']:.3f} (chance {row['chance']:.3f})",
            "information about it, at least, nats": f"{row['mi']:.3f} ± {row['mi_stderr']:.3f}",
        },
        use=f"midebias export {folder} --format onnx",
    )  # fmt: skip
    (folder / "model-card.md").write_text(card, encoding="utf-8")


def read_options(folder: Path) -> dict[str, Any]:
    """Read back the resolved options of a run folder. Raises `DataError` when it holds no training of images."""
    resolved = read_config(folder, "training", lambda content: content)
    needed = {"dataset", "variance", "rho", "method", "network", "epochs", "seed", "max_steps", "checkpoint_every"}
    if not isinstance(resolved, dict) or resolved.get("command") != "train" or not needed <= set(resolved):
        raise DataError(f"--resume {folder} holds no training that can go on: config.yaml is that of something else")
    if resolved["method"] not in METHODS:
        raise DataError(f"--resume {folder}: config.yaml names the method {resolved['method']!r}, which is none")
    return resolved
