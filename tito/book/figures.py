"""Gives every figure that a page shows a description in words, made from what the figure says itself."""

from __future__ import annotations

LONGEST = 600


def describe() -> None:
    """In the kernel that runs: show figures sharp, each with its words as metadata."""
    from IPython import get_ipython
    from matplotlib.figure import Figure

    shell = get_ipython()
    shell.run_line_magic("matplotlib", "inline")
    shell.run_line_magic("config", "InlineBackend.figure_formats = ['retina']")
    formatter = shell.display_formatter.formatters["image/png"]
    draw = formatter.for_type(Figure)

    def with_words(figure):
        drawn = draw(figure)
        if drawn is None:
            return None
        data, metadata = drawn if isinstance(drawn, tuple) else (drawn, {})
        return data, {**metadata, "alt": words(figure)}

    formatter.for_type(Figure, with_words)


def words(figure) -> str:
    """What a figure says in titles, axes and legends."""
    title = figure.get_suptitle()
    parts = [title] if title else []
    parts += [part for axes in figure.axes if (part := _axes_words(axes))]
    text = ". ".join(dict.fromkeys(part.strip().rstrip(".") for part in parts))
    return f"{text[:LONGEST].rstrip()}." if text else "Figure."


def _axes_words(axes) -> str:
    """One picture of a figure: its title, what its axes mean, and what its legend names."""
    title = axes.get_title() or axes.get_title(loc="left")
    labels = [label for label in (axes.get_xlabel(), axes.get_ylabel()) if label]
    legend = axes.get_legend()
    names = [text.get_text() for text in legend.get_texts()] if legend else []
    parts = [title, " against ".join(reversed(labels)), f"with {', '.join(names)}" if names else ""]
    return ": ".join(part.replace("\n", " ") for part in parts if part)
