"""How the documentation is built: ``sphinx-build -W docs site``."""

import os
import re

import gdcore

project, author, copyright = "gdcore", "gdcore developers", "gdcore developers"
version = release = gdcore.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
]
exclude_patterns = ["_build"]
html_theme = "pydata_sphinx_theme"
html_title = f"gdcore {version}"
html_theme_options = {"show_toc_level": 2, "navigation_with_keys": False, "show_prev_next": True}
html_show_sourcelink = False
html_extra_path = ["celsius.html"]
templates_path = ["_templates"]

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["myst.xref_missing"] if os.environ.get("GDCORE_DRAFT") else []

autosummary_generate = True
autodoc_typehints = "none"  # docstrings give shapes and dtypes, which types do not
numpydoc_show_class_members = False
numpydoc_validation_checks = {"PR01", "PR02", "PR03", "RT03"} if os.environ.get("GDCORE_VALIDATE") else set()
default_role = "py:obj"
nitpicky = False

# The inventories of other projects are fetched where a network is there for it: pages are built without one as well.
if os.environ.get("GDCORE_LINKS"):
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "sklearn": ("https://scikit-learn.org/stable", None),
    }


def plain(app, what, name, obj, options, lines):
    """Docstrings are written to be read as they stand: |r| is no substitution there, and coef_ no link."""
    literal = False
    for number, line in enumerate(lines):
        literal = literal or line.strip() == "Examples"
        if not literal:
            parts = re.split(r"(``.*?``|`[^`]*`)", line)  # those that stand between backticks are every second one
            parts[::2] = [re.sub(r"[|*]|(?<=\w)_(?!\w)", r"\\\g<0>", part) for part in parts[::2]]
            lines[number] = "".join(parts)


def setup(app):
    app.connect("autodoc-process-docstring", plain, priority=400)
