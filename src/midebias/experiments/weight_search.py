"""The search for a weight of the penalty: what it is tried on, and the trials, kept in a journal or a data base."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ..errors import DataError, InputError
from .weight_choice import WeightTrial

LOWEST, HIGHEST = 0.03, 30.0  # of the weights that are tried


class Sweep(ABC):
    """Data whose weight is to be found."""

    dial: str  # option of the method that a weight is given to
    rule: str  # how one is chosen, in a sentence
    accuracy: str  # what the two figures of a trial are
    leakage: str
    seeds: Sequence[int]

    @abstractmethod
    def judge_seed(self, weight: float, seed: int) -> tuple[dict[str, tuple[float, float]], Sequence[float]]:
        """Train with a weight; its figures on held-out rows with standard errors, and accuracies of resampled rows."""

    @abstractmethod
    def choose(self, trials: Sequence[WeightTrial]) -> int:
        """Index of the trial that the rule takes."""

    def try_weight(self, weight: float) -> WeightTrial:
        """Train from each seed; errors are those between seeds where there are several, else within the rows."""
        judged = [self.judge_seed(weight, seed) for seed in self.seeds]
        found: dict[str, float] = {}
        for name, (_, own) in judged[0][0].items():
            values = [figures[name][0] for figures, _ in judged]
            error = float(np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else own
            found |= {name: float(np.mean(values)), f"{name}_stderr": error}
        return WeightTrial(weight, **found, resamples=np.mean([r for _, r in judged], axis=0).tolist())


def open_study(storage: str, seed: int) -> Any:
    """Open or make a study of optuna in a journal file or a data base, which several machines may share."""
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
    """Try weights, ``first`` ones and then those the sampler proposes, until the study holds so many trials."""
    from optuna.trial import TrialState

    if not study.trials:
        for weight in first:
            study.enqueue_trial({sweep.dial: weight}, skip_if_exists=True)
    for _ in range(trials - len(read_trials(study))):
        trial = study.ask()
        weight = trial.suggest_float(sweep.dial, LOWEST, HIGHEST, log=True)
        try:
            result = sweep.try_weight(weight)
        except BaseException:  # a trial that is interrupted is put back in the queue
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
