"""How `make docs` builds this folder into a site, which needs no network to be built or read."""

import sys
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

project = "gan-pipelines"
copyright = "its authors, Apache-2.0"
extensions = ["myst_parser", "sphinx.ext.apidoc", "sphinx.ext.autodoc"]
exclude_patterns = ["api/modules.rst"]

# Headings are link targets by the names that GitHub gives them.
myst_heading_anchors = 4
# Blocks without a language are for a shell, where colours would be guesses.
highlight_language = "none"
# In docstrings `x` is code, as everywhere else.
default_role = "code"

# One page a room. The command line is documented by its own `--help`.
apidoc_modules = [
    {
        "path": "../gan_core",
        "destination": "api",
        "exclude_patterns": ["../gan_core/cli*", "../gan_core/__main__.py"],
        "module_first": True,
        "max_depth": 1,
        "automodule_options": {"members", "show-inheritance"},
    }
]
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "signature"
# What a package passes on is shown once, where it is defined: on the same page.
autodoc_default_options = {"exclude-members": "model_config, model_post_init", "ignore-module-all": True}
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88

html_theme = "furo"
html_title = "gan-pipelines"
html_copy_source = False
html_show_sourcelink = False
# Summaries are fetched from the other pages, which no browser does for files.
html_show_search_summary = False


def setup(app: Sphinx) -> None:
    app.connect("doctree-read", find_types_by_their_whole_name)


def find_types_by_their_whole_name(app: Sphinx, doctree: nodes.document) -> None:
    """Sphinx looks for the types of signatures anywhere: `bytes` would link to any attribute of that name."""
    for reference in doctree.findall(pending_xref):
        if not reference.get("refspecific"):
            reference.attributes.pop("refspecific", None)
