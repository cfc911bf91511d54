"""Classifiers of tables that are compared: ours, fairlearn's, logistic regression and the reference recipe."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..attributes import Categorical
from ..methods.reference import Reference
from ..networks.classifier import Classifier
from ..randomness import seeded
from ..sklearn import MIDebiasClassifier
from ..tabular.networks import TabularEncoder
from ..training.data import Batch, Problem
from .tabular_splits import TabularSplit

_HIDDEN, _DIM, _EPOCHS, _BATCH = (256, 64), 2, 20, 2048


@dataclass(frozen=True)
class FittedOutcome:
    """Decisions on the test rows, seconds of fitting, and z of the test rows where there is one."""

    decisions: NDArray[Any]
    seconds: float
    z: NDArray[np.float64] | None = None


def _fit_mib(split: TabularSplit, seed: int, **options: Any) -> FittedOutcome:
    model = MIDebiasClassifier(random_state=seed, **options)
    seconds = _time_fit(model, split.frame, split.y, sensitive_features=split.c)
    return FittedOutcome(model.predict(split.frame_test), seconds, model.transform(split.frame_test))


def _make_logistic_regression() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=200)


def _time_fit(model: Any, *data: Any, **more: Any) -> float:
    """Fit, and return the seconds of it."""
    started = time.perf_counter()
    model.fit(*data, **more)
    return time.perf_counter() - started


def _fit_logistic_regression(split: TabularSplit, seed: int, *, usual: bool = False) -> FittedOutcome:
    split = split.with_usual_columns() if usual else split
    model = _make_logistic_regression()
    seconds = _time_fit(model, split.x, split.y)
    return FittedOutcome(model.predict(split.x_test), seconds, model.decision_function(split.x_test)[:, None])


def _fit_exponentiated_gradient(
    split: TabularSplit, seed: int, *, criterion: str, eps: float, usual: bool = False
) -> FittedOutcome:
    from fairlearn.reductions import DemographicParity, EqualizedOdds, ExponentiatedGradient

    split = split.with_usual_columns() if usual else split
    constraint = DemographicParity() if criterion == "independence" else EqualizedOdds()
    model = ExponentiatedGradient(_make_logistic_regression(), constraint, eps=eps)
    seconds = _time_fit(model, split.x, split.y, sensitive_features=split.c)
    return FittedOutcome(np.asarray(model.predict(split.x_test, random_state=seed)), seconds)


def _fit_threshold_optimizer(split: TabularSplit, seed: int, *, criterion: str, usual: bool = False) -> FittedOutcome:
    """On the plain network, or on logistic regression of the usual columns; it is shown the attribute at prediction."""
    from fairlearn.postprocessing import ThresholdOptimizer

    split = split.with_usual_columns() if usual else split
    plain: Any = _make_logistic_regression()
    if not usual:
        plain = MIDebiasClassifier(mi_weight=0.0, preprocess=False, random_state=seed)
    model: Any = ThresholdOptimizer(
        estimator=plain, prefit=True, predict_method="predict_proba",
        constraints="demographic_parity" if criterion == "independence" else "equalized_odds",
    )  # fmt: skip
    sensitive = {"sensitive_features": split.c}
    seconds = _time_fit(plain, split.x, split.y, **({} if usual else sensitive))
    seconds += _time_fit(model, split.x, split.y, **sensitive)
    decisions = model.predict(split.x_test, sensitive_features=split.c_test, random_state=seed)
    return FittedOutcome(np.asarray(decisions), seconds)


def _fit_correlation_remover(split: TabularSplit, seed: int, *, alpha: float) -> FittedOutcome:
    """Logistic regression on columns without their correlation with the attribute, which is read at prediction too."""
    from fairlearn.preprocessing import CorrelationRemover

    levels = np.unique(split.c)
    codes, codes_test = ((c == levels[1]).astype(float)[:, None] for c in (split.c, split.c_test))
    remover = CorrelationRemover(sensitive_feature_ids=[0], alpha=alpha)
    started = time.perf_counter()
    z = remover.fit_transform(np.hstack([codes, split.x]))
    model = _make_logistic_regression().fit(z, split.y)
    seconds = time.perf_counter() - started
    z_test = remover.transform(np.hstack([codes_test, split.x_test]))
    return FittedOutcome(model.predict(z_test), seconds, z_test)


def _fit_adversarial(split: TabularSplit, seed: int, *, criterion: str, alpha: float) -> FittedOutcome:
    """fairlearn's adversarial classifier: our network's widths, epochs and batches, its own adversary and rate."""
    from fairlearn.adversarial import AdversarialFairnessClassifier

    constraint = "demographic_parity" if criterion == "independence" else "equalized_odds"
    n = len(split.x)
    batch = min(_BATCH, n)
    epochs = max(_EPOCHS, -(-60 // max(1, n // batch)))
    with seeded(seed):
        model = AdversarialFairnessClassifier(
            backend="torch", predictor_model=[*_HIDDEN, "leaky_relu"], adversary_model=[32, "leaky_relu"],
            constraints=constraint, alpha=alpha, epochs=epochs, batch_size=batch, shuffle=True, random_state=seed,
            learning_rate=1e-3,  # at our 0.003 it diverged from some seeds
        )  # fmt: skip
        # fairlearn seeds torch with the whole part of a fraction, which is 0: without another order of the rows, all
        # seeds would give one and the same model.
        order = np.random.default_rng(seed).permutation(n)
        seconds = _time_fit(model, split.x[order], split.y[order], sensitive_features=split.c[order])
        return FittedOutcome(np.asarray(model.predict(split.x_test)).ravel(), seconds)


class _TabularClassifier(Classifier):
    """Our network as the compared methods know it."""

    def __init__(self, n_inputs: int) -> None:
        super().__init__()
        self.encoder = TabularEncoder(n_inputs, _HIDDEN, _DIM)
        self.head = torch.nn.Linear(_DIM, 2)
        self.dim, self.shapes = _DIM, (_DIM,)

    def depths(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        """z alone."""
        return (self.encoder(x),)


def _fit_reference(split: TabularSplit, seed: int, *, steps: int, critic_steps: int, lr: float) -> FittedOutcome:
    """The reference recipe, so many steps of it."""
    levels = np.unique(split.c)
    x, y = torch.tensor(split.x, dtype=torch.float32), torch.tensor(split.y)
    c = torch.tensor((split.c == levels[1]).astype(np.int64))
    with seeded(seed):
        model = _TabularClassifier(x.shape[1])
    method = Reference(model, Problem(2, Categorical(2), (2,)), lr=lr, critic_steps=critic_steps, seed=seed)
    generator = torch.Generator().manual_seed(seed)

    def batch() -> Batch:
        rows = torch.randint(len(x), (method.batch_size,), generator=generator)
        return Batch(x[rows], y[rows], c[rows, None], c[rows])

    started = time.perf_counter()
    method.begin_epoch(batch() for _ in range(min(steps, len(x) // method.batch_size)))
    for _ in range(steps):
        method.step(batch(), batch, lr)
    seconds = time.perf_counter() - started
    z, logits = method.representations(torch.tensor(split.x_test, dtype=torch.float32))
    return FittedOutcome(logits.argmax(1).numpy(), seconds, z.double().numpy())


METHODS: dict[str, Callable[..., FittedOutcome]] = {
    "mib": _fit_mib,
    "mlp": _fit_mib,
    "logistic_regression": _fit_logistic_regression,
    "exponentiated_gradient": _fit_exponentiated_gradient,
    "threshold_optimizer": _fit_threshold_optimizer,
    "correlation_remover": _fit_correlation_remover,
    "adversarial": _fit_adversarial,
    "reference": _fit_reference,
}
"""Name -> function of a split, a seed and options."""
