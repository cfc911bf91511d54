"""Options of the Trainer, of all commands that train on images."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from typer import Option

_Accelerator = StrEnum("_Accelerator", ["cpu", "gpu", "auto"])
_Precision = StrEnum("_Precision", {"full": "32", "bf16_mixed": "bf16-mixed", "f16_mixed": "16-mixed"})

_OF_TRAINER = ("accelerator", "devices", "num_nodes")
TRAINER_OPTIONS = (*_OF_TRAINER, "precision")
Accelerator = Annotated[_Accelerator | None, Option(help="Where images are trained on; a GPU where torch finds one.")]
Devices = Annotated[int | None, Option(min=1, help="Processes of a node, which share each batch; 1.")]
NumNodes = Annotated[int | None, Option(min=1, help="Nodes; 1. torchrun knows both numbers by itself.")]
Precision = Annotated[
    _Precision | None, Option(help="Of the network; bf16-mixed where that is fast. Information is in float32.")
]


def make_trainer(options: Mapping[str, Any]) -> Any:
    """Make the Trainer of the ``options`` that are given. Raises `InputError` for what the machine does not have."""
    from ..lightning.trainer import make_trainer as make

    return make(**{k: options[k] for k in _OF_TRAINER if options.get(k) is not None})
