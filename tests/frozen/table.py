"""The table of frozen values as a file."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

TABLE = Path(__file__).with_name("values.json")
_PACKAGES = ("torch", "numpy", "scikit-learn", "fairlearn", "lightning", "pandas")


def describe_machine() -> dict[str, str]:
    """What last digits hang on."""
    return {
        "versions": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
        "machine": f"CPU capability {torch.backends.cpu.get_cpu_capability()}, threads={torch.get_num_threads()}",
    }


def read_table(path: Path = TABLE) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def write_table(path: Path, values: dict[str, list[float]]) -> None:
    """One name a line; floats as repr writes them, which loses nothing."""
    lines = [f"    {json.dumps(name)}: {json.dumps(found)}" for name, found in sorted(values.items())]
    head = [f"  {json.dumps(key)}: {json.dumps(text)}" for key, text in describe_machine().items()]
    text = "{\n" + ",\n".join(head) + ',\n  "values": {\n' + ",\n".join(lines) + "\n  }\n}\n"
    path.write_text(text, encoding="utf-8")
