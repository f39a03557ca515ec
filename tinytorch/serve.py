"""Serves the version that a registry has in use: python -m tinytorch.serve REGISTRY."""

import argparse
import contextlib
import sys
import threading

EXAMPLES = """\
  python -m tinytorch.serve registry                answer on http://127.0.0.1:8000
  python -m tinytorch.serve registry --log          what was promoted, and when
  python -m tinytorch.serve registry --promote v3   bring v3 into use; a server that runs goes over to it
  python -m tinytorch.serve registry --rollback     bring back what was in use before

  curl 127.0.0.1:8000/health
  curl 127.0.0.1:8000/predict -d '{"inputs": [[0.5, 0.25]]}'

Exit status: 0 all went well, 1 it did not, 2 the command was wrong."""


def arguments(given=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tinytorch.serve",
        description="Serve the version that a registry has in use, or change which one that is.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("registry", help="the registry's directory")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1: this machine alone)")
    parser.add_argument("--port", type=int, default=8000, help="0 takes one that is free (8000)")
    parser.add_argument("--candidate", metavar="VERSION", help="a version that runs beside the one in use")
    parser.add_argument("--canary", metavar="FRACTION", type=float,
                        help="let the candidate answer this part of the requests; else it is a shadow")  # fmt: skip
    parser.add_argument("--queue", metavar="N", type=int, default=32, help="requests that may wait; more get 503 (32)")
    change = parser.add_mutually_exclusive_group()
    change.add_argument("--log", action="store_true", help="print every promotion, and end")
    change.add_argument("--promote", metavar="VERSION", help="bring a version into use, and end")
    change.add_argument("--rollback", action="store_true", help="bring back what was in use before, and end")
    options = parser.parse_args(given)
    if options.canary is not None and options.candidate is None:
        parser.error("--canary needs to know which version: --candidate VERSION")
    if options.queue < 1:
        parser.error(f"--queue is {options.queue}, but it has to be at least 1")
    return options


def main(given=None) -> int:
    """Serve, or change what is in use; the exit status."""
    options = arguments(given)
    try:
        from tinytorch.core.mlops import RegistryError
    except ImportError as error:
        return failed(f"the chapter mlops cannot be imported: {error}.")
    try:
        return serve_or_change(options)
    except NotImplementedError as error:
        return failed(f"the chapter mlops has to be finished first: {error} is to do.")
    except (RegistryError, ImportError, OSError, ValueError) as error:
        return failed(str(error))


def failed(reason: str) -> int:
    print(f"tinytorch.serve: {reason}", file=sys.stderr)
    return 1


def serve_or_change(options: argparse.Namespace) -> int:
    from pathlib import Path

    from tinytorch.core.mlops import Registry

    if not Path(options.registry, "versions").is_dir():
        return failed(
            f"{options.registry} is no registry. Make one with tinytorch.core.mlops.Registry, and promote a version."
        )
    registry = Registry(options.registry)
    if options.log:
        print(*registry.log(), sep="\n")
    elif options.promote:
        registry.promote(options.promote)
        print(f"in use: {options.promote}")
    elif options.rollback:
        print(f"in use: {registry.rollback()}")
    else:
        return serve(registry, options)
    return 0


def serve(registry, options: argparse.Namespace) -> int:
    """Answer until somebody ends it; where it listens stands in the first line that is printed."""
    from tinytorch.core.mlops import create_app

    mode = "shadow" if options.canary is None else "canary"
    app = create_app(registry, options.candidate, mode, options.canary or 0.0, queue_size=options.queue)
    import uvicorn

    server = uvicorn.Server(bounded(app, most_connections(), host=options.host, port=options.port))
    threading.Thread(target=tell, args=(server, registry), daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt, SystemExit):  # uvicorn ends the program where it cannot begin
        server.run()
    if server.started:
        return 0
    return failed(f"nobody can listen on {options.host}:{options.port}. Choose another --port; 0 takes a free one.")


def most_connections(wanted: int = 1000) -> int:
    """How many connections this process may keep: as many as wanted, but half of the files that it may have open.

    The other half is for the registry, and for connections that are being opened or closed.
    """
    try:
        import resource
    except ImportError:
        return 250  # Windows waits for 512 at once
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    if soft < 2 * wanted:
        soft = 2 * wanted if hard == resource.RLIM_INFINITY else max(soft, min(hard, 2 * wanted))
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return min(wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)


def bounded(app, most: int, **where):
    """uvicorn's settings for an application that keeps at most so many connections."""
    import uvicorn

    # As many as `backlog` may be accepted before the first of them is counted.
    return uvicorn.Config(app, http=limited(most), backlog=max(most // 4, 1), log_level="warning", **where)


def limited(most: int) -> type:
    """uvicorn's protocol for HTTP with at most so many connections.

    One more takes the place of the one that has gone longest without a finished answer: somebody who says nothing, or
    sends a byte a second. So whoever comes is heard, the question for /health too.

    It is the protocol of h11, which ends a head that is longer than 64 kB;
    httptools, where it is installed, would keep it all.
    """
    from uvicorn.protocols.http.h11_impl import H11Protocol

    waiting = {}  # connections in the order of their last finished answer, or of their beginning

    class Limited(H11Protocol):
        def connection_made(self, transport):
            super().connection_made(transport)
            waiting[self] = None
            if len(waiting) > most:
                longest = next(iter(waiting))
                del waiting[longest]
                longest.transport.abort()

        def on_response_complete(self):
            super().on_response_complete()
            if self in waiting:
                del waiting[self]
                waiting[self] = None

        def connection_lost(self, error):
            waiting.pop(self, None)
            super().connection_lost(error)

    return Limited


def tell(server, registry) -> None:
    """Print the address once it is known."""
    while not server.started and not server.should_exit:
        threading.Event().wait(0.01)
    if server.started:
        host, port = server.servers[0].sockets[0].getsockname()[:2]
        print(f"serving {registry.promoted()} on http://{host}:{port}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
