"""Single keys from the terminal, which is put back however we end."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator

END = "end"  # of the input; all else are letters
AGAIN = "again"  # the terminal is ours again, after ctrl-z

SEQUENCE = re.compile(r"\x1b(\[[0-9;]*[@-~]|O.|.)?")  # arrows and the like: an escape and letters

Put = Callable[[str], None]


def on_a_terminal() -> bool:
    """Whether there is somebody to press keys, and a screen to draw on."""
    streams = (sys.stdin, sys.stdout)
    return all(s is not None and s.isatty() for s in streams) and os.environ.get("TERM") != "dumb"


@contextlib.contextmanager
def keys(put: Put) -> Iterator[None]:
    """Call `put` with each key that is pressed; where nobody presses keys, with the end of the input."""
    if not on_a_terminal():
        _begin(_until_the_end, put)
        yield
    elif os.name == "nt":
        _begin(_windows_keys, put)
        yield
    else:
        with _key_by_key(put):
            _begin(_posix_keys, put)
            yield


def _begin(read: Callable[[Put], None], put: Put) -> None:
    threading.Thread(target=read, args=(put,), daemon=True).start()


def _until_the_end(put: Put) -> None:
    with contextlib.suppress(OSError, ValueError):
        while sys.stdin is not None and os.read(sys.stdin.fileno(), 1000):
            pass
    put(END)


def _posix_keys(put: Put) -> None:
    while True:
        try:
            pressed = os.read(sys.stdin.fileno(), 100).decode("utf-8", "ignore")
        except OSError:
            pressed = ""
        if pressed in ("", "\x04"):  # the terminal is gone, or ctrl-d
            put(END)
            return
        for key in SEQUENCE.sub("", pressed).lower():
            put(key)


def _windows_keys(put: Put) -> None:
    import msvcrt

    while True:
        key = msvcrt.getwch()
        if key in "\x00\xe0":  # arrows and the like: a second part follows
            msvcrt.getwch()
        elif key in "\x03\x04\x1a":  # ctrl-c, ctrl-d, ctrl-z
            put(END)
            return
        else:
            put(key.lower())


@contextlib.contextmanager
def _key_by_key(put: Put) -> Iterator[None]:
    """Have the terminal hand over keys at once, without showing them."""
    import termios
    import tty

    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)

    def resume(number, frame):
        with contextlib.suppress(OSError, termios.error):
            if os.tcgetpgrp(terminal) == os.getpgrp():
                tty.setcbreak(terminal, termios.TCSANOW)
                put(AGAIN)

    def end(number, frame):
        raise SystemExit(128 + number)

    handlers = {signal.SIGCONT: resume, signal.SIGTERM: end, signal.SIGHUP: end}
    earlier = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        tty.setcbreak(terminal, termios.TCSANOW)
        yield
    finally:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(terminal, termios.TCSANOW, before)
        for number, handler in earlier.items():
            signal.signal(number, handler)
