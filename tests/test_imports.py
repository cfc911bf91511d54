"""What the package costs somebody who only wants the penalty."""

from __future__ import annotations

import subprocess
import sys

import pytest

import midebias


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_the_penalty_needs_torch_and_nothing_else() -> None:
    loaded = python(
        "import sys, midebias, midebias.estimators, midebias.attributes\n"
        "midebias.MIPenalty; midebias.estimate_mi; midebias.LogitAdjustment\n"
        "heavy = ('sklearn', 'pandas', 'lightning', 'matplotlib', 'typer', 'rich', 'yaml', 'safetensors')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    assert loaded.strip() == "[]"


def test_the_package_itself_imports_nothing() -> None:
    assert python("import sys, midebias; print('torch' in sys.modules)").strip() == "False"


def test_public_names_can_be_had() -> None:
    for name in midebias.__all__:
        assert getattr(midebias, name) is not None
    assert set(midebias.__all__) <= set(dir(midebias))
    with pytest.raises(AttributeError, match="nothing"):
        midebias.nothing  # noqa: B018


def test_without_the_extra_the_command_names_its_install_line() -> None:
    code = "import sys\nsys.modules['typer'] = None\nfrom midebias.__main__ import main\nmain()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'midebias[cli]'" in done.stderr
    assert "Traceback" not in done.stderr
