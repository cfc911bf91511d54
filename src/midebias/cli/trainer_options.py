"""Options of ``midebias train`` by Lightning's Trainer."""

from enum import StrEnum
from typing import Annotated

from typer import Option

_Accelerator = StrEnum("_Accelerator", ["cpu", "gpu", "auto"])
_Precision = StrEnum("_Precision", {"full": "32", "bf16_mixed": "bf16-mixed", "f16_mixed": "16-mixed"})

# Any of them given: training is by Lightning's Trainer.
TRAINER_OPTIONS = ("accelerator", "devices", "num_nodes", "precision")
Accelerator = Annotated[
    _Accelerator | None,
    Option(help="This and the next three: any of them trains by Lightning's Trainer; images, mib or plain only."),
]
Devices = Annotated[int | None, Option(min=1, help="Processes of a node, which share each batch; 1.")]
NumNodes = Annotated[int | None, Option(min=1, help="Nodes; 1. torchrun knows both numbers by itself.")]
Precision = Annotated[
    _Precision | None, Option(help="Of the network; bf16-mixed where that is fast. Information is in float32.")
]
