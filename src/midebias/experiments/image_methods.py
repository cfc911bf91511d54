"""Methods for images, with their networks, by their names on the command line."""

from collections.abc import Mapping, Sequence
from typing import Any, cast, get_args, get_origin, get_type_hints

import torch

from ..devices import is_bfloat16_fast
from ..errors import InputError
from ..methods import METHODS
from ..networks.backbones import backbone, read_image_size
from ..networks.classifier import Classifier
from ..networks.digits import NETWORKS
from ..randomness import seeded
from ..training.data import Problem
from ..training.method import Method, Precision
from .image_data import ImageData
from .own_images import find_source

PRETRAINED = "pretrained"
"""In place of a file of weights: those that the network's library downloads."""

PRECISIONS: dict[str, Precision] = {"32": "float32", "bf16-mixed": "bfloat16", "16-mixed": "float16"}

_NOT_OPTIONS = ("model", "problem", "precision", "seed", "return")


def parse_method(text: str) -> tuple[str, dict[str, Any]]:
    """Split a method's name from its options: "mib" or "mib:rebalance=0:depths=2". Raises `InputError`."""
    name, *assignments = text.split(":")
    _check_name(name)
    hints = get_type_hints(METHODS[name].__init__).items()
    kinds = {k: v for k, v in hints if k not in _NOT_OPTIONS and get_origin(v) is not Sequence}
    options: dict[str, Any] = {}
    for assignment in assignments:
        option, _, value = assignment.partition("=")
        if option not in kinds:
            raise InputError(f"{name} has no option {option!r}; it has {', '.join(kinds)}")
        accepted = get_args(kinds[option]) or (kinds[option],)
        try:
            options[option] = float(value) if float in accepted else int(value) if int in accepted else value
        except ValueError as error:
            raise InputError(f"option {option} of {name} must be a number, got {value!r}") from error
    return name, options


def build_method(
    name: str,
    problem: Problem | None = None,
    *,
    seed: int = 0,
    network: str = "paper",
    weights: str | None = None,
    channels: int = 3,
    image_size: Sequence[int] | None = None,
    precision: Precision | None = None,
    **options: Any,
) -> Method:
    """Build a method and its network, whose weights are drawn from ``seed`` or read; ``options`` are the method's."""
    _check_name(name)
    check_network(network, weights)
    problem = problem or Problem()
    with seeded(seed):
        if network in NETWORKS:
            model: Classifier = NETWORKS[network](channels=channels, n_classes=problem.n_classes)
        else:
            own, file = weights == PRETRAINED, None if weights == PRETRAINED else weights
            more: dict[str, Any] = {"in_channels": channels, "image_size": image_size}
            model = backbone(network, pretrained=own, weights=file, n_classes=problem.n_classes, **more)
            if name == "mib":  # at four depths of a deep network, the ratio of the digits' leaves the task behind
                options = {"gradient_ratio": 1.0} | options
    model = cast(Any, model).to(memory_format=torch.channels_last)
    precision = precision or ("bfloat16" if is_bfloat16_fast() else "float32")
    return METHODS[name](model, problem, precision=precision, seed=seed, **options)


def build_for_images(
    name: str, data: ImageData, *, options: Mapping[str, Any] | None, network: str, **more: Any
) -> Method:
    """Call `build_method` for a data set. Raises `InputError` where its images do not fit the network."""
    channels, *pixels = data.train.image_shape
    sizes: dict[str, Any] = {"channels": channels, "image_size": pixels}
    method = build_method(name, data.problem, network=network, **sizes, **more, **(options or {}))
    if network == "paper" and pixels != [28, 28]:
        raise InputError(f"network 'paper' takes 28x28 images, got {tuple(pixels)}; use 'lnl'")
    return method


def choose_precision(name: str | None, device: torch.device) -> Precision:
    """Choose by a Trainer's name of it; None takes bfloat16 where the ``device`` multiplies it natively."""
    if name not in (None, *PRECISIONS):
        raise InputError(f"precision must be one of {', '.join(map(repr, PRECISIONS))}, got {name!r}")
    if name == "16-mixed" and device.type != "cuda":
        raise InputError(f"precision '16-mixed' is of CUDA's GPUs; on {device.type!r} use 'bf16-mixed'")
    fast: Precision = "bfloat16" if is_bfloat16_fast(device.type) else "float32"
    return fast if name is None else PRECISIONS[name]


def choose_image_size(image_size: int | None, network: str, dataset: str) -> int | None:
    """Choose what the network was made for, where images are read from files and no size is given."""
    if image_size is None and ":" in network and find_source(dataset) in ("public data sets", "folders of images"):
        return read_image_size(network)
    return image_size


def check_network(network: str, weights: str | None) -> None:
    """Raise `InputError` for a name that is no network's, or weights that one cannot take."""
    if network in NETWORKS:
        if weights is not None:
            raise InputError(f"weights apply to the networks timm:NAME and torchvision:NAME, not to {network!r}")
    elif ":" not in network:
        raise InputError(f"network must be {', '.join(NETWORKS)}, timm:NAME or torchvision:NAME, got {network!r}")


def _check_name(name: str) -> None:
    if name not in METHODS:
        raise InputError(f"method must be one of {', '.join(METHODS)}, got {name!r}")
