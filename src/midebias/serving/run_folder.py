"""Models of the run folders that ``midebias train`` leaves."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..arguments import checked
from ..errors import DataError
from ..networks.backbones import backbone
from ..networks.classifier import Classifier
from ..networks.digits import NETWORKS
from ..randomness import seeded
from ..tabular.networks import TabularNetwork
from .served_model import ServedModel
from .served_table import ServedTable


@checked
def load_run(folder: str | Path) -> ServedModel | ServedTable:
    """The model of a run folder of ``midebias train``, its weights read from ``model.safetensors``.

    Parameters
    ----------
    folder : path

    Raises
    ------
    DataError
        When the folder holds no finished training, or a file in it is damaged; the message names it.

    Examples
    --------
    >>> from midebias.serving import load_run
    >>> model = load_run("runs/train-colored-mnist-mib-001")    # doctest: +SKIP
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = Path(folder)
    weights = folder / "model.safetensors"
    if not weights.is_file():
        state = "holds no finished training" if folder.is_dir() else "is no folder"
        raise DataError(f"{folder} {state}: there is no model.safetensors")
    try:
        state_dict = load_file(weights)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise DataError(f"{weights} is truncated or damaged ({error})") from error
    description = folder / "preprocessing.json"
    return _load_table(description, state_dict) if description.exists() else _load_images(folder, weights, state_dict)


def _load_table(description: Path, state_dict: Mapping[str, Tensor]) -> ServedTable:
    try:
        network = TabularNetwork.from_state_dict(state_dict)
        served = ServedTable(network, json.loads(description.read_text(encoding="utf-8")))
        served(served.example)
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, RuntimeError) as error:
        raise DataError(f"{description} cannot be read, or does not go with the weights beside it ({error})") from error
    return served


def _load_images(folder: Path, weights: Path, state_dict: Mapping[str, Tensor]) -> ServedModel:
    import yaml

    path = folder / "config.yaml"
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{path} cannot be read ({error})") from error
    name, method = (config.get(key) if isinstance(config, dict) else None for key in ("network", "method"))
    if not isinstance(name, str) or not isinstance(method, str):
        raise DataError(f"{path} is not that of a training on images, or of an older version")
    model, channels = _build_network(name, weights, state_dict)
    try:
        model.load_state_dict(state_dict)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise DataError(f"{weights} does not fit the network {name!r}: {reason}") from error
    size = model.image_size or 32
    example = torch.zeros(2, channels, *((size, size) if isinstance(size, int) else size))
    served = ServedModel(model, None, example, gray=method == "gray", any_size=not model.image_size)
    served.description = {"inputs": "images (n, channels, height, width), float32 in the range of training"}
    return served


def _build_network(name: str, weights: Path, state_dict: Mapping[str, Tensor]) -> tuple[Classifier, int]:
    """The network of a run, with weights that are not its own yet, and the channels of its images."""
    from safetensors import safe_open

    with seeded(0), safe_open(weights, "pt") as file:
        description = (file.metadata() or {}).get("network")
        if description is not None:
            try:
                asked = json.loads(description)
                return backbone(**asked), asked["in_channels"]
            except (ValueError, TypeError, KeyError) as error:
                raise DataError(f"{weights}: its network {name!r} cannot be built again: {error}") from error
        first, head = state_dict.get("conv1.weight", state_dict.get("conv1.0.weight")), state_dict.get("head.weight")
        if name not in NETWORKS or first is None or head is None or first.ndim != 4 or head.ndim != 2:
            raise DataError(f"{weights} does not hold the weights of the network {name!r}")
        return NETWORKS[name](channels=first.shape[1], n_classes=head.shape[0]), first.shape[1]
