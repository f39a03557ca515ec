"""Pages to read: each student's feedback, and the class's report. They hold all they need and ask for nothing."""

from __future__ import annotations

import html

from tito import leaks
from tito.course import Course
from tito.grading import report
from tito.plain import plain

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; color: #1b1b1b; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2rem; } h3 { font-size: 1rem; margin-bottom: .3rem; }
table { border-collapse: collapse; } th, td { text-align: left; padding: .2rem .8rem .2rem 0; vertical-align: top; }
th { border-bottom: 1px solid #888; } td.n { text-align: right; }
pre { background: #f4f4f4; padding: .6rem .8rem; white-space: pre-wrap; overflow-wrap: anywhere; }
.says { border-left: 4px solid #0b62a3; padding-left: .8rem; }
@media (prefers-color-scheme: dark) { body { background: #181818; color: #e6e6e6; } pre { background: #262626; } }
"""


def page(title: str, body: str) -> str:
    rules = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{rules}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{safe(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )


def safe(text: object) -> str:
    """Text that may come from a student: escaped, and without characters that hide or turn others."""
    return html.escape(plain(str(text)))


def student(course: Course, marks: dict, secret: dict[str, str]) -> str:
    """A student's feedback, in which no `secret` line, one of a solution, is whole."""
    title = f"{course.settings['course']['title']}: {marks['name']}"
    points = "Not graded yet" if marks["error"] else f"{marks['points']:g} of {marks['possible']:g} points"
    body = [f"<h1>{safe(title)}</h1>\n<p>{points}</p>\n"]
    if marks["error"]:
        body.append("<p>Something kept this submission from being graded. Ask whoever grades it.</p>\n")
    body += [f"<p>Note: {safe(remark)}.</p>\n" for remark in marks["remarks"]]
    return page(title, "".join(body + [_chapter(chapter, secret) for chapter in marks["modules"]]))


def _chapter(chapter: dict, secret: dict[str, str]) -> str:
    points = f"{chapter['points']:g} of {chapter['possible']:g}"
    head = f"<h2>{safe(chapter['module'])}: {safe(chapter['title'])}, {points}</h2>\n"
    if not chapter["file"]:
        return head + "<p>Not handed in.</p>\n"
    remarks = "".join(f"<p>Note: {safe(remark)}.</p>\n" for remark in chapter["remarks"])
    rows = [
        [e["title"] or e["name"], e["state"], f"{e['points']:g} of {e['possible']:g}"] for e in chapter["exercises"]
    ]
    failures = [e["failure"] for e in chapter["exercises"] if e["failure"]]
    broken = next((f for f in failures if f["kind"] == "import"), None)
    if broken:
        line = f", line {broken['line']}" if broken["line"] else ""
        why = safe(leaks.shortened(broken["actual"], secret))
        told = f"<p>The file could not be run, so no test was reached{line}:</p>\n<pre>{why}</pre>\n"
    else:
        told = "".join(_feedback(e, secret) for e in chapter["exercises"] if e["state"] == "failing")
    return f"{head}<p>Graded: {safe(chapter['file'])}</p>\n{remarks}{_table(['Exercise', '', 'Points'], rows)}{told}"


def _feedback(exercise: dict, secret: dict[str, str]) -> str:
    """What was tried, what came out, what was expected; in the words of `tito test`."""
    failure = exercise["failure"]
    lines = []
    for label, key in (("tried", "call"), ("gave", "actual"), ("expected", "expected"), ("", "reason")):
        if failure[key]:
            lines.append(f"{label:<9} " + failure[key].replace("\n", "\n" + " " * 10))
    if failure["line"]:
        lines.append(f"{'raised at':<9} line {failure['line']}")
    says = f'<p class="says">{safe(leaks.shortened(exercise["says"], secret))}</p>\n' if exercise["says"] else ""
    needs = f"<p>It needs {safe(failure['needs'])}, which is still to do.</p>\n" if failure["needs"] else ""
    if exercise["rests_on"]:
        needs = f"<p>It rests on {safe(exercise['rests_on'])}, which fails: that first, and this may pass.</p>\n"
    head = f"<h3>{safe(exercise['title'] or exercise['name'])}</h3>\n"
    return head + "<pre>" + safe(leaks.shortened("\n".join(lines), secret)) + f"</pre>\n{needs}{says}"


def _table(titles: list[str], rows: list[list]) -> str:
    head = "".join(f"<th>{safe(t)}</th>" for t in titles)
    lines = ["".join(f"<td{_number(c)}>{safe(c)}</td>" for c in row) for row in rows]
    return f"<table>\n<tr>{head}</tr>\n" + "".join(f"<tr>{line}</tr>\n" for line in lines) + "</table>\n"


def _number(cell: object) -> str:
    return ' class="n"' if isinstance(cell, int | float) else ""


def class_page(course: Course, grades: dict) -> str:
    """The class's report as a page."""
    title = f"{course.settings['course']['title']}: the class"
    body = [f"<h1>{safe(title)}</h1>\n"]
    for module, chapter in report.of_class(grades).items():
        body.append(_class_chapter(module, chapter))
    return page(title, "".join(body))


def _class_chapter(module: str, chapter: dict) -> str:
    count = chapter["handed_in"]
    summary = f"{count} of {chapter['students']} handed in; mean {chapter['mean']:g} of {chapter['possible']:g} points."
    titles = ["Exercise", "Pass", "", "Failing", "To do", "Stalled here"]
    rows, met, logged = [], [], []
    for name, e in chapter["exercises"].items():
        states, share = e["states"], f"{report.passing(e) / count:.0%}" if count else ""
        numbers = [states.get("failing", 0), states.get("to do", 0), e["stalled"]]
        rows.append([e["title"] or name, report.passing(e), share, *numbers])
        met += [[n, name, what, ""] for what, n in e["mistakes"].items()]
        met += [[n, name, "unknown; at", call] for call, n in e["checks"].items()]
        logged += [[name, e["tries"], e["hints"]]] if e["tries"] or e["hints"] else []
    met.sort(key=lambda row: (-row[0], *row[1:]))
    text = f"<h2>{safe(module)}</h2>\n<p>{summary}</p>\n{_table(titles, rows)}"
    if met:
        text += f"<h3>Mistakes met</h3>\n{_table(['Students', 'Exercise', 'Mistake', 'Check'], met)}"
    if logged:
        text += f"<h3>From {report.whose_logs(chapter)}</h3>\n"
        text += _table(["Exercise", "Tests that failed", "Hints"], logged)
    return text
