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

    server = uvicorn.Server(uvicorn.Config(app, host=options.host, port=options.port, log_level="warning"))
    threading.Thread(target=tell, args=(server, registry), daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt, SystemExit):  # uvicorn ends the program where it cannot begin
        server.run()
    if server.started:
        return 0
    return failed(f"nobody can listen on {options.host}:{options.port}. Choose another --port; 0 takes a free one.")


def tell(server, registry) -> None:
    """Print the address once it is known."""
    while not server.started and not server.should_exit:
        threading.Event().wait(0.01)
    if server.started:
        host, port = server.servers[0].sockets[0].getsockname()[:2]
        print(f"serving {registry.promoted()} on http://{host}:{port}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
