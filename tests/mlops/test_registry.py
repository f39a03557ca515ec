"""The registry on a disk: whole or not at all, whoever is killed, whatever is edited, however many promote at once."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.core.activations import GELU, LeakyReLU, ReLU, Softmax
from tinytorch.core.cnn import AvgPool2D, BatchNorm, Conv2D, Dropout2D, Flatten, MaxPool2D
from tinytorch.core.layers import Dense, Dropout, LayerNorm
from tinytorch.core.mlops import (
    LAYERS,
    DamagedVersion,
    PromotionConflict,
    Registry,
    RegistryError,
    architecture,
    fingerprint,
    packed,
    rebuild,
    sealed,
    unsealed,
)
from tinytorch.core.networks import Sequential, create_mlp

ROOT = Path(__file__).resolve().parents[2]
X = np.eye(3, dtype=np.float32)


def network(seed, hidden=4):
    return create_mlp(3, [hidden], 2, rng=seed)


@pytest.fixture
def registry(tmp_path):
    """Three versions, the first of them in use."""
    registry = Registry(tmp_path / "regístry")
    for seed in range(3):
        registry.register(network(seed), X)
    registry.promote("v1")
    return registry


def python(code, *arguments, **options):
    """Python in a process of its own, that has not ended yet."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, encoding="utf-8", **pipes, **options)


def untouched(registry, versions=("v1", "v2", "v3"), pile=("v1",)):
    """The registry holds these versions, all intact, and has that pile; anything else begins with a dot."""
    assert registry.names() == list(versions)
    assert [registry.damage(name) for name in versions] == [""] * len(versions)
    assert registry.standing()[1] == list(pile)
    assert registry.current().name == pile[-1]


# Fingerprints and records


@given(st.dictionaries(st.text(max_size=5), st.lists(st.integers(-9, 9), min_size=1), min_size=1), st.data())
def test_a_fingerprint_changes_with_any_entry(content, data):
    arrays = {name: np.array(values, dtype=np.int32) for name, values in content.items()}
    before = fingerprint(arrays)
    assert fingerprint(dict(reversed(arrays.items()))) == before
    name = data.draw(st.sampled_from(sorted(arrays)))
    place = data.draw(st.integers(0, arrays[name].size - 1))
    arrays[name][place] += 1
    assert fingerprint(arrays) != before


def test_a_fingerprint_knows_types_and_strides():
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert fingerprint({"a": a.T}) == fingerprint({"a": a.T.copy()})
    assert fingerprint({"a": a}) != fingerprint({"a": a.astype(np.float64)})
    assert fingerprint({"a": np.zeros(3, np.float32)}) != fingerprint({"a": np.zeros(3, np.int32)})


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_sealed_record_notices_any_other_byte(place, value):
    raw = sealed({"version": "v1", "metrics": {"accuracy": 0.1 + 0.2}, "parent": None})
    assert unsealed(raw) == {"version": "v1", "metrics": {"accuracy": 0.1 + 0.2}, "parent": None}
    changed = bytearray(raw)
    changed[place % len(raw)] = value
    if json_or_none(changed) == json.loads(raw):
        return  # white space, say
    with pytest.raises(ValueError, match=r"no JSON|checksum does not fit"):
        unsealed(bytes(changed))


def json_or_none(raw):
    try:
        return json.loads(raw)
    except ValueError:
        return None


@pytest.mark.parametrize("raw", [b"", b"[]", b"3", b"null", b'{"checksum": 3}', b"\xff\xfe", b"{}"])
def test_what_was_never_sealed_is_refused(raw):
    with pytest.raises(ValueError, match=r"no JSON|checksum"):
        unsealed(raw)


# Architectures


def test_every_known_layer_is_written_down_and_made_again():
    model = Sequential([Dense(3, 4, use_bias=False), LeakyReLU(0.3), LayerNorm(4, 1e-3), Dropout(0.25), GELU(),
                        create_mlp(4, [5], 2), Softmax(axis=1)])  # fmt: skip
    again = rebuild(json.loads(json.dumps(architecture(model))))
    assert repr(again) == repr(model) and again[2].epsilon == 1e-3 and again[0].bias is None
    again.load_state_dict(model.state_dict())
    assert np.array_equal(again.eval()(X).data, model.eval()(X).data)


def test_convolutions_are_versions_like_others(tmp_path):
    layers = [Conv2D(1, 4, 3, stride=(1, 2), padding=1, rng=0), BatchNorm(4), ReLU(), MaxPool2D(2), Dropout2D(0.2)]
    layers += [Conv2D(4, 4, 1, groups=2, use_bias=False, rng=1), AvgPool2D(2), Flatten(), Dense(8, 3, rng=2)]
    model = Sequential(layers)
    pictures = np.random.default_rng(0).random((6, 1, 8, 8)).astype(np.float32)
    model(pictures)  # so that the running statistics are some
    registry = Registry(tmp_path)
    name = registry.register(model, pictures)
    again = registry.load(name)
    assert repr(again.model) == repr(model)
    np.testing.assert_array_equal(again.model(pictures).data, model.eval()(pictures).detach().data)


@pytest.mark.parametrize("described, says", [
    ({"layer": "exec"}, "no layer 'exec'"),
    ({"layer": "__import__", "name": "os"}, "no layer '__import__'"),
    ({"layer": "Dense", "input_size": "a", "output_size": 2}, "input_size is 'a'"),
    ({"layer": "Dense", "weight_init": "os.system"}, "does not fit"),
    ({"layer": "Sequential", "layers": [{"layer": 3}]}, "describes no layer"),
    ("Dense", "describes no layer"),
    (None, "describes no layer"),
])  # fmt: skip
def test_a_foreign_description_is_refused(described, says):
    with pytest.raises((ValueError, TypeError), match=says):
        rebuild(described)


def test_a_layer_of_your_own_has_to_be_known(monkeypatch, tmp_path):
    class Scale(ReLU):
        def __init__(self, factor=1.0):
            self.factor = factor

        def __call__(self, x):
            return x * self.factor

    model = Sequential([Dense(3, 2), Scale(3.0)])
    with pytest.raises(TypeError, match=r"LAYERS\['Scale'\] = Scale"):
        Registry(tmp_path).register(model, X)
    monkeypatch.setitem(LAYERS, "Scale", Scale)
    registry = Registry(tmp_path)
    name = registry.register(model, X)
    assert np.array_equal(registry.load(name).model(X).data, model(X).data)


# Damage


def flip(file):
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 255
    file.write_bytes(raw)


def other_weights(place):
    (place / "weights.npz").write_bytes(packed(network(9).state_dict()))


def pickled(place):
    np.savez(place / "weights.npz", code=np.array([print], dtype=object))


def resealed(place, **changes):
    record = unsealed((place / "record.json").read_bytes())
    (place / "record.json").write_bytes(sealed({**record, **changes}))


def replaced(place, name, by):
    """Something else in a file's place: a symbolic link to `by`, or a directory."""
    (place / name).unlink()
    (place / name).symlink_to(by) if by else (place / name).mkdir()


DAMAGE = {
    "a byte of the weights": lambda place: flip(place / "weights.npz"),
    "a byte of the reference": lambda place: flip(place / "reference.npz"),
    "half of the weights": lambda place: os.truncate(place / "weights.npz", 300),
    "weights of another network": other_weights,
    "a pickle in place of weights": pickled,
    "no weights": lambda place: (place / "weights.npz").unlink(),
    "no record": lambda place: (place / "record.json").unlink(),
    "an empty record": lambda place: (place / "record.json").write_bytes(b""),
    "an edited record": lambda place: (place / "record.json").write_text(
        (place / "record.json").read_text("utf-8").replace("0.0", "0.5"), "utf-8"
    ),
    "another version's record": lambda place: (place / "record.json").write_bytes(
        (place.parent / "v2" / "record.json").read_bytes()
    ),
    "a record of what cannot be": lambda place: resealed(place, architecture={"layer": "os.system"}),
    "a record of another network": lambda place: resealed(place, architecture=architecture(network(0, hidden=5))),
    "a record that lacks a part": lambda place: (place / "record.json").write_bytes(sealed({"version": "v1"})),
    "no directory": lambda place: place.rename(place.with_name(".gone")),
    "a record that nests too deep": lambda place: (place / "record.json").write_text("[" * 200_000),
    "a directory in place of the record": lambda place: replaced(place, "record.json", None),
}  # fmt: skip
LINKS = {
    "weights of another version": lambda place: replaced(place, "weights.npz", "../v2/weights.npz"),
    "a device in place of weights": lambda place: replaced(place, "weights.npz", os.devnull),
    "a record in a circle": lambda place: replaced(place, "record.json", "record.json"),
    "another version": lambda place: (shutil.rmtree(place), place.symlink_to("v2")),
    "a version that is nowhere": lambda place: (shutil.rmtree(place), place.symlink_to("nowhere")),
}
DAMAGE |= LINKS if os.name != "nt" else {}


@pytest.mark.parametrize("how", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_version_is_named_and_never_used(registry, how):
    how(registry.folder / "versions" / "v1")
    with pytest.raises(RegistryError, match="v1"):
        registry.load("v1")
    with pytest.raises(RegistryError, match=r"v1(.|\n)*registry\.rollback\(\)(.|\n)*--rollback"):
        registry.current()
    with pytest.raises(RegistryError, match="v1"):
        registry.promote("v1")
    registry.promote("v2")
    assert registry.current().name == "v2"
    with pytest.raises(RegistryError, match="no intact version"):
        registry.rollback()
    assert registry.current().name == "v2"


def test_a_version_that_was_swapped_for_another_is_noticed(registry):
    """Even where the other one is complete in itself."""
    place = registry.folder / "versions" / "v1"
    other_weights(place)
    resealed(place, weights=fingerprint(network(9).state_dict()))
    assert registry.damage("v1") == ""
    with pytest.raises(DamagedVersion, match=r"is not the version that promotion 1 was of(.|\n)*rollback"):
        registry.current()


@pytest.mark.parametrize("content", ["", "{", '{"number": 2, "pile": ["v3"]}', "[" * 200_000, None], ids=range(5))
def test_a_promotion_edited_by_hand_says_how_to_go_back(registry, content):
    registry.promote("v2")
    file = registry.folder / "promotions" / "2" / "promotion.json"
    file.unlink() if content is None else file.write_text(content)
    for ask in (registry.current, registry.promoted, lambda: registry.promote("v3")):
        with pytest.raises(RegistryError, match=r"promotion 2 (.|\n)*registry\.rollback\(\)"):
            ask()
    assert registry.log()[1] == "2  damaged"
    assert registry.rollback() == "v1"
    untouched(registry)


def test_a_pointer_to_a_version_that_is_gone(registry):
    registry.promote("v2")
    (registry.folder / "versions" / "v2").rename(registry.folder / "gone")
    with pytest.raises(
        RegistryError,
        match=r"promotion 2 is of a version that cannot be used: there is no version 'v2'(.|\n)*--rollback",
    ):
        registry.current()
    assert registry.rollback() == "v1" and registry.current().name == "v1"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no device files")
def test_what_is_no_file_is_not_read(registry):
    """Reading a device or a pipe might never end."""
    registry.promote("v2")
    for file in ("record.json", "weights.npz", "reference.npz"):
        replaced(registry.place("v3"), file, os.devnull)
        assert f"{file} is no file" in registry.damage("v3")
        (registry.place("v3") / file).unlink()
        shutil.copy(registry.place("v2") / file, registry.place("v3"))
        if file == "record.json":
            resealed(registry.place("v3"), version="v3")
    replaced(registry.folder / "promotions" / "2", "promotion.json", os.devnull)
    with pytest.raises(RegistryError, match=r"promotion 2 .*promotion\.json is no file(.|\n)*--rollback"):
        registry.current()
    assert registry.rollback() == "v1"


def test_a_version_is_promoted_again(registry):
    """It lies on the pile twice then; rollbacks go through what was in use, the newest first."""
    registry.promote("v2")
    registry.promote("v1", instead_of="v2")
    untouched(registry, pile=("v1", "v2", "v1"))
    assert registry.rollback() == "v2"
    assert registry.rollback() == "v1"
    with pytest.raises(RegistryError, match="no intact version"):
        registry.rollback()
    untouched(registry)


def test_a_rollback_never_comes_back_to_what_it_leaves(registry):
    registry.promote("v2")
    registry.promote("v1")
    (registry.place("v2") / "weights.npz").unlink()
    with pytest.raises(RegistryError, match="no intact version"):
        registry.rollback()
    assert registry.standing() == (3, ["v1", "v2", "v1"])


def test_rollback_with_nothing_below(tmp_path):
    registry = Registry(tmp_path)
    with pytest.raises(RegistryError, match="no intact version to go back to"):
        registry.rollback()
    with pytest.raises(RegistryError, match="nothing is promoted"):
        registry.current()


def test_names_that_are_no_versions_are_passed_over(registry):
    for name in ("v04", "v", "vx", ".v9.123.tmp", "v7.bak", "v0"):
        (registry.folder / "versions" / name).mkdir()
    (registry.folder / "promotions" / "notes").mkdir()
    if os.name != "nt":
        for name in (b"v9\n", b"v\xff\xfe", "v\u0664".encode(), b" v9", b"V9"):
            os.mkdir(os.fsencode(registry.folder / "versions") + b"/" + name)
    untouched(registry)
    for name in ("../versions/v1", "v04", "", "v9"):
        with pytest.raises(RegistryError, match="there is no version"):
            registry.load(name)


@pytest.mark.parametrize(
    "reference, says",
    [
        (np.ones(3), r"reference has shape \(3,\)"),
        (np.zeros((0, 3)), "holds no samples"),
        (np.full((1, 3), np.nan), "not finite"),
    ],
)
def test_a_reference_has_to_be_one(registry, reference, says):
    with pytest.raises(ValueError, match=f"register: reference.*{says}|register: {says}"):
        registry.register(network(0), reference)
    untouched(registry)


def test_a_network_that_does_not_fit_its_reference_gets_no_number(registry):
    with pytest.raises(ValueError, match="Dense"):
        registry.register(network(0), np.ones((2, 7)))
    model = network(0)
    model[0].weights.data[0, 0] = np.nan
    with pytest.raises(ValueError, match="not all finite"):
        registry.register(model, X)
    untouched(registry)


def test_a_file_is_no_registry(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    for path in (file, file / "in it"):
        with pytest.raises(RegistryError, match="cannot be a registry"):
            Registry(path)


# Killed, and out of room

KILLED = """
import os, signal, sys
import numpy as np
from tinytorch.core.mlops import Registry
from tinytorch.core.networks import create_mlp

folder, left, what = sys.argv[1], int(sys.argv[2]), sys.argv[3]
registry, model = Registry(folder), create_mlp(3, [4], 2, rng=7)
writes = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir"}

def watch(event, arguments):
    global left
    if event in writes and not (event == "open" and not (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR)):
        if str(arguments[0]).startswith(folder):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(watch)
if what == "register":
    registry.register(model, np.eye(3))
elif what == "promote":
    registry.promote("v2", instead_of="v1")
else:
    registry.rollback()
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no kill -9")
@pytest.mark.parametrize("what", ["register", "promote", "rollback"])
def test_killed_before_any_of_its_writes(registry, what):
    """Afterwards it has happened, or it has not."""
    if what == "rollback":
        registry.promote("v2")
    before = registry.standing()[1], registry.names()
    after = {
        "register": (before[0], ["v1", "v2", "v3", "v4"]),
        "promote": (["v1", "v2"], before[1]),
        "rollback": (["v1"], before[1]),
    }[what]
    moment, outcomes = 0, []
    while True:
        moment += 1
        process = python(KILLED, registry.folder, moment, what)
        said = process.communicate(timeout=60)[1]
        assert process.returncode in (0, -9), said
        outcomes.append((registry.standing()[1], registry.names()))
        assert outcomes[-1] in (before, after)
        assert all(registry.damage(name) == "" for name in registry.names())
        if outcomes[-1] == after:
            break
        assert moment < 20
    assert process.returncode in (0, -9) and len(outcomes) > 3  # it was killed several times before
    assert registry.current().name == after[0][-1]


FULL = """
import resource, sys
import numpy as np
from tinytorch.core.mlops import Registry, RegistryError
from tinytorch.core.networks import create_mlp

registry, model = Registry(sys.argv[1]), create_mlp(3, [4], 2, rng=7)
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
for call in (lambda: registry.register(model, np.eye(3)), lambda: registry.promote("v2")):
    try:
        call()
        print("it went through")
    except RegistryError as error:
        print(error)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limits of this kind")
@pytest.mark.parametrize("limit", [0, 100])
def test_a_full_disk_changes_nothing_and_says_so(registry, limit):
    said, errors = python(FULL, registry.folder, limit).communicate(timeout=60)
    assert said.count("could not be written") == 2 and said.count("Is the disk full") == 2, said + errors
    untouched(registry)
    assert [
        name for folder in ("versions", "promotions") for name in os.listdir(registry.folder / folder) if name[0] == "."
    ] == []


DISK_FULL = """
import errno, os, sys
import numpy as np
from pathlib import Path
from tinytorch.core.mlops import Registry, RegistryError
from tinytorch.core.networks import create_mlp

x, network, filler = np.eye(3), lambda seed: create_mlp(3, [4], 2, rng=seed), Path(sys.argv[1], "filler")
registry = Registry(Path(sys.argv[1], "registry"))
for seed in range(3):
    registry.register(network(seed), x)
registry.promote("v1")
registry.promote("v2")
refused = set()
for free in range(20):  # pages that are left; the first write to fail is another one each time
    with open(filler, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError as error:
            assert error.errno == errno.ENOSPC, error
        file.truncate(max(file.tell() - 4096 * free, 0))
    changes = {
        "register": lambda: registry.register(network(7), x),
        "promote": lambda: registry.promote("v3"),
        "rollback": registry.rollback,
    }
    for name, change in changes.items():
        before = registry.names(), registry.standing()
        try:
            change()
        except RegistryError as error:
            assert isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.ENOSPC, error
            assert "The registry is as it was" in str(error) and "Make room, and try again" in str(error)
            assert (registry.names(), registry.standing()) == before
            refused.add((name, free))
        for what in ("versions", "promotions"):
            assert not any(left.startswith(".") for left in os.listdir(registry.folder / what))
        assert all(registry.damage(name) == "" for name in registry.names())
        assert registry.current().model(x).shape == (3, 2)
    filler.unlink()
    registry.write(registry.newest() + 1, ["v1", "v2"], "promote")
assert {(name, 0) for name in ("register", "promote", "rollback")} <= refused, refused
assert ("register", 2) in refused and ("register", 19) not in refused, refused
registry.promote("v3")
print("in use:", registry.current().name)
"""


@pytest.fixture(scope="module")
def small_disk():
    """The beginning of a command that has a disk of 2 MB at /mnt, in a name space that ends with it."""
    mount = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    script = "mount -t tmpfs -o size=2m none /mnt && "
    if not shutil.which("unshare") or subprocess.run([*mount, script + "true"], capture_output=True).returncode:
        pytest.skip("no small disk can be mounted here: Windows, macOS, or a Linux without name spaces")
    return [*mount, script + 'exec "$0" "$@"', sys.executable, "-c"]


def test_a_disk_that_is_really_full(small_disk):
    """What is in use goes on answering, no half version is listed, and the error says what to do."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
    done = subprocess.run(
        [*small_disk, DISK_FULL, "/mnt"], env=environment, encoding="utf-8", capture_output=True, timeout=120
    )
    assert done.stdout == "in use: v3\n", done.stderr


# At once

TOGETHER = """
import sys
import numpy as np
from tinytorch.core.mlops import PromotionConflict, Registry
from tinytorch.core.networks import create_mlp

registry, mine = Registry(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
if mine == "register":
    print(*(registry.register(create_mlp(3, [4], 2, rng=n), np.eye(3)) for n in range(5)))
else:
    try:
        registry.promote(mine, instead_of="v1")
        print("promoted")
    except PromotionConflict as error:
        print("told", error)
"""


def together(folder, whats):
    """What processes said that began at the same moment."""
    processes = [python(TOGETHER, folder, what) for what in whats]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    return [process.communicate(timeout=60)[0] for process in processes]


def test_two_promotions_at_once(registry):
    """In two processes, several times: one wins, the other is told, and there is one new promotion."""
    for round_ in range(2):
        said = together(registry.folder, ["v2", "v3"])
        assert sorted(word.split()[0] for word in said) == ["promoted", "told"], said
        winner = ["v2", "v3"][[s.startswith("promoted") for s in said].index(True)]
        assert registry.standing() == (2 * round_ + 2, ["v1", winner])
        assert f"{winner} is in use" in "".join(said)
        registry.rollback()


def test_two_register_at_once(registry):
    said = together(registry.folder, ["register", "register"])
    names = " ".join(said).split()
    assert sorted(names) == sorted(f"v{n}" for n in range(4, 14))
    untouched(registry, [f"v{n}" for n in range(1, 14)])


def test_a_promotion_names_what_it_compared_with(registry):
    registry.promote("v2", instead_of="v1")
    with pytest.raises(PromotionConflict):  # in words that are the student's
        registry.promote("v3", instead_of="v1")
    registry.promote("v2", instead_of="v2")
    assert registry.newest() == 2


def test_history_is_only_added_to(registry):
    registry.promote("v3")
    registry.promote("v2")
    registry.rollback()
    registry.rollback()
    assert [line.split()[0] + " " + " ".join(line.split()[2:]) for line in registry.log()] == [
        "1 promote v1", "2 promote v3", "3 promote v2", "4 rollback v3", "5 rollback v1"]  # fmt: skip
