"""The search for a weight of the penalty: what it is tried on, and the trials, kept in a journal or a data base."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ..errors import DataError, InputError
from .weight_choice import WeightTrial

LOWEST, HIGHEST = 0.03, 30.0
"""Weights that are tried."""


class Sweep(ABC):
    """Data whose weight is to be found.

    Attributes
    ----------
    dial : str
        What a weight is called: the option of the method that it is given to.
    rule : str
        How one is chosen, in a sentence.
    accuracy, leakage : str
        What the two figures of a trial are.
    """

    dial: str
    rule: str
    accuracy: str
    leakage: str

    @abstractmethod
    def try_weight(self, weight: float) -> WeightTrial:
        """Train with a weight, from each seed, and judge it on held-out rows."""

    @abstractmethod
    def choose(self, trials: Sequence[WeightTrial]) -> int:
        """Index of the trial that the rule takes."""


def open_study(storage: str, seed: int) -> Any:
    """Open or make a study of optuna in a journal file or a data base, which several machines may share.

    Raises
    ------
    InputError
        When optuna is not installed.
    DataError
        When the storage cannot be used.
    """
    try:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
    except ModuleNotFoundError:
        raise InputError("sweep: optuna is not installed; pip install 'midebias[sweep]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        shared = storage if "://" in storage else JournalStorage(JournalFileBackend(storage))
        return optuna.create_study(
            study_name="midebias-sweep-accuracy", storage=shared, directions=["minimize", "minimize"],
            load_if_exists=True, sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=4),
        )  # fmt: skip
    except Exception as error:  # data bases fail in ways of their own
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(f"--storage {storage} cannot be used: {first}") from error


def search_weights(study: Any, sweep: Sweep, first: Sequence[float], trials: int) -> Iterator[WeightTrial]:
    """Try weights, ``first`` ones and then those the sampler proposes, until the study holds so many trials.

    A trial that is interrupted is put back in the queue.
    """
    from optuna.trial import TrialState

    if not study.trials:
        for weight in first:
            study.enqueue_trial({sweep.dial: weight}, skip_if_exists=True)
    for _ in range(trials - len(read_trials(study))):
        trial = study.ask()
        weight = trial.suggest_float(sweep.dial, LOWEST, HIGHEST, log=True)
        try:
            result = sweep.try_weight(weight)
        except BaseException:
            study.tell(trial, state=TrialState.FAIL)
            study.enqueue_trial({sweep.dial: weight})
            raise
        trial.set_user_attr("found", asdict(result))
        study.tell(trial, [1 - result.accuracy, max(0.0, result.leakage)])
        yield result


def read_trials(study: Any) -> list[WeightTrial]:
    """The finished trials of a study by weight."""
    results = [WeightTrial(**t.user_attrs["found"]) for t in study.trials if t.state.name == "COMPLETE"]
    return sorted(results, key=lambda t: t.weight)


def average(name: str, values: Sequence[float], own: float) -> dict[str, float]:
    """Mean and standard error: between seeds where there are several, else within the held-out rows (``own``)."""
    n = len(values)
    error = float(np.std(values, ddof=1) / n**0.5) if n > 1 else own
    return {name: float(np.mean(values)), f"{name}_stderr": error}
