"""How Sphinx makes the book; `tito book build` puts the source together and calls it."""

import gc

gc.set_threshold(100_000, 50, 100)  # a book is many small objects, and nearly all of them live to its end

project = "TinyTorch"
author = "The TinyTorch authors"
html_title = "TinyTorch"
html_short_title = "TinyTorch"
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_external_toc",
    "tito.book.extension",
]
external_toc_path = "_toc.yml"
exclude_patterns = ["_build", "**/__pycache__"]

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "fieldlist"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # the chapters ran before, with a kernel that keeps what they printed
nb_render_markdown_format = "myst"
nb_merge_streams = True
suppress_warnings = ["mystnb.unknown_mime_type"]

html_math_renderer = "mathml"
default_role = "literal"
autodoc_typehints = "none"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = True
napoleon_google_docstring = False
napoleon_use_param = False  # names that share a description are shown together
napoleon_custom_sections = [("Attributes", "params_style")]
napoleon_use_rtype = False
napoleon_preprocess_types = False
copybutton_selector = "div.highlight pre"

html_theme = "furo"
html_static_path = ["_static"]
html_favicon = "_static/favicon.svg"
html_css_files = ["book.css"]
html_js_files = [("steps.js", {"type": "module"})]
html_copy_source = False
html_show_copyright = False
html_show_sourcelink = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
pygments_style = "a11y-high-contrast-light"  # of accessible-pygments, which furo brings along
pygments_dark_style = "a11y-high-contrast-dark"
