"""`estimate_mi`: a cross-fitted estimate of mutual information with its uncertainty."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from .attributes import Attribute, Categorical, Continuous
from .estimators import DonskerVaradhan, GaussianMI
from .protocols import InputError, MIEstimate, check_groups, check_representation

__all__ = ["estimate_mi"]


def estimate_mi(
    z: Tensor,
    c: Tensor,
    *,
    attribute: Attribute | None = None,
    condition_on: Tensor | None = None,
    estimator: Literal["donsker_varadhan", "gaussian"] = "donsker_varadhan",
    n_folds: int = 3,
    max_steps: int = 2000,
    random_state: int = 0,
) -> MIEstimate:
    """Estimate I(Z;C), or I(Z;C|G), on pairs the estimator was not fitted on.

    Parameters
    ----------
    z : float Tensor of shape (n, dim)
    c : Tensor of shape (n,) or (n, width)
    attribute : Attribute, optional
        What c is. Default: `Categorical` for integers (with as many categories as the largest label
        says), `Continuous` for floats.
    condition_on : integer Tensor of shape (n,), optional
    estimator : {"donsker_varadhan", "gaussian"}
        A trained critic, a lower bound; or the linear closed form, exact for jointly Gaussian data.
    n_folds : int, default 3
        The critic is trained on all folds but one and evaluated on that one, in turn. The closed form is
        computed on each of 10 blocks instead, since it trains nothing.
    max_steps : int, default 2000
        Critic updates per fold at most; training stops when held-aside training data stops improving.
    random_state : int, default 0

    Returns
    -------
    MIEstimate
        In nats, with standard error; not clipped at zero.

    Raises
    ------
    InputError
        Wrong shapes or dtypes, NaN in z, or fewer than 100 samples with the attribute present.
    """
    check_representation(z)
    check_groups(condition_on, len(z), name="condition_on")
    if attribute is None:
        attribute = _guess(c)
    values, present = attribute.encode(c)
    if len(values) != len(z):
        raise InputError(f"c must have {len(z)} rows like z, got {len(values)}")
    z, values = z.detach()[present].float(), values[present]
    groups = None if condition_on is None else condition_on.long()[present]
    if len(z) < 100:
        raise InputError(f"z holds {len(z)} samples with c present; at least 100 are needed")
    if n_folds < 2:
        raise InputError(f"n_folds must be at least 2, got {n_folds}")
    generator = torch.Generator().manual_seed(random_state)
    order = torch.randperm(len(z), generator=generator)
    z, values = z[order], values[order]
    groups = None if groups is None else groups[order]
    if estimator == "gaussian":
        return _gaussian(z, values, groups)
    if estimator == "donsker_varadhan":
        return _donsker_varadhan(z, values, groups, n_folds, max_steps, random_state)
    raise InputError(f"estimator must be 'donsker_varadhan' or 'gaussian', got {estimator!r}")


def _guess(c: Tensor) -> Attribute:
    if not isinstance(c, Tensor):
        raise InputError(f"c must be a torch.Tensor, got {type(c).__name__}")
    columns = c[:, None] if c.ndim == 1 else c
    if c.is_floating_point():
        return Continuous(columns.shape[1])
    return Categorical(tuple(max(2, int(n)) for n in columns.amax(0) + 1))


def _gaussian(z: Tensor, c: Tensor, groups: Tensor | None) -> MIEstimate:
    """The closed form on everything; its standard error from leaving out one of 10 blocks at a time."""
    estimator, blocks = GaussianMI(ridge=1e-6), torch.arange(len(z)) % 10
    full = float(estimator(z, c, groups))
    left_out = torch.tensor(
        [
            float(estimator(z[blocks != b], c[blocks != b], None if groups is None else groups[blocks != b]))
            for b in range(10)
        ]
    )
    stderr = float((0.9 * (left_out - left_out.mean()).square().sum()).sqrt())
    return MIEstimate(full, stderr, "GaussianMI", "exact", len(z))


def _donsker_varadhan(
    z: Tensor, c: Tensor, groups: Tensor | None, n_folds: int, max_steps: int, seed: int
) -> MIEstimate:
    generator = torch.Generator().manual_seed(seed + 1)
    n_groups = 0 if groups is None else int(groups.max()) + 1
    # Invertible linear maps change no information, and a critic trains best on uncorrelated unit columns.
    z, c = _whitened(z), _whitened(c)
    fold = torch.arange(len(z)) % n_folds
    values, variances = [], []
    for k in range(n_folds):
        critic = DonskerVaradhan(z.shape[1], c.shape[1], hidden=(128, 128), n_groups=n_groups, seed=seed + k)
        fit = (fold != k).nonzero().squeeze(1)
        aside, fit = fit[: len(fit) // 5], fit[len(fit) // 5 :]
        _train(critic, z, c, groups, fit, aside, max_steps, generator)
        held = (fold == k).nonzero().squeeze(1)
        value, variance = _evaluate(critic, z[held], c[held], None if groups is None else groups[held])
        values.append(value)
        variances.append(variance)
    stderr = (sum(variances) / n_folds**2) ** 0.5
    return MIEstimate(sum(values) / n_folds, stderr, "DonskerVaradhan", "lower", len(z))


def _whitened(values: Tensor) -> Tensor:
    """Rotate to uncorrelated unit columns; directions that do not vary are dropped."""
    centred = (values - values.mean(0)).double()
    eigenvalues, vectors = torch.linalg.eigh(centred.T @ centred / len(centred))
    keep = eigenvalues > 1e-9 * eigenvalues.max().clamp(min=1e-30)
    if not bool(keep.any()):
        return torch.zeros(len(values), 1)
    return (centred @ (vectors[:, keep] / eigenvalues[keep].sqrt())).float()


def _train(
    critic: DonskerVaradhan,
    z: Tensor,
    c: Tensor,
    groups: Tensor | None,
    fit: Tensor,
    aside: Tensor,
    max_steps: int,
    generator: torch.Generator,
) -> None:
    """Train with early stopping on ``aside``; the weights that did best there are kept."""
    optimizer = torch.optim.AdamW(critic.parameters(), lr=2e-3, weight_decay=1e-3)
    best, best_state, patience = 0.0, None, 0
    critic.mean.copy_(z[fit].mean(0))
    critic.variance.copy_(z[fit].var(0, unbiased=False))
    initial = {k: v.clone() for k, v in critic.critic.state_dict().items()}
    for step in range(max_steps):
        rows = fit[torch.randint(len(fit), (min(512, len(fit)),), generator=generator)]
        loss = -critic(z[rows], c[rows], None if groups is None else groups[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 49:
            value, _ = _evaluate(critic, z[aside], c[aside], None if groups is None else groups[aside])
            if value > best:
                best, patience = value, 0
                best_state = {k: v.clone() for k, v in critic.critic.state_dict().items()}
            else:
                patience += 1
                if patience >= 8:
                    break
    if best_state is None:  # never above zero: a constant critic, whose bound is zero, is the best one known
        last = critic.critic.layers[-1]
        critic.critic.load_state_dict(initial)
        torch.nn.init.zeros_(last.weight)  # type: ignore[arg-type]
        torch.nn.init.zeros_(last.bias)  # type: ignore[arg-type]
    else:
        critic.critic.load_state_dict(best_state)


@torch.no_grad()
def _evaluate(critic: DonskerVaradhan, z: Tensor, c: Tensor, groups: Tensor | None) -> tuple[float, float]:
    """Value and its squared standard error, by the delta method over 16 permutations."""
    n, rounds = len(z), 16
    joints, weights = torch.zeros(n, dtype=torch.float64), torch.zeros(n, dtype=torch.float64)
    for _ in range(rounds):
        joint, marginal = critic.scores(z, c, groups)
        joints += joint.double() / rounds
        weights += marginal.double().clamp(max=30).exp() / rounds
    mean = weights.mean()
    value = joints.mean() - mean.log()
    influence = joints - weights / mean
    return float(value), float(influence.var() / n)
