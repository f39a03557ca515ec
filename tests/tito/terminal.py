"""`tito` on a pseudo-terminal."""

import os
import select
import subprocess
import sys
import time

SECONDS = 30


class Terminal:
    """A process whose terminal we are: we see what it draws, and press its keys."""

    def __init__(self, checkout, root, *arguments, **environment):
        import termios

        self.ours, theirs = os.openpty()
        self.theirs = theirs
        self.before = termios.tcgetattr(theirs)
        variables = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
        variables |= {"PYTHONPATH": str(root), "TERM": "xterm", "COLUMNS": "120"} | environment
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tito", *arguments], cwd=checkout.root, env=variables,
            stdin=theirs, stdout=theirs, stderr=theirs, preexec_fn=lambda: os.login_tty(os.dup(theirs)),
        )  # fmt: skip
        self.text = ""  # all of it
        self.seen = 0  # how far `expect` has read

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()
        os.close(self.ours)
        os.close(self.theirs)

    def read(self, seconds):
        if select.select([self.ours], [], [], seconds)[0]:
            self.text += os.read(self.ours, 10_000).decode("utf-8", "replace")

    def expect(self, said, seconds=SECONDS):
        """Wait until this is on the screen; what was drawn since the last time."""
        end = time.monotonic() + seconds
        while said not in self.text[self.seen :]:
            assert time.monotonic() < end, f"waited for {said!r}; there was {self.text[self.seen :]!r}"
            self.read(0.1)
        begun, self.seen = self.seen, self.text.index(said, self.seen) + len(said)
        return self.text[begun : self.seen]

    def press(self, keys):
        os.write(self.ours, keys.encode())

    def end(self, seconds=SECONDS):
        """Wait until the process has ended; its exit status."""
        end = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < end, f"still there; it said {self.text[self.seen :]!r}"
            self.read(0.05)
        self.read(0.05)
        return self.process.returncode

    @property
    def screen(self):
        """What was drawn since the screen was cleared."""
        return self.text.rpartition("\x1b[1;1H")[2]

    @property
    def restored(self):
        """Whether the terminal is as we gave it away."""
        import termios

        return termios.tcgetattr(self.theirs) == self.before
