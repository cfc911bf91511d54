"""Leakage: what a frozen representation still tells about an attribute."""

from .auditing import audit
from .findings import AttributeLeakage, Finding, Verdict
from .leave_one_group_out import leave_one_group_out
from .network_probe import ProbeResult, probe
from .result import AuditResult

__all__ = [
    "AttributeLeakage", "AuditResult", "Finding", "ProbeResult", "Verdict", "audit", "leave_one_group_out", "probe",
]  # fmt: skip
