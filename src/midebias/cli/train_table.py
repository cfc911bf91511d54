"""``midebias train table.csv --label income --attribute sex``: a classifier from a table, into a run folder."""

import shlex
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from ..errors import InputError
from ..experiments.report_content import describe_training, write_report
from ..experiments.run_folder import list_versions, make_run_folder, write_json, write_metrics, write_results
from ..leakage.auditing import audit
from ..leakage.findings import Condition
from ..leakage.result import AuditResult
from ..penalty import Criterion
from ..reporting.model_card import write_model_card
from .command_line import write_command
from .console import show_line, show_plain_table, show_share
from .table_file import read_table


def train_table(
    path: Path, *, label: str | None, attribute: str | None, criterion: Criterion, mi_weight: float | None,
    max_mi: float | None, n_cells: int | None, epochs: int | None, seed: int, output_dir: Path,
) -> None:  # fmt: skip
    """Train on three quarters of the rows, test on the rest, and leave model, predictions and figures behind."""
    frame, attributes, description = read_table(path, label, attribute)
    assert label is not None
    show_line("\n".join([*description, ""]))
    from sklearn.model_selection import train_test_split

    from ..sklearn import MIDebiasClassifier

    counts = frame[label].value_counts()
    possible = counts.min() >= 2 and len(counts) <= len(frame) // 4  # each class in both parts
    train, test = train_test_split(
        frame, test_size=0.25, random_state=seed, stratify=frame[label] if possible else None
    )
    options: dict[str, Any] = {"criterion": criterion, "max_mi": max_mi, "n_cells": n_cells, "epochs": epochs}
    options["random_state"] = seed
    options |= {} if mi_weight is None else {"mi_weight": mi_weight}
    model = MIDebiasClassifier(sensitive_columns=attributes, **options)
    model.fit(train.drop(columns=label), train[label].to_numpy())
    command = write_command(
        f"train {shlex.quote(str(path))}", label=label, attribute=attribute, criterion=criterion, seed=seed,
        mi_weight=mi_weight, max_mi=max_mi, n_cells=n_cells, epochs=epochs,
    )  # fmt: skip
    config = {"command": "train", "dataset": str(path), "label": label, "attribute": attribute, **options}
    config["seed"] = config.pop("random_state")
    folder = make_run_folder(output_dir, f"train-{path.stem}", config)
    decided = model.predict(test.drop(columns=label))
    rows = [_measure(path, name, seed, test, label, decided, model) for name in attributes]
    write_json(folder / "preprocessing.json", model.describe())
    save_file({k: v.contiguous() for k, v in model.network_.state_dict().items()}, folder / "model.safetensors")
    epochs_done = [
        {"epoch": r.epoch, "step": r.steps, "loss": r.loss, "train_accuracy": r.train_accuracy}
        | {f"mi_{i}": v for i, v in enumerate(r.mi, start=1)}
        for r in model.history_
    ]
    write_metrics(folder / "metrics.csv", epochs_done)
    test.assign(prediction=decided).to_csv(folder / "predictions.csv", index=False)
    write_results(folder, command, seed, rows)
    audited, why_not = _audit(model, test, label, attributes, decided, seed)
    within = audited is not None and any(s.condition == "within classes" for s in audited.summary)
    condition: Condition = "within classes" if criterion == "separation" and within else "overall"
    verdict = why_not if audited is None else audited.describe(condition)
    if len(set(decided.tolist())) == 1:
        verdict = f"Every row is answered alike ({decided[0]}): nothing is left of the task. {verdict}"
    trace = [{"step": r.steps, "loss": r.loss, "mi": r.mi} for r in model.history_]
    report: dict[str, Any] = {"verdict": verdict}
    report |= {} if audited is None else audited.collect_report_content(condition=condition)
    settings = config | ({} if audited is None else {f"audit: {k}": v for k, v in audited.settings.items()})
    report |= {"settings": settings, "command": command}
    certificate = None if n_cells is None else model.certificate_
    report |= {} if certificate is None else {"certificate": certificate.to_dict()}
    report["training"] = describe_training({path.name: trace}, names=("decision", "z"))
    write_report(folder, title=f"{label} of {path.name} without {attribute}", **report)
    figures = _list_figures(rows) | ({} if certificate is None else certificate.list_figures())
    card = write_model_card(
        data=f"three quarters of {path.name}", label=label, attributes=attributes,
        method="mib" if model.mi_weight_ > 0 else "plain", criterion=criterion if model.mi_weight_ > 0 else None,
        measured_on=f"{len(test):,} rows not trained on",
        figures=figures, verdict=None if audited is None else verdict, command=command, versions=list_versions(),
        use=f"midebias export {folder} --format onnx",
    )  # fmt: skip
    (folder / "model-card.md").write_text(card, encoding="utf-8")
    header = ["attribute", "accuracy", "parity", "odds", "I(Z;C) ≥, nats"]
    shown = ("accuracy", "demographic_parity_difference", "equalized_odds_difference", "mi")
    lines = [[r["attribute"], *("" if r[k] is None else f"{r[k]:.3f}" for k in shown)] for r in rows]
    show_plain_table(header, lines, title=f"{path.name}: {len(test):,} rows not trained on")
    if certificate is not None:
        show_line(f"\n{certificate}")
    show_line(f"\n{verdict}\nreport      {folder / 'report.html'}\nrun folder  {folder}")


def _audit(
    model: Any, test: Any, label: str, attributes: list[str], decided: Any, seed: int
) -> tuple[AuditResult | None, str]:
    """What the representation of the test rows leaks; or why that was not looked at."""
    try:
        with show_share("audit") as step:
            found = audit(
                model.transform(test.drop(columns=label)), test[attributes], test[label].to_numpy(),
                predictions=decided, random_state=seed, on_step=step,
            )  # fmt: skip
    except InputError as error:
        return None, f"Not audited: {error}."
    return found, ""


def _list_figures(rows: list[dict[str, Any]]) -> dict[str, str]:
    """What a model card tells."""
    figures = {"accuracy": f"{rows[0]['accuracy']:.3f}", "balanced accuracy": f"{rows[0]['balanced_accuracy']:.3f}"}
    columns = {
        "demographic parity difference": "demographic_parity_difference",
        "equalized odds difference": "equalized_odds_difference", "I(Z;C) at least, nats": "mi",
    }  # fmt: skip
    for row in rows:
        figures |= {f"{k}, {row['attribute']}": f"{row[c]:.3f}" for k, c in columns.items() if row[c] is not None}
    return figures


def _measure(path: Path, attribute: str, seed: int, test: Any, label: str, decided: Any, model: Any) -> dict[str, Any]:
    from sklearn.metrics import accuracy_score, balanced_accuracy_score

    from ..attributes import Categorical, encode_columns
    from ..column_kinds import read_columns
    from ..experiments.mi_columns import measure_mi_columns

    truth = test[label].to_numpy()
    c, kind = encode_columns(read_columns(test[attribute], "sensitive_features"))
    z = torch.from_numpy(model.transform(test.drop(columns=label)))
    row: dict[str, Any] = {
        "dataset": path.name, "attribute": attribute, "method": "mib", "seed": seed, "epochs": model.n_iter_,
        "accuracy": float(accuracy_score(truth, decided)),
        "balanced_accuracy": float(balanced_accuracy_score(truth, decided)),
        "demographic_parity_difference": None, "equalized_odds_difference": None,
        **measure_mi_columns(z, c, kind, seed=seed), "mi_weight": model.mi_weight_,
        "seconds": sum(r.seconds for r in model.history_),
    }  # fmt: skip
    if isinstance(kind, Categorical) and len(model.classes_) == 2:
        row |= _measure_disparities(truth, decided, test[attribute], model.classes_[1])
    return row


def _measure_disparities(truth: Any, decided: Any, attribute: Any, positive: Any) -> dict[str, float]:
    """fairlearn's two differences, of the rows whose attribute is known; nothing where fairlearn is not installed."""
    try:
        from fairlearn.metrics import demographic_parity_difference, equalized_odds_difference
    except ModuleNotFoundError:
        return {}
    known = attribute.notna().to_numpy()
    given = {"sensitive_features": attribute[known].astype(str).to_numpy()}
    pair = (truth[known] == positive).astype(int), (decided[known] == positive).astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a group without one of the labels
        return {
            "demographic_parity_difference": float(demographic_parity_difference(*pair, **given)),
            "equalized_odds_difference": float(equalized_odds_difference(*pair, **given)),
        }
