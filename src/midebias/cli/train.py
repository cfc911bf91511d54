"""``midebias train``: one method on images, see `train_images`, or a classifier from a table, see `train_table`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from typer import Option

from ..errors import InputError
from ..methods import METHODS
from . import options as shared
from .command_line import collect_options
from .table_file import is_table
from .train_images import read_options, resolve_options, train_images
from .train_table import train_table
from .trainer_options import Accelerator, Devices, NumNodes, Precision

_Method = StrEnum("_Method", {name: name for name in METHODS})  # type: ignore[misc]  # its members are METHODS'
_OURS = _Method("mib")
_OF_IMAGES = {
    "variance": None, "rho": None, "gradient_ratio": None, "mi_lr_ratio": None, "estimator": None,
    "critic_steps": None, "rebalance": None,
    "palette": None, "image_size": None, "root": None, "table": None, "image": None, "split_by": None,
    "class_weights": False, "limit": None, "max_steps": None, "method": "mib", "network": "paper",
    "weights": None, "augment": "none", "batch_size": None, "learning_rate": None,
    "accelerator": None, "devices": None, "num_nodes": None, "precision": None,
}  # fmt: skip
"""Options that a table does not have, with their defaults."""

_Augment = StrEnum("_Augment", ["none", "light", "trivial"])
_Estimator = StrEnum("_Estimator", ["gaussian", "gaussian_linear", "donsker_varadhan"])


def train(
    dataset: shared.DatasetOrTable = None,
    config: shared.Config = None,
    variance: Annotated[
        float | None, Option(help="Variance of the colour jitter, 0.020 if not given. colored-mnist, -fashion only.")
    ] = None,
    rho: Annotated[
        float | None, Option(help="How often the bias is the class's own, 0.990. biased-mnist, -fashion only.")
    ] = None,
    method: Annotated[_Method, Option(help="mib is our default.")] = _OURS,
    network: shared.Network = "paper",
    weights: shared.NetworkWeights = None,
    augment: Annotated[
        _Augment, Option(help="light: mirrored and shifted, colours as they are. trivial: TrivialAugment.")
    ] = _Augment.none,
    mi_weight: Annotated[
        float | None, Option(min=0.0, help="Weight of a nat of the penalty in the loss. Tables only.")
    ] = None,
    gradient_ratio: Annotated[
        float | None,
        Option(
            min=0.0,
            help="Length of the penalty's gradient over the task's; default 3, or 1 for timm and torchvision. mib.",
        ),
    ] = None,
    mi_lr_ratio: Annotated[
        float | None, Option(min=0.0, help="Learning rate of the step on the estimate over the task's. reference only.")
    ] = None,
    criterion: Annotated[
        shared.Criterion | None, Option(help="separation: I(Z;C|Y), independence: I(Z;C). mib only.")
    ] = None,
    estimator: Annotated[_Estimator | None, Option(help="How mib estimates. mib only.")] = None,
    critic_steps: Annotated[
        int | None, Option(min=0, help="Critic updates per step (K), for estimators with a critic.")
    ] = None,
    rebalance: Annotated[
        float | None, Option(min=0.0, max=1.0, help="Draw rows by p(y|c) to minus this; default 0.5. mib only.")
    ] = None,
    epochs: Annotated[
        int | None, Option(min=1, help="Passes over the training set; 5, or 20 and more of a table.")
    ] = None,
    batch_size: shared.BatchSize = None,
    learning_rate: shared.LearningRate = None,
    seed: Annotated[int, Option(min=0, help="Seeds the colours, the weights and the order.")] = 0,
    palette: shared.PaletteFile = None,
    image_size: shared.ImageSize = None,
    root: shared.ImageRoot = None,
    table: shared.ImageTableFile = None,
    image: shared.ImageColumn = None,
    split_by: shared.SplitColumn = None,
    class_weights: shared.ClassWeights = False,
    limit: Annotated[int | None, Option(min=512, help="First so many training images only.")] = None,
    max_steps: Annotated[int | None, Option(min=1, help="Stop after so many steps.")] = None,
    checkpoint_every: Annotated[
        float, Option(min=0.0, help="Seconds between checkpoints in the run folder; 0: after every step.")
    ] = 30.0,
    resume: Annotated[
        Path | None, Option(help="Run folder of a stopped training to go on with; all options come from it.")
    ] = None,
    label: shared.LabelColumn = None,
    attribute: shared.AttributeColumn = None,
    max_mi: Annotated[
        float | None,
        Option(help="Budget in nats: how much may leak; the weight is adjusted to it. Tables, or mib on images."),
    ] = None,
    n_cells: Annotated[
        int | None, Option(min=2, help="Most cells that z is put into, to be certified on a quarter. Tables only.")
    ] = None,
    output_dir: shared.OutputDir = Path("runs"),
    accelerator: Accelerator = None,
    devices: Devices = None,
    num_nodes: NumNodes = None,
    precision: Precision = None,
) -> None:
    """Train one method and report what its representation still knows of the attribute.

    Ctrl-C saves the state; --resume goes on from it, or from the last checkpoint of a run that was killed.

    Example: midebias train colored-mnist --variance 0.02 --method mib --epochs 5 --seed 0
    """
    options = collect_options(locals())
    if resume is not None:
        train_images(read_options(resume), folder=resume)
        return
    if dataset is None:
        raise InputError("name a data set, or a run folder with --resume")
    if not is_table(dataset):
        train_images(resolve_options(options), output_dir=output_dir)
        return
    for option, default in _OF_IMAGES.items():
        if options[option] != default:
            raise InputError(f"--{option.replace('_', '-')} applies to images only, and {dataset} is a table")
    train_table(
        Path(dataset), label=label, attribute=attribute, criterion=options["criterion"] or "separation",
        mi_weight=mi_weight, max_mi=max_mi, n_cells=n_cells, epochs=epochs, seed=seed, output_dir=output_dir,
    )  # fmt: skip
