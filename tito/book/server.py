"""Shows a site on this machine, compressed as web servers send it."""

from __future__ import annotations

import contextlib
import functools
import gzip
import io
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TEXT = (".html", ".css", ".js", ".json", ".svg", ".txt")


@functools.lru_cache(maxsize=256)
def compressed(file: Path, changed: int) -> bytes:
    """A file as it is sent; `changed` is when it was written, so that a newer one is read anew."""
    return gzip.compress(file.read_bytes(), mtime=0)


class Handler(SimpleHTTPRequestHandler):
    """Files, those of text compressed where the browser takes that."""

    def send_head(self):
        file = Path(self.translate_path(self.path))
        if file.suffix not in TEXT or not file.is_file() or "gzip" not in self.headers.get("Accept-Encoding", ""):
            return super().send_head()
        packed = compressed(file, file.stat().st_mtime_ns)
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", self.guess_type(str(file)))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(packed)))
        self.end_headers()
        return io.BytesIO(packed)

    def log_message(self, *arguments):
        pass  # each picture of each page would be a line


def make(site: Path, port: int) -> ThreadingHTTPServer:
    return ThreadingHTTPServer(("127.0.0.1", port), functools.partial(Handler, directory=str(site)))


def serve(site: Path, port: int, say) -> None:
    """Serve until interrupted; `say` is told the address."""
    with make(site, port) as server, contextlib.suppress(KeyboardInterrupt):
        say(f"http://127.0.0.1:{server.server_port}/")
        server.serve_forever()
