"""What an erasure came to: in words, in the record and on the page of a run folder."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..leakage.findings import Verdict
from ..leakage.result import AuditResult
from .report_content import write_report
from .run_folder import write_results

_NOTE = (
    "Fresh probes were fitted and judged on {held:,} rows held out, before and after. The eraser was fitted on the "
    "other {fitted:,} rows. The file that was written has all rows, and those that the eraser was fitted on may look "
    "cleaner than new ones do: the figures are what to expect of new rows."
)
_RECORD = ("leaks", "leakage", "interval", "p_value", "summary", "settings", "unaudited")


def describe_cost(measured: Mapping[str, Any]) -> str:
    """Write in a sentence how far rows moved, and what was kept."""
    moved, kept = measured["movement"]["mean_square"], measured["kept"]
    parts = [f"rows moved by {moved:.3f} of their variance", f"{kept['neighbours']['kept']:.3f} of neighbours are kept"]
    parts += [
        f"a probe tells {c['after']['attribute']} with balanced accuracy {c['after']['balanced_accuracy']:.3f}, "
        f"{c['before']['balanced_accuracy']:.3f} before"
        for c in kept["columns"]
    ]
    return f"Cost: {'; '.join(parts)}."


def write_erasure(
    folder: Path, command: str, options: Mapping[str, Any], *, before: AuditResult, after: AuditResult,
    decided: Verdict, text: str, measured: Mapping[str, Any], fitted: int, held: int, notes: Sequence[str],
    **record: Any,
) -> None:  # fmt: skip
    """Write ``results.json`` and ``report.html``; ``fitted`` and ``held`` count rows, ``notes`` warn."""
    found = {"before": before.to_dict(), "after": after.to_dict()}
    rows = [{"stage": stage} | asdict(f) for stage, r in (("before", before), ("after", after)) for f in r.findings]
    record |= {stage: {key: content[key] for key in _RECORD} for stage, content in found.items()}
    record |= {"verdict": text, "rows_fitted": fitted, "rows_held_out": held, "warnings": list(notes)}
    write_results(folder, command, options["seed"], rows, **record, **measured)
    write_report(
        folder, title=f"Erasure of {options['attribute']} from {Path(options['file']).name}",
        verdict={"text": text, "status": "leaks" if decided.leaks else "clean"}, warnings=[*notes, *after.warnings],
        erasure=found | {"note": _NOTE.format(held=held, fitted=fitted)}, settings=options, command=command, **measured,
    )  # fmt: skip
