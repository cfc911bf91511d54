"""Sphinx configuration of the documentation site: ``make docs``."""

from __future__ import annotations

import os
import re
from importlib.metadata import version as _version
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the figures of the gallery do not depend on the machine's cores

project, author = "midebias", "The midebias authors"
copyright = author
release = version = _version("midebias")
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "midebias"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {"navigation_with_keys": True}
exclude_patterns = ["_build", "examples"]
suppress_warnings = ["config.cache"]

default_role = "py:obj"  # `MIPenalty` in a docstring links to its entry
autosummary_generate = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say them, with shapes
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/plot_",
    "within_subsection_order": "FileNameSortKey",
    "remove_config_comments": True,
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 1_000_000,  # no table of running times
    "write_computation_times": False,
    "image_srcset": ["2x"],
    "abort_on_example_error": True,
    "parallel": True,  # as many as -j says
    "run_stale_examples": True,  # the package may have changed where the example has not
}


def _split_names(app: object, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Give each of ``a, b : type`` an entry of its own; napoleon reads them as one with a strange type."""
    at = 0
    while at < len(lines):
        match = re.fullmatch(r"(\s*)(\w+(?:, \w+)+)( : .*)?", lines[at])
        end = at + 1
        if match is not None and end < len(lines) and (match[3] or lines[end].startswith(match[1] + " ")):
            while end < len(lines) and lines[end].startswith(match[1] + " "):
                end += 1
            entry = lines[at + 1 : end]
            names = match[2].split(", ")
            lines[at:end] = [line for one in names for line in (f"{match[1]}{one}{match[3] or ''}", *entry)]
            end = at + len(names) * (1 + len(entry))
        at = end


def _keep_underscores(app: object, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Keep the last character of ``network_``, which reStructuredText reads as the mark of a link."""
    lines[:] = [re.sub(r"^(\s*:(?:ivar|vartype) \w+)_:", r"\1\\_:", line) for line in lines]


def setup(app: Any) -> None:
    """Mend what napoleon gets wrong, before it and after it."""
    app.connect("autodoc-process-docstring", _split_names, priority=400)
    app.connect("autodoc-process-docstring", _keep_underscores, priority=600)
