"""Leakage: what a frozen representation still tells about an attribute."""

from .auditing import audit
from .network_probe import ProbeResult, probe
from .result import AuditResult

__all__ = ["AuditResult", "ProbeResult", "audit", "probe"]
