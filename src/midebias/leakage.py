"""Leakage: what a frozen representation still tells about c to somebody who looks afresh."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .audit_input import Column, as_attributes, as_column, as_representation, check_size, names_of
from .audit_probes import PROBES, Labels, Split, calibrated_scores
from .audit_result import AttributeLeakage, AuditResult, Finding
from .audit_statistics import Deviation, combined_p_value, holm, normal_quantile, permutation_deviation
from .networks import seeded
from .protocols import InputError, MIEstimate, check_groups, check_representation

__all__ = ["ProbeResult", "audit", "probe"]

_FEWEST_ROWS = 100
_FEWEST_IN_CLASS = 200
_MOST_CLASSES = 20
_MANY_ROWS = 20_000  # beyond, three folds instead of five
_SAMPLE = 1_500  # rows on the map


@dataclass(frozen=True)
class ProbeResult:
    """What a probe recovered on held-out samples.

    Attributes
    ----------
    accuracy, balanced_accuracy : float
        In [0, 1].
    chance : float
        Accuracy of always answering the most frequent label.
    mi : MIEstimate
        H(C) minus the probe's cross-entropy: a lower bound of I(Z;C), in nats.
    """

    accuracy: float
    balanced_accuracy: float
    chance: float
    mi: MIEstimate


def probe(z: Tensor, c: Tensor, *, hidden: int = 128, max_epochs: int = 60, random_state: int = 0) -> ProbeResult:
    """Train a fresh classifier of c on half of the frozen z and evaluate it on the other half.

    A linear and a two-layer classifier are trained, with early stopping on a tenth of their half; the one
    that does better there is evaluated, once.

    Parameters
    ----------
    z : float Tensor of shape (n, dim)
    c : integer Tensor of shape (n,)
    hidden : int, default 128
        Width of the two-layer probe.
    max_epochs : int, default 60
    random_state : int, default 0

    Returns
    -------
    ProbeResult

    Raises
    ------
    InputError
        Wrong shapes or dtypes, NaN in z, fewer than 100 samples, or a c that never varies.

    References
    ----------
    Barber and Agakov, "The IM algorithm", NeurIPS 2003, for the bound.
    """
    check_representation(z)
    check_groups(c, len(z), name="c")
    if len(z) < 100:
        raise InputError(f"z holds {len(z)} samples; a probe needs at least 100")
    labels, c = torch.unique(c, return_inverse=True)
    n_classes = len(labels)
    if n_classes < 2:
        raise InputError("c never varies: there is nothing to recover")
    generator = torch.Generator().manual_seed(random_state)
    order = torch.randperm(len(z), generator=generator)
    half, tenth = len(z) // 2, len(z) // 20
    aside, fit, held = order[:tenth], order[tenth:half], order[half:]
    z = z.detach().float()
    z = (z - z[fit].mean(0)) / (z[fit].std(0) + 1e-3 * z[fit].std() + 1e-9)
    best: tuple[float, nn.Module] | None = None
    for layers in (0, 2):
        with seeded(random_state + layers):
            model = _classifier(z.shape[1], n_classes, hidden, layers)
        loss = _fit(model, z, c, fit, aside, max_epochs, generator)
        if best is None or loss < best[0]:
            best = loss, model
    assert best is not None
    with torch.no_grad():
        scores = best[1](z[held]).log_softmax(dim=1)
    truth = c[held]
    hit = (scores.argmax(1) == truth).double()
    counts = torch.bincount(truth, minlength=n_classes).double()
    recall = torch.bincount(truth, weights=hit, minlength=n_classes)[counts > 0] / counts[counts > 0]
    frequency = counts / counts.sum()
    # Surprise about c saved by seeing z, sample by sample; its mean is the bound.
    saved = scores.gather(1, truth[:, None]).squeeze(1).double() - frequency.clamp(min=1e-12).log()[truth]
    mi = MIEstimate(float(saved.mean()), float(saved.std()) / math.sqrt(len(saved)), "probe", "lower", len(saved))
    return ProbeResult(float(hit.mean()), float(recall.mean()), float(frequency.max()), mi)


def _classifier(dim: int, n_classes: int, hidden: int, layers: int) -> nn.Module:
    sizes = [dim] + [hidden] * layers
    parts: list[nn.Module] = []
    for a, b in pairwise(sizes):
        parts += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*parts, nn.Linear(sizes[-1], n_classes))


@torch.enable_grad()
def _fit(
    model: nn.Module,
    z: Tensor,
    c: Tensor,
    fit: Tensor,
    aside: Tensor,
    epochs: int,
    generator: torch.Generator,
) -> float:
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-3)
    best, state, patience = math.inf, model.state_dict(), 0
    for _ in range(epochs):
        for rows in fit[torch.randperm(len(fit), generator=generator)].split(256):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(z[rows]), c[rows]).backward()
            optimizer.step()
        with torch.no_grad():
            loss = float(nn.functional.cross_entropy(model(z[aside]), c[aside]))
        if loss < best:
            best, patience = loss, 0
            state = {k: v.clone() for k, v in model.state_dict().items()}
        else:
            patience += 1
            if patience >= 6:
                break
    model.load_state_dict(state)
    return best


def audit(
    z: Any,
    c: Any,
    y: Any = None,
    *,
    predictions: Any = None,
    probes: Sequence[str] = tuple(PROBES),
    alpha: float = 0.05,
    max_rows: int = 50_000,
    n_bins: int = 5,
    n_folds: int | None = None,
    random_state: int = 0,
    on_step: Callable[[float], None] | None = None,
) -> AuditResult:
    """What a frozen representation, whoever trained it, still tells about attributes.

    Fresh probes are cross-fitted: each is fitted on some rows, tuned on others, and judged on rows that neither saw. The
    leakage is the largest held-out lower estimate of I(Z;C) over the probes; with ``y`` also of I(Z;C|Y), and
    within each class. Independence is tested by permuting c among held-out rows, which is valid however a probe was fitted.

    Parameters
    ----------
    z : array, tensor or frame of shape (n, dim)
    c : array of shape (n,) or (n, attributes), mapping of names to arrays, or frame
        Words and numbers; a number of more than 20 values is cut into ``n_bins`` bins of equally many rows, which can only
        lose information. NaN, None and negative category numbers are missing; those rows are left out of that attribute.
    y : array of shape (n,), optional
        The task's label.
    predictions : array of shape (n,) or (n, classes), optional
        A model's answers, as labels, as probabilities per class, or as probabilities of the second of two classes. Adds
        fairness metrics on all rows; needs ``y``.
    probes : sequence of {"linear", "quadratic", "nearest neighbours", "boosted trees", "mlp"}
    alpha : float, default 0.05
        How often a representation that tells nothing may be called leaking, over all attributes, classes and probes together.
    max_rows : int, default 50000
        Probes see so many rows, drawn at random.
    n_bins : int, default 5
    n_folds : int, optional
        Five, or three for more than 20,000 rows.
    random_state : int, default 0
    on_step : callable, optional
        Told the share that is done, in (0, 1].

    Returns
    -------
    AuditResult

    Raises
    ------
    InputError
        Wrong shapes or kinds, NaN in z, fewer than 100 rows, or an attribute that never varies.

    References
    ----------
    Barber and Agakov, "The IM algorithm", NeurIPS 2003, for the bound; Bayle et al., "Cross-validation confidence intervals
    for test error", NeurIPS 2020, for its interval; `audit_statistics` for the tests.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> sex = rng.integers(0, 2, 1000)
    >>> z = rng.normal(size=(1000, 4)) + sex[:, None]
    >>> result = audit(z, {"sex": sex}, probes=["linear"])
    >>> result.leaks, round(result.leakage, 1)
    (True, 0.4)
    """
    z = as_representation(z)
    n = len(z)
    check_size(n, _FEWEST_ROWS)
    _check_options(probes, alpha, max_rows, n_bins, n_folds)
    attributes = as_attributes(c, n, n_bins=n_bins)
    label = None if y is None else as_column(y, n, name="y", n_bins=n_bins, argument="y")
    warnings = [f"{a.name} is missing in {int((a.codes < 0).sum()):,} rows" for a in attributes if (a.codes < 0).any()]
    groups: list[dict[str, Any]] = []
    differences: list[dict[str, Any]] = []
    if predictions is not None:
        if label is None or y is None:
            raise InputError("predictions need y beside them")
        from .audit_fairness import SMALL_GROUP, group_metrics

        groups, differences = group_metrics(label, _answers(predictions, label), attributes)
        small = sum(g["small"] for g in groups)
        if small:
            warnings.append(f"{small} of {len(groups)} groups hold fewer than {SMALL_GROUP} rows: their rates are uncertain")

    generator = np.random.default_rng(random_state)
    rows = np.arange(n)
    if n > max_rows:
        rows = np.sort(generator.choice(n, max_rows, replace=False))
        warnings.append(f"probes saw {max_rows:,} of {n:,} rows, drawn at random")
    seen = np.asarray(z[rows], dtype=np.float32)
    attributes = tuple(a.take(rows) for a in attributes)
    label = None if label is None else label.take(rows)
    folds = n_folds or (3 if len(rows) > _MANY_ROWS else 5)
    questions = [q for a in attributes for q in _questions(a, label, warnings)]
    parts = _answered(seen, questions, probes, folds, generator, random_state, on_step)
    p_values = [p.p_value for p in parts]
    findings = [p.finding(adjusted) for p, adjusted in zip(parts, holm(p_values), strict=True)]
    summary = []
    for i, question in enumerate(questions):
        mine = findings[i * len(probes) : (i + 1) * len(probes)]
        summary.append(_summarized(question, mine, alpha))
    drawn = generator.permutation(len(rows))[:_SAMPLE]
    sample = {
        "z": seen[drawn],
        "colourings": [
            {"name": a.name, "names": list(a.names), "codes": a.codes[drawn].tolist(), "ordered": a.binned}
            for a in ([label] if label is not None else []) + list(attributes)
        ],
    }
    settings = {
        "rows": n, "rows_probed": len(rows), "dim": int(z.shape[1]), "attributes": [a.name for a in attributes],
        "probes": list(probes), "n_folds": folds, "n_bins": n_bins, "alpha": alpha, "max_rows": max_rows,
        "random_state": random_state, "tests": len(parts),
    }  # fmt: skip
    return AuditResult(
        tuple(summary), tuple(findings), tuple(groups), tuple(differences), tuple(dict.fromkeys(warnings)), settings, sample
    )


def _check_options(probes: Sequence[str], alpha: float, max_rows: int, n_bins: int, n_folds: int | None) -> None:
    if not probes or any(p not in PROBES for p in probes):
        raise InputError(f"probes must be among {', '.join(PROBES)}, got {', '.join(map(str, probes)) or 'none'}")
    if not 0 < alpha < 1:
        raise InputError(f"alpha must lie in (0, 1), got {alpha}")
    if max_rows < _FEWEST_ROWS:
        raise InputError(f"max_rows must be at least {_FEWEST_ROWS}, got {max_rows}")
    if n_bins < 2:
        raise InputError(f"n_bins must be at least 2, got {n_bins}")
    if n_folds is not None and n_folds < 2:
        raise InputError(f"n_folds must be at least 2, got {n_folds}")


def _answers(predictions: Any, y: Column) -> NDArray[np.int64]:
    """Predictions as codes of y."""
    values = predictions.detach().cpu().numpy() if hasattr(predictions, "detach") else np.asarray(predictions)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if len(values) != len(y.codes) or values.ndim > 2:
        raise InputError(f"predictions must hold {len(y.codes)} rows like z, got shape {values.shape}")
    if y.binned:
        raise InputError("predictions need a y of classes; a y of more than 20 values is none")
    if values.ndim == 2:
        if values.shape[1] != len(y.names):
            raise InputError(f"predictions must have a column for each of {len(y.names)} classes, got {values.shape[1]}")
        return values.argmax(axis=1)
    if values.dtype.kind == "f" and len(y.names) == 2 and len(np.unique(values)) > 2:
        if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
            raise InputError("predictions must be labels or probabilities in [0, 1]")
        return (values >= 0.5).astype(np.int64)
    names = names_of(values)
    place = {name: i for i, name in enumerate(y.names)}
    unknown = sorted(set(names) - set(place))
    if unknown and not any(n.startswith("other (") for n in y.names):
        raise InputError(f"predictions hold {unknown[0]!r}, which y never is; y is {', '.join(y.names[:6])}")
    return np.array([place.get(name, len(place)) for name in names])


@dataclass(frozen=True)
class _Question:
    """An attribute in one condition: the strata that c is told apart in, each a mask over the rows."""

    attribute: Column
    condition: str
    strata: tuple[NDArray[np.bool_], ...]


def _questions(attribute: Column, y: Column | None, warnings: list[str]) -> Iterator[_Question]:
    present = attribute.codes >= 0
    smallest = int(np.bincount(attribute.codes[present]).min())
    if smallest < 30:
        warnings.append(f"the rarest category of {attribute.name} has {smallest} rows: what leaks about it may go unseen")
    yield _Question(attribute, "overall", (present,))
    if y is None:
        return
    masks, unseen = {}, 0
    for code, name in enumerate(y.names):
        mask = present & (y.codes == code)
        counts = np.sort(np.bincount(attribute.codes[mask], minlength=1))
        # c has to vary within a class for anything to be told apart there.
        enough = mask.sum() >= _FEWEST_IN_CLASS and mask.sum() - counts[-1] >= 20
        if enough and len(masks) < _MOST_CLASSES:
            masks[name] = mask
        else:
            unseen += int(mask.sum())
    if unseen:
        warnings.append(
            f"{unseen:,} rows are in classes in which {attribute.name} hardly varies, or with fewer than "
            f"{_FEWEST_IN_CLASS} rows: not audited within classes"
        )
    if masks:
        yield _Question(attribute, "within classes", tuple(masks.values()))
    for name, mask in masks.items():
        yield _Question(attribute, f"y = {name}", (mask,))


@dataclass(frozen=True)
class _Part:
    """What one probe found for one question, on all held-out rows."""

    question: _Question
    probe: str
    saved: NDArray[np.float64]
    right: NDArray[np.bool_]
    recalled: NDArray[np.bool_]
    codes: NDArray[np.int64]
    chance: float
    p_value: float

    def finding(self, p_adjusted: float) -> Finding:
        n = len(self.saved)
        mi, stderr = float(self.saved.mean()), float(self.saved.std(ddof=1)) / math.sqrt(n)
        counts = np.bincount(self.codes)
        known = counts > 0
        recall = np.bincount(self.codes, weights=self.recalled)[known] / counts[known]
        balanced = float(recall.mean())
        half = 1.96 * math.sqrt(float((recall * (1 - recall) / counts[known]).sum())) / len(recall)
        return Finding(
            self.question.attribute.name, self.question.condition, self.probe, n, float(self.right.mean()), balanced,
            self.chance, 1 / len(recall), max(0.0, balanced - half), min(1.0, balanced + half), mi, stderr,
            mi - 1.96 * stderr, mi + 1.96 * stderr, self.p_value, p_adjusted,
        )  # fmt: skip


def _answered(
    z: NDArray[np.float32],
    questions: Sequence[_Question],
    probes: Sequence[str],
    n_folds: int,
    generator: np.random.Generator,
    seed: int,
    on_step: Callable[[float], None] | None,
) -> list[_Part]:
    """Every question put to every probe, in the order of both."""
    held = np.array_split(generator.permutation(len(z)), n_folds)
    found: dict[tuple[int, str], list[tuple[Any, ...]]] = {}
    for k in range(n_folds):
        rest = generator.permutation(np.concatenate([rows for i, rows in enumerate(held) if i != k]))
        whole = Split(z, rest[len(rest) // 5 :], rest[: len(rest) // 5], held[k], seed=seed + k)
        # A class is asked for itself and as one of the strata: fitted once.
        known: dict[tuple[int, str], tuple[Any, ...]] = {}
        for i, question in enumerate(questions):
            for probe_name in probes:
                answers = []
                for mask in question.strata:
                    key = (id(question.attribute), probe_name + str(id(mask)))
                    if key not in known:
                        known[key] = _judged(probe_name, whole, mask, question.attribute.codes)
                    answers.append(known[key])
                found.setdefault((i, probe_name), []).append(tuple(zip(*answers, strict=True)))
            if on_step is not None:
                on_step((k * len(questions) + i + 1) / (n_folds * len(questions)))
    parts = []
    for i, question in enumerate(questions):
        codes = [question.attribute.codes[m] for m in question.strata]
        chance = sum(np.bincount(c).max() for c in codes) / sum(len(c) for c in codes)
        for name in probes:
            folds = found[i, name]
            joined = [np.concatenate([part for fold in folds for part in fold[j]]) for j in range(4)]
            p = combined_p_value([sum(fold[4], Deviation(0.0, 0.0)).p_value for fold in folds])
            parts.append(_Part(question, name, joined[0], joined[1], joined[2], joined[3], float(chance), p))
    return parts


def _judged(name: str, whole: Split, mask: NDArray[np.bool_], codes: NDArray[np.int64]) -> tuple[Any, ...]:
    """Nats saved, answers right and recalled by held-out row, and the deviation from what permutations give."""
    split = whole.within(mask)
    # A category that is not there while fitting cannot be told; it is one that only the held-out rows have.
    present, compact = np.unique(codes[mask], return_inverse=True)
    local = np.full(len(codes), -1)
    local[mask] = compact
    truth = local[split.held]
    rows = np.arange(len(truth))
    raw, ratio, _ = calibrated_scores(name, split, Labels(local, len(present)))
    share = np.log(np.bincount(local[split.fit], minlength=len(present)) + 0.5)
    right, recalled = (raw + share).argmax(axis=1) == truth, raw.argmax(axis=1) == truth
    return ratio[rows, truth].astype(np.float64), right, recalled, codes[split.held], permutation_deviation(raw, truth)


def _summarized(question: _Question, findings: Sequence[Finding], alpha: float) -> AttributeLeakage:
    best = max(findings, key=lambda f: f.mi)
    reader = max(findings, key=lambda f: f.balanced_accuracy)
    # The largest of several: their intervals are widened to hold together.
    half = normal_quantile(1 - 0.025 / len(findings)) * best.stderr
    entropy = total = 0.0
    for mask in question.strata:
        counts = np.bincount(question.attribute.codes[mask]).astype(float)
        p = counts[counts > 0] / counts.sum()
        entropy -= counts.sum() * float((p * np.log(p)).sum())
        total += counts.sum()
    p_adjusted = min(f.p_adjusted for f in findings)
    return AttributeLeakage(
        question.attribute.name, question.condition, best.probe, best.mi, best.mi - half, best.mi + half, entropy / total,
        p_adjusted, p_adjusted < alpha, reader.balanced_accuracy, reader.balanced_chance,
        int((question.attribute.codes < 0).sum()),
    )  # fmt: skip
