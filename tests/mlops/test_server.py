"""A real server in a process of its own: what it refuses, how it answers under load, what is left when it is killed."""

import contextlib
import http.client
import io
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from tinytorch.core.dataloader import digits_split
from tinytorch.core.layers import Module
from tinytorch.core.mlops import LAYERS, Registry, class_probabilities, create_app, load_test, serving
from tinytorch.core.networks import Sequential, create_mlp
from tinytorch.serve import main

ROOT = Path(__file__).resolve().parents[2]
DIGITS = digits_split()[1].features
BODIES = [json.dumps({"inputs": DIGITS[i : i + 1].tolist(), "key": f"user {i}"}) for i in range(100)]


def registry_in(folder, versions=3):
    registry = Registry(folder)
    for seed in range(versions):
        registry.register(create_mlp(64, [32], 10, rng=seed), DIGITS)
    registry.promote("v1")
    return registry


class Server:
    """`python -m tinytorch.serve` on a registry."""

    def __init__(self, registry, *options, files=None):
        self.registry = registry
        command = [sys.executable, "-m", "tinytorch.serve", str(registry.folder), "--port", "0", *options]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
        if files is not None:  # that may be open at once
            command = ["sh", "-c", f'ulimit -n {files} && exec "$0" "$@"', *command]
        self.process = subprocess.Popen(
            command, env=environment, encoding="utf-8", stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.first = self.process.stdout.readline()
        self.url = self.first.split()[-1] if self.first else ""

    def connection(self):
        return http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=20)

    def ask(self, body=None, method="POST", path="/predict", **headers):
        """Status, headers and JSON (or text) of an answer."""
        with contextlib.closing(self.connection()) as connection:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            content = response.read().decode()
        return (
            response.status,
            response.headers,
            json.loads(content) if "json" in response.headers["content-type"] else content,
        )

    def health(self):
        return self.ask(method="GET", path="/health")[2]

    def wait_for(self, what):
        """Ask for its health until that holds."""
        for _ in range(400):
            if what(state := self.health()):
                return state
            threading.Event().wait(0.02)
        raise AssertionError(state)

    def end(self):
        """Politely; what it said on the error stream."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT if os.name != "nt" else signal.SIGTERM)
        try:
            return self.process.communicate(timeout=20)[1]
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.communicate()[1]


@pytest.fixture
def serve():
    """Servers that are ended, however the test goes."""
    with contextlib.ExitStack() as stack:

        def begin(*arguments, **options):
            server = Server(*arguments, **options)
            stack.callback(server.end)
            return server

        yield begin


@pytest.fixture(scope="module")
def steady(tmp_path_factory):
    """One server for all tests that leave it as it is."""
    server = Server(registry_in(tmp_path_factory.mktemp("registry")))
    yield server
    said = server.end()
    assert "Traceback" not in said, said


def checker(registry):
    """Whether an answer is that of the version it names, for the inputs of BODIES."""
    truth = {name: class_probabilities(registry.load(name).model, DIGITS[:100]) for name in registry.names()}

    def right(i, answer):
        p = truth[answer["version"]][i : i + 1]
        return np.allclose(answer["probabilities"], p, atol=1e-5) and answer["classes"] == p.argmax(axis=1).tolist()

    return right


def inputs(rows):
    return json.dumps({"inputs": rows})


GOOD = DIGITS[0].tolist()
BAD = {
    "no JSON": ("{", 400, "the body is no JSON"),
    "nothing": ("", 400, "the body is no JSON"),
    "not UTF-8": (b"\xff\xfe\xfa", 400, "the body is no JSON"),
    "far too deep": ("[" * 200_000, 400, "the body is no JSON"),
    "no inputs": ('{"pictures": []}', 422, 'Expected {"inputs": [...]}'),
    "a number": ("3", 422, "holds no inputs"),
    "an empty list": (inputs([]), 422, "they have shape (0,)"),
    "one picture without brackets": (inputs(GOOD), 422, "this is one input, not a list"),
    "too few pixels": (inputs([GOOD[:63]]), 422, "they have shape (1, 63). Expected a list of inputs of shape (64,)"),
    "8 by 8": (inputs(np.reshape(GOOD, (1, 8, 8)).tolist()), 422, "they have shape (1, 8, 8)"),
    "rows of two lengths": (inputs([GOOD, GOOD[:3]]), 422, "the rows differ in length"),
    "texts": (inputs([["a"] * 64]), 422, "these are not all numbers"),
    "null": (inputs([[None] * 64]), 422, "these are not all numbers"),
    "true": (inputs([[True] * 64]), 422, "these are not all numbers"),
    "a huge whole number": (inputs([[10**400, *GOOD[1:]]]), 422, "these are not all numbers"),
    "grey levels to 255": (inputs([[0.0, 255.0, *GOOD[2:]]]), 422, "entry [0, 1] is 255. Expected a list of inputs"),
    "below 0": (inputs([GOOD, [-0.5, *GOOD[1:]]]), 422, "entry [1, 0] is -0.5"),
    "NaN": (inputs([[float("nan"), *GOOD[1:]]]), 422, "entry [0, 0] is nan"),
    "infinity": (inputs([[float("inf"), *GOOD[1:]]]), 422, "entry [0, 0] is inf"),
    "1e999": (inputs([[0.123456, *GOOD[1:]]]).replace("0.123456", "1e999"), 422, "entry [0, 0] is inf"),
    "a key that is no text": (json.dumps({"inputs": [GOOD], "key": 3}), 422, "have to be texts"),
    "an unknown version": (json.dumps({"inputs": [GOOD], "version": "v9"}), 404, "'v9' does not answer here; v1"),
    "101 pictures": (inputs([GOOD] * 101), 413, "at most 100 are answered at once"),
    "two megabytes": (b" " * 2_000_000, 413, "longer than 1000000 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("body, status, says", BAD.values(), ids=BAD)
def test_what_is_refused_and_why(steady, body, status, says):
    found, _, content = steady.ask(body)
    assert found == status and says in content["error"], content
    assert steady.ask(BODIES[0])[0] == 200


def test_a_body_without_end_is_cut_off(steady):
    """No length is told, and more and more comes: the server does not keep it, and stops reading."""
    sent = 0
    with socket.create_connection(
        (steady.url.split(":")[1].strip("/"), int(steady.url.split(":")[2])), timeout=20
    ) as raw:
        raw.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
        with contextlib.suppress(OSError):
            for _ in range(2000):  # 130 MB
                raw.sendall(chunk)
                sent += 65536
    assert sent < 60e6
    assert steady.ask(BODIES[0])[0] == 200


def test_a_length_beyond_all_reason(steady):
    with socket.create_connection(
        (steady.url.split(":")[1].strip("/"), int(steady.url.split(":")[2])), timeout=20
    ) as raw:
        raw.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 413")


def address(url):
    host, _, port = url.removeprefix("http://").partition(":")
    return host, int(port)


def test_a_body_that_trickles_in(tmp_path):
    """A byte after the other, for ever: the reason comes, and the connection is closed."""
    with serving(create_app(registry_in(tmp_path), body_seconds=0.3)) as url:
        with socket.create_connection(address(url), timeout=20) as raw:
            raw.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
            raw.settimeout(0.02)
            said = b""
            for _ in range(900):
                with contextlib.suppress(TimeoutError):
                    said = raw.recv(1000)
                    break
                raw.sendall(b" ")
            raw.settimeout(20)
            with contextlib.suppress(ConnectionError):
                while more := raw.recv(1000):  # until the server closes the connection
                    said += more
        assert said.startswith(b"HTTP/1.1 408") and b"did not arrive within 0.3 seconds" in said
        assert load_test(url, BODIES, lambda i, answer: True, requests=5).answered == 5


def test_bodies_that_are_never_complete_share_a_room(tmp_path):
    """Three of 90 kB do not fit into 200: the oldest is given up, and whoever comes is answered."""
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
    app = create_app(registry_in(tmp_path), max_bytes=100_000, queue_size=2, body_seconds=60)
    with serving(app) as url, contextlib.ExitStack() as stack:
        senders = [stack.enter_context(socket.create_connection(address(url), timeout=20)) for _ in range(3)]
        for raw in senders:
            raw.sendall(head + b" " * 90_000)
        (given_up,), _, _ = select.select(senders, [], [], 20)
        said = b""
        while more := given_up.recv(1000):  # until the server closes the connection
            said += more
        assert said.startswith(b"HTTP/1.1 503") and b"others needed the room" in said
        assert b"retry-after: 1\r\n" in said.lower()
        assert load_test(url, BODIES, lambda i, answer: True, requests=50, clients=1).answered == 50
        for raw in senders:
            if raw is not given_up:
                raw.sendall(b" " * 10_000)
                assert raw.recv(1000).startswith(b"HTTP/1.1 400")


def test_connections_that_say_nothing_make_room_in_a_notebook_too(tmp_path):
    with serving(create_app(registry_in(tmp_path)), connections=20) as url, contextlib.ExitStack() as stack:
        silent = [stack.enter_context(socket.create_connection(address(url), timeout=20)) for _ in range(30)]
        assert load_test(url, BODIES, lambda i, answer: True, requests=50).answered == 50
        with contextlib.suppress(ConnectionError):
            assert silent[0].recv(1) == b""


def test_a_head_without_end_is_cut_off(steady):
    with socket.create_connection(address(steady.url), timeout=20) as raw:
        raw.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\n")
        sent = 0
        with contextlib.suppress(OSError):
            for _ in range(2000):  # 130 MB
                raw.sendall(b"X-More: " + b"x" * 65526 + b"\r\n")
                sent += 65536
    assert sent < 60e6
    assert steady.ask(BODIES[0])[0] == 200


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit of open files to be lowered")
def test_more_connections_than_files_may_be_open(serve, tmp_path):
    """Hundreds that say nothing, half a head or half a body, and stay: whoever comes then is answered."""
    server = serve(registry_in(tmp_path), files=256)
    post = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
    with contextlib.ExitStack() as stack:
        for begin in (b"", b"GET / HT", post):
            for n in range(140):
                if n % 20 == 0:  # the system has no long queue in front of a server that may have few files open
                    assert server.health()["status"] == "ok"
                raw = stack.enter_context(socket.create_connection(address(server.url), timeout=20))
                with contextlib.suppress(OSError):
                    raw.sendall(begin)
            assert load_test(server.url, BODIES, checker(server.registry), requests=50, clients=2).answered == 50
    assert "Too many open files" not in server.end()


@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded", "multipart/form-data", "x"])
def test_the_content_decides_and_not_its_type(steady, kind):
    """curl -d says that it sends a form; what counts is whether it is JSON."""
    assert steady.ask(BODIES[0], **{"Content-Type": kind})[0] == 200
    assert steady.ask("inputs=1", **{"Content-Type": kind})[0] == 400


def test_a_client_that_goes_away_in_the_middle(steady):
    with socket.create_connection(
        (steady.url.split(":")[1].strip("/"), int(steady.url.split(":")[2])), timeout=20
    ) as raw:
        raw.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
    assert steady.ask(BODIES[0])[0] == 200


def test_other_addresses(steady):
    assert steady.ask(method="GET", path="/nowhere")[0] == 404
    assert steady.ask(method="GET", path="/predict")[0] == 405
    assert steady.ask(method="GET", path="/versions")[2] == {
        "in use": "v1",
        "candidate": None,
        "versions": ["v1", "v2", "v3"],
    }
    schema = steady.ask(method="GET", path="/openapi.json")[2]
    assert "inputs" in str(schema["paths"]["/predict"]["post"]["requestBody"])


def test_right_answers_one_by_one_and_together(steady):
    load = load_test(steady.url, BODIES, checker(steady.registry), requests=300, clients=4)
    assert (load.answered, load.sent, load.wrong) == (300, 300, 0) and load.versions == {"v1": 300}
    many = steady.ask(json.dumps({"inputs": DIGITS[:100].tolist(), "version": "v1"}))[2]
    np.testing.assert_allclose(
        many["probabilities"], class_probabilities(steady.registry.load("v1").model, DIGITS[:100]), atol=1e-5
    )


def test_metrics_as_prometheus_reads_them(steady):
    parser = pytest.importorskip("prometheus_client.parser")
    before = steady.ask(BODIES[0])[0], steady.ask("{")[0]
    status, headers, text = steady.ask(method="GET", path="/metrics")
    assert before == (200, 400) and status == 200 and headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {family.name: family for family in parser.text_string_to_metric_families(text)}
    requests = {(s.labels["status"], s.labels["version"]): s.value for s in families["tinytorch_requests"].samples}
    assert families["tinytorch_requests"].type == "counter" and requests["200", "v1"] >= 1 and requests["400", ""] >= 1
    histogram = families["tinytorch_request_seconds"]
    buckets = [s.value for s in histogram.samples if s.name.endswith("_bucket")]
    total = next(s.value for s in histogram.samples if s.name.endswith("_count"))
    assert (
        histogram.type == "histogram" and buckets == sorted(buckets) and buckets[-1] == total == sum(requests.values())
    )
    assert {s.labels["what"] for s in families["tinytorch_drift_alarm"].samples} == {"inputs", "outputs"}
    assert families["tinytorch_version_in_use"].samples[0].labels == {"version": "v1"}


def test_metrics_are_whole_at_every_moment(serve, tmp_path):
    """Prometheus' own parser reads every answer while four clients ask, rightly and wrongly, and versions change."""
    parser = pytest.importorskip("prometheus_client.parser")
    registry = registry_in(tmp_path)
    server, bodies = serve(registry), [*BODIES, "{", inputs([[2.0] * 64])]
    asked = (server.url, bodies, lambda i, answer: True)
    load = threading.Thread(target=load_test, args=asked, kwargs={"seconds": 60})
    load.start()
    last = 0
    while load.is_alive():
        if last == 0:
            registry.promote("v2")
        text = server.ask(method="GET", path="/metrics")[2]
        families = {family.name: family.samples for family in parser.text_string_to_metric_families(text)}
        assert text.count("# TYPE") == len(families)
        buckets = [s.value for s in families["tinytorch_request_seconds"] if s.name.endswith("_bucket")]
        total = sum(s.value for s in families.get("tinytorch_requests", ()))
        assert buckets == sorted(buckets) and buckets[-1] == total >= last
        last = total
    text = server.ask(method="GET", path="/metrics")[2]
    assert sum(int(n) for n in re.findall(r"tinytorch_requests_total\{.*\} (\d+)", text)) == 1000
    assert set(re.findall(r'status="(\d+)"', text)) == {"200", "400", "422"}


# Changes while it serves


class Watched:
    """A load test in a thread, whose answers can be waited for. It ends by itself, should nobody end it."""

    def __init__(self, server, requests=20_000):
        self.seen, self.change, right = {}, threading.Condition(), checker(server.registry)
        self.stop = threading.Event()

        def note(i, answer):
            with self.change:
                self.seen[answer["version"]] = self.seen.get(answer["version"], 0) + 1
                self.change.notify_all()
            return right(i, answer)

        def run():
            self.load = load_test(server.url, BODIES, note, requests=requests, seconds=30, stop=self.stop)

        self.thread = threading.Thread(target=run)
        self.thread.start()

    def wait_for(self, version, count):
        """Until that version has given so many answers more."""
        with self.change:
            goal = self.seen.get(version, 0) + count
            assert self.change.wait_for(lambda: self.seen.get(version, 0) >= goal, timeout=30), self.seen

    def result(self):
        self.stop.set()
        self.thread.join()
        return self.load


def test_a_promotion_and_a_rollback_under_load(serve, tmp_path):
    registry = registry_in(tmp_path)
    server = serve(registry)
    load = Watched(server)
    load.wait_for("v1", 50)
    registry.promote("v2", instead_of="v1")
    load.wait_for("v2", 50)
    registry.promote("v3", instead_of="v2")
    load.wait_for("v3", 50)
    registry.rollback()
    load.wait_for("v2", 50)
    found = load.result()
    assert (found.wrong, found.failed, found.refused) == (0, 0, 0) and found.answered == found.sent > 200
    assert set(found.versions) == {"v1", "v2", "v3"}
    assert server.health()["version"] == "v2"
    assert "Traceback" not in server.end()


def test_killed_under_load(serve, tmp_path):
    """Clients see broken connections, never a wrong answer; what was promoted serves afterwards."""
    registry = registry_in(tmp_path)
    server = serve(registry)
    load = Watched(server, requests=5000)
    load.wait_for("v1", 50)
    registry.promote("v2")
    load.wait_for("v2", 20)
    server.process.kill()
    load.thread.join()  # the rest of the requests is refused by the system, and that is quick
    found = load.load
    assert found.wrong == 0 and found.refused == 0 and found.failed > 0 and found.answered >= 70
    assert found.answered + found.failed == found.sent
    again = serve(registry)
    assert again.first.startswith("serving v2 on http://127.0.0.1:")
    found = load_test(again.url, BODIES, checker(registry), requests=100)
    assert found.answered == 100 and found.versions == {"v2": 100}


def test_killed_in_the_middle_of_a_promotion(serve, tmp_path):
    """The promotion is the registry's, in a process of its own; whatever is left of it, a server starts."""
    registry = registry_in(tmp_path)
    (registry.folder / "promotions" / ".2.0123456789abcdef.tmp").mkdir()
    (registry.folder / "versions" / ".v4.0123456789abcdef.tmp").mkdir()
    assert serve(registry).first.startswith("serving v1 on ")


def test_a_damaged_promotion_is_not_followed(serve, tmp_path):
    registry = registry_in(tmp_path)
    server = serve(registry)
    registry.promote("v2")
    server.wait_for(lambda state: state["version"] == "v2")
    registry.promote("v3")
    server.wait_for(lambda state: state["version"] == "v3")
    (registry.place("v1") / "weights.npz").write_bytes(b"")
    registry.write(registry.newest() + 1, ["v2", "v3", "v2"], "promote")
    server.wait_for(lambda state: state["version"] == "v2")
    os.rename(registry.place("v3"), registry.folder / "gone")
    (registry.folder / "promotions" / "5").mkdir()  # half of a promotion, made by hand
    state = server.wait_for(lambda state: state["status"] == "degraded")
    assert state["version"] == "v2" and "promotion 5" in state["problem"] and "--rollback" in state["problem"]
    assert server.ask(BODIES[0])[2]["version"] == "v2"
    assert "tinytorch_registry_problem 1" in server.ask(method="GET", path="/metrics")[2]
    done = command(tmp_path, "--rollback")
    assert done.returncode == 0 and done.stdout == "in use: v2\n", done.stderr
    server.wait_for(lambda state: state["status"] == "ok")
    assert "Traceback" not in server.end()


def test_a_registry_that_is_away_for_a_while(serve, tmp_path):
    """A disk of the network, say: the server answers all the time, says what is wrong, and follows again."""
    registry = registry_in(tmp_path / "registry")
    server = serve(registry)
    registry.folder.rename(tmp_path / "away")
    state = server.wait_for(lambda state: state["status"] == "degraded")
    assert "promotions" in state["problem"] and server.ask(BODIES[0])[2]["version"] == "v1"
    status, _, content = server.ask(method="GET", path="/versions")
    assert status == 503 and "cannot be read" in content["error"]
    (tmp_path / "away").rename(registry.folder)
    registry.promote("v2")
    server.wait_for(lambda state: (state["status"], state["version"]) == ("ok", "v2"))
    assert "Traceback" not in server.end()


def command(*arguments):
    """What `python -m tinytorch.serve` says and does that ends by itself, in this process."""
    said, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(errors):
        try:
            status = main([*map(str, arguments)])
        except SystemExit as end:
            status = end.code
    return SimpleNamespace(returncode=status, stdout=said.getvalue(), stderr=errors.getvalue())


def test_what_cannot_be_served_is_not(tmp_path):
    done = command(tmp_path / "nowhere")
    assert done.returncode == 1 and "is no registry" in done.stderr and not (tmp_path / "nowhere").exists()
    registry = registry_in(tmp_path)
    (registry.place("v1") / "weights.npz").write_bytes(b"")
    done = command(tmp_path)
    assert done.returncode == 1 and re.search(r"version v1 .*is damaged(.|\n)*--rollback", done.stderr), done.stderr
    done = command(tmp_path, "--candidate", "v9", "--promote", "v9")
    assert done.returncode == 1 and "there is no version 'v9'" in done.stderr
    for wrong in (["--canary", "0.5"], ["--queue", "0"], ["--log", "--rollback"], []):
        assert command(*([tmp_path, *wrong] if wrong else [])).returncode == 2


def test_the_command_changes_what_is_in_use(tmp_path):
    registry = registry_in(tmp_path)
    assert command(tmp_path, "--promote", "v3").stdout == "in use: v3\n" and registry.promoted() == "v3"
    assert command(tmp_path, "--rollback").stdout == "in use: v1\n" and registry.promoted() == "v1"
    done = command(tmp_path, "--rollback")
    assert done.returncode == 1 and "no intact version to go back to" in done.stderr
    assert [line.split()[2] for line in command(tmp_path, "--log").stdout.splitlines()] == [
        "promote",
        "promote",
        "rollback",
    ]


def test_a_taken_port_is_said(serve, tmp_path):
    server = serve(registry_in(tmp_path))
    done = command(tmp_path, "--port", server.url.rpartition(":")[2])
    assert done.returncode == 1 and done.stdout == "" and "Choose another --port" in done.stderr


# Too many at once


def test_back_pressure(serve, tmp_path):
    """A short queue and large requests: many are told to come again, none waits for long, none is lost or wrong."""
    registry = registry_in(tmp_path)
    server = serve(registry, "--queue", "1")
    truth = class_probabilities(registry.load("v1").model, DIGITS[:100])
    many = [json.dumps({"inputs": DIGITS[:100].tolist()})]
    right = lambda i, answer: np.allclose(answer["probabilities"], truth, atol=1e-5)
    load = load_test(server.url, many, right, requests=300, clients=12, seconds=10)
    assert (load.wrong, load.failed) == (0, 0) and load.answered > 0 and load.refused > 0
    assert load.answered + load.refused == load.sent
    assert server.health()["waiting"] == 0 and server.ask(BODIES[0])[0] == 200
    refused = next(line for line in server.ask(method="GET", path="/metrics")[2].splitlines() if 'status="503"' in line)
    assert int(refused.split()[-1]) == load.refused


def test_a_refusal_says_when_to_come_again(tmp_path, monkeypatch):
    """A network whose layer waits holds the worker: the queue is full, and the next request is refused at once."""
    held, release = threading.Semaphore(0), threading.Event()

    class Held(Module):
        def forward(self, x):
            held.release()
            release.wait(20)
            return x

    monkeypatch.setitem(LAYERS, "Held", Held)
    release.set()
    registry = Registry(tmp_path)
    registry.promote(registry.register(Sequential([create_mlp(64, [8], 10, rng=0), Held()]), DIGITS))
    app = create_app(registry, queue_size=2)
    release.clear()
    while held.acquire(blocking=False):
        pass
    with serving(app) as url:
        ask = {"target": load_test, "args": (url, BODIES, lambda i, a: True), "kwargs": {"requests": 1}}
        loads = [threading.Thread(**ask) for _ in range(2)]
        for load in loads:
            load.start()
        assert held.acquire(timeout=20)
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
        for _ in range(400):
            connection.request("GET", "/health")
            if json.loads(connection.getresponse().read())["waiting"] == 2:
                break
            threading.Event().wait(0.02)
        connection.request("POST", "/predict", BODIES[0])
        response = connection.getresponse()
        assert response.status == 503 and response.headers["Retry-After"] == "1" and b"Come again" in response.read()
        release.set()
        for load in loads:
            load.join()
        connection.request("POST", "/predict", BODIES[0])
        assert connection.getresponse().status == 200


# Beside the version in use


def test_a_shadow_is_compared_and_never_answers(serve, tmp_path):
    server = serve(registry_in(tmp_path), "--candidate", "v2")
    load = load_test(server.url, BODIES, checker(server.registry), requests=100)
    assert load.versions == {"v1": 100}
    for _ in range(200):
        text = server.ask(method="GET", path="/metrics")[2]
        if (compared := int(re.search(r"tinytorch_candidate_compared (\d+)", text)[1])) == 100:
            break
        threading.Event().wait(0.02)
    agreed = int(re.search(r"tinytorch_candidate_agreed (\d+)", text)[1])
    both = [class_probabilities(server.registry.load(v).model, DIGITS[:100]).argmax(axis=1) for v in ("v1", "v2")]
    assert compared == 100 and agreed == np.sum(both[0] == both[1])


def test_a_canary_answers_its_part_and_always_the_same(serve, tmp_path):
    server = serve(registry_in(tmp_path), "--candidate", "v2", "--canary", "0.3")
    route = [server.ask(body)[2]["version"] for body in BODIES[:40]]
    assert 2 < route.count("v2") < 25 and [server.ask(body)[2]["version"] for body in BODIES[:20]] == route[:20]
    pinned = [json.dumps({**json.loads(body), "version": "v1"}) for body in BODIES[:20]]
    assert {server.ask(body)[2]["version"] for body in pinned} == {"v1"}
    load = load_test(server.url, BODIES, checker(server.registry), requests=100)
    assert load.answered == 100 and set(load.versions) == {"v1", "v2"}
    server.registry.promote("v2")
    server.wait_for(lambda state: state["version"] == "v2")
    assert server.ask(method="GET", path="/versions")[2]["candidate"] is None


def test_drift_is_seen_at_the_door(serve, tmp_path):
    registry = registry_in(tmp_path)
    server = serve(registry)
    turned = DIGITS[:100].reshape(-1, 8, 8)[:, :, ::-1].reshape(-1, 64)
    for _ in range(3):
        server.ask(json.dumps({"inputs": turned.tolist()}))
    assert server.health()["alarms"]["inputs"] is True
    assert re.search(r'tinytorch_drift_p_value\{what="inputs"\} \S+e-', server.ask(method="GET", path="/metrics")[2])
