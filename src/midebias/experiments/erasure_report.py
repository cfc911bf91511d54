"""What an erasure came to, in words, as lines of a table, in the record and on the page of a run folder."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..leakage.findings import Condition, Verdict
from ..leakage.result import AuditResult
from .report_content import write_report
from .run_folder import write_results

_NOTE = (
    "Fresh probes were fitted and judged on {held:,} rows held out, before and after. The eraser was fitted on the "
    "other {fitted:,} rows. The file that was written has all rows, and those that the eraser was fitted on may look "
    "cleaner than new ones do: the figures are what to expect of new rows."
)
_RECORD = ("leaks", "leakage", "interval", "p_value", "summary", "settings", "unaudited")


def describe_change(before: AuditResult, after: AuditResult, condition: Condition) -> str:
    """Write in two sentences what leaked before, and what is found after."""
    first = before.decide(condition=condition)
    return f"Before: at least {max(0.0, first.worst.leakage):.3f} nats. After: {after.describe(condition)}"


def describe_cost(measured: Mapping[str, Any]) -> str:
    """Write in a sentence how far rows moved, and what was kept."""
    moved, kept = measured["movement"]["mean_square"], measured["kept"]
    parts = [f"rows moved by {moved:.3f} of their variance", f"{kept['neighbours']['kept']:.3f} of neighbours are kept"]
    parts += [
        f"a probe tells {c['column']} with balanced accuracy {c['balanced_accuracy_after']:.3f}, "
        f"{c['balanced_accuracy_before']:.3f} before"
        for c in kept["columns"]
    ]
    return f"Cost: {'; '.join(parts)}."


def write_erasure(
    folder: Path, command: str, options: Mapping[str, Any], *, before: AuditResult, after: AuditResult,
    gate: Verdict | None, texts: Sequence[str], measured: Mapping[str, Any], rows: tuple[int, int], **record: Any,
) -> None:  # fmt: skip
    """Write ``results.json`` and ``report.html``; ``rows`` counts those fitted on and those held out."""
    found = {"before": before.to_dict(), "after": after.to_dict()}
    stages = [{"stage": stage} | asdict(f) for stage, r in (("before", before), ("after", after)) for f in r.findings]
    record |= {stage: {key: content[key] for key in _RECORD} for stage, content in found.items()}
    record |= {"verdict": " ".join(texts), "rows_fitted": rows[0], "rows_held_out": rows[1]}
    record |= {} if gate is None else {"exit_status": gate.exit_status}
    write_results(folder, command, options["seed"], stages, **record, **measured)
    fitted, held = rows
    leaks = bool(gate.exceeding) if gate is not None else after.leaks
    write_report(
        folder, title=f"Erasure of {options['attribute']} from {folder.name}",
        verdict={"text": " ".join(texts), "status": "leaks" if leaks else "clean"}, warnings=after.warnings,
        erasure=found | {"note": _NOTE.format(held=held, fitted=fitted)}, settings=options, command=command, **measured,
    )  # fmt: skip
