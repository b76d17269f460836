"""How Sphinx builds the site: `make docs`. The source is the whole repository, so that links between files hold."""

import sys
from base64 import b64decode
from pathlib import Path

import nbformat
from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

import hyperlaw

sys.modules["hyperlaw.laws"] = hyperlaw.laws  # as users write it; autodoc imports what it documents

project = "hyperlaw"
author = "the hyperlaw authors"
release = version = hyperlaw.__version__

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_design",
]
root_doc = "docs/index"
include_patterns = ["docs/**", "notebooks/*.ipynb", "*.md"]
exclude_patterns = ["docs/_*", "README.md"]

# Pages and notebooks. Outputs of notebooks are those that were saved.
nb_execution_mode = "off"
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

# The reference.
autosummary_generate = True
default_role = "literal"  # docstrings put code between single backticks
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
# Names of other libraries are not looked up, which would need a network; nor those of parts that are not public.
nitpick_ignore_regex = [(r"py:.*", r"(?!hyperlaw\.\w+$).*")]
suppress_warnings = ["myst.header"]  # pages that commands write begin some parts a level deeper

html_theme = "pydata_sphinx_theme"
html_title = f"hyperlaw {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
templates_path = [str(Path(__file__).parent / "_templates")]  # autosummary looks beside the source, not here
html_additional_pages = {"index": "home.html"}
html_theme_options = {
    "navigation_with_keys": False,
    "show_nav_level": 1,
    "header_links_before_dropdown": 6,
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_show_sourcelink = False


ROOT = Path(__file__).parents[1]


def contents(_: Sphinx, page: str, source: list[str]) -> None:
    """Give a README the contents of its folder, and the notebooks their gallery; a code host has its own."""
    if Path(page).name == "README":
        source[0] += "\n```{toctree}\n:hidden:\n:glob:\n\n*\n```\n"
    if page == "docs/notebooks":
        cards = "".join(card(path) for path in sorted((ROOT / "notebooks").glob("*.ipynb")))
        source[0] += f"\n::::{{grid}} 1 2 2 2\n:gutter: 3\n\n{cards}::::\n"


def card(path: Path) -> str:
    """A notebook in the gallery: its title, its first paragraph, and the first picture that was saved with it."""
    cells = nbformat.read(path, as_version=4).cells
    title, _, text = cells[0].source.removeprefix("# ").partition("\n")
    outputs = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    picture = next((data["image/png"] for data in outputs if "image/png" in data), None)
    option = ""
    if picture:
        thumbnail = ROOT / "build" / "thumbnails" / f"{path.stem}.png"
        thumbnail.parent.mkdir(parents=True, exist_ok=True)
        thumbnail.write_bytes(b64decode(picture))
        option = f":img-bottom: /{thumbnail.relative_to(ROOT)}\n"
    link = f":link: /notebooks/{path.stem}\n:link-type: doc\n"
    return f":::{{grid-item-card}} {title}\n{link}{option}\n{text.strip().partition('\n\n')[0]}\n:::\n\n"


def setup(app: Sphinx) -> None:
    """Register the above, and the language of the one diagram, which is shown as it is written."""
    app.connect("source-read", contents)
    app.add_lexer("mermaid", TextLexer)
