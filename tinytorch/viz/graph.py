"""A recorded graph as a picture: layers from left to right, one box a value, plain SVG."""

from html import escape

import numpy as np

from tinytorch.viz.steps import letters, show

SYMBOLS = {
    "add": "+", "subtract": "-", "multiply": "*", "divide": "/", "negative": "-x", "matrix_product": "@",
    "power_number": "**", "power_tensor": "**", "reduce_sum": "sum", "reduce_max": "max", "reduce_min": "min",
}  # fmt: skip
WIDTH, HEIGHT, GAP_X, GAP_Y, MOST = 132, 64, 52, 18, 150
FILL = {"input": "#dceaf7", "constant": "#eeeeee", "operation": "#ffffff", "result": "#fbe8d0"}


class Drawing:
    """A picture that a notebook shows by itself.

    Attributes
    ----------
    svg : str
        Source of the picture.
    text : str
        The same in words, one line a box; the picture's alternative text.
    """

    def __init__(self, boxes, edges, note=""):
        self.text = "\n".join([box.words() for box in boxes] + ([note] if note else []))
        self.svg = svg(boxes, edges, self.text, note)

    def _repr_svg_(self):
        return self.svg

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"image/svg+xml": self.svg, "text/plain": self.text}

    def __repr__(self):
        return self.text


class Box:
    """One value of the graph: what it is, its lines of text, and its place.

    Backward comes to an operation at its `visit`, and to an input's gradient adds for the last time at `complete`.
    """

    def __init__(self, kind, title, lines, visit=None):
        self.kind, self.title, self.lines, self.visit = kind, title, lines, visit
        self.complete = visit
        self.layer = self.row = 0

    def words(self):
        return self.told("" if self.visit is None else f" (visited {self.visit + 1})")

    def told(self, order=""):
        return f"{self.title}{order}: {', '.join(self.lines)}"


class Bend:
    """A place that an edge passes through on its way over a layer."""

    def __init__(self, layer):
        self.layer, self.row = layer, 0


def draw_trace(trace, inputs: dict, out) -> Drawing:
    """The picture of a traced forward and backward pass."""
    names = {id(x): name for name, x in inputs.items()}
    unnamed = (f"p{i}" for i in range(1, 10**6))
    boxes, edges = {}, []
    steps = trace.steps[-MOST:]
    for step in steps:
        sources = []
        for x, array in zip(step.inputs, step.arrays):
            key = id(x) if x.requires_grad else id(array)
            if key not in boxes and x.requires_grad:
                title = names.get(key) or next(unnamed)
                boxes[key] = Box("input", title, value_lines(x.data, trace.gradients.get(key)))
            elif key not in boxes and np.ndim(array):
                boxes[key] = Box("constant", names.get(id(x), "constant"), value_lines(array, None))
            if key in boxes:
                sources.append(boxes[key])
        kind = "result" if step.out is out else "operation"
        box = Box(kind, title_of(step), value_lines(step.out.data, step.gradient), step.visit)
        edges += [(source, box) for source in sources]
        boxes[id(step.out)] = box
    for box in boxes.values():
        if box.kind == "input" and len(box.lines) == 2:
            box.complete = max((b.visit for a, b in edges if a is box and b.visit is not None), default=None)
    note = f"(the last {MOST} of {len(trace.steps)} operations)" if len(trace.steps) > MOST else ""
    return Drawing(list(boxes.values()), edges, note)


def title_of(step) -> str:
    """The operation's symbol, with the number it works with where there is one: "/ 10", "1 -", "** 2"."""
    name = step.operation.__name__
    symbol = SYMBOLS.get(name, name)
    if name == "power_number":
        return f"** {show(step.options['exponent'])}"
    numbers = [show(a) if np.ndim(a) == 0 and not x.requires_grad else None for x, a in zip(step.inputs, step.arrays)]
    if len(numbers) == 2 and numbers[1] is not None:
        return f"{symbol} {numbers[1]}"
    return f"{numbers[0]} {symbol}" if len(numbers) == 2 and numbers[0] is not None else symbol


def draw_live(out, nodes) -> Drawing:
    """The picture of a graph as it stands: no values in between are kept, so none are shown."""
    boxes, edges, shown = {}, [], nodes[:MOST]
    for node in reversed(shown):
        title = getattr(node.operation, "__name__", "grad_fn")
        lines = value_lines(out.data, None) if node is out._node else [f"saves {saved_words(node)}"]
        boxes[node] = Box("result" if node is out._node else "operation", SYMBOLS.get(title, title), lines)
    free = letters()
    for node in reversed(shown):
        for edge in node.edges:
            if edge is None or (hasattr(edge, "edges") and edge not in boxes):
                continue
            if edge not in boxes:
                boxes[edge] = Box("input", next(free), value_lines(edge.data, edge.grad))
            edges.append((boxes[edge], boxes[node]))
    note = f"(the last {MOST} of {len(nodes)} operations)" if len(nodes) > MOST else ""
    return Drawing(list(boxes.values()), edges, note)


def saved_words(node) -> str:
    names = node.plan.names if node.plan is not None else None
    return "a closure" if names is None else ", ".join(names) or "nothing"


def value_lines(value, gradient) -> list[str]:
    lines = [show(value) if np.size(value) == 1 else f"shape {np.shape(value)}"]
    if gradient is not None:
        data = gradient.data if hasattr(gradient, "requires_grad") else gradient
        lines.append(f"grad {show(data)}")
    return lines


def layout(boxes, edges) -> list[list]:
    """Give each box a layer (the longest way from an input) and a row in it; return the way of each edge.

    An edge that passes over layers gets a bend in each of them, with a row of its own, so that it
    does not run behind a box.
    """
    for box in boxes:  # a box comes after those it was computed from
        box.layer = 1 + max((a.layer for a, b in edges if b is box), default=-1)
    for box in boxes:
        after = [b.layer for a, b in edges if a is box]
        if box.kind in ("input", "constant") and after:
            box.layer = min(after) - 1
    ways = [[a, *(Bend(layer) for layer in range(a.layer + 1, b.layer)), b] for a, b in edges]
    everything = [*boxes, *(point for way in ways for point in way[1:-1])]
    before, after = {box: [] for box in everything}, {box: [] for box in everything}
    for way in ways:
        for a, b in zip(way, way[1:]):
            before[b].append(a)
            after[a].append(b)
    arrange(everything, before, after)
    return ways


def arrange(everything, before, after) -> None:
    """Order each layer so that a box is near what it is joined to: a few sweeps there and back."""
    layers = {}
    for box in everything:
        layers.setdefault(box.layer, []).append(box)
    for sweep in range(8):
        near = after if sweep % 2 else before
        for layer in sorted(layers, reverse=near is after):
            members = layers[layer]
            members.sort(key=lambda box: np.mean([b.row for b in near[box]]) if near[box] else box.row)
            for row, box in enumerate(members):
                box.row = row - (len(members) - 1) / 2
    top = min((box.row for box in everything), default=0)
    for box in everything:
        box.row -= top


def svg(boxes, edges, words, note) -> str:
    """The picture as SVG, with the words as its description."""
    ways = layout(boxes, edges)
    points = [*boxes, *(point for way in ways for point in way)]
    step_x, step_y = WIDTH + GAP_X, HEIGHT + GAP_Y
    width = 20 + step_x * (1 + max((b.layer for b in points), default=0)) - GAP_X
    height = 20 + step_y * (1 + max((b.row for b in points), default=0)) - GAP_Y + (20 if note else 0)
    place = {b: (10 + b.layer * step_x, 10 + b.row * step_y) for b in points}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" role="img" font-family="sans-serif" font-size="13" style="max-width:100%;height:auto">',
        f"<title>Graph of {len(boxes)} values</title><desc>{escape(words)}</desc>",
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
    ]
    parts += [curve([place[point] for point in way]) for way in ways]
    parts += [drawn_box(box, *place[box]) for box in boxes]
    if note:
        parts.append(f'<text x="10" y="{height - 8:.0f}" fill="#333333">{escape(note)}</text>')
    return "".join(parts) + "</svg>"


def curve(way) -> str:
    """An arrow from the right side of the first box to the left side of the last, through the bends between."""
    middle = HEIGHT / 2
    x, y = way[0][0] + WIDTH, way[0][1] + middle
    path = f"M{x:.0f} {y:.0f}"
    for left, top in way[1:]:
        bend = x + GAP_X / 2
        path += f" C{bend:.0f} {y:.0f} {bend:.0f} {top + middle:.0f} {left:.0f} {top + middle:.0f}"
        x, y = left + WIDTH, top + middle
        if (left, top) != way[-1]:
            path += f" L{x:.0f} {y:.0f}"
    tip = way[-1][0]
    head = f'<path d="M{tip - 7:.0f} {y - 4:.0f} L{tip:.0f} {y:.0f} L{tip - 7:.0f} {y + 4:.0f} Z" fill="#555555"/>'
    return f'<path d="{path}" fill="none" stroke="#555555"/>{head}'


def drawn_box(box, x, y) -> str:
    """A box with its title, its value, its gradient, and when backward comes to it."""
    size = f'width="{WIDTH}" height="{HEIGHT}" rx="6"'
    frame = f'<rect x="{x:.0f}" y="{y:.0f}" {size} fill="{FILL[box.kind]}" stroke="#555555"/>'
    left, right = f'x="{x + 10:.0f}"', f'x="{x + WIDTH - 8:.0f}" text-anchor="end"'
    texts = [f'<text {left} y="{y + 19:.0f}" font-weight="bold" fill="#111111">{escape(box.title)}</text>']
    for i, line in enumerate(box.lines):
        mark = ' data-gradient=""' if i else ""
        texts.append(f'<text {left} y="{y + 37 + 16 * i:.0f}" fill="#222222"{mark}>{escape(line)}</text>')
    if box.visit is not None:
        texts.append(f'<text {right} y="{y + 19:.0f}" fill="#7a3e00">visit {box.visit + 1}</text>')
    if box.complete is None:
        return frame + "".join(texts)
    when = "complete" if box.visit is None else "visit"
    words = escape(box.told(), quote=True)
    return f'<g data-{when}="{box.complete + 1}" data-words="{words}">{frame}{"".join(texts)}</g>'
