"""``midebias doctor``: what a bug report needs."""

import importlib.metadata
import os
import platform
import re
from collections import defaultdict

import torch
import typer

from .. import __version__
from ..datasets import list_bundled_files, read_file
from ..devices import is_bfloat16_fast
from ..errors import DataError
from .console import show_line


def doctor() -> None:
    """Print versions, hardware, optional packages and the state of the data; exit with 1 where data is damaged.

    Example: midebias doctor
    """
    facts = {
        "midebias": __version__,
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "platform": platform.platform(),
        "torch": torch.__version__,
        "threads": f"{torch.get_num_threads()} of {os.cpu_count()} processors",
        "accelerator": _accelerator(),
        "bfloat16": "native" if is_bfloat16_fast("cuda" if torch.cuda.is_available() else "cpu") else "emulated",
    }
    for name, value in facts.items():
        show_line(f"{name:<12} {value}")
    for extra, packages in _extras().items():
        states = ", ".join(f"{p} {_version(p) or 'missing'}" for p in packages)
        show_line(f"{f'[{extra}]':<12} {states}")
    damaged = False
    for name in list_bundled_files():
        try:
            read_file(name)
        except DataError as error:
            damaged = True
            show_line(f"{'data':<12} {error}")
    if damaged:
        raise typer.Exit(1)
    show_line(f"{'data':<12} {len(list_bundled_files())} files, whole")


def _accelerator() -> str:
    if torch.cuda.is_available():
        return ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    return "MPS" if torch.backends.mps.is_available() else "none"


def _extras() -> dict[str, list[str]]:
    """The optional packages by the extra that installs them, as the installed metadata say."""
    extras: dict[str, list[str]] = defaultdict(list)
    for requirement in importlib.metadata.requires("midebias") or []:
        found = re.match(r"""([A-Za-z0-9._-]+).*;.*extra\s*==\s*['"]([\w-]+)['"]""", requirement)
        if found and found[2] != "dev" and found[1] != "midebias":
            extras[found[2]].append(found[1])
    return extras


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
