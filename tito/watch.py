"""`tito test --watch`: the chapter is tested on every save, and one exercise is shown at a time.

Keys, saves and results arrive in one queue, in the order in which they happen. A thread runs the tests; a save
gives up the run that is going, and what it would have said is never shown.
"""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from pathlib import Path

from tito import screen, suite, workspace
from tito.course import Course, Module
from tito.errors import CourseError
from tito.hints import Ladder, climb, ladder
from tito.keys import AGAIN, END, keys, on_a_terminal
from tito.process import Abandoned, Listener
from tito.runner import Outcome, Report, run

POLL = 300  # milliseconds between two looks at the file where the system tells nothing
GONE = 4  # looks at a file that is not there, after which it is said
TURN = 0.5  # seconds after which the main thread looks up, so that ctrl-c reaches it on every system


@dataclass(frozen=True)
class Event:
    """A key, a save, or what came of a run."""

    kind: str  # key, save, cells, slow, report, error, crash
    value: object = None
    run: int = 0


def watch(course: Course, module: Module, poll: bool = False) -> int:
    """Test the chapter now and on every save until it passes, or somebody leaves; exit status of the last run."""
    return Watch(course, module).until_the_end(poll)


class Watch:
    """What is being watched, what came of it last, and what is on the screen."""

    def __init__(self, course: Course, module: Module):
        self.course, self.module = course, module
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.requests: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.current = 0  # number of the run that counts
        self.running = self.listing = False
        self.leaving = self.left = False  # after the run that is going; at once
        self.text = self.stamp = None  # what the current run tests
        self.turns_without = 0  # looks at the chapter's file that found none, one after the other
        self.report: Report | None = None
        self.error = self.remark = ""
        self.chosen = ""  # the exercise that was asked for
        self.hints: Ladder | None = None
        self.passing: set[str] | None = None  # what passed when the tests could last be run
        self.solved: list[str] = []  # by the last save
        self.failed: list[str] = []  # by the last save; those that wait for one of them are not listed
        self.saves = 0
        self.drawn = on_a_terminal()

    def until_the_end(self, poll: bool) -> int:
        worker = threading.Thread(target=self._work, daemon=True)
        stop = threading.Event()
        watcher = threading.Thread(target=self._see_saves, args=(stop, poll), daemon=True)
        with keys(lambda key: self.events.put(Event("key", key))):
            worker.start()
            watcher.start()
            self._test()
            try:
                while not self._over():
                    self._take(self._next())
            except KeyboardInterrupt:
                if self.report is None:
                    raise
            finally:
                stop.set()
                self.current = -1  # gives up the run that is going, so that it leaves nothing behind
                self.requests.put(-1)
                worker.join(5)
        return 0 if self.passed else 1

    def _over(self) -> bool:
        return self.left or not self.running and (self.leaving or self.passed)

    @property
    def passed(self) -> bool:
        return self.report is not None and self.report.passed and not self.error

    def _next(self) -> Event:
        while True:
            try:
                return self.events.get(timeout=TURN)
            except queue.Empty:
                stamp = _stamp(self.module)
                self.turns_without = 0 if stamp else self.turns_without + 1
                if self.turns_without == GONE:
                    return Event("error", gone(self.module), self.current)
                if stamp and not self.running and stamp != self.stamp:
                    return Event("save")  # before the watcher began, or in the same moment as the save before

    def _take(self, event: Event) -> None:
        if event.kind == "key":
            self._key(event.value)
        elif event.kind == "save":
            self._saved()
        elif event.kind == "crash":
            raise event.value
        elif event.run == self.current:
            self._told(event)

    def _saved(self) -> None:
        self.stamp, text = _stamp(self.module), _text(self.module)
        if text is not None and not (self.running and text == self.text):
            self.saves += 1
            self._test()

    def _test(self) -> None:
        """Begin a run; the one that is going is given up."""
        self.current += 1
        self.running, self.stamp, self.text = True, _stamp(self.module), _text(self.module)
        self.requests.put(self.current)
        screen.testing(self)

    def _told(self, event: Event) -> None:
        if event.kind == "slow":
            suite.still_running(*event.value)
        elif event.kind != "error" and _text(self.module) not in (None, event.value.module.chapter.text):
            self._test()  # saved while it was running, and we have not heard of it yet
        elif event.kind == "cells":
            screen.testing(self, event.value)
        else:
            self.running, self.error, self.remark = False, "", ""
            if event.kind == "error":
                self.error = str(event.value)
            else:
                self._remember(event.value)
            screen.draw(self)

    def _remember(self, report: Report) -> None:
        suite.conclude(self.course, report)
        self.report, self.solved, self.failed = report, [], []
        if not report.broken:
            self._compare(report)
        if self.hints and (self.at_hand is None or self.at_hand.name != self.hints.exercise):
            self.hints = None

    def _compare(self, report: Report) -> None:
        """What passes now and did not before, and the other way round."""
        passing = [o.name for o in report.outcomes if o.state == "passing"]
        failing = [o.name for o in report.outcomes if o.state == "failing" and not o.needs]
        if self.passing is not None:
            self.solved = [name for name in passing if name not in self.passing]
            self.failed = [name for name in failing if name in self.passing]
        self.passing = set(passing)

    @property
    def waiting(self) -> list[Outcome]:
        """What does not pass yet; what needs another comes last."""
        return self.report.waiting if self.report else []

    @property
    def at_hand(self) -> Outcome | None:
        """The exercise that was chosen, or else the first that needs work."""
        chosen = (o for o in self.waiting if o.name == self.chosen)
        return next(chosen, None) or next(iter(self.waiting), None)

    def _key(self, key: str) -> None:
        if key == END and not self.drawn:
            self.leaving = True
        elif key in ("q", END):
            self.left = True
        elif key == "r":
            self._test()
        elif key == AGAIN:
            screen.draw(self)
        elif self.drawn and not self.running:
            self._look(key)

    def _look(self, key: str) -> None:
        """Keys that change what is shown, and test nothing."""
        was_list, self.listing, self.remark = self.listing, False, ""
        if key == "l":
            self.listing = not was_list
        elif key == "n" and self.at_hand:
            names = [o.name for o in self.waiting if not o.needs] or [o.name for o in self.waiting]
            self.chosen = names[(names.index(self.at_hand.name) + 1) % len(names)]
            self.hints, self.solved, self.failed = None, [], []
        elif key == "h" and self.at_hand:
            self._hint(self.at_hand.name)
        elif not was_list:
            return
        screen.draw(self)

    def _hint(self, exercise: str) -> None:
        try:
            found = ladder(self.course, self.module, exercise)
        except CourseError as error:
            self.remark = str(error)  # it has none, or is a test of the chapter as a whole
            return
        self.hints = found if found.at_the_top else climb(self.course, found)

    def _work(self) -> None:
        """Run what is asked for, the newest request alone, until nobody waits any more."""
        while (number := self._newest()) != -1:
            try:
                self._run(number)
                _warm()
            except Abandoned:
                continue
            except (CourseError, OSError) as error:
                self.events.put(Event("error", error, number))
            except BaseException as error:
                self.events.put(Event("crash", error))

    def _newest(self) -> int:
        number = self.requests.get()
        while not self.requests.empty():
            number = self.requests.get()
        return number

    def _run(self, number: int) -> None:
        """The chapter's tests; then, where they pass, with those of tests/name."""
        course = Course(self.course.root)
        module = Module(course.root, self.module.directory)
        if said := workspace.unreadable(course, module):
            raise CourseError(said)
        listener = Listener(
            slow=lambda test, seconds: self.events.put(Event("slow", (test, seconds), number)),
            gives_up=lambda: self.current != number,
        )
        report = run(course, module, extra=False, listener=listener)
        if report.passed:
            self.events.put(Event("cells", report, number))
            report = run(course, module, listener=listener)
        self.events.put(Event("report", report, number))

    def _see_saves(self, stop: threading.Event, poll: bool) -> None:
        """Tell of every save. The directory is watched, since many editors put a new file in the old one's place."""
        name = self.module.dev.name
        options = {"recursive": False, "step": 30, "debounce": 500, "stop_event": stop, "raise_interrupt": False}
        try:
            from watchfiles import watch as changes

            seen = changes(
                self.module.directory, watch_filter=lambda change, path: Path(path).name == name,
                force_polling=poll or None, poll_delay_ms=POLL, rust_timeout=1000, **options,
            )  # fmt: skip
            for _ in seen:
                self.events.put(Event("save"))
        except ImportError as error:
            said = f"watching needs the package {error.name}: tito doctor --fix installs it."
            self.events.put(Event("crash", CourseError(said)))
        except Exception as error:
            self.events.put(Event("crash", CourseError(_cannot_watch(self.module, error))))


def _cannot_watch(module: Module, error: Exception) -> str:
    return (
        f"{module.dev_path} cannot be watched: {error}.\n"
        f"  tito test {module.id} --watch --poll looks at the file again and again instead."
    )


def gone(module: Module) -> str:
    return (
        f"{module.dev_path} is not there any more: save it again from your editor, or\n"
        f"  tito undo {module.id} --list   what is kept of it"
    )


def _stamp(module: Module) -> tuple[int, int] | None:
    """When the chapter's file was written, and how long it is."""
    try:
        found = module.dev.stat()
        return found.st_mtime_ns, found.st_size
    except OSError:
        return None


def _text(module: Module) -> str | None:
    """What the chapter's file holds; None where it is gone, as it is for a moment while some editors save."""
    try:
        return module.dev.read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return None


def _warm() -> None:
    """Import what an export needs, while the student reads: the next save is tested at once."""
    import nbdev.export  # noqa: F401
