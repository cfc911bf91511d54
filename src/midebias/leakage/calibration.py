"""A probe's scores of held-out rows: how much likelier each category is given z, calibrated on rows set aside."""

import numpy as np

from .probes import PROBES
from .split import Floats, Labels, Split

_PRIOR_SHARE = 0.005  # of the prior mixed into every prediction: bounds what one row can cost
_FACTORS = (0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 1.0, 1.2)


def score_held_out(name: str, split: Split, labels: Labels) -> tuple[Floats, Floats]:
    """Fit a probe and score the held-out rows: two arrays (held rows, k) of log q(c|z) - log p(c).

    The first is as the probe gives it, for the permutation test. The second is tempered by one factor, which is chosen
    on the rows aside: never much below zero where a probe learned only noise. Its mean at the true c estimates a lower
    bound of I(Z;C), in nats.
    """
    prior = np.bincount(labels.codes[split.fit], minlength=labels.k) + 0.5
    prior = prior / prior.sum()
    with np.errstate(invalid="ignore"):  # OpenBLAS may raise this flag on finite numbers (numpy issue 24067)
        aside, held = PROBES[name](split, labels)
    if not (np.isfinite(aside).all() and np.isfinite(held).all()):
        raise FloatingPointError(f"the {name} probe gave probabilities that are not finite")
    log_prior = np.log(prior)
    ratios = [np.log((1 - _PRIOR_SHARE) * q + _PRIOR_SHARE * prior) - log_prior for q in (aside, held)]
    truth = labels.codes[split.aside]
    factors = np.array(_FACTORS)
    gains = [_temper(ratios[0], a, log_prior)[np.arange(len(truth)), truth].mean() for a in factors]
    return ratios[1], _temper(ratios[1], float(factors[int(np.argmax(gains))]), log_prior)


def _temper(ratio: Floats, factor: float, log_prior: Floats) -> Floats:
    """log q' - log p for q' proportional to p (q / p)^factor."""
    scaled = factor * ratio
    top = scaled.max(axis=1, keepdims=True)
    return scaled - top - np.log(np.exp(scaled - top) @ np.exp(log_prior))[:, None]
