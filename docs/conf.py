"""Sphinx configuration of the documentation site: ``make docs``."""

from __future__ import annotations

from importlib.metadata import version as _version

project, author = "midebias", "The midebias authors"
release = version = _version("midebias")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "midebias"
html_theme_options = {"navigation_with_keys": True}
exclude_patterns = ["_build"]

napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say them, with shapes
