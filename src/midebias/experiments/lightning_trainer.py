"""Lightning's Trainer as image experiments use it."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import lightning.pytorch as pl
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from ..arguments import checked
from ..devices import is_bfloat16_fast
from ..errors import InputError
from ..lightning import SafeCheckpoints


@checked
def make_trainer(
    *,
    accelerator: Literal["cpu", "gpu", "auto"] = "auto",
    devices: int | None = None,
    num_nodes: int | None = None,
    precision: Literal["32", "bf16-mixed", "16-mixed"] | None = None,
) -> pl.Trainer:
    """A Trainer for `run_by_trainer`; its arguments mean what they mean to Lightning.

    Default is as many processes as torchrun started, or one, and bf16-mixed where the device multiplies it natively.
    """
    if accelerator not in ("cpu", "gpu", "auto"):
        raise InputError(f"accelerator must be 'cpu', 'gpu' or 'auto', got {accelerator!r}")
    if precision not in (None, "32", "bf16-mixed", "16-mixed"):
        raise InputError(f"precision must be '32', 'bf16-mixed' or '16-mixed', got {precision!r}")
    for name, number in (("devices", devices), ("num_nodes", num_nodes)):
        if number is not None and number < 1:
            raise InputError(f"{name} must be at least 1, got {number}")
    found = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if accelerator == "gpu" and found == "cpu":
        raise InputError("accelerator is 'gpu', but torch finds no GPU here")
    device = "cpu" if accelerator == "cpu" else found
    if precision == "16-mixed" and device == "cpu":
        raise InputError("precision '16-mixed' is of GPUs; on a CPU use 'bf16-mixed'")
    devices, num_nodes = _count_processes(devices, num_nodes)
    several = devices * num_nodes > 1
    try:
        with silence_lightning():
            return pl.Trainer(
                accelerator=device, devices=devices, num_nodes=num_nodes,
                precision=precision or ("bf16-mixed" if is_bfloat16_fast(device) else "32"),
                strategy="ddp" if several else "auto",
                sync_batchnorm=several and device == "cuda",
                use_distributed_sampler=False,
                max_epochs=1,  # to the Trainer the run is one pass, so that no step of it is special to stop at
                plugins=[SafeCheckpoints()], logger=False,
                enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            )  # fmt: skip
    except (MisconfigurationException, ValueError) as error:
        raise InputError(f"devices={devices} on accelerator {device!r}: {' '.join(str(error).split())}") from error


@contextmanager
def silence_lightning() -> Iterator[None]:
    """Context without Lightning's tips, tables and advice: a command says itself what its user needs to know."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _count_processes(devices: int | None, num_nodes: int | None) -> tuple[int, int]:
    """Processes of a node, and nodes."""
    if not torch.distributed.is_torchelastic_launched():
        return devices or 1, num_nodes or 1
    local = int(os.environ["LOCAL_WORLD_SIZE"])
    nodes = int(os.environ["WORLD_SIZE"]) // local
    for name, given, started in (("devices", devices, local), ("num_nodes", num_nodes, nodes)):
        if given not in (None, started):
            raise InputError(f"{name} is {given}, but torchrun started {started}")
    return local, nodes
