"""Leakage: what a frozen representation still tells about an attribute."""

from .auditing import audit
from .certificate import Certificate, CertifiedAttribute, certify
from .leave_one_group_out import leave_one_group_out
from .network_probe import ProbeResult, probe
from .result import AuditResult

__all__ = [
    "AuditResult", "Certificate", "CertifiedAttribute", "ProbeResult", "audit", "certify", "leave_one_group_out",
    "probe",
]  # fmt: skip
