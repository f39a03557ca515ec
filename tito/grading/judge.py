"""Decides the marks: the reference's test cells, the values that a student's process sends, the verdict here.

`Exam.prepare` runs the reference once, in the same kind of process as a student's, for what is expected.
`Exam.mark` runs a student's chapter and compares, with the comparison of `tinytorch.testing`.
"""

from __future__ import annotations

import ast
import base64
import importlib.util
import json
import shutil
import sys
import threading
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tito import workspace
from tito.chapter import Chapter, Test, without_hidden
from tito.course import Course, Module
from tito.errors import CourseError
from tito.grading import cells, sandbox, wire
from tito.grading.supervise import Allowance, TestRun, Transcript, short, supervise
from tito.plain import plain

SECONDS_AFTER_ONE_RAN_OUT = 10  # what the others wait for is most often the same loop
PARTS = ("__init__.py", "chapter.py", "errors.py", "plain.py", "grading")  # of tito, that a worker runs
CHECK_FAILED = "CheckFailed"
HELD_BACK = "a check that is held back did not hold"
MOST_SHOWN = 400  # values in a value, and characters of its text


@dataclass
class Question:
    """A test cell taken apart, and what the reference sends."""

    name: str
    exercise: str
    points: float
    split: cells.Split
    answers: list[dict] = field(default_factory=list)  # the reference's messages, decoded

    def call_in(self, line: int) -> tuple[str, str]:
        """What a line of the student's edition calls, and what a check there expects."""
        for node in ast.walk(ast.parse(self.split.student)):
            if isinstance(node, ast.stmt) and not hasattr(node, "body") and node.lineno <= line <= node.end_lineno:
                call = getattr(node, "value", None)
                if getattr(getattr(call, "func", None), "id", "") not in cells.CHECKS:
                    return ast.unparse(node), ""
                check = self.split.checks[call.args[0].value]
                return check.call, check.expected
        return "", ""


@dataclass
class Exam:
    """A chapter's tests, ready to be put to students' chapters."""

    course: Course
    module: Module
    stage: Path
    locked: bool = True
    questions: list[Question] = field(default_factory=list)  # the test cells as students have them
    held_back: list[Question] = field(default_factory=list)  # those that hold more, with all they hold
    lacks: dict[str, str] = field(default_factory=dict)
    over: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def prepare(cls, course: Course, module: Module, directory: Path, over: threading.Event, locked=True) -> Exam:
        exam = cls(course, module, directory / module.name, locked, over=over)
        chapter = exam.chapter
        if missing := workspace.unsolved(chapter):
            raise CourseError(
                f"{chapter.path} holds no solution of {', '.join(sorted(missing))}: grading needs the course with them."
            )
        build_stage(course, module, exam.stage)
        own = cells.defined_names(chapter)
        for test in chapter.tests:
            handed_out = without_hidden(test.cell.source, test.name)
            exam.questions.append(exam._question(test, handed_out, own))
            if handed_out != test.cell.source:
                exam.held_back.append(exam._question(test, test.cell.source, own))
        exam._ask_reference(exam.questions)
        if exam.held_back:
            exam._ask_reference(exam.held_back)
        return exam

    def _question(self, test: Test, source: str, own: set[str]) -> Question:
        try:
            question = Question(test.name, test.exercise, test.points, cells.split(source, own))
            cells.refuse_given_away(source, own)
            return question
        except cells.NotSeparable as error:
            line = test.cell.first + error.line - 1
            raise CourseError(f"{self.chapter.path}:{line}: {test.name}: {error}") from error

    @cached_property
    def chapter(self) -> Chapter:
        return workspace.reference_chapter(self.course, self.module)

    @cached_property
    def testing(self):
        """The course's `tinytorch.testing`, for its comparison."""
        spec = importlib.util.spec_from_file_location("_course_testing", self.course.package / "testing.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    @cached_property
    def key(self) -> str:
        """What a mark depends on besides the submission."""
        import numpy

        files = sorted(p for p in self.stage.rglob("*.py") if p.is_file())
        texts = [p.relative_to(self.stage).as_posix() + "\0" + p.read_text(encoding="utf-8") for p in files]
        texts += earlier_chapters(self.course, self.module).values()
        machine = [sys.version, numpy.__version__, json.dumps(self._limits), json.dumps(self.lacks, sort_keys=True)]
        own = [p.read_text(encoding="utf-8") for p in sorted(Path(__file__).parent.glob("*.py"))]
        return workspace.fingerprint("\0".join([self.chapter.text, *machine, *texts, *own]))

    @property
    def possible(self) -> float:
        return sum(q.points for q in self.questions)

    @property
    def seconds(self) -> int:
        """What a student's chapter may take, all its copies and all its tests together; held-back ones once more."""
        return self._limits["chapter_seconds"]

    def mark(self, content: bytes, name: str, allowance: Allowance) -> dict:
        """Run a student's file and decide on every test, as students have them."""
        transcript = self._run(self.questions, content, name, allowance)
        verdicts = {q.name: self._verdict(q, transcript) for q in self.questions}
        return {"file": name, "verdicts": verdicts, "remarks": _remarks(transcript), "runs": not transcript.broken}

    def look_behind(self, marked: dict, content: bytes, allowance: Allowance) -> None:
        """Let tests fail whose held-back checks do.

        They are run apart from the others and after all of them, in time of their own, and nothing that is said there
        is passed on: the code that met them could tell of them.
        """
        if not self.held_back or not marked["runs"]:
            return
        transcript, verdicts = self._run(self.held_back, content, marked["file"], allowance), marked["verdicts"]
        for question in self.held_back:
            failure = self._failure(question, transcript)
            if failure and verdicts[question.name]["passed"]:
                told = untold("check", "", "") | {"reason": HELD_BACK}
                verdicts[question.name] |= {"passed": False, "failure": told, "held_back": failure}

    def _job(self, questions: list[Question], content: bytes, notebook: bool, reference: bool) -> dict:
        tests = [
            {
                "name": q.name,
                "source": q.split.reference if reference else q.split.student,
                "messages": 100_000 if reference else len(q.answers),
            }
            for q in questions
        ]
        return {
            "module": f"{self.course.package.name}.core.{self.module.name}",
            "path": f"{self.module.name}_dev.py",
            "content": base64.b64encode(content).decode(),
            "notebook": notebook,
            "reference": reference,
            "imports": self._imports(questions),
            "tests": tests,
            "stage": str(self.stage),
            "locked": self.locked,
            "lacks": None if reference else self.lacks,
            "readable": [*interpreter_folders(), str(self.stage)],
            "memory_mb": self._limits["memory_mb"],
            "cpu_seconds": self.seconds + 5,  # never what is left: that would tell of other processes
        }

    @cached_property
    def _limits(self) -> dict[str, int]:
        number = self.course.number
        return {
            "seconds": number("limits", "test_seconds"),
            "chapter_seconds": number("limits", "chapter_seconds"),
            "memory_mb": number("limits", "grading_memory_mb"),
        }

    def _imports(self, questions: list[Question]) -> list[str]:
        """The chapter's import cells, of whose lines those alone that a test uses."""
        used = set().union(*(cells.names(ast.parse(q.split.reference)) for q in questions))
        lines = [node for cell in self.chapter.import_cells for node in ast.parse(cell.source).body]
        bound = [({a.asname or a.name.partition(".")[0] for a in node.names}, node) for node in lines]
        return [ast.unparse(node) for names, node in bound if names & (used | {"*"})]

    def _run(self, questions: list[Question], content: bytes, name: str, allowance: Allowance) -> Transcript:
        """Run the tests; one that ends its process does not keep the others from being run, in another."""
        seconds = self._limits["seconds"]
        job = self._job(questions, content, name.lower().endswith(".ipynb"), reference=False)
        whole: Transcript | None = None
        while True:
            transcript = supervise(job, seconds, allowance)
            self._still_locked(transcript)
            whole = transcript if whole is None else _joined(whole, transcript)
            job["tests"] = [test for test in job["tests"] if test["name"] not in transcript.tests]
            if not job["tests"] or not transcript.tests or allowance.left <= 0:
                return whole
            ran_out = any(run.kind == "time" for run in transcript.tests.values())
            seconds = min(seconds, SECONDS_AFTER_ONE_RAN_OUT) if ran_out else seconds

    def _still_locked(self, transcript: Transcript) -> None:
        if transcript.lacks != self.lacks:
            raise CourseError(f"a worker could not be locked up as before: {transcript.lacks or transcript.stopped}.")

    def _ask_reference(self, questions: list[Question]) -> None:
        job = self._job(questions, self.chapter.text.encode(), notebook=False, reference=True)
        transcript = supervise(job, self._limits["seconds"], Allowance(self.seconds, self.over), keep_errors=True)
        self.lacks = transcript.lacks
        if transcript.broken or not transcript.imported:
            why = transcript.broken["message"] if transcript.broken else transcript.stopped + "\n" + transcript.errors
            raise CourseError(f"{self.chapter.path}: the reference itself could not be run: {why.strip()}")
        for question in questions:
            question.answers = list(map(_decoded, transcript.tests.get(question.name, TestRun()).messages))
            verdict = self._verdict(question, transcript)
            if not verdict["passed"]:
                failure = verdict["failure"]
                raise CourseError(
                    f"{self.chapter.path}: the reference does not pass its own {question.name}: {failure['call']}\n"
                    f"  gave {failure['actual']}, expected {failure['expected']}. {failure['reason']}"
                )

    def _verdict(self, question: Question, transcript: Transcript) -> dict:
        failure = self._failure(question, transcript)
        return {"passed": failure is None, "points": question.points, "failure": failure}

    def _failure(self, question: Question, transcript: Transcript) -> dict | None:
        """Why a test did not pass: the first check that does not hold, or what kept a check from being reached."""
        if transcript.broken:
            return raised(transcript.broken, "", "") | {"kind": "import"}
        run = transcript.tests.get(question.name)
        if run is None:
            return untold(transcript.kind, transcript.stopped or "the test was not run", "")
        for answer, message in zip(question.answers, run.messages, strict=False):
            failure = self._difference(question, answer, message)
            if failure:
                return failure
        if run.failure:
            return self._raised(question, run)
        if run.stopped:
            return untold(run.kind, run.stopped, _next_call(question, len(run.messages)))
        if len(run.messages) != len(question.answers):
            reached = f"{len(run.messages)} of the test's {len(question.answers)} checks were reached"
            return untold("error", reached, _next_call(question, len(run.messages)))
        return None

    def _difference(self, question: Question, answer: dict, message: dict) -> dict | None:
        check = question.split.checks[answer["number"]]
        if (message.get("event"), message.get("number")) != (answer["event"], answer["number"]):
            return untold("error", "the test's checks were not reached in their order", check.call)
        try:
            given = _decoded(message)
        except wire.BadMessage as error:
            return untold("error", f"the value could not be read: {error}", check.call)
        if check.raises:
            return self._other_error(check, answer, given["raised"])
        expected = given["expected"] if check.own else answer["expected"]
        reason = self._compare(given["actual"], expected, answer["rtol"], answer["atol"])
        if reason is None:
            return None
        return failed(check.call, self._shown(given["actual"]), self._shown(expected), reason)

    def _shown(self, value) -> str:
        return self.testing.shown(first_of(value, [MOST_SHOWN]), MOST_SHOWN)

    def _compare(self, actual, expected, rtol: float, atol: float) -> str | None:
        """None where the two agree, else what differs."""
        import warnings

        if isinstance(expected, dict) and isinstance(actual, dict) and list(actual) == list(expected):
            pairs = ((key, self._compare(actual[key], value, rtol, atol)) for key, value in expected.items())
            return next((f"{key!r}: {reason or 'it differs'}" for key, reason in pairs if reason is not None), None)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return self.testing._difference(actual, expected, rtol, atol)
        except Exception:  # values that NumPy will not compare
            return "the value differs"

    def _other_error(self, check: cells.Check, answer: dict, given: dict) -> dict | None:
        wanted = " or ".join(name.rpartition(".")[2] for name in answer["errors"])
        match = answer["match"]
        wanted = f"{wanted} with {match!r} in its message" if match else wanted
        if "kinds" not in given:
            return failed(check.call, self._shown(given["value"]), wanted, "nothing was raised")
        actual = f"{given['kinds'][0].rpartition('.')[2]}: {short(given['message'])}"
        if not set(given["kinds"]) & set(answer["errors"]):
            return failed(check.call, actual, wanted, "another error was raised")
        return None if match in given["message"] else failed(check.call, actual, wanted, "the message differs")

    def _raised(self, question: Question, run: TestRun) -> dict:
        """The failure of a test that an exception ended: in the first check on its way, or else in the last line."""
        calls = [question.call_in(line) for line in run.failure["test_lines"]]
        checks = [(call, expected) for call, expected in calls if expected]
        return raised(run.failure, *next(iter(checks + calls[::-1]), ("", "")))


class InOrder(list):
    """A set's items, in an order that no hash decides."""

    def __init__(self, value):
        numbers = sorted(item for item in value if isinstance(item, int | float))
        super().__init__(numbers + sorted((i for i in value if not isinstance(i, int | float)), key=repr))
        self.form = "{%s}" if type(value) is set else "frozenset({%s})"

    def __repr__(self):
        return self.form % ", ".join(map(repr, self))


def first_of(value, room: list[int]):
    """So much of a value as has room, where more would not be shown."""
    room[0] -= 1
    if type(value) in (set, frozenset):
        return InOrder(value) if value else value
    if type(value) is dict:
        return {key: first_of(item, room) for key, item in value.items() if room[0] >= 0}
    if type(value) in (list, tuple):
        return type(value)(first_of(item, room) for item in value if room[0] >= 0)
    if isinstance(value, wire.Record):
        return wire.Record(value.name, first_of(value.fields, room))
    return value


def failed(call: str, actual: str, expected: str, reason: str) -> dict:
    """The failure of a check."""
    found = {"kind": "check", "type": CHECK_FAILED, "message": "", "call": call, "actual": wire.steady(plain(actual))}
    return found | {"expected": plain(expected), "reason": plain(reason)[:MOST_SHOWN], "needs": "", "line": 0}


def untold(kind: str, said: str, call: str) -> dict:
    """The failure of a test whose process could not tell it."""
    found = {"kind": kind, "type": "", "message": said, "call": call, "actual": said}
    return found | {"expected": "", "reason": "", "needs": "", "line": 0}


def raised(told: dict, call: str, expected: str) -> dict:
    kind = "to do" if told["needs"] else "memory" if told["memory"] else "error"
    actual = f"{told['type']}: {told['message']}".rstrip(": ")
    found = {"kind": kind, "type": told["type"], "message": told["message"], "call": call, "actual": actual}
    return found | {"expected": expected, "reason": "", "needs": told["needs"], "line": told["line"]}


def _next_call(question: Question, reached: int) -> str:
    answers = question.answers
    return question.split.checks[answers[reached]["number"]].call if reached < len(answers) else ""


def _decoded(message: dict) -> dict:
    """A message with its values decoded, or `BadMessage`."""
    if message["event"] == "check":
        values = {key: wire.decode(message.get(key)) for key in ("actual", "expected")}
        return message | values
    found = message.get("raised")
    if not isinstance(found, dict):
        raise wire.BadMessage("no word on what was raised")
    if "kinds" not in found:
        return message | {"raised": {"value": wire.decode(found.get("value"))}}
    kinds, text = found["kinds"], found.get("message")
    if not (isinstance(kinds, list) and kinds and all(isinstance(k, str) for k in kinds) and isinstance(text, str)):
        raise wire.BadMessage("an error has no name")
    return message | {"raised": {"kinds": [plain(k[:300]) for k in kinds[:20]], "message": plain(text[:4000])}}


def _joined(one: Transcript, two: Transcript) -> Transcript:
    """The transcript of two workers, the second of which ran what the first left."""
    one.tests |= two.tests
    one.stopped, one.kind = two.stopped, two.kind
    return one


def _remarks(transcript: Transcript) -> list[str]:
    return ["no cell is marked `#| export`: the whole file was run"] if transcript.everything else []


def build_stage(course: Course, module: Module, stage: Path) -> None:
    """What a worker may read: its own code, and the package with the reference's earlier chapters alone.

    These are there as compiled code: it can be run, and is no text that an error message could carry out.
    """
    import compileall
    import py_compile

    core = stage / course.package.name / "core"
    for file in course.package.rglob("*.py"):
        parts = file.relative_to(course.package.parent).parts
        if not any(part.startswith((".", "__pycache__")) for part in parts):
            _copy(file, stage.joinpath(*parts))
    chapters = {m.name for m in course.every_module}
    for file in core.glob("*.py"):
        if file.stem in chapters:
            file.unlink()
    for name, text in earlier_chapters(course, module).items():
        source = core / f"{name}.py"
        source.write_text(text, encoding="utf-8")
        py_compile.compile(str(source), str(source.with_suffix(".pyc")), f"{course.package.name}/core/{name}.py")
        source.unlink()
    for file in data_files(course.package):
        _copy(file, stage / file.relative_to(course.package.parent))
    own = Path(__file__).resolve().parent.parent
    for part in PARTS:
        for file in [own / part] if (own / part).is_file() else (own / part).glob("*.py"):
            _copy(file, stage / "tito" / file.relative_to(own))
    compileall.compile_dir(stage, quiet=2, workers=1)


def earlier_chapters(course: Course, module: Module) -> dict[str, str]:
    """What the reference's earlier chapters export."""
    earlier = {m: workspace.reference_chapter(course, m) for m in course.before(module)}
    return {m.name: workspace.cached_export(course, m, chapter) for m, chapter in earlier.items()}


def data_files(package: Path) -> list[Path]:
    """What of the package is not code: data sets."""
    files = (p for p in package.rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc"))
    return [p for p in files if not any(part.startswith(".") for part in p.relative_to(package).parts)]


def _copy(file: Path, copy: Path) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, copy)


def interpreter_folders() -> list[str]:
    """Where Python and its packages are."""
    import site
    import sysconfig

    paths = sysconfig.get_paths()
    folders = {sys.prefix, sys.base_prefix, sys.exec_prefix, *site.getsitepackages()}
    folders |= {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return sorted({str(Path(folder).resolve()) for folder in folders} | folders)


def exposed(paths: list[Path]) -> list[str]:
    """What a worker could read although it must not, because it lies among Python's own files."""
    open_to_all = [Path(folder) for folder in (*interpreter_folders(), *sandbox.SYSTEM)]
    found = [str(p) for p in paths for folder in open_to_all if p.resolve().is_relative_to(folder)]
    installed = [core.parent for folder in open_to_all for place in PLACES for core in folder.glob(f"{place}/core")]
    return sorted({*found, *map(str, installed)})


# Where, below a folder that workers can read, the package may be installed: another Python's packages are open, too.
PLACES = (
    "tinytorch",
    *(
        f"{above}{lib}/{python}/{packages}/tinytorch"
        for above in ("", "local/")
        for lib in ("lib", "lib64")
        for python in ("python3", "python3.*")
        for packages in ("site-packages", "dist-packages")
    ),
)
