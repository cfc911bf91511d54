"""``midebias train``: one method on one data set, into a run folder."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from safetensors.torch import save

from ..atomic_writing import write_atomically
from ..datasets import read_palette
from ..errors import DataError, InputError
from ..experiments.image_loading import load_images
from ..experiments.image_methods import Network
from ..experiments.image_outcome import Outcome
from ..experiments.image_run import run_method
from ..experiments.report_content import describe_training
from ..experiments.run_folder import metrics, new_run_folder, results_document, versions, write_json, write_metrics
from ..methods import METHODS
from ..reporting.html_report import write_html_report
from ..reporting.method_titles import title_method
from ..reporting.model_card import write_model_card
from ..reporting.training_figure import draw_training
from ..training.method import TrainStepMethod
from .console import bars, console, show_table
from .options import (
    TRAINER_OPTIONS,
    Accelerator,
    AttributeColumn,
    Config,
    Criterion,
    Devices,
    ImageSize,
    LabelColumn,
    NumNodes,
    OutputDir,
    PaletteFile,
    Precision,
)
from .train_table import is_table, train_table

__all__ = ["train"]


_Method = StrEnum("_Method", {name: name for name in METHODS})  # type: ignore[misc]  # its members are METHODS'
_OURS = _Method("mib")
_CHECKPOINT = "checkpoint.safetensors"
_METHOD_OPTIONS = ("gradient_ratio", "mi_weight", "max_mi", "criterion", "estimator", "critic_steps", "rebalance")


class _Estimator(StrEnum):
    gaussian = "gaussian"
    gaussian_linear = "gaussian_linear"
    donsker_varadhan = "donsker_varadhan"


def train(
    dataset: Annotated[
        str | None,
        typer.Argument(
            help="colored-mnist, biased-mnist, an .npz with x, y, c, a folder of images, or a table (.csv, .parquet)."
        ),
    ] = None,
    config: Config = None,
    variance: Annotated[
        float | None, typer.Option(help="Variance of the colour jitter, 0.020 if not given. colored-mnist only.")
    ] = None,
    rho: Annotated[
        float | None, typer.Option(help="How often the background is the class's own, 0.990. biased-mnist only.")
    ] = None,
    method: Annotated[_Method, typer.Option(help="mib is our default.")] = _OURS,
    network: Annotated[Network, typer.Option(help="The paper's, or that of Learning Not to Learn.")] = Network.paper,
    mi_weight: Annotated[
        float | None,
        typer.Option(min=0.0, help="Weight of the penalty in the loss, in nats. Tables, or --method reference."),
    ] = None,
    gradient_ratio: Annotated[
        float | None,
        typer.Option(min=0.0, help="Length of the penalty's gradient over the task's; default 3. mib on images only."),
    ] = None,
    criterion: Annotated[
        Criterion | None, typer.Option(help="separation: I(Z;C|Y), independence: I(Z;C). mib only.")
    ] = None,
    estimator: Annotated[_Estimator | None, typer.Option(help="How mib estimates. mib only.")] = None,
    critic_steps: Annotated[
        int | None, typer.Option(min=0, help="Critic updates per step (K), for estimators with a critic.")
    ] = None,
    rebalance: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Draw rows by p(y|c) to minus this; default 0.5. mib only."),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes over the training set; 5, or 20 and more of a table.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seeds the colours, the weights and the order.")] = 0,
    palette: PaletteFile = None,
    image_size: ImageSize = None,
    limit: Annotated[int | None, typer.Option(min=512, help="First so many training images only.")] = None,
    max_steps: Annotated[int | None, typer.Option(min=1, help="Stop after so many steps.")] = None,
    checkpoint_every: Annotated[
        float, typer.Option(min=0.0, help="Seconds between checkpoints in the run folder; 0: after every step.")
    ] = 30.0,
    resume: Annotated[
        Path | None, typer.Option(help="Run folder of a stopped training to go on with; all options come from it.")
    ] = None,
    label: LabelColumn = None,
    attribute: AttributeColumn = None,
    max_mi: Annotated[
        float | None,
        typer.Option(help="Budget in nats: how much may leak; the weight finds itself. Tables, or mib on images."),
    ] = None,
    output_dir: OutputDir = Path("runs"),
    accelerator: Accelerator = None,
    devices: Devices = None,
    num_nodes: NumNodes = None,
    precision: Precision = None,
) -> None:
    """Train one method and report what its representation still knows of the attribute.

    Ctrl-C saves the state; --resume goes on from it, or from the last checkpoint of a run that was killed.

    Example: midebias train colored-mnist --variance 0.02 --method mib --epochs 5 --seed 0
    """
    if resume is not None:
        _run(_resumed(resume), folder=resume)
        return
    if dataset is None:
        raise InputError("name a data set, or a run folder with --resume")
    given = (accelerator and str(accelerator), devices, num_nodes, precision and str(precision))
    by_trainer = {k: v for k, v in zip(TRAINER_OPTIONS, given, strict=True) if v is not None}
    if is_table(dataset):
        of_images: dict[str, Any] = {
            "variance": variance, "rho": rho, "gradient-ratio": gradient_ratio, "estimator": estimator,
            "critic-steps": critic_steps, "rebalance": rebalance, "palette": palette, "image-size": image_size,
            "limit": limit, "max-steps": max_steps, "method": None if method == _OURS else method,
            "network": None if network == Network.paper else network,
            **{k.replace("_", "-"): v for k, v in by_trainer.items()},
        }  # fmt: skip
        for option, value in of_images.items():
            if value is not None:
                raise InputError(f"--{option} applies to images only, and {dataset} is a table")
        wanted: Any = "separation" if criterion is None else str(criterion)
        train_table(
            Path(dataset), label=label, attribute=attribute, criterion=wanted, mi_weight=mi_weight, max_mi=max_mi,
            epochs=epochs, seed=seed, output_dir=output_dir,
        )  # fmt: skip
        return
    for option, value in (("label", label), ("attribute", attribute)):
        if value is not None and not Path(dataset).is_dir():
            raise InputError(f"--{option} applies to tables (.csv, .parquet) and folders of images only")
    epochs = 5 if epochs is None else epochs
    # NaN passes the ranges of some typers.
    for option, number in (("mi-weight", mi_weight), ("gradient-ratio", gradient_ratio)):
        if number is not None and not 0 <= number < math.inf:
            raise InputError(f"--{option} must be at least 0 and finite, got {number}")
    if max_mi is not None and not 0 < max_mi < math.inf:
        raise InputError(f"--max-mi must be a positive number of nats, got {max_mi}")
    known = [name for name, kind in METHODS.items() if issubclass(kind, TrainStepMethod)]
    if by_trainer and str(method) not in known:
        option = next(iter(by_trainer)).replace("_", "-")
        raise InputError(f"--{option} applies to --method {', '.join(known)} only, and not to {method}")
    options = _options(method, gradient_ratio, mi_weight, max_mi, criterion, estimator, critic_steps, rebalance)
    if variance is not None and dataset != "colored-mnist":
        raise InputError("--variance applies to colored-mnist only")
    if rho is not None and dataset != "biased-mnist":
        raise InputError("--rho applies to biased-mnist only")
    resolved: dict[str, Any] = {
        "command": "train", "dataset": dataset, "variance": variance, "rho": rho, "method": str(method),
        "network": str(network), **options,
        "palette": None if palette is None else str(palette), "image_size": image_size,
        "label": label, "attribute": attribute,
        "epochs": epochs, "seed": seed, "limit": limit, "max_steps": max_steps, "checkpoint_every": checkpoint_every,
        **by_trainer,
    }  # fmt: skip
    _run(resolved, output_dir=output_dir)


def _run(resolved: dict[str, Any], *, folder: Path | None = None, output_dir: Path = Path("runs")) -> None:
    """Train as resolved, into a new run folder or on in one that is there."""
    by_trainer = {k: resolved[k] for k in TRAINER_OPTIONS if k in resolved}
    if not by_trainer:
        _train(resolved, run_method, folder=folder, output_dir=output_dir)
        return
    try:
        from ..experiments.lightning_run import run_by_trainer
        from ..experiments.lightning_trainer import make_trainer
        from ..lightning import module as lightning  # noqa: F401 - which says what to install
    except ImportError as error:
        raise InputError(str(error)) from None
    trainer = make_trainer(**by_trainer)
    run = partial(run_by_trainer, trainer=trainer, on_alarm=lambda alarm: console.print(alarm, soft_wrap=True))
    if trainer.is_global_zero:
        _train(resolved, run, folder=folder, output_dir=output_dir)
        return
    console.quiet = True
    try:
        _train(resolved, run, folder=folder, output_dir=None)
    except (InputError, DataError):
        raise SystemExit(2) from None  # the first rank says why
    except KeyboardInterrupt:
        raise SystemExit(0) from None  # as agreed; another status would make the Trainer kill the first rank


def _train(
    resolved: dict[str, Any], run: Callable[..., Outcome | None], *, folder: Path | None, output_dir: Path | None
) -> None:
    """Load, train by ``run`` and report; where there is no ``output_dir``, and no outcome, leave that to another."""
    method, seed, epochs, max_steps = (resolved[k] for k in ("method", "seed", "epochs", "max_steps"))
    data = load_images(
        resolved["dataset"],
        resolved["rho"] if resolved["variance"] is None else resolved["variance"],
        seed,
        limit=resolved["limit"],
        palette=None if resolved["palette"] is None else read_palette(Path(resolved["palette"])),
        image_size=resolved["image_size"],
        label=resolved["label"],
        attribute=resolved["attribute"],
    )
    if folder is None and output_dir is not None:
        folder = new_run_folder(output_dir, f"train-{data.dataset}-{method}")
        (folder / "config.yaml").write_text(yaml.safe_dump(resolved, sort_keys=False), encoding="utf-8")
    elif folder is not None and (folder / "results.json").exists():
        console.print(f"{folder} is finished: nothing to do", soft_wrap=True)
        return
    console.print(
        f"{method} on {data.dataset}, {data.setting}, {len(data.train):,} images, seed {seed}; run folder {folder}",
        soft_wrap=True,
    )
    with bars() as shown:
        steps = epochs * (len(data.train) // METHODS[method].batch_size)
        shown.start(method, min(steps, max_steps or steps))
        outcome = run(
            method, data, epochs=epochs, seed=seed, network=resolved["network"], max_steps=max_steps,
            options={k: resolved[k] for k in _METHOD_OPTIONS if k in resolved},
            on_step=shown.step, on_evaluation=shown.evaluation,
            checkpoint=folder and folder / _CHECKPOINT, checkpoint_every=resolved["checkpoint_every"],
        )  # fmt: skip
    if outcome is None or folder is None:
        return
    weights = {k: v.contiguous() for k, v in outcome.method.model.state_dict().items()}
    write_atomically(folder / "model.safetensors", save(weights))
    write_metrics(folder / "metrics.csv", metrics(outcome.trace, outcome.history))
    title = f"{title_method(method)} on {data.dataset}, {data.setting}"
    draw_training(folder / "training.png", {title: outcome.trace})
    command = "midebias train " + " ".join(
        [resolved["dataset"], *(f"--{k.replace('_', '-')} {v}" for k, v in resolved.items()
                         if k not in ("command", "dataset", "checkpoint_every") and v is not None)]
    )  # fmt: skip
    more = {} if outcome.alarms is None else {"alarms": outcome.alarms}
    write_json(folder / "results.json", results_document(command, seed, [outcome.row], history=outcome.history, **more))
    row = outcome.row
    verdict = (
        f"{title_method(method)} reaches {row['test_accuracy']:.3f} on the test set; a fresh probe reads the attribute "
        f"with accuracy {row['probe_accuracy']:.3f}, chance {row['chance']:.3f}: at least {row['mi']:.2f} nats."
    )
    content = {
        "verdict": {"text": verdict, "status": "note"},
        "training": describe_training({title: outcome.trace}),
        "settings": resolved, "command": command,
    }  # fmt: skip
    write_html_report(folder / "report.html", title=title, content=content)
    penalised = method == "mib" and resolved.get("gradient_ratio") != 0
    card = write_model_card(
        data=f"{row['train_images']:,} images of {data.dataset}, {data.setting}",
        label=resolved["label"] or "y", attributes=[resolved["attribute"] or "c"], method=method,
        criterion=resolved.get("criterion", "separation") if penalised else None,
        measured_on=f"{len(data.test):,} test images", verdict=None, command=command, versions=versions(),
        figures={
            "accuracy": f"{row['test_accuracy']:.3f}",
            "attribute read by a fresh probe, accuracy": f"{row['probe_accuracy']:.3f} (chance {row['chance']:.3f})",
            "information about it, at least, nats": f"{row['mi']:.3f} ± {row['mi_stderr']:.3f}",
        },
        use=f"midebias export {folder} --format onnx",
    )  # fmt: skip
    (folder / "model-card.md").write_text(card, encoding="utf-8")
    (folder / _CHECKPOINT).unlink(missing_ok=True)
    show_table([outcome.row], title=f"{data.dataset}, {data.setting}")
    console.print(f"run folder  {folder}", soft_wrap=True)


def _resumed(folder: Path) -> dict[str, Any]:
    """The resolved options of a run folder."""
    try:
        resolved = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"--resume {folder} holds no training that can go on ({error})") from error
    needed = {"dataset", "variance", "rho", "method", "network", "palette", "image_size", "label", "attribute",
              "epochs", "seed", "limit", "max_steps", "checkpoint_every"}  # fmt: skip
    if not isinstance(resolved, dict) or resolved.get("command") != "train" or not needed <= set(resolved):
        raise DataError(f"--resume {folder} holds no training that can go on: config.yaml is that of something else")
    if resolved["method"] not in METHODS:
        raise DataError(f"--resume {folder}: config.yaml names the method {resolved['method']!r}, which is none")
    return resolved


def _options(
    method: _Method,
    gradient_ratio: float | None,
    mi_weight: float | None,
    max_mi: float | None,
    criterion: Criterion | None,
    estimator: _Estimator | None,
    critic_steps: int | None,
    rebalance: float | None,
) -> dict[str, Any]:
    given: dict[str, Any] = {
        "gradient_ratio": gradient_ratio,
        "mi_weight": mi_weight,
        "max_mi": max_mi,
        "criterion": None if criterion is None else str(criterion),
        "estimator": None if estimator is None else str(estimator),
        "critic_steps": critic_steps,
        "rebalance": rebalance,
    }
    given = {k: v for k, v in given.items() if v is not None}
    accepted = signature(METHODS[str(method)]).parameters
    for name in given:
        if name not in accepted:
            raise InputError(f"--{name.replace('_', '-')} does not apply to --method {method}")
    return given
