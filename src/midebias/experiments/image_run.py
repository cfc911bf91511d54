"""One method on one image data set, from data to a row of the table."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..training.loop import TrainingRun
from .image_data import ImageData
from .image_methods import build_for_images
from .image_outcome import Outcome, summarize_run, take_test
from .run_checkpoint import RunCheckpoint


def run_method(
    name: str,
    data: ImageData,
    *,
    epochs: int,
    seed: int = 0,
    network: str = "paper",
    batch_size: int | None = None,
    max_steps: int | None = None,
    evaluate_every: int | None = None,
    options: Mapping[str, Any] | None = None,
    on_step: Callable[[], None] | None = None,
    on_evaluation: Callable[[Mapping[str, Any]], None] | None = None,
    checkpoint: Path | None = None,
    checkpoint_every: float = 30.0,
) -> Outcome:
    """Train, test without the bias, and probe what is left of the attribute.

    Parameters
    ----------
    name : str
        A key of `METHODS`.
    data : ImageData
    epochs : int
        Length of the run.
    seed : int, default 0
        Of weights, order and probe.
    network : {"paper", "lnl"}
    batch_size : int, optional
        Default is the method's own.
    max_steps : int, optional
        Ends the run early.
    evaluate_every : int, optional
        Steps between tests; default once an epoch. They choose nothing: the row is that of the last network.
    options : mapping, optional
        Of the method.
    on_step : callable, optional
        Called after each step.
    on_evaluation : callable, optional
        Called with each entry of the history.
    checkpoint : path, optional
        Where the run's state is kept; if it is there, the run goes on from it, and ends with the same weights as one
        that was never stopped. On Ctrl-C the state is saved between two steps, then KeyboardInterrupt raised.
    checkpoint_every : float, default 30
        Seconds between checkpoints; 0 for one after every step.

    Returns
    -------
    Outcome
        ``row["mi"]`` is the probe's held-out lower bound of I(Z;C) in nats on test images, where attribute and label
        are independent; ``row["conflicting_accuracy"]`` is over test images whose attribute is another class's, where
        attribute and label have the same names; seconds are those of training.
    """
    method = build_for_images(name, data, seed=seed, network=network, options=options)
    run = TrainingRun(method, data.train, epochs=epochs, batch_size=batch_size, seed=seed, max_steps=max_steps)
    history: list[dict[str, Any]] = []
    kept = run if checkpoint is None else RunCheckpoint(checkpoint, run, history, every=checkpoint_every)
    every = evaluate_every or run.steps_per_epoch
    answers: tuple[Tensor, Tensor] | None = None
    while not run.finished or not history or history[-1]["step"] < run.done_steps:
        due = (history[-1]["step"] if history else 0) + every
        kept.advance(due - run.done_steps, on_step=on_step)
        entry, answers = take_test(run, data)
        history.append(entry)
        if on_evaluation is not None:
            on_evaluation(entry)
    return summarize_run(run, data, history, answers, network=network, seed=seed)
