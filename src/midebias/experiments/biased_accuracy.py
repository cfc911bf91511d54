"""What held-out images that are as biased as the training images say of accuracy without the bias, and of leakage."""

import torch
from torch import Tensor

from ..estimation.estimate import estimate_mi
from ..training.logit_adjustment import LogitAdjustment
from .exchanged_attribute import ExchangedAccuracy, measure_exchanged_accuracy
from .image_data import ImageData


def measure_biased(z: Tensor, logits: Tensor, data: ImageData, seed: int) -> tuple[ExchangedAccuracy, dict[str, float]]:
    """Measure accuracy with the attribute exchanged and with images reweighted, and I(Z;C|Y) in nats, on ``data.test``.

    Weights 1 / p(y|c) make the label independent of the attribute, as far as the bias leaves such images at all;
    `measure_exchanged_accuracy` extrapolates. Weights are truncated at the root of n times their mean (Ionides,
    "Truncated importance sampling", 2008). Returned beside it are columns of the row.
    """
    test, problem = data.test, data.problem
    exchanged = measure_exchanged_accuracy(logits, test.y, test.c, problem.attribute, random_state=seed)
    unbiased = LogitAdjustment(problem.attribute, problem.n_classes, rebalance=1.0, seed=seed)
    weights = unbiased.fit(data.train.c, data.train.y).sampling_weights(test.c, test.y)
    weights = weights.clamp(max=float(weights.mean()) * len(weights) ** 0.5)
    weights /= weights.sum()
    right = (logits.argmax(1) == test.y).double()
    losses = torch.nn.functional.cross_entropy(logits.double(), test.y, reduction="none")
    mi = estimate_mi(
        z,
        test.c,
        attribute=problem.attribute,
        condition_on=test.y,
        estimator="donsker_varadhan",
        n_permutations=0,
        random_state=seed,
    )
    measures = {"exchanged_accuracy": exchanged.value, "exchanged_accuracy_stderr": exchanged.stderr}
    for name, values in (("accuracy", right), ("loss", losses)):
        mean = float((weights * values).sum())
        spread = float((weights * (values - mean)).square().sum().sqrt())
        measures |= {f"reweighted_{name}": mean, f"reweighted_{name}_stderr": spread}
    return exchanged, measures | {"conditional_mi": mi.value, "conditional_mi_stderr": mi.stderr}
