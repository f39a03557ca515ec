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
    """One value of the graph: what it is, its lines of text, and its place."""

    def __init__(self, kind, title, lines, visit=None):
        self.kind, self.title, self.lines, self.visit = kind, title, lines, visit
        self.layer = self.row = 0

    def words(self):
        order = "" if self.visit is None else f" (visited {self.visit + 1})"
        return f"{self.title}{order}: " + ", ".join(self.lines)


def draw_trace(trace, inputs: dict, out) -> Drawing:
    """The picture of a traced forward and backward pass."""
    names = {id(x): name for name, x in inputs.items()}
    unnamed = (f"p{i}" for i in range(1, 10**6))
    boxes, edges = {}, []

    def leaf(x, array):
        if id(x) not in boxes:
            if x.requires_grad:
                title = names.get(id(x)) or next(unnamed)
                boxes[id(x)] = Box("input", title, value_lines(x.data, trace.gradients.get(id(x))))
            else:
                boxes[id(x)] = Box("constant", names.get(id(x), "constant"), value_lines(array, None))
        return boxes[id(x)]

    steps = trace.steps[-MOST:]
    made = {id(step.out) for step in steps}
    for step in steps:
        kind = "result" if step.out is out else "operation"
        title = SYMBOLS.get(step.operation.__name__, step.operation.__name__)
        box = Box(kind, title, value_lines(step.out.data, step.gradient), step.visit)
        edges += [(leaf(x, a) if id(x) not in made else boxes[id(x)], box) for x, a in zip(step.inputs, step.arrays)]
        boxes[id(step.out)] = box
    note = f"(the last {MOST} of {len(trace.steps)} operations)" if len(trace.steps) > MOST else ""
    return Drawing(list(boxes.values()), edges, note)


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


def layout(boxes, edges):
    """Give each box a layer (the longest way from an input) and a row in it (near what it came from)."""
    before = {box: [a for a, b in edges if b is box] for box in boxes}
    after = {box: [b for a, b in edges if a is box] for box in boxes}
    for box in [b for b in boxes if b.kind in ("operation", "result")]:  # in forward order
        box.layer = 1 + max((a.layer for a in before[box]), default=0)
    for box in boxes:
        if box.kind in ("input", "constant") and after[box]:
            box.layer = min(b.layer for b in after[box]) - 1
    layers = {}
    for box in boxes:
        layers.setdefault(box.layer, []).append(box)
    for _ in range(4):
        for near in (before, after):
            for _, members in sorted(layers.items(), reverse=near is after):
                members.sort(key=lambda box: np.mean([b.row for b in near[box]]) if near[box] else box.row)
                for row, box in enumerate(members):
                    box.row = row - (len(members) - 1) / 2
    top = min((box.row for box in boxes), default=0)
    for box in boxes:
        box.row -= top


def svg(boxes, edges, words, note) -> str:
    """The picture as SVG, with the words as its description."""
    layout(boxes, edges)
    step_x, step_y = WIDTH + GAP_X, HEIGHT + GAP_Y
    width = 20 + step_x * (1 + max((b.layer for b in boxes), default=0)) - GAP_X
    height = 20 + step_y * (1 + max((b.row for b in boxes), default=0)) - GAP_Y + (20 if note else 0)
    place = {b: (10 + b.layer * step_x, 10 + b.row * step_y) for b in boxes}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'role="img" font-family="sans-serif" font-size="13" style="max-width:100%;height:auto">',
        f"<title>Graph of {len(boxes)} values</title><desc>{escape(words)}</desc>",
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
    ]
    parts += [curve(place[a], place[b]) for a, b in edges]
    parts += [drawn_box(box, *place[box]) for box in boxes]
    if note:
        parts.append(f'<text x="10" y="{height - 8:.0f}" fill="#333333">{escape(note)}</text>')
    return "".join(parts) + "</svg>"


def curve(a, b) -> str:
    """An arrow from the right side of one box to the left side of another."""
    x1, y1, x2, y2 = a[0] + WIDTH, a[1] + HEIGHT / 2, b[0], b[1] + HEIGHT / 2
    bend = (x1 + x2) / 2
    line = f'<path d="M{x1:.0f} {y1:.0f} C{bend:.0f} {y1:.0f} {bend:.0f} {y2:.0f} {x2 - 6:.0f} {y2:.0f}"'
    head = f'<path d="M{x2 - 7:.0f} {y2 - 4:.0f} L{x2:.0f} {y2:.0f} L{x2 - 7:.0f} {y2 + 4:.0f} Z" fill="#555555"/>'
    return f'{line} fill="none" stroke="#555555"/>{head}'


def drawn_box(box, x, y) -> str:
    """A box with its title, its lines, and the order of its visit."""
    size = f'width="{WIDTH}" height="{HEIGHT}" rx="6"'
    frame = f'<rect x="{x:.0f}" y="{y:.0f}" {size} fill="{FILL[box.kind]}" stroke="#555555"/>'
    texts = [f'<text x="{x + 10:.0f}" y="{y + 19:.0f}" font-weight="bold" fill="#111111">{escape(box.title)}</text>']
    texts += [
        f'<text x="{x + 10:.0f}" y="{y + 37 + 16 * i:.0f}" fill="#222222">{escape(line)}</text>'
        for i, line in enumerate(box.lines)
    ]
    if box.visit is not None:
        texts.append(
            f'<text x="{x + WIDTH - 8:.0f}" y="{y + 19:.0f}" text-anchor="end" fill="#7a3e00">'
            f"visit {box.visit + 1}</text>"
        )
    return frame + "".join(texts)
