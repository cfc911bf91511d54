"""`MIMeter`: what a penalty still sees, logged by Lightning, with its alarms."""

import warnings
from functools import partial
from typing import Any

import lightning.pytorch as pl

from ..arguments import checked
from ..deferred_reads import read_later
from ..errors import InputError
from ..estimators.interface import check_estimator
from ..penalty import Health, MIPenalty

_ADVICE = {  # why an estimate was not descended on -> what to do
    "negative": "the critic lags behind: give it more critic_steps",
    "untrained": "the critic is not trained: critic_steps are too few, or critic_warmup too long",
    "not_finite": "estimates are not finite: lower the learning rate",
    "too_few": "the batch is too small: use a bigger one, or fewer groups",
}


class MIMeter(pl.Callback):
    """Logs the penalty's weights and its health, and raises alarms in plain words, each once.

    An alarm is raised when no estimate was descended on for ``patience`` steps. It names the most frequent reason: the
    critic lags, or is untrained; estimates are not finite; batches are too small.

    Parameters
    ----------
    patience : int, default 100
        Steps in a row without an estimate to descend on.
    every : int, default 50
        Steps between entries in the log.

    Attributes
    ----------
    alarms : list of str

    Raises
    ------
    InputError
        When patience or every is not at least 1.

    Examples
    --------
    >>> from midebias.lightning import MIMeter
    >>> meter = MIMeter(patience=50)    # Trainer(callbacks=[meter])
    >>> meter.alarms
    []
    """

    @checked
    def __init__(self, *, patience: int = 100, every: int = 50) -> None:
        if patience < 1 or every < 1:
            raise InputError(f"patience and every must be at least 1, got {patience} and {every}")
        self.patience, self.every = patience, every
        self.alarms: list[str] = []
        self._before: dict[int, dict[str, int]] = {}

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Read the penalty's health."""
        penalty = getattr(pl_module, "penalty", None)
        if not isinstance(penalty, MIPenalty):
            return
        read_later(penalty.counts, partial(self._watch, penalty))
        if trainer.global_step % self.every == 0:
            for k, (mi, health) in enumerate(zip(penalty.estimates, penalty.health, strict=True)):
                total = max(1, health.used + health.negative + health.untrained + health.not_finite + health.too_few)
                pl_module.log(f"mi_{k}", mi, batch_size=1)
                pl_module.log(f"mi_used_{k}", health.used / total, batch_size=1)
                pl_module.log(f"mi_multiplier_{k}", penalty.multipliers[k], batch_size=1)

    def state_dict(self) -> dict[str, Any]:
        """Alarms so far, and what they go by: a resumed fit raises none of them again."""
        return {"alarms": list(self.alarms), "before": self._before}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what `state_dict` saved."""
        self.alarms, self._before = list(state_dict["alarms"]), dict(state_dict["before"])

    def _watch(self, penalty: MIPenalty, numbers: list[list[int]]) -> None:
        for k, health in enumerate(Health(*each) for each in numbers):
            if health.streak == 0:
                self._before[k] = vars(health)
            if health.streak == self.patience:
                self._raise_alarm(k, penalty, vars(health))

    def _raise_alarm(self, k: int, penalty: MIPenalty, now: dict[str, int]) -> None:
        before = self._before.get(k, {})
        reason = max(_ADVICE, key=lambda r: now[r] - before.get(r, 0))
        gone = reason == "negative" and check_estimator(penalty.estimators[k]).closed_form  # no critic that could lag
        advice = "no leakage is left that the estimator sees" if gone else _ADVICE[reason]
        alarm = f"representation {k}: the penalty has had no effect for {self.patience} steps; {advice}"
        if alarm not in self.alarms:
            self.alarms.append(alarm)
            if not gone:
                warnings.warn(alarm, RuntimeWarning, stacklevel=2)
