"""The API reference: one page a chapter, from the docstrings of what it exports."""

from __future__ import annotations

import importlib
import inspect

from tito.course import Course, Module


def index(course: Course, page_of) -> str:
    """The page that lists the modules."""
    rows = [
        f"- [`{full_name(course, m)}`](api/{m.name}.md), from [{m.title}]({page_of(m.name)})" for m in course.modules
    ]
    return (
        "# API reference\n\nWhat each chapter exports, with its docstrings. The library needs NumPy alone.\n\n"
        + "\n".join(rows)
        + "\n"
    )


def page(course: Course, module: Module) -> str:
    """One module's classes, and then its functions, each in the order of the chapter."""
    name = full_name(course, module)
    loaded = importlib.import_module(name)
    classes, functions = [], []
    for public in loaded.__all__:
        found = getattr(loaded, public, None)
        if getattr(found, "__module__", "") != name or not inspect.getdoc(found):
            continue
        if inspect.isclass(found):
            classes += [f".. autoclass:: {name}.{public}", "   :members:", "   :member-order: bysource", ""]
        elif callable(found):
            functions += [f".. autofunction:: {name}.{public}", ""]
    lines = "\n".join(classes + functions)
    return f"# {module.title}\n\n```{{eval-rst}}\n.. py:module:: {name}\n\n{lines}```\n"


def full_name(course: Course, module: Module) -> str:
    return f"{course.package.name}.core.{module.name}"
