"""What the book asks of Sphinx beyond its own extensions: mathematics as MathML, and pictures that have words."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import Directive

CODE = re.compile(r"(``.+?``|`[^`]+`)")
SIGN = re.compile(r"([*|]|(?<=\w)_(?!\w))")
PICTURE = re.compile(r"<img (?![^>]*loading=)")


def setup(app):
    app.add_html_math_renderer("mathml", (_inline, _done), (_block, _done))
    app.connect("autodoc-process-docstring", _plain, priority=400)  # before napoleon
    app.connect("doctree-read", _give_words)
    app.connect("html-page-context", _finish, priority=900)  # after the theme
    app.connect("config-inited", _side_by_side)
    app.add_directive("graph", Graph)
    return {"parallel_read_safe": True}


class Graph(Directive):
    """The graph of a function, drawn by the package: ``{graph} lambda x, y: x * y`` with ``:at: 5.0, 3.0``."""

    required_arguments, final_argument_whitespace = 1, True
    option_spec: ClassVar = {"at": lambda given: [float(number) for number in given.split(",")]}

    def run(self):
        from tinytorch.core.autograd import draw_graph

        drawing = draw_graph(eval(self.arguments[0]), *self.options["at"])
        return [nodes.raw("", f'<div class="drawing">{drawing.svg}</div>', format="html")]


def _side_by_side(app, config):
    """Let pages be read side by side: the one extension that does not say so numbers them when all are read."""
    app.extensions["sphinx_multitoc_numbering"].parallel_read_safe = True


def _inline(writer, node):
    writer.body.append(_mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def _block(writer, node):
    writer.body.append(f'<div class="math" tabindex="0">{_mathml(node.astext(), "block")}</div>')
    raise nodes.SkipNode


def _done(writer, node):
    pass


def _mathml(tex: str, display: str) -> str:
    """A formula that the browser draws by itself."""
    from latex2mathml.converter import convert

    return convert(tex, display=display)


def _plain(app, what, name, found, options, lines):
    """Docstrings are numpydoc in plain words: outside of code, stars and bars are what they are."""
    for i, line in enumerate(lines):
        if line.lstrip().startswith(">>>"):
            continue
        pieces = CODE.split(line)
        pieces[::2] = [SIGN.sub(r"\\\1", piece) for piece in pieces[::2]]
        lines[i] = "".join(pieces)


def _give_words(app, document):
    """Give each picture that a cell drew its description."""
    file = Path(app.srcdir) / "words.json"
    words = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for image in document.findall(nodes.image):
        name = Path(image["uri"]).stem
        if name in words:
            image["alt"] = words[name]


def _finish(app, page, template, context, document):
    """Let pictures below the first screen wait, and give headings in the contents the level that readers aloud need."""
    for name in ("toctree", "furo_navigation_tree"):
        if isinstance(context.get(name), str):
            context[name] = context[name].replace('role="heading"', 'role="heading" aria-level="2"')
    if context.get("body"):
        body = PICTURE.sub('<img loading="lazy" decoding="async" ', context["body"])
        context["body"] = body.replace("<pre>", '<pre tabindex="0">')  # a wide one is scrolled by keyboard too
