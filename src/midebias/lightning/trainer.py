"""Lightning's Trainer as `MethodModule` uses it."""

import logging
import os
import signal
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from ..arguments import checked
from ..errors import InputError

Accelerator = Literal["cpu", "gpu", "auto"]


@checked
def make_trainer(
    *, accelerator: Accelerator = "auto", devices: int | None = None, num_nodes: int | None = None
) -> pl.Trainer:
    """A Trainer for one fit of a `MethodModule`; its arguments mean what they mean to Lightning.

    Default is as many processes as torchrun started, or one. The precision is the method's own.
    """
    if accelerator not in ("cpu", "gpu", "auto"):
        raise InputError(f"accelerator must be 'cpu', 'gpu' or 'auto', got {accelerator!r}")
    for name, number in (("devices", devices), ("num_nodes", num_nodes)):
        if number is not None and number < 1:
            raise InputError(f"{name} must be at least 1, got {number}")
    device = "cuda" if torch.cuda.is_available() and accelerator != "cpu" else "cpu"
    if accelerator == "gpu" and device == "cpu":  # MPS has no float64, in which information is computed
        raise InputError("accelerator is 'gpu', but torch finds no GPU of CUDA here")
    local, nodes = 1, 1
    if torch.distributed.is_torchelastic_launched():
        local = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = int(os.environ["WORLD_SIZE"]) // local
        if devices not in (None, local) or num_nodes not in (None, nodes):
            raise InputError(f"devices and num_nodes must be {local} and {nodes}, which torchrun started, or left out")
    devices, num_nodes = devices or local, num_nodes or nodes
    several = devices * num_nodes > 1
    try:
        with _silence():
            return pl.Trainer(
                accelerator=device, devices=devices, num_nodes=num_nodes, precision="32-true",
                strategy="ddp" if several else "auto",
                sync_batchnorm=several and device == "cuda",
                use_distributed_sampler=False,
                max_epochs=1,  # to the Trainer the run is one pass, so that no step of it is special to stop at
                logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            )  # fmt: skip
    except (MisconfigurationException, ValueError) as error:
        raise InputError(f"devices={devices} on accelerator {device!r}: {' '.join(str(error).split())}") from error


def fit(trainer: pl.Trainer, module: pl.LightningModule, batches: Iterable[Any], callbacks: Sequence[Any]) -> None:
    """Have a Trainer go through ``batches`` once. Raises `KeyboardInterrupt` on a second Ctrl-C."""
    trainer.callbacks += callbacks  # type: ignore[attr-defined]  # which Trainer's class does not declare
    try:
        with _silence():
            trainer.fit(module, batches)
    except SystemExit:  # the Trainer's answer to a second Ctrl-C
        raise KeyboardInterrupt from None
    except BaseException:
        # Those that the Trainer started would wait for this one until the group's timeout.
        if trainer.strategy.launcher is not None:
            trainer.strategy.launcher.kill(getattr(signal, "SIGKILL", signal.SIGTERM))
        raise
    # What is estimated from now on is this rank's alone.
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@contextmanager
def _silence() -> Iterator[None]:
    """Context without Lightning's tips, tables and advice: a command says itself what its user needs to know."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for kind in (UserWarning, FutureWarning, DeprecationWarning):  # a penalty's own are RuntimeWarnings
                warnings.simplefilter("ignore", kind)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
