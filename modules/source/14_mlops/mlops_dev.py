# ---
# jupyter:
#   jupytext:
#     notebook_metadata_filter: -jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # MLOps
#
# The network reads digits, and an accuracy says how well. That number was measured once, on pictures from the same
# scanner as those it was trained on. Next month somebody moves the scanner, and the network goes on answering: as
# fast as before, nearly as sure as before, and wrong. Nothing raises an error, for every input has the right shape and
# every number in it is legal. Somebody notices in the end, and then there are questions. Since when? Which weights are
# these? What were they trained on? Can we have yesterday's back, now?
#
# Most of what a model needs in order to be *used* is not in the model (Sculley et al. 2015). This chapter builds that
# rest, small and real: a registry that remembers versions and can go back; tests that notice when inputs change, with
# their false alarms counted; retraining whose result is taken only when it is shown to be better; and a server that
# goes on giving right answers while all of this happens under load.

# %%
#| default_exp core.mlops

# %%
#| export
import contextlib
import hashlib
import inspect
import io
import json
import math
import os
import platform
import re
import secrets
import shutil
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from tinytorch.checked import checked_part
from tinytorch.core.activations import GELU, LeakyReLU, ReLU, Sigmoid, Softmax, Tanh, softmax
from tinytorch.core.benchmarking import holm
from tinytorch.core.cnn import AvgPool2D, BatchNorm, Conv2D, Dropout2D, Flatten, MaxPool2D
from tinytorch.core.dataloader import ArrayDataset, DataLoader, checked_array, checked_count, number_array
from tinytorch.core.layers import Dense, Dropout, LayerNorm, Module
from tinytorch.core.networks import Sequential, checked_path, create_mlp, read_arrays
from tinytorch.core.optimizers import Adam
from tinytorch.core.tensor import Tensor, from_numpy
from tinytorch.core.training import Accuracy, CrossEntropyLoss, Trainer, evaluating

# %%
import stat
import tempfile

from tinytorch.core.cnn import rotated
from tinytorch.core.dataloader import digits_split, random_noise, train_test_split
from tinytorch.testing import check, check_raises

# %% [markdown]
# ## Good yesterday
#
# The digits are divided three ways. The network is trained on 700 of them. The others of the training part play the
# part of the future: what the scanner sends after training is over. The fixed test part stays what it was in every
# chapter: no network learns from it, and metrics and decisions are taken from it.
#
# A scanner that is mounted askew turns its pictures. `rotated`, from the convolution chapter, does that: between pixels
# it interpolates, as the scanner's own software would. Beside the accuracy stands the mean *confidence*: of the ten
# probabilities that the network gives for a picture, the largest.

# %%
train, test = digits_split()
known, future = train_test_split(train, test_size=737, seed=1, stratify=True)


def turned(features, degrees=20):
    """Flattened digits, turned."""
    return rotated(features.reshape(-1, 8, 8), degrees).reshape(-1, 64)


model = create_mlp(64, [32], 10, rng=0)
trainer = Trainer(model, Adam(model.parameters(), 0.01), CrossEntropyLoss(), [Accuracy()])
trainer.fit(DataLoader(known, batch_size=32, seed=0), epochs=20, quiet=True)
for name, features in (("as it was", future.features), ("askew", turned(future.features))):
    p = softmax(trainer.predict(features)).data
    print(f"{name:10s}  accuracy {np.mean(p.argmax(axis=1) == future.targets):.3f}   mean confidence {p.max(axis=1).mean():.3f}")

# %%
import matplotlib.pyplot as plt

_, axes = plt.subplots(2, 8, figsize=(8, 2.8))
for row, pictures in zip(axes, (future.images, turned(future.features).reshape(-1, 8, 8))):
    read = trainer.predict(pictures.reshape(-1, 64)[:8]).data.argmax(axis=1)
    for ax, picture, answer, truth in zip(row, pictures, read, future.targets):
        ax.imshow(picture, cmap="gray_r")
        ax.set(xticks=[], yticks=[])
        ax.set_xlabel(f"{truth}" if answer == truth else f"{truth}, read as {answer}", size=8, weight="normal" if answer == truth else "bold")
plt.suptitle(f"Who can read the lower row? We can; the network is wrong about {np.sum(read != future.targets[:8])} of these 8")
plt.tight_layout()
plt.show()

# %% [markdown]
# The accuracy fell, and the confidence fell by less. The network is not told that the world has changed, and
# softmax has no class for "I have never seen the like". Whoever wants to know has to look, and this is what the second
# part of the chapter does. First, though, there has to be something to go back to.
#
# ## What a version has to remember
#
# A file with weights is not a version. Half a year later the questions are: what was it trained on, by which code, from
# which seed, how good was it, and what did it replace? Of these, the data and the weights are too large to compare by
# eye. A *fingerprint* stands for them: a cryptographic hash, 64 characters that change completely when a single bit of
# what was hashed does. Two sets of arrays with one fingerprint are, for all purposes, the same.
#
# But what is hashed has to be everything that matters, and nothing else. The bytes of `[[1, 2]]` and `[[1], [2]]` are
# the same, and those of a float32 zero and an int32 zero as well. So the name, the dtype and the shape go in with the
# numbers. And the order in which a dictionary was filled should not matter.

# %% nbgrader={"grade": false, "grade_id": "fingerprint", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def fingerprint(arrays: dict[str, np.ndarray]) -> str:
    """A hash of named arrays: equal where names, dtypes, shapes and all entries are.

    Parameters
    ----------
    arrays : dict from names to arrays

    Returns
    -------
    str
        The SHA-256, as 64 hexadecimal digits.

    Notes
    -----
    For each name, in alphabetical order, two pieces of bytes go into ``digest.update(...)``: the line
    ``f"{name} {array.dtype.str} {array.shape}\\n".encode()``, and the array's entries, ``array.tobytes()``.
    At the end, ``digest.hexdigest()`` is the result.
    """
    if not isinstance(arrays, dict):
        raise TypeError(f"fingerprint: {arrays!r:.60} is no dictionary from names to arrays, such as model.state_dict().")
    arrays = {str(name): number_array(array, f"fingerprint of {name}") for name, array in arrays.items()}
    digest = hashlib.sha256()
    ### BEGIN SOLUTION fingerprint
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# fingerprint:
#   title: A fingerprint of arrays
#   hints:
#     - Which two dictionaries should have the same fingerprint although they were filled differently? And which two should not, although their bytes are the same?
#     - Go through the names in sorted order. Feed the digest first the line with name, dtype and shape, then the bytes of the array, and return the hexadecimal digits.
#     - 'digest.update(f"{name} ... {array.shape}\n".encode()), then digest.update(array....)'
#   misconceptions:
#     - name: in the order of the dictionary
#       says: >-
#         Two dictionaries with the same arrays, filled in another order, have different fingerprints. Go through sorted(arrays).
#       code: |
#         for name, array in arrays.items():
#             digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
#             digest.update(array.tobytes())
#         return digest.hexdigest()
#     - name: only the bytes
#       says: >-
#         Only the entries were hashed. A row and a column of the same numbers have the same bytes, and so have zeros of many
#         types: the line with name, dtype and shape has to go in too.
#       code: |
#         for name in sorted(arrays):
#             digest.update(arrays[name].tobytes())
#         return digest.hexdigest()
#     - name: forgets the entries
#       says: >-
#         Names, dtypes and shapes were hashed, but not the entries: all networks of one architecture have the same
#         fingerprint.
#       code: |
#         for name in sorted(arrays):
#             digest.update(f"{name} {arrays[name].dtype.str} {arrays[name].shape}\n".encode())
#         return digest.hexdigest()
#     - name: hashes what is printed
#       says: >-
#         The printed form of an array is not the array: digits are rounded, and of a large one the middle is left out. Hash
#         array.tobytes().
#       code: |
#         for name in sorted(arrays):
#             digest.update(f"{name} {arrays[name].dtype.str} {arrays[name].shape}\n".encode())
#             digest.update(str(arrays[name]).encode())
#         return digest.hexdigest()

# %% nbgrader={"grade": true, "grade_id": "test_fingerprint", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_fingerprint():
    sha256 = lambda raw: hashlib.sha256(raw).hexdigest()
    a, b = np.array([1, 2], dtype="<i2"), np.array([[5]], dtype="<i2")
    check(fingerprint({"w": a}), sha256(b"w <i2 (2,)\n" + b"\x01\x00\x02\x00"))
    check(fingerprint({"b": b, "a": a}), sha256(b"a <i2 (2,)\n" + b"\x01\x00\x02\x00" + b"b <i2 (1, 1)\n" + b"\x05\x00"))
    check(fingerprint({"a": a, "b": b}) == fingerprint({"b": b, "a": a}), True)
    check(fingerprint({"w": a[:, None]}) == fingerprint({"w": a[None]}), False)
    square = np.arange(4.0).reshape(2, 2)
    check(fingerprint({"w": square.T}) == fingerprint({"w": np.array([[0.0, 2.0], [1.0, 3.0]])}), True)
    large = np.zeros(5000)
    before = fingerprint({"w": large})
    large[2500] = 1e-12
    check(fingerprint({"w": large}) == before, False)
    check(fingerprint({}), sha256(b""))

test_fingerprint()

# %% [markdown]
# The weights alone do not make a network either: which layers, in which order? The usual ways out are to pickle the
# object, which runs whatever code the file contains when it is read, or to trust that whoever loads it has the right
# program at hand. We write the architecture down as plain names and numbers. To read it back is to look the names up
# in a table of known layers and to call them with the numbers, so the worst that a foreign file can do is to name a
# layer that is not there.
#
# `save_compressed` of the compression chapter reads names in a table too, for the same reason. What it writes beside a
# name is all that the layer holds, arrays included, because a layer of integers is not made by sizes alone. We write
# only what a constructor takes. The weights stay in a file of their own, under their own fingerprint, and the record
# stays short enough to be read by eye. So a network of integers is no version of this registry.

# %%
#| export
LAYERS = {
    kind.__name__: kind
    for kind in (
        Dense, Dropout, LayerNorm, ReLU, LeakyReLU, Sigmoid, Tanh, GELU, Softmax,
        Conv2D, MaxPool2D, AvgPool2D, BatchNorm, Dropout2D, Flatten,
    )
}  # fmt: skip


def architecture(model) -> dict:
    """A network as names and numbers, from which `rebuild` makes it again.

    Parameters
    ----------
    model : Sequential, or a layer that is in `LAYERS`
        To have a layer of your own taken, put its class there: ``LAYERS["Scale"] = Scale``. What its constructor was given
        has to be kept as attributes of the same names.

    Raises
    ------
    TypeError
        For a layer that `LAYERS` does not know.
    """
    if is_sequential(model):
        return {"layer": "Sequential", "layers": [architecture(layer) for layer in model]}
    kind = type(model)
    if LAYERS.get(kind.__name__) is not kind:
        raise TypeError(
            f"architecture: {model!r:.60} is no layer that can be written down. Known are Sequential, {', '.join(LAYERS)}.\n"
            f"  A layer of your own is added by LAYERS[{kind.__name__!r}] = {kind.__name__}."
        )
    options = {name: getattr(model, name, None) for name in inspect.signature(kind).parameters}
    if "use_bias" in options:
        options["use_bias"] = model.bias is not None
    plain = {name: value for name, value in options.items() if isinstance(value, (bool, int, float, str, tuple, list))}
    return {"layer": kind.__name__, **plain}


def is_sequential(model) -> bool:
    """Whether a network is its layers one after the other, and nothing else: a class of its own may do more."""
    return isinstance(model, Sequential) and type(model).forward is Sequential.forward


def rebuild(described: dict) -> Module:
    """A network from what `architecture` wrote; its weights are to be loaded.

    Raises
    ------
    ValueError
        For what is no such description, or names a layer that `LAYERS` does not know. No other code is ever called.
    """
    if not isinstance(described, dict) or not isinstance(described.get("layer"), str):
        raise ValueError(f"rebuild: {described!r:.60} describes no layer.")
    options = {name: tuple(v) if isinstance(v, list) else v for name, v in described.items() if name != "layer"}
    if described["layer"] == "Sequential":
        return Sequential([rebuild(layer) for layer in options.get("layers", ())])
    if described["layer"] not in LAYERS:
        raise ValueError(f"rebuild: there is no layer {described['layer']!r:.60}. Known are Sequential, {', '.join(LAYERS)}.")
    try:
        return LAYERS[described["layer"]](**options)
    except TypeError as error:
        raise ValueError(f"rebuild: {described!r:.100} does not fit: {error}.") from error


# %%
print(json.dumps(architecture(model), indent=1))
try:
    rebuild({"layer": "Sequential", "layers": [{"layer": "os.system", "command": "echo gone"}]})
except ValueError as error:
    print(error)

# %% nbgrader={"grade": true, "grade_id": "test_architecture", "locked": true, "points": 0, "schema_version": 3, "solution": false, "task": false}
def test_architecture():
    check(architecture(Dense(3, 2, use_bias=False)), {"layer": "Dense", "input_size": 3, "output_size": 2, "use_bias": False})
    check(architecture(Sequential([LeakyReLU(0.2)])), {"layer": "Sequential", "layers": [{"layer": "LeakyReLU", "slope": 0.2}]})
    layers = [Dense(3, 4), ReLU(), LayerNorm(4), Dropout(0.1), Sequential([Dense(4, 2, use_bias=False), Softmax(1)])]
    check(repr(rebuild(architecture(Sequential(layers)))), repr(Sequential(layers)))
    check_raises(TypeError, lambda: architecture(Sequential([abs])), "no layer that can be written down")
    check_raises(ValueError, lambda: rebuild({"layer": "eval"}), "no layer 'eval'")
    check_raises(ValueError, lambda: rebuild({"layer": "Dense", "sizes": 3}), "does not fit")
    check_raises(ValueError, lambda: rebuild(["Dense"]), "describes no layer")

test_architecture()

# %% [markdown]
# ## Whole or not at all
#
# A version is several files that belong together: the weights, the record, some inputs for reference. The networks
# chapter wrote one file under another name and renamed it, because a rename is *atomic*: at every moment the name
# stands for the old file or the new one. For several files the same is done with the directory that holds them.
#
# There is one difference. `os.replace` replaces: of two who write at once the last one wins, and the first never
# learns that its file is gone. For a saved model that may be right. For a registry it is not: when two people register
# "version 7", one of them has to be told that 7 is taken. A directory does this for us. Renamed onto another one that
# is not empty it does not replace, it fails, on every system; the first wins. So one primitive gives both: *whole or
# not at all*, and *first come*. The whole registry stands on it.
#
# A power cut is one more danger. What was written may still be on its way to the disk when the rename is already
# there. `os.fsync` waits until it has arrived; it has to come before the rename, for every file.
#
# And somebody may press Ctrl+C. That raises `KeyboardInterrupt`, which is a `BaseException` and no `Exception`, so that
# programs which catch every `Exception` can still be stopped. `except Exception` does not see it; `finally` does.

# %% nbgrader={"grade": false, "grade_id": "publish", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def publish(files: dict[str, bytes], place: str | os.PathLike) -> None:
    """Make a directory with some files in it, whole or not at all, and never over another one.

    Parameters
    ----------
    files : dict from names to bytes
        At least one.
    place : str or Path
        The directory that is to be there afterwards.

    Raises
    ------
    FileExistsError
        Where `place` is taken. What is there stays as it is.
    OSError
        Where a file cannot be written, because the disk is full for example.

    Notes
    -----
    Whatever happens, `beside` is gone afterwards, and `place` is complete or as it was. In order:

    - ``beside.mkdir()`` makes the temporary directory.
    - ``write_through(file, content)`` writes a file and waits until the disk has it.
    - ``take_place(beside, place)`` renames, and raises FileExistsError where `place` is taken, also at the last moment.
    - ``shutil.rmtree(beside, ignore_errors=True)`` removes a directory if it is there. A ``finally:`` block runs whatever
      happened before, Ctrl+C included.
    """
    if not files:
        raise ValueError(f"publish: there is nothing to put into {place}. Expected at least one file; an empty directory could be replaced.")
    place = Path(place)
    beside = place.with_name(f".{place.name}.{secrets.token_hex(8)}.tmp")
    ### BEGIN SOLUTION publish
    try:
        beside.mkdir()
        for name, content in files.items():
            write_through(beside / name, content)
        take_place(beside, place)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    ### END SOLUTION


def write_through(file: Path, content: bytes) -> None:
    """Write a file, and wait until the disk has it."""
    with open(file, "wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())


def take_place(beside: Path, place: Path) -> None:
    """Rename a directory to a name that has to be free; then the rename itself is on the disk."""
    sync_directory(beside)
    try:
        os.rename(beside, place)
    except OSError as error:
        if place.exists():
            raise FileExistsError(f"{place} is taken: somebody else was first.") from error
        raise
    sync_directory(place.parent)


def sync_directory(folder: Path) -> None:
    """Wait until the disk knows which files a directory holds; Windows does so by itself."""
    if os.name == "nt":
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


# %% [raw] tags=["exercise"]
# publish:
#   title: A directory, whole or not at all
#   hints:
#     - At which of your lines may the program end, and what is in the directory then? Would a reader take it for something finished?
#     - In try, make the directory `beside`, write every file into it, then let it take its place. In finally, remove `beside` if it is still there.
#     - "for each name and content: write_through(beside / ..., content); after the loop take_place(..., place)"
#   misconceptions:
#     - name: writes in place
#       says: >-
#         Writing failed half-way and left a directory with some of its files under the final name. Write everything into `beside`, and
#         rename at the end.
#       code: |
#         if place.exists():
#             raise FileExistsError(f"{place} is taken: somebody else was first.")
#         place.mkdir()
#         for name, content in files.items():
#             write_through(place / name, content)
#     - name: leaves the temporary directory behind
#       says: >-
#         `place` could not be taken, and the temporary directory stayed. Remove it in a finally block, where it is removed whatever raised
#         before.
#       code: |
#         beside.mkdir()
#         for name, content in files.items():
#             write_through(beside / name, content)
#         take_place(beside, place)
#     - name: replaces what is there
#       says: >-
#         What stood at `place` was removed to make room, and whoever had put it there was not told. The first wins: take_place raises where
#         the name is taken, and that is right.
#       code: |
#         try:
#             beside.mkdir()
#             for name, content in files.items():
#                 write_through(beside / name, content)
#             shutil.rmtree(place, ignore_errors=True)
#             take_place(beside, place)
#         finally:
#             shutil.rmtree(beside, ignore_errors=True)
#     - name: keeps the error to itself
#       says: >-
#         `place` was taken, nothing was changed, and the caller was not told. Let the FileExistsError of take_place through.
#       code: |
#         try:
#             beside.mkdir()
#             for name, content in files.items():
#                 write_through(beside / name, content)
#             take_place(beside, place)
#         except FileExistsError:
#             pass
#         finally:
#             shutil.rmtree(beside, ignore_errors=True)
#     - name: does not wait for the disk
#       says: >-
#         The files were written, but nobody waited until they had arrived. After a power cut the directory may have its final name, and
#         files that are empty. write_through waits, before the rename.
#       code: |
#         try:
#             beside.mkdir()
#             for name, content in files.items():
#                 (beside / name).write_bytes(content)
#             take_place(beside, place)
#         finally:
#             shutil.rmtree(beside, ignore_errors=True)
#     - name: cleans up after an Exception only
#       says: >-
#         Ctrl+C left the temporary directory behind. KeyboardInterrupt is no Exception, so `except Exception` does not catch it. Clean up in a
#         finally block.
#       code: |
#         try:
#             beside.mkdir()
#             for name, content in files.items():
#                 write_through(beside / name, content)
#             take_place(beside, place)
#         except Exception:
#             shutil.rmtree(beside, ignore_errors=True)
#             raise
#     - name: looks first, then renames
#       says: >-
#         Between looking whether the name is free and renaming, somebody else took it, and no FileExistsError told the caller. Looking first
#         settles nothing; take_place leaves the decision to the rename itself.
#       code: |
#         if place.exists():
#             raise FileExistsError(f"{place} is taken: somebody else was first.")
#         try:
#             beside.mkdir()
#             for name, content in files.items():
#                 write_through(beside / name, content)
#             os.rename(beside, place)
#         finally:
#             shutil.rmtree(beside, ignore_errors=True)

# %% nbgrader={"grade": true, "grade_id": "test_publish", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_publish():
    with tempfile.TemporaryDirectory() as folder:
        here = lambda: sorted(os.listdir(folder))
        contents = lambda name: {file.name: file.read_bytes() if file.is_file() else "no file" for file in Path(folder, name).iterdir()}
        publish({"a.txt": b"first", "b.txt": b""}, Path(folder, "v1"))
        check(here(), ["v1"])
        check(contents("v1"), {"a.txt": b"first", "b.txt": b""})
        with contextlib.suppress(FileExistsError):
            publish({"a.txt": b"second"}, Path(folder, "v1"))
        check(contents("v1"), {"a.txt": b"first", "b.txt": b""})
        check_raises(FileExistsError, lambda: publish({"a.txt": b"second"}, Path(folder, "v1")), "somebody else was first")
        check(len(here()), 1)
        check_raises(TypeError, lambda: publish({"a.txt": b"fine", "b.txt": "no bytes"}, Path(folder, "v2")))
        check(Path(folder, "v2").exists(), False)
        check(len(here()), 1)

test_publish()

# %% nbgrader={"grade": true, "grade_id": "test_publish__at_every_moment", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_publish__at_every_moment():
    with tempfile.TemporaryDirectory() as folder:
        place, files, fsync, arrived = Path(folder, "v1"), {"a.txt": b"first", "b.txt": b"another"}, os.fsync, []
        def when_it_has_arrived(meanwhile):
            """How publish ends. Whenever the disk has a file, and `place` is not there yet, its size is noted and something happens."""
            def watched(opened):
                fsync(opened)
                if stat.S_ISREG(os.fstat(opened).st_mode) and not place.exists():
                    arrived.append(os.fstat(opened).st_size)
                    meanwhile()
            os.fsync = watched
            try:
                publish(files, place)
                return "published"
            except BaseException as error:
                return type(error).__name__
            finally:
                os.fsync = fsync
        def press_ctrl_c():
            raise KeyboardInterrupt
        def somebody_else_is_faster():
            if len(arrived) == 2:
                place.mkdir()
                (place / "theirs.txt").write_bytes(b"")
        def nothing():
            pass
        check(when_it_has_arrived(nothing), "published")
        check(sorted(arrived), [5, 7])
        shutil.rmtree(place)
        arrived.clear()
        check(when_it_has_arrived(press_ctrl_c), "KeyboardInterrupt")
        check(len(os.listdir(folder)), 0)
        arrived.clear()
        check(when_it_has_arrived(somebody_else_is_faster), "FileExistsError")
        check(os.listdir(place), ["theirs.txt"])
        check(os.listdir(folder), ["v1"])

test_publish__at_every_moment()

# %% [markdown]
# ## The registry
#
# A version is then a directory `versions/v3` with three files:
#
# - `weights.npz`, arrays without any pickle in them;
# - `reference.npz`, some inputs that were held out from training. They say what an input looks like, and later they are
#   what new inputs are compared with;
# - `record.json`: architecture, fingerprints of the weights, of the reference and of the training data, a fingerprint
#   of the code, seed, metrics, and the version that this one came from, its *parent*.
#
# Files get damaged: a disk fails, an editor is opened in the wrong window, a copy is broken off. The fingerprints
# protect the arrays, and a checksum in the record protects the record. Loading recomputes all of them; a version that
# is not what was registered is named, and never used. (A checksum finds accidents. Against somebody who changes file
# and checksum both, one signs the record with a key that they do not have.)

# %%
#| export
class RegistryError(Exception):
    """Something that the owner of a registry has to know."""


class DamagedVersion(RegistryError):
    """A version is not what was registered."""


class PromotionConflict(RegistryError):
    """Another promotion came first."""


def checksum(record: dict) -> str:
    """The SHA-256 of a record in one canonical spelling."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def sealed(record: dict) -> bytes:
    """A record as JSON, with its checksum in front."""
    return json.dumps({"checksum": checksum(record), **record}, indent=1, allow_nan=False).encode()


def unsealed(raw: bytes) -> dict:
    """The record again. Raises ValueError where it is not what was sealed."""
    try:
        record = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"this is no JSON: {error}") from error
    if not isinstance(record, dict) or record.pop("checksum", None) != checksum(record):
        raise ValueError("its checksum does not fit: it was changed, or not all of it was copied")
    return record


def regular(file: Path) -> Path:
    """The same path. Raises ValueError where it is no file: reading a device or a pipe might never end."""
    if not file.is_file():
        raise ValueError(f"{file.name} is {'no file' if file.exists() else 'missing'}")
    return file


def packed(arrays: dict[str, np.ndarray]) -> bytes:
    """Named arrays as the bytes of an .npz file without pickle."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def code_fingerprint() -> str:
    """The SHA-256 of the package's modules, as they stand on the disk."""
    digest = hashlib.sha256()
    for file in sorted(Path(inspect.getfile(Module)).parent.glob("*.py")):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()


def data_fingerprint(data: ArrayDataset) -> str:
    """The fingerprint of a data set's features and targets."""
    return fingerprint({"features": data.features, "targets": data.targets})


def numbered(folder: Path, prefix: str) -> list[int]:
    """The numbers in the names of a directory's entries that are `prefix` and a number, in order."""
    found = (re.fullmatch(rf"{prefix}([1-9][0-9]*)", name) for name in os.listdir(folder))
    return sorted(int(match[1]) for match in found if match)


def made_again(described: dict, weights: dict[str, np.ndarray]) -> Module:
    """A network of a described architecture with these weights, ready to answer: nothing is recorded when it does."""
    model = rebuild(described)
    model.load_state_dict(weights)
    for p in model.parameters():
        p.requires_grad = False
    return model.eval()


def class_probabilities(model: Module, x: np.ndarray) -> np.ndarray:
    """What a classifier says of inputs (N, ...): probabilities (N, K). Its last layer gives scores, or is a `Softmax`."""
    x = number_array(x, "class_probabilities").astype(np.float32, copy=False)
    if not callable(model) or x.ndim < 2:
        raise ValueError(f"class_probabilities: the model is {model!r:.40}, the inputs have shape {x.shape}. Expected a network, and inputs (N, ...).")
    out = model(from_numpy(x))
    last = model[-1] if isinstance(model, Sequential) else model
    return (out if isinstance(last, Softmax) else softmax(out)).data


def try_out(described: dict, weights: dict[str, np.ndarray], reference: np.ndarray) -> None:
    """Raise ValueError where a network, made again from what is written down, does not answer the reference with finite numbers."""
    with np.errstate(all="ignore"):
        p = class_probabilities(made_again(described, weights), reference)
    if p.ndim != 2 or not np.isfinite(p).all():
        raise ValueError(f"register: to the reference inputs this network gives {p.shape} numbers that are not all finite. Expected (N, K) probabilities.")


def checked_bounds(bounds) -> tuple:
    """Least and greatest entry of an input, once they are seen to be that."""
    numbers = isinstance(bounds, (tuple, list)) and len(bounds) == 2 and all(isinstance(b, (int, float, np.number)) for b in bounds)
    if not numbers or not -math.inf < bounds[0] < bounds[1] < math.inf:
        raise ValueError(f"register: bounds are {bounds!r:.60}. Expected two finite numbers, the least first, such as (0, 1).")
    return tuple(bounds)


def checked_metrics(metrics: dict | None) -> dict[str, float]:
    """Metrics as floats, once they are seen to be finite numbers."""
    if not isinstance(metrics, dict | None) or not all(isinstance(v, (int, float, np.number)) for v in (metrics or {}).values()):
        raise TypeError(f"register: metrics are {metrics!r:.60}. Expected a dictionary from names to numbers, as evaluate gives it.")
    if not all(map(math.isfinite, (metrics or {}).values())):
        raise ValueError(f"register: the metrics {metrics} are not all finite: this model should not be kept.")
    return {name: float(value) for name, value in (metrics or {}).items()}


@dataclass(frozen=True)
class Version:
    """A version of a model in memory: its name, its record, the network (ready to answer, not to be trained), and inputs for reference."""

    name: str
    record: dict
    model: Module
    reference: np.ndarray


class Versions:
    """The versions of a model in a directory. They are added, never changed.

    What begins with a dot there was left by a program that was killed while it wrote, and may be deleted.

    Parameters
    ----------
    folder : str or Path
        Made where it is not there.
    """

    def __init__(self, folder: str | os.PathLike):
        if not isinstance(folder, (str, os.PathLike)):
            raise TypeError(f"{type(self).__name__}: {folder!r:.60} is no directory. Name one, such as {type(self).__name__}('registry').")
        self.folder = Path(folder)
        for name in ("versions", "promotions"):
            try:
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                reason = f"{error.filename} is a file" if isinstance(error, (FileExistsError, NotADirectoryError)) else error.strerror
                raise RegistryError(f"{self.folder} cannot be a registry: {reason}. Name a directory that you may write to.") from error

    def put(self, files: dict[str, bytes], place: Path) -> None:
        """`publish`; where it cannot write, RegistryError."""
        try:
            publish(files, place)
        except FileExistsError:
            raise
        except OSError as error:
            raise RegistryError(
                f"{place} could not be written: {error.strerror or error}. The registry is as it was.\n"
                "  Is the disk full, or the directory not yours? Make room, and try again."
            ) from error

    def names(self) -> list[str]:
        """The versions there are, the oldest first."""
        return [f"v{n}" for n in numbered(self.folder / "versions", "v")]

    def register(self, model: Module, reference, *, metrics: dict | None = None, data: ArrayDataset | None = None,
                 seed: int | None = None, parent: str | None = None, bounds: tuple | None = None, note: str = "") -> str:
        """Add a version, whole or not at all.

        Parameters
        ----------
        model : Sequential
            Of layers that `LAYERS` knows.
        reference : array, shape (N, ...)
            Inputs that were held out from training, at least one. They say what an input looks like.
        metrics : dict from names to finite numbers
        data : ArrayDataset
            What was trained on; its fingerprint is recorded.
        seed : int
        parent : str
            The version that this one came from.
        bounds : (low, high)
            What an entry of an input may be; the least and greatest of `reference` where it is left out.
        note : str
            Anything else that somebody will want to know.

        Returns
        -------
        str
            The name of the new version, such as "v3".
        """
        if not isinstance(model, Module):
            raise TypeError(f"register: {model!r:.60} is no network. Expected register(model, reference), the model first.")
        reference = checked_array(reference, "register: reference").astype(np.float32)
        if reference.ndim < 2:
            raise ValueError(f"register: reference has shape {reference.shape}. Expected inputs that were held out from training, (N, ...).")
        if data is not None and not isinstance(data, ArrayDataset):
            raise TypeError(f"register: data is {data!r:.60}. Expected the ArrayDataset that was trained on.")
        if parent is not None:
            self.place(parent)
        weights, described = model.state_dict(), architecture(model)
        try_out(described, weights, reference)
        files = {"weights.npz": packed(weights), "reference.npz": packed({"inputs": reference})}
        low, high = (reference.min(), reference.max()) if bounds is None else checked_bounds(bounds)
        record = {
            "parent": parent,
            "architecture": described,
            "weights": fingerprint(weights),
            "reference": fingerprint({"inputs": reference}),
            "inputs": {"shape": list(reference.shape[1:]), "low": float(low), "high": float(high)},
            "data": None if data is None else data_fingerprint(data),
            "seed": None if seed is None else checked_count(seed, "seed", 0, "register"),
            "code": code_fingerprint(),
            "python": platform.python_version(),
            "numpy": np.__version__,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "metrics": checked_metrics(metrics),
            "note": str(note),
        }
        while True:
            name = f"v{max(numbered(self.folder / 'versions', 'v'), default=0) + 1}"
            with contextlib.suppress(FileExistsError):  # another process was faster; take the next number
                self.put({**files, "record.json": sealed({"version": name, **record})}, self.folder / "versions" / name)
                return name

    def place(self, name: str) -> Path:
        """The directory of a version. Raises RegistryError where there is none."""
        if name not in self.names():
            raise RegistryError(f"there is no version {name!r:.60} in {self.folder}. There are: {', '.join(self.names()) or 'none yet'}.")
        return self.folder / "versions" / name

    def load(self, name: str) -> Version:
        """A version, once all of it is seen to be what was registered.

        Raises
        ------
        RegistryError
            Where there is no such version.
        DamagedVersion
            Where a file is missing or holds something else.
        """
        place = self.place(name)
        try:
            record = unsealed(regular(place / "record.json").read_bytes())
            if record["version"] != name:
                raise ValueError(f"its record is that of {record['version']}")
            weights, reference = (read_arrays(regular(place / f"{what}.npz")) for what in ("weights", "reference"))
            for what, arrays in (("weights", weights), ("reference", reference)):
                if fingerprint(arrays) != record[what]:
                    raise ValueError(f"{what}.npz holds other arrays than were registered")
            return Version(name, record, made_again(record["architecture"], weights), reference["inputs"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DamagedVersion(f"version {name} in {self.folder} is damaged: {error}") from error

    def damage(self, name: str) -> str:
        """What is wrong with a version; empty where nothing is."""
        try:
            self.load(name)
        except RegistryError as error:
            return str(error)
        return ""


# %%
registry = Versions(tempfile.mkdtemp())
held_out = trainer.evaluate(DataLoader(test, batch_size=360))
name = registry.register(model, future.features, metrics=held_out, data=known, seed=0, note="20 epochs, Adam 0.01, batches of 32")
for file in sorted(registry.place(name).iterdir()):
    print(f"{file.name:15s} {file.stat().st_size:7d} bytes")
print(json.dumps({k: v for k, v in registry.load(name).record.items() if k != "architecture"}, indent=1))

# %% [markdown]
# Is that enough to make the model again? There is one way to find out. Nothing is taken from the cells above but the
# recipe; the data is the data of that fingerprint.

# %%
record = registry.load(name).record
assert data_fingerprint(known) == record["data"]
again = create_mlp(64, [32], 10, rng=record["seed"])
Trainer(again, Adam(again.parameters(), 0.01), CrossEntropyLoss()).fit(
    DataLoader(known, batch_size=32, seed=record["seed"]), epochs=20, quiet=True
)
print("made again, the same to the bit:", fingerprint(again.state_dict()) == record["weights"])

# %% [markdown]
# On one machine it is the same to the bit. On another one the sums inside a matrix product may be taken in another
# order, and then the last bits differ. That is why versions are kept and not only recipes.
#
# Now some damage. In each line one thing is done to a version, by hand, as it happens.

# %%
def damaged(how):
    """What loading says of a version to which something was done."""
    name = registry.register(model, future.features[:50])
    place = registry.place(name)
    how(place)
    return registry.damage(name).replace(str(registry.folder), "the registry").partition("\n")[0]


def half(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def one_weight(place):
    arrays = {n: a.copy() for n, a in model.state_dict().items()}
    next(iter(arrays.values()))[0, 0] += 1e-3
    (place / "weights.npz").write_bytes(packed(arrays))


print(damaged(lambda place: half(place / "weights.npz")))
print(damaged(one_weight))
print(damaged(lambda place: (place / "weights.npz").unlink()))
print(damaged(lambda place: (place / "record.json").write_text((place / "record.json").read_text().replace('"seed": null', '"seed": 7'))))
print(damaged(lambda place: np.savez(place / "weights.npz", code=np.array([print], dtype=object))))

# %% [markdown]
# The last one is not damage but malice: an array of Python objects is stored as a pickle, and a pickle runs code when
# it is read. NumPy's reader was told to refuse them, and does.

# %% nbgrader={"grade": true, "grade_id": "test_versions", "locked": true, "points": 0, "schema_version": 3, "solution": false, "task": false}
def test_versions():
    with tempfile.TemporaryDirectory() as folder:
        versions, model, x = Versions(folder), create_mlp(3, [4], 2, rng=0), np.ones((2, 3))
        check(versions.names(), [])
        check(versions.register(model, x), "v1")
        check(versions.register(create_mlp(3, [4], 2, rng=1), x, metrics={"accuracy": 0.5}, parent="v1"), "v2")
        check(versions.names(), ["v1", "v2"])
        check(versions.load("v1").model(x), model(x))
        check(versions.load("v2").record["parent"], "v1")
        check(versions.load("v2").record["metrics"], {"accuracy": 0.5})
        check(versions.damage("v1"), "")
        shutil.copy(versions.place("v2") / "weights.npz", versions.place("v1"))
        check_raises(DamagedVersion, lambda: versions.load("v1"), "holds other arrays")
        check_raises(RegistryError, lambda: versions.load("v9"), "There are: v1, v2")
        check_raises(RegistryError, lambda: versions.register(model, x, parent="v0"), "no version 'v0'")
        check_raises(ValueError, lambda: versions.register(model, x, metrics={"loss": math.nan}), "not all finite")
        check_raises(ValueError, lambda: versions.register(model, x[0]), "shape (3,)")
        model[0].weights.data[0, 0] = np.inf
        check_raises(ValueError, lambda: versions.register(model, x), "not all finite")
        check(versions.names(), ["v1", "v2"])

test_versions()

# %% [markdown]
# ## Which one is in use
#
# Of all versions one answers: the *promoted* one. To promote is to move a pointer. Three things can go wrong with so
# small a step. The pointer can be half written. It can point to a version that is damaged. And two people can move it
# at once: both looked, both saw version 1, both found their own candidate better than version 1, and both promote.
# Whoever comes second replaces a version that they never compared theirs with.
#
# Databases call the cure *compare and swap*: one says what one believes to be there, and the pointer moves only if that
# is still so. For our pointer it costs nothing new. Promotions are numbered, each is a directory of its own, and
# `publish` gives every number away once. Whoever looked at number 6 has to publish number 7, and there is only one 7.
#
# A promotion holds not only the version, but the whole pile of versions under it: what was in use before, and before
# that. To promote puts a version on top, and to roll back takes it off. That is a new promotion too, for history is
# never rewritten: afterwards one can read who went where, and when.
#
# A version may lie on the pile more than once. Say v1 was in use, then v2, and now v1 is promoted again: the pile is v1,
# v2, v1. A rollback undoes the last promotion, so it goes to v2, which was in use just before, and one more goes to
# the v1 below. What is never right after a rollback is the very version that was to be left. That matters where the v2
# in between is damaged: then there is nothing to go back to.

# %% nbgrader={"grade": false, "grade_id": "promote_rollback", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
WHATEVER = "whatever is promoted"


class Registry(Versions):
    """Versions, and which of them is in use.

    Examples
    --------
    >>> registry = Registry("registry")
    >>> name = registry.register(model, held_out_inputs, metrics={"accuracy": 0.97})
    >>> registry.promote(name)
    >>> registry.current().model
    >>> registry.rollback()
    """

    def newest(self) -> int:
        """The number of the newest promotion; 0 before the first."""
        return max(numbered(self.folder / "promotions", ""), default=0)

    def promotion(self, number: int) -> dict:
        """What was written down of a promotion. Raises RegistryError where it is damaged."""
        try:
            return unsealed(regular(self.folder / "promotions" / str(number) / "promotion.json").read_bytes())
        except (OSError, ValueError) as error:
            raise RegistryError(f"promotion {number} in {self.folder} is damaged: {error}.\n  {self.advice()}") from error

    def advice(self) -> str:
        """How to go back, for whoever reads an error at night."""
        return f"Go back to what was promoted before: registry.rollback(), or python -m tinytorch.serve {self.folder} --rollback"

    def standing(self) -> tuple[int, list[str]]:
        """The number of the newest promotion, and its pile of versions: the one in use last, under it those before. (0, []) at first."""
        number = self.newest()
        return number, self.promotion(number)["pile"] if number else []

    def promoted(self) -> str | None:
        """The name of the version in use; None before the first promotion."""
        pile = self.standing()[1]
        return pile[-1] if pile else None

    def current(self) -> Version:
        """The version in use, checked as `load` does. Raises RegistryError, and says how to go back, where it cannot be used."""
        number, pile = self.standing()
        if not pile:
            raise RegistryError(f"nothing is promoted in {self.folder} yet. Choose a version: registry.promote('v1').")
        try:
            version = self.load(pile[-1])
        except RegistryError as error:
            raise type(error)(f"promotion {number} is of a version that cannot be used: {error}\n  {self.advice()}") from error
        if version.record["weights"] != self.promotion(number)["weights"]:
            raise DamagedVersion(f"{pile[-1]} is not the version that promotion {number} was of: its weights are others.\n  {self.advice()}")
        return version

    def write(self, number: int, pile: list[str], action: str) -> None:
        """Write down promotion `number`. Raises PromotionConflict where that number is given away already."""
        record = {"number": number, "action": action, "pile": pile, "weights": self.load(pile[-1]).record["weights"]}
        record["at"] = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            self.put({"promotion.json": sealed(record)}, self.folder / "promotions" / str(number))
        except FileExistsError as error:
            raise PromotionConflict(
                f"{action} of {pile[-1]}: somebody else was first, and {self.promoted()} is in use now. Nothing was changed.\n"
                "  Compare with that version, then decide again."
            ) from error

    def promote(self, name: str, instead_of: str | None = WHATEVER) -> None:
        """Bring a version into use.

        Parameters
        ----------
        name : str
            A version. A damaged one is refused.
        instead_of : str or None
            The version that is believed to be in use, the one that `name` was compared with; None for "nothing so far".
            Where it is left out, anything may be in use.

        Raises
        ------
        PromotionConflict
            Where another version than `instead_of` is in use (the words are yours), or another promotion came first.

        Notes
        -----
        ``number, pile = self.standing()`` is how things stand. ``self.write(number + 1, pile, action)`` writes the next
        promotion, `action` being "promote", and raises PromotionConflict where somebody else has written that number. Look once, and write
        the number after the one that was looked at. Where `name` is in use already, nothing is written. Where it lies further down
        in the pile, it goes on top like any other, and the pile below stays as it is.
        """
        self.load(name)
        ### BEGIN SOLUTION promote
        number, pile = self.standing()
        in_use = pile[-1] if pile else None
        if instead_of not in (WHATEVER, in_use):
            raise PromotionConflict(f"promote: {name} was to take the place of {instead_of}, but {in_use} is in use.")
        if name != in_use:
            self.write(number + 1, [*pile, name], "promote")
        ### END SOLUTION

    def before(self) -> tuple[int, list[str]]:
        """As `standing`, but where the newest promotion is damaged, with the pile of the newest one that is not, and something on top."""
        newest = self.newest()
        for number in reversed(numbered(self.folder / "promotions", "")):
            with contextlib.suppress(RegistryError):
                pile = self.promotion(number)["pile"]
                return newest, pile if number == newest else [*pile, "what is damaged"]
        return newest, []

    def rollback(self) -> str:
        """Take the version in use off the pile, and bring the one under it back into use.

        Returns
        -------
        str
            The version that is in use now.

        Raises
        ------
        RegistryError
            Where there is nothing to go back to.

        Notes
        -----
        ``number, pile = self.before()`` is how things stand, and it works where the newest promotion is damaged too. ``self.damage(name)`` is
        empty where a version is in order. A version that is not is passed over, and so is the one that is being left, should it
        lie on the pile again. `number` and `pile`, the number looked at and the pile that is left, are used below.
        """
        ### BEGIN SOLUTION rollback
        number, pile = self.before()
        left = pile[-1:]
        while pile and (pile[-1:] == left or self.damage(pile[-1])):
            pile = pile[:-1]
        ### END SOLUTION
        if not pile:
            raise RegistryError(f"rollback: there is no intact version to go back to in {self.folder}. Promote one: registry.promote('v1').")
        self.write(number + 1, pile, "rollback")
        return pile[-1]

    def log(self) -> list[str]:
        """Every promotion in a line, the oldest first."""
        lines = []
        for number in numbered(self.folder / "promotions", ""):
            try:
                p = self.promotion(number)
                lines.append(f"{number}  {p['at']}  {p['action']:8s}  {p['pile'][-1]}")
            except RegistryError:
                lines.append(f"{number}  damaged")
        return lines


# %% [raw] tags=["exercise"]
# promote:
#   title: Compare and swap
#   hints:
#     - Between looking and writing somebody else may write. Which number do you have to use so that this cannot go unnoticed?
#     - Ask standing() once. The version in use is the last of the pile, or None. Where instead_of is neither WHATEVER nor that, raise PromotionConflict. Otherwise write the next number, with the name on top of the pile, unless it is there already.
#     - 'self.write(number + ..., [*pile, ...], "promote"), after the comparison of instead_of with the version in use'
#   misconceptions:
#     - name: never compares
#       says: >-
#         A promotion went through although another version was in use than the caller had compared with. Compare instead_of with the version
#         in use, and raise PromotionConflict where they differ.
#       code: |
#         number, pile = self.standing()
#         if name != (pile[-1] if pile else None):
#             self.write(number + 1, [*pile, name], "promote")
#     - name: forgets the pile
#       says: >-
#         The pile holds the new version alone, and there is nothing left to go back to. Put the name on top of what was there.
#       code: |
#         number, pile = self.standing()
#         in_use = pile[-1] if pile else None
#         if instead_of not in (WHATEVER, in_use):
#             raise PromotionConflict("another version is in use")
#         if name != in_use:
#             self.write(number + 1, [name], "promote")
#     - name: looks again before it writes
#       says: >-
#         The number was looked up anew when it was written. What somebody else wrote in between is then simply passed over, and they are
#         replaced without having been compared with. Write the number after the one you looked at.
#       code: |
#         pile = self.standing()[1]
#         in_use = pile[-1] if pile else None
#         if instead_of not in (WHATEVER, in_use):
#             raise PromotionConflict("another version is in use")
#         if name != in_use:
#             self.write(self.newest() + 1, [*pile, name], "promote")
#     - name: agrees too early
#       says: >-
#         The version was in use already, but not the one that the caller had compared with. Compare first, and raise PromotionConflict; then
#         see whether there is anything to write.
#       code: |
#         number, pile = self.standing()
#         in_use = pile[-1] if pile else None
#         if name == in_use:
#             return
#         if instead_of not in (WHATEVER, in_use):
#             raise PromotionConflict("another version is in use")
#         self.write(number + 1, [*pile, name], "promote")
#     - name: keeps the conflict to itself
#       says: >-
#         Somebody else was first, nothing was changed, and the caller was not told. Let the PromotionConflict of write through.
#       code: |
#         number, pile = self.standing()
#         in_use = pile[-1] if pile else None
#         if instead_of not in (WHATEVER, in_use):
#             raise PromotionConflict("another version is in use")
#         if name != in_use:
#             with contextlib.suppress(PromotionConflict):
#                 self.write(number + 1, [*pile, name], "promote")
#     - name: numbers by the pile
#       says: >-
#         The number was taken from the height of the pile. A rollback is a promotion too, with a number of its own and a lower pile:
#         write the number after the newest.
#       code: |
#         number, pile = self.standing()
#         in_use = pile[-1] if pile else None
#         if instead_of not in (WHATEVER, in_use):
#             raise PromotionConflict("another version is in use")
#         if name != in_use:
#             self.write(len(pile) + 1, [*pile, name], "promote")
#     - name: takes None for whatever
#       says: >-
#         instead_of=None means that nothing is in use so far. It was taken for "I do not mind", and a first promotion replaced one that had
#         come before it.
#       code: |
#         number, pile = self.standing()
#         in_use = pile[-1] if pile else None
#         if instead_of is not None and instead_of not in (WHATEVER, in_use):
#             raise PromotionConflict("another version is in use")
#         if name != in_use:
#             self.write(number + 1, [*pile, name], "promote")
#     - name: promotes what is in use
#       says: >-
#         A version that was in use was put on top of itself, and a rollback will seem to do nothing. Where it is in use already, write nothing.
#       code: |
#         number, pile = self.standing()
#         in_use = pile[-1] if pile else None
#         if instead_of not in (WHATEVER, in_use):
#             raise PromotionConflict("another version is in use")
#         self.write(number + 1, [*pile, name], "promote")
#     - name: promotes nothing twice
#       says: >-
#         A version that had been in use before, and lies further down in the pile, was not brought back into use. Only the version
#         on top is in use; any other goes on top.
#       code: |
#         number, pile = self.standing()
#         in_use = pile[-1] if pile else None
#         if instead_of not in (WHATEVER, in_use):
#             raise PromotionConflict("another version is in use")
#         if name not in pile:
#             self.write(number + 1, [*pile, name], "promote")
#     - name: cuts the pile down
#       says: >-
#         The pile was cut down to where the version lay before, and what was in use until now is no longer on it: a rollback cannot
#         go back there. Put the name on top, and leave what is below as it is.
#       code: |
#         number, pile = self.standing()
#         in_use = pile[-1] if pile else None
#         if instead_of not in (WHATEVER, in_use):
#             raise PromotionConflict("another version is in use")
#         if name != in_use:
#             self.write(number + 1, [*(pile[: pile.index(name)] if name in pile else pile), name], "promote")
#     - name: moves it up
#       says: >-
#         The version was taken out of the pile before it was put on top. After two rollbacks there is then nothing below, although the
#         version had been in use before as well. Put the name on top, and leave what is below as it is.
#       code: |
#         number, pile = self.standing()
#         in_use = pile[-1] if pile else None
#         if instead_of not in (WHATEVER, in_use):
#             raise PromotionConflict("another version is in use")
#         if name != in_use:
#             self.write(number + 1, [*(other for other in pile if other != name), name], "promote")
# rollback:
#   title: One step back
#   hints:
#     - After two promotions and two rollbacks, which version should be in use? What is on the pile after the first rollback?
#     - Ask before(), and remember the top of the pile, which is what you leave. Then take versions off while the one on top is that one, or is damaged.
#     - "while pile and (pile[-1:] == ... or self.damage(...)) take one off, as pile[:-1]"
#   misconceptions:
#     - name: goes to the version with the number before
#       says: >-
#         The version before in number need not be the one that was in use before. The pile knows which one was.
#       code: |
#         number, pile = self.before()
#         pile = self.names()[: self.names().index(pile[-1])]
#     - name: turns back and forth
#       says: >-
#         The second rollback went forward again, to the version that the first one had left. Take the top off the pile; do not put the older
#         one on top of it.
#       code: |
#         number, pile = self.before()
#         pile = [*pile, *pile[-2:-1]] if len(pile) > 1 else []
#     - name: goes back to a damaged version
#       says: >-
#         The version under the top is damaged, and it was brought into use. Go on until one is intact.
#       code: |
#         number, pile = self.before()
#         pile = pile[:-1]
#         if pile and self.damage(pile[-1]):
#             raise RegistryError(self.damage(pile[-1]).partition(" in ")[0])
#     - name: finds the version by its name
#       says: >-
#         The version in use lay on the pile twice, and the pile was cut where it lay first. What was in use just before is the one
#         under the top.
#       code: |
#         number, pile = self.before()
#         pile = pile[: pile.index(pile[-1])] if pile else []
#         while pile and self.damage(pile[-1]):
#             pile = pile[:-1]
#     - name: comes back to what it left
#       says: >-
#         The version under the top is damaged and was passed over, and under that lies the very version that was to be left. Pass
#         over that one too.
#       code: |
#         number, pile = self.before()
#         pile = pile[:-1]
#         while pile and self.damage(pile[-1]):
#             pile = pile[:-1]
#     - name: trusts the newest promotion
#       says: >-
#         The newest promotion is damaged, and standing() raises for it. That is when a rollback is needed most: ask before().
#       code: |
#         number, pile = self.standing()
#         pile = pile[:-1]
#         while pile and self.damage(pile[-1]):
#             pile = pile[:-1]

# %% nbgrader={"grade": true, "grade_id": "test_promote", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
def test_promote():
    with tempfile.TemporaryDirectory() as folder:
        registry = Registry(folder)
        for seed in range(3):
            registry.register(create_mlp(3, [], 2, rng=seed), np.ones((1, 3)))
        check(registry.promoted(), None)
        registry.promote("v2")
        check(registry.promoted(), "v2")
        registry.promote("v1", instead_of="v2")
        check(registry.standing(), (2, ["v2", "v1"]))
        check(registry.promotion(2)["action"], "promote")
        check_raises(PromotionConflict, lambda: registry.promote("v3", instead_of="v2"))
        check_raises(PromotionConflict, lambda: registry.promote("v3", instead_of=None))
        check_raises(PromotionConflict, lambda: registry.promote("v1", instead_of="v2"))
        check(registry.standing(), (2, ["v2", "v1"]))
        registry.promote("v1")
        check(registry.standing(), (2, ["v2", "v1"]))
        registry.promote("v2", instead_of="v1")
        check(registry.standing(), (3, ["v2", "v1", "v2"]))
        registry.promote("v1")
        check(registry.standing(), (4, ["v2", "v1", "v2", "v1"]))
        check(registry.current().model(np.ones((1, 3))), create_mlp(3, [], 2, rng=0)(np.ones((1, 3))))
        registry.write(5, ["v2"], "rollback")
        registry.promote("v3")
        check(registry.standing(), (6, ["v2", "v3"]))
        check_raises(RegistryError, lambda: registry.promote("v7"), "There are: v1, v2, v3")
        (registry.place("v3") / "weights.npz").unlink()
        check_raises(DamagedVersion, lambda: registry.promote("v3"), "v3")

test_promote()

# %% nbgrader={"grade": true, "grade_id": "test_promote__at_once", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_promote__at_once():
    class Interrupted(Registry):
        """After this one has looked, somebody else promotes v3."""
        def standing(self):
            found = super().standing()
            if found[0] == 1:
                Registry(self.folder).promote("v3")
            return found
    for instead_of in ("v1", WHATEVER):
        with tempfile.TemporaryDirectory() as folder:
            for seed in range(3):
                Registry(folder).register(create_mlp(3, [], 2, rng=seed), np.ones((1, 3)))
            Registry(folder).promote("v1")
            try:
                Interrupted(folder).promote("v2", instead_of)
                told = "nothing"
            except PromotionConflict:
                told = "a PromotionConflict"
            check(Registry(folder).standing(), (2, ["v1", "v3"]))
            check(told, "a PromotionConflict")

test_promote__at_once()

# %% nbgrader={"grade": true, "grade_id": "test_rollback", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_rollback():
    with tempfile.TemporaryDirectory() as folder:
        registry = Registry(folder)
        for seed in range(4):
            registry.register(create_mlp(3, [], 2, rng=seed), np.ones((1, 3)))
        for name in ("v1", "v3", "v2"):
            registry.write(registry.newest() + 1, [*registry.standing()[1], name], "promote")
        check(registry.rollback(), "v3")
        check(registry.standing(), (4, ["v1", "v3"]))
        check(registry.rollback(), "v1")
        check_raises(RegistryError, lambda: registry.rollback(), "no intact version to go back to")
        registry.write(6, ["v1", "v2", "v3", "v4"], "promote")
        (registry.place("v3") / "weights.npz").unlink()
        check(registry.rollback(), "v2")
        check(registry.standing(), (7, ["v1", "v2"]))
        registry.write(8, ["v1", "v2", "v4"], "promote")
        (Path(folder) / "promotions" / "8" / "promotion.json").write_text("{")
        check_raises(RegistryError, lambda: registry.current(), "registry.rollback()")
        try:
            outcome = registry.rollback()
        except RegistryError:
            outcome = "a RegistryError"
        check(outcome, "v2")
        check(registry.standing(), (9, ["v1", "v2"]))

test_rollback()

# %% nbgrader={"grade": true, "grade_id": "test_rollback__again_in_use", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_rollback__again_in_use():
    with tempfile.TemporaryDirectory() as folder:
        registry = Registry(folder)
        for seed in range(3):
            registry.register(create_mlp(3, [], 2, rng=seed), np.ones((1, 3)))
        registry.write(1, ["v1", "v2", "v1"], "promote")
        try:
            went_to = registry.rollback()
        except RegistryError:
            went_to = "nowhere"
        check(went_to, "v2")
        check(registry.standing(), (2, ["v1", "v2"]))
        check(registry.rollback(), "v1")
        registry.write(4, ["v2", "v1", "v3", "v1"], "promote")
        (registry.place("v3") / "weights.npz").unlink()
        check(Registry(folder).rollback(), "v2")
        check(registry.standing(), (5, ["v2"]))

test_rollback__again_in_use()

# %% [markdown]
# Eight threads start together. Each has seen version 1 in use and brings a candidate of its own. How many promotions
# go through, and what do the others hear?

# %%
registry = Registry(tempfile.mkdtemp())
for seed in range(9):
    registry.register(create_mlp(64, [32], 10, rng=seed), future.features[:50])
registry.promote("v1")
start, told = threading.Barrier(8), []


def promote_mine(name):
    start.wait()
    try:
        registry.promote(name, instead_of="v1")
        told.append(f"{name} was promoted")
    except PromotionConflict as error:
        told.append(str(error).partition("\n")[0])


threads = [threading.Thread(target=promote_mine, args=(f"v{n}",)) for n in range(2, 10)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(*sorted(told, key=len), sep="\n")
print(f"rolled back to {registry.rollback()}", *registry.log(), sep="\n")

# %% [markdown]
# One went through and seven were told, before they had changed anything. What became of those seven is up to them: each
# has to be compared with the new version in use.

# %% [markdown]
# ## Has anything changed?
#
# Labels arrive late. Whether a digit was read correctly is known when somebody complains, weeks after; what the digit
# looked like is known at once. So one compares the inputs of today with the reference: not one by one, but a *window*
# of them, say a hundred, as a sample from some distribution. Is it still the same distribution?
#
# A measure in wide use comes from banking, the *population stability index*. Divide a quantity, such as the mean
# ink of a picture, into bins; let $p_i$ be the fraction of the reference in bin $i$ and $q_i$ that of the window:
#
# $$\mathrm{PSI} = \sum_i (q_i - p_i) \log \frac{q_i}{p_i}$$
#
# Every term is positive or zero, since both factors have the same sign, and it is zero only where $q_i = p_i$. (It is
# the Kullback–Leibler divergence, which distillation in the compression chapter made small, in both directions and
# added.) An empty bin would make it infinite, so every count is raised by a half first.

# %% nbgrader={"grade": false, "grade_id": "psi", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def psi(reference_counts, window_counts) -> float:
    """The population stability index of two histograms over the same bins.

    Parameters
    ----------
    reference_counts, window_counts : arrays of counts, shape (bins,)

    Returns
    -------
    float
        0 where the fractions are equal, and larger the more they differ.

    Notes
    -----
    Add 0.5 to every count, and divide by the sum, so that the fractions add up to 1. Then sum ``(q - p) * log(q / p)``.
    """
    p, q = (checked_array(counts, "psi") for counts in (reference_counts, window_counts))
    if p.shape != q.shape or p.ndim != 1 or p.min() < 0 or q.min() < 0:
        raise ValueError(f"psi: the counts have shapes {p.shape} and {q.shape}. Expected one count of at least 0 for each of the same bins.")
    ### BEGIN SOLUTION psi
    p = (p + 0.5) / (p + 0.5).sum()
    q = (q + 0.5) / (q + 0.5).sum()
    return float(((q - p) * np.log(q / p)).sum())
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# psi:
#   title: The population stability index
#   hints:
#     - The window has a hundred inputs, the reference five hundred. What has to happen to the counts before they can be compared?
#     - Raise each count by 0.5, divide each histogram by its own sum, then add up (q - p) * log(q / p) over the bins.
#     - "p = (p + 0.5) / ..., the same for q, then ((q - p) * np.log(...)).sum()"
#   misconceptions:
#     - name: compares counts
#       says: >-
#         The counts were compared, not the fractions. A window of a different size then differs from the reference, whatever is in it.
#       code: |
#         p, q = p + 0.5, q + 0.5
#         return float(((q - p) * np.log(q / p)).sum())
#     - name: Kullback–Leibler in one direction
#       says: >-
#         This is the divergence in one direction, the sum of q log(q / p). The index weighs the logarithm with the difference q - p.
#       code: |
#         p, q = (p + 0.5) / (p + 0.5).sum(), (q + 0.5) / (q + 0.5).sum()
#         return float((q * np.log(q / p)).sum())
#     - name: raises the fractions
#       says: >-
#         The half was added after dividing, to fractions. They no longer add up to 1, and differences nearly vanish. Raise the counts.
#       code: |
#         p, q = p / p.sum() + 0.5, q / q.sum() + 0.5
#         return float(((q - p) * np.log(q / p)).sum())
#     - name: infinite for an empty bin
#       says: >-
#         An empty bin made the index infinite or no number at all. Raise every count by 0.5 first.
#       code: |
#         p, q = p / p.sum(), q / q.sum()
#         with np.errstate(all="ignore"):
#             return float(((q - p) * np.log(q / p)).sum())

# %% nbgrader={"grade": true, "grade_id": "test_psi", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_psi():
    check(psi([10, 10], [10, 10]), 0.0)
    check(psi([10, 10, 10], [100, 100, 100]), 0.0)
    check(psi([1, 0], [0, 1]), math.log(3))
    check(psi([1, 1], [5, 1]), 2 / 7 * math.log(11 / 3))
    check(psi([5, 1], [1, 1]), 2 / 7 * math.log(11 / 3))
    check_raises(ValueError, lambda: psi([1, 2], [1, 2, 3]), "(2,) and (3,)")

test_psi()

# %% [markdown]
# And now the question that is asked too seldom: how large is it when *nothing* has changed? Textbooks give thresholds,
# 0.1 for "some change" and 0.25 for "a large one", without saying for how many inputs. It can be measured. Shuffle the
# pictures of the future, call the first ones the reference and the next ones the window: the two come from one
# distribution, whatever it is. Do that many times, and count.
#
# One more care has to be taken, here and in all that follows: none of these pictures was trained on. We shall measure
# what happens otherwise.

# %%
#| export
def resampled(features: np.ndarray, reference_size: int, window_size: int, times: int, seed: int = 0):
    """Pairs of a reference and a window that are drawn from the same inputs, without overlap, `times` times."""
    if reference_size + window_size > len(features):
        raise ValueError(f"resampled: {reference_size} and {window_size} inputs were asked for, without overlap, of {len(features)}.")
    rng = np.random.default_rng(seed)
    for _ in range(times):
        order = rng.permutation(len(features))
        yield features[order[:reference_size]], features[order[reference_size : reference_size + window_size]]


def binned(reference: np.ndarray, window: np.ndarray, bins: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Counts of two samples of numbers in bins that each hold an equal part of the reference."""
    edges = np.unique(np.quantile(reference, np.linspace(0, 1, bins + 1)[1:-1]))
    return tuple(np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1) for values in (reference, window))


# %%
ink, unchanged = future.features.mean(axis=1), {}
for size in (25, 50, 100, 200):
    nothing = unchanged[size] = np.array([psi(*binned(*pair)) for pair in resampled(ink, 500, size, times=200)])
    print(f"window of {size:3d}, nothing changed: PSI mean {nothing.mean():.3f}   above 0.1 {np.mean(nothing > 0.1):6.1%}   "
          f"above 0.25 {np.mean(nothing > 0.25):6.1%}   19 of 20 are below {np.quantile(nothing, 0.95):.3f}")

# %%
_, ax = plt.subplots(figsize=(6.4, 3))
for (size, values), style in zip(unchanged.items(), ("-", "--", "-.", ":")):
    ax.plot(np.sort(values), np.linspace(0, 1, len(values)), style, label=f"{size} pictures")
for threshold in (0.1, 0.25):
    ax.axvline(threshold, color="grey", linewidth=0.8)
    ax.annotate(f" {threshold}", (threshold, 0.02), color="grey")
ax.set(xlabel="PSI", ylabel="windows below it", title="PSI when nothing has changed? It depends on the window")
ax.legend()
plt.tight_layout()
plt.show()

# %% [markdown]
# For small windows the threshold 0.1 raises an alarm nearly every time, and the larger the window, the more seldom. The
# index of two samples of one distribution is about $(\text{bins} - 1)(1/n + 1/m)$ for sizes $n$ and $m$ (less where a
# bin holds a few inputs only, for the halves count there), so a threshold that does not know the sizes means nothing. The
# last column does: it is the threshold that gives one false alarm in twenty windows of that size. Whoever takes an index
# should take its threshold from there.
#
# ## A test that knows its false alarms
#
# A *statistical test* brings its threshold along. Its result is a *p-value*: the probability of a difference at least
# this large when nothing has changed. Raise an alarm for $p$ below 0.05, and one window in twenty is a false alarm,
# for any size.
#
# The test of Kolmogorov and Smirnov needs no bins. It compares the *empirical distribution functions*: $F(t)$, the
# fraction of the reference that is at most $t$, and $G(t)$, that of the window. Its statistic is the largest distance
# between the two. Both are staircases that change at sample values only, so it suffices to look there.

# %% nbgrader={"grade": false, "grade_id": "ks_statistic", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def ks_statistic(x, y) -> float:
    """The largest distance between the empirical distribution functions of two samples (Kolmogorov; Smirnov 1939).

    Parameters
    ----------
    x, y : arrays of numbers, shapes (n,) and (m,), not empty

    Returns
    -------
    float
        From 0, for equal samples, to 1, where all of one lie below all of the other.

    Notes
    -----
    The fraction of `x` that is *at most* each entry of `t` is ``np.searchsorted(np.sort(x), t, side="right") / len(x)``. Let `t` be all
    values of both samples, ``np.concatenate([x, y])``.
    """
    x, y = checked_array(x, "ks_statistic"), checked_array(y, "ks_statistic")
    if x.ndim != 1 or y.ndim != 1:
        raise ValueError(f"ks_statistic: the samples have shapes {x.shape} and {y.shape}. Expected two lists of numbers.")
    ### BEGIN SOLUTION ks_statistic
    t = np.concatenate([x, y])
    f = np.searchsorted(np.sort(x), t, side="right") / len(x)
    g = np.searchsorted(np.sort(y), t, side="right") / len(y)
    return float(np.abs(f - g).max())
    ### END SOLUTION


def ks_p_value(d: float, n: int, m: int) -> float:
    """The probability of a distance of at least `d` between samples of sizes `n` and `m` of one distribution.

    Kolmogorov's series, with the correction of Stephens (1970) for small samples. Where values are tied, as grey levels are, it errs on the
    side of too few alarms.
    """
    size = math.sqrt(n * m / (n + m))
    z = (size + 0.12 + 0.11 / size) * d
    if z < 0.3:  # the series converges slowly there, and the answer is 1 to five digits
        return 1.0
    series = sum((-1) ** (k - 1) * math.exp(-2 * k * k * z * z) for k in range(1, 21))
    return min(max(2 * series, 0.0), 1.0)


# %% [raw] tags=["exercise"]
# ks_statistic:
#   title: The distance of two staircases
#   hints:
#     - At which values of t can the distance between two staircases be largest?
#     - Put all values of both samples into t. Compute for each of them the fraction of x that is at most t, and the fraction of y. Return the largest absolute difference.
#     - "f = np.searchsorted(np.sort(x), t, side='right') / len(x), the same for y, then the largest of np.abs(...)"
#   misconceptions:
#     - name: looks at one sample's values only
#       says: >-
#         The distance was looked for at the values of x only. It may be largest at a value of y.
#       code: |
#         t = x
#         f = np.searchsorted(np.sort(x), t, side="right") / len(x)
#         g = np.searchsorted(np.sort(y), t, side="right") / len(y)
#         return float(np.abs(f - g).max())
#     - name: looks on a grid
#       says: >-
#         The distance was looked for at evenly spaced places, and it lies between two of them. The staircases change at the values of the
#         samples: look there.
#       code: |
#         t = np.linspace(min(x.min(), y.min()), max(x.max(), y.max()), 100)
#         f = np.searchsorted(np.sort(x), t, side="right") / len(x)
#         g = np.searchsorted(np.sort(y), t, side="right") / len(y)
#         return float(np.abs(f - g).max())
#     - name: forgets the absolute value
#       says: >-
#         Where the window lies above the reference, F - G is positive; where it lies below, it is negative. Both are distances: take the absolute
#         value.
#       code: |
#         t = np.concatenate([x, y])
#         f = np.searchsorted(np.sort(x), t, side="right") / len(x)
#         g = np.searchsorted(np.sort(y), t, side="right") / len(y)
#         return float((f - g).max())
#     - name: breaks ties the wrong way
#       says: >-
#         Where samples share values, the distance came out too large: one staircase was taken before its step and the other after it. Both fractions
#         count the values that are at most t, with side="right".
#       code: |
#         t = np.concatenate([x, y])
#         f = np.searchsorted(np.sort(x), t, side="right") / len(x)
#         g = np.searchsorted(np.sort(y), t, side="left") / len(y)
#         return float(np.abs(f - g).max())
#     - name: searches in an unsorted sample
#       says: >-
#         np.searchsorted counts correctly in a sorted array only. Sort the samples first.
#       code: |
#         t = np.concatenate([x, y])
#         f = np.searchsorted(x, t, side="right") / len(x)
#         g = np.searchsorted(y, t, side="right") / len(y)
#         return float(np.abs(f - g).max())

# %% nbgrader={"grade": true, "grade_id": "test_ks_statistic", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_ks_statistic():
    check(ks_statistic([1.0, 2.0], [1.0, 2.0]), 0.0)
    check(ks_statistic([1.0, 2.0], [3.0, 4.0]), 1.0)
    check(ks_statistic([3.0, 4.0], [1.0, 2.0]), 1.0)
    check(ks_statistic([1.0, 4.0], [2.0, 3.0, 5.0, 6.0]), 0.5)
    check(ks_statistic([5.0, 0.0], [1.0, 2.0, 3.0]), 0.5)
    check(ks_statistic([0.0, 50.0, 100.0], [0.0, 50.001, 100.0]), 1 / 3)
    check(ks_statistic([0.0, 0.0, 0.0, 1.0], [0.0, 1.0]), 0.25)
    check(ks_statistic([3.0, 1.0, 2.0], [2.0, 1.0, 3.0]), 0.0)
    check(ks_p_value(0.0, 50, 50), 1.0)
    check(ks_p_value(1.0, 50, 50) < 1e-20, True)
    check_raises(ValueError, lambda: ks_statistic([], [1.0]), "holds no samples")
    check_raises(ValueError, lambda: ks_statistic([0.0, math.nan], [1.0]), "entry [1] is nan")

test_ks_statistic()

# %%
for size in (25, 100, 200):
    p, q = [], []
    for reference, window in resampled(future.features, 500, size, times=200):
        for found, pictures in ((p, window), (q, turned(window))):
            found.append(ks_p_value(ks_statistic(reference.mean(axis=1), pictures.mean(axis=1)), 500, size))
    print(f"window of {size:3d}   false alarms {np.mean(np.array(p) < 0.05):6.1%}   askew and noticed {np.mean(np.array(q) < 0.05):6.1%}")

# %% [markdown]
# The false alarms keep to their level, give or take what 200 windows can show. But a scanner that is askew, which costs
# the network so many of its answers, goes unnoticed in most windows: turning a picture hardly changes its ink. Each
# test sees what it looks at. So let us look at everything.
#
# ## Many tests at once
#
# A picture has 64 pixels, and each can be tested. But a test that is wrong in one case of twenty, made 64 times, is
# wrong about some pixel more often than not. The number of tests has to be paid for, and the benchmarking chapter knows
# how: `holm` adjusts p-values for their number, so that *any* false alarm is at most as probable as was agreed to. That
# holds where the tests depend on one another too, as those of neighbouring pixels do.

# %%
#| export
def ks_p_values(reference: np.ndarray, window: np.ndarray) -> np.ndarray:
    """A p-value for every feature of flattened inputs (N, D): one Kolmogorov-Smirnov test each."""
    same_features("ks_p_values", reference, window)
    return np.array([ks_p_value(ks_statistic(x, y), len(x), len(y)) for x, y in zip(reference.T, window.T)])


def same_features(function: str, reference: np.ndarray, window: np.ndarray) -> None:
    """Raise ValueError where two heaps of flattened inputs do not have the same features."""
    if np.ndim(reference) != 2 or np.ndim(window) != 2 or reference.shape[1] != window.shape[1]:
        raise ValueError(
            f"{function}: the inputs have shapes {np.shape(reference)} and {np.shape(window)}. Expected the same features in both, (N, D) and (M, D)."
        )


def any_drift(reference: np.ndarray, window: np.ndarray, alpha: float = 0.05) -> bool:
    """Whether any feature's distribution has changed, by Kolmogorov-Smirnov tests with Holm's correction."""
    return bool((holm(ks_p_values(reference, window)) <= alpha).any())


# %%
found = {"no correction": [], "Holm": []}
for pair in resampled(future.features, 500, 100, times=100):
    p = ks_p_values(*pair)
    found["no correction"].append((p <= 0.05).any())
    found["Holm"].append((holm(p) <= 0.05).any())
for name, alarms in found.items():
    print(f"64 pixels, nothing changed, {name:13s}: alarm in {np.mean(alarms):6.1%} of the windows")

# %% [markdown]
# ## What the network itself sees
#
# Two more places to look at. One is the *output*: the ten probabilities that the network gives. They are where a change
# matters, there are only ten, and ten tests cost less than 64. The other turns the question into one that we know how
# to train for. Mix the reference and the window, label each picture with the heap it came from, and train a network to
# tell the heaps apart. On pictures that it was *not* trained on: if it does better than a coin, the heaps differ. This
# is the *domain classifier* (Rabanser, Günnemann & Lipton 2019), and it needs no assumption about what has changed.
#
# How much better than a coin has it to be? With $n$ pictures in the held-out half, a coin's number of right answers is
# binomial, and the probability of at least as many as were seen is the p-value.

# %%
#| export
def binomial_tail(successes: int, trials: int) -> float:
    """The probability that a fair coin shows at least so many heads: exact, in whole numbers up to the last division."""
    if not isinstance(successes, (int, np.integer)) or not isinstance(trials, (int, np.integer)) or not 0 <= successes <= trials:
        raise ValueError(f"binomial_tail: {successes!r:.40} successes in {trials!r:.40} trials cannot be. Expected whole numbers, the first at most the second.")
    successes, trials = int(successes), int(trials)  # NumPy's own have 64 bits, and 2**64 is 0 there
    return sum(math.comb(trials, k) for k in range(successes, trials + 1)) / 2**trials


def domain_classifier_p_value(reference: np.ndarray, window: np.ndarray, seed: int = 0) -> float:
    """How probable it is that a network tells two heaps of flattened inputs apart as well by luck (Rabanser et al. 2019)."""
    same_features("domain_classifier_p_value", reference, window)
    rng, n = np.random.default_rng(seed), min(len(reference), len(window)) // 2
    if not n:
        raise ValueError(f"domain_classifier_p_value: heaps of {len(reference)} and {len(window)} inputs are too small. Expected at least two in each.")
    heaps = [rng.permutation(inputs)[: 2 * n].astype(np.float32) for inputs in (reference, window)]
    which = np.repeat([0, 1], n)
    data, held_out = (np.concatenate([inputs[half] for inputs in heaps]) for half in (slice(n), slice(n, None)))
    model = create_mlp(data.shape[1], [], 2, rng=rng)
    trainer = Trainer(model, Adam(model.parameters(), 0.1), CrossEntropyLoss())
    trainer.fit(DataLoader(ArrayDataset(data, which), batch_size=32, seed=seed), epochs=6, quiet=True)
    right = np.sum(trainer.predict(held_out).data.argmax(axis=1) == which)
    return binomial_tail(int(right), 2 * n)


# %% [markdown]
# Now the comparison. Five things may happen to the digits: the scanner is askew by 20 degrees; by 8; its pictures get
# noisy; they get paler; or nothing happens to the pictures, but more people write a 1 or a 7 (*label shift*). Each
# detector is asked about 200 windows of a hundred in which nothing has changed, and about 100 windows of each of the
# others. The reference and the window are always drawn anew, and none of the pictures was trained on.

# %%
probabilities = lambda features: softmax(trainer.predict(features)).data
rng = np.random.default_rng(0)
often = np.isin(np.arange(10), (1, 7)) * 2.0 + 1.0  # 1 and 7 three times as frequent
SHIFTS = {
    "nothing": lambda x: x,
    "askew by 8 degrees": lambda x: turned(x, 8),
    "askew by 20 degrees": turned,
    "noise": lambda x: np.clip(random_noise(x, 0.15, rng), 0, 1),
    "paler by a fifth": lambda x: x * np.float32(0.8),
}
DETECTORS = {
    "ink": lambda reference, window: ks_p_value(ks_statistic(reference.mean(axis=1), window.mean(axis=1)), len(reference), len(window)) < 0.05,
    "pixels": any_drift,
    "outputs": lambda reference, window: any_drift(probabilities(reference), probabilities(window)),
    "classifier": lambda reference, window: domain_classifier_p_value(reference, window) < 0.05,
}


def reweighted(features, targets, size):
    """Pictures of which some classes are more frequent, drawn without replacement."""
    weights = often[targets]
    return features[rng.choice(len(features), size, replace=False, p=weights / weights.sum())]


start, rates, accuracies = time.perf_counter(), {}, {}
for name, change in [*SHIFTS.items(), ("more of 1 and 7", None)]:
    alarms = {detector: [] for detector in DETECTORS}
    for _ in range(200 if name == "nothing" else 100):
        order = rng.permutation(len(future))
        reference, rest = future.features[order[:300]], future.subset(order[300:])
        window = change(rest.features[:100]) if change else reweighted(rest.features, rest.targets, 100)
        for detector, notices in DETECTORS.items():
            alarms[detector].append(notices(reference, window))
    rates[name] = {detector: np.mean(seen) for detector, seen in alarms.items()}
    p = probabilities((change or (lambda x: x))(future.features)).argmax(axis=1) == future.targets
    accuracies[name] = np.average(p, weights=None if change else often[future.targets])
print(f"{'':20s}" + "".join(f"{d:>11s}" for d in DETECTORS) + "   accuracy then")
for name, row in rates.items():
    print(f"{name:20s}" + "".join(f"{rate:11.1%}" for rate in row.values()) + f"{accuracies[name]:16.3f}")
print(f"{(200 + 100 * len(SHIFTS)) * len(DETECTORS)} tests in {time.perf_counter() - start:.1f} s")

# %%
_, ax = plt.subplots(figsize=(7.2, 3))
table = np.array([[row[detector] for row in rates.values()] for detector in DETECTORS])
ax.imshow(table, cmap="Blues", vmin=0, vmax=1.6, aspect="auto")
for (i, j), rate in np.ndenumerate(table):
    ax.text(j, i, f"{rate:.0%}", ha="center", va="center")
ax.set_xticks(range(len(rates)), [name.replace(" by ", " by\n").replace(" of ", " of\n") for name in rates])
ax.set_yticks(range(len(DETECTORS)), DETECTORS)
ax.set_title("Which test notices what? None sees everything")
plt.tight_layout()
plt.show()

# %% [markdown]
# Read the rows against the last column. The scanner that is askew costs most, and every test but the ink sees it at
# once. Paler pictures cost next to nothing, and three of the four tests are as loud about them as about a catastrophe:
# a test finds out *whether* something changed, not whether it matters. And of a label shift, hardly anything is seen in
# a hundred pictures: no single picture is unusual, only their mixture is. The outputs notice it most often, since what
# the network says is close to the label itself.
#
# So none replaces another, and none replaces labels. The outputs are a good first choice: they are few, they are there
# already, and they move when answers do.
#
# They have a trap, though, and it is time to measure it. What if the reference is taken from the pictures that the
# network was trained on? They are at hand, after all. Below, the confidence is tested, in windows of 200 in which nothing
# has changed.

# %%
by_heart = create_mlp(64, [32], 10, rng=0)
longer = Trainer(by_heart, Adam(by_heart.parameters(), 0.01), CrossEntropyLoss())
longer.fit(DataLoader(known, batch_size=32, seed=0), epochs=100, quiet=True)
for epochs, reader in ((20, trainer), (100, longer)):
    confidence = lambda features: softmax(reader.predict(features)).data.max(axis=1)
    for name, features in (("held out", future.features), ("trained on", known.features)):
        alarms = []
        for _ in range(200):
            order = rng.permutation(len(future))
            reference = features[order[:300]] if features is future.features else rng.permutation(features)[:300]
            d = ks_statistic(confidence(reference), confidence(future.features[order[300:500]]))
            alarms.append(ks_p_value(d, 300, 200) < 0.05)
        print(f"{epochs:3d} epochs, reference {name:10s}   mean confidence {confidence(features).mean():.3f}   false alarms {np.mean(alarms):6.1%}")

# %% [markdown]
# The longer a network is trained, the surer it is of what it was trained on, and then window after window looks unusual
# beside that, drift or no drift. That is why a version brings inputs along that were held out.

# %% [markdown]
# ## An alarm that people will still read in a year
#
# One false alarm in twenty windows may be several a day. After a week nobody reads them, and then there might as well be
# none. Attention is the scarcest thing in operations, so an alarm has to be slow to change its mind, in both
# directions. It starts after `patience` suspicious windows in a row, and it ends after `calm` windows in a row without
# suspicion. Such a lag is called *hysteresis*; a thermostat has one, for otherwise it would switch the heating on and
# off all day.

# %% nbgrader={"grade": false, "grade_id": "alarm", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
class Alarm:
    """On after several suspicious windows in a row, off after several in a row that are not.

    Parameters
    ----------
    patience, calm : int, at least 1
        How many in a row switch it on, and off.

    Attributes
    ----------
    on : bool
    against : int
        How many windows in a row, up to now, have spoken against the present state.
    """

    def __init__(self, patience: int = 2, calm: int = 3):
        self.patience, self.calm = checked_count(patience, "patience", 1, "Alarm"), checked_count(calm, "calm", 1, "Alarm")
        self.on, self.against = False, 0

    def update(self, suspicious: bool) -> bool:
        """Take note of a window, and say whether the alarm is on.

        Parameters
        ----------
        suspicious : bool

        Returns
        -------
        bool

        Notes
        -----
        A window speaks against the present state where `suspicious` differs from `on`. One that speaks for it starts the count
        anew. When `against` reaches `patience` (while the alarm is off) or `calm` (while it is on), the state changes, and the
        count starts anew too.
        """
        ### BEGIN SOLUTION alarm
        self.against = self.against + 1 if suspicious != self.on else 0
        if self.against == (self.calm if self.on else self.patience):
            self.on, self.against = not self.on, 0
        return self.on
        ### END SOLUTION


# %% [raw] tags=["exercise"]
# alarm:
#   title: An alarm that does not flutter
#   hints:
#     - Switching on and switching off are the same thing with another limit. What has to be counted, so that one counter serves for both?
#     - Count the windows in a row that speak against the present state; one that speaks for it sets the count to 0. Where the count reaches the limit of the present state, turn the state over and start again at 0.
#     - "self.against = self.against + 1 if suspicious != ... else 0"
#   misconceptions:
#     - name: follows every window
#       says: >-
#         The alarm followed each window at once. It should change only after patience, or calm, windows in a row.
#       code: |
#         self.on = suspicious
#         return self.on
#     - name: counts without starting anew
#       says: >-
#         Suspicious windows were counted altogether, not in a row. A quiet window in between starts the count anew.
#       code: |
#         self.against += suspicious != self.on
#         if self.against == (self.calm if self.on else self.patience):
#             self.on, self.against = not self.on, 0
#         return self.on
#     - name: goes off at the first quiet window
#       says: >-
#         A single quiet window ended the alarm. It ends after `calm` of them in a row.
#       code: |
#         self.against = self.against + 1 if suspicious else 0
#         self.on = self.against >= self.patience
#         return self.on
#     - name: keeps the count
#       says: >-
#         After the alarm had changed, the count was not set back, and the next change came at the wrong time.
#       code: |
#         self.against = self.against + 1 if suspicious != self.on else 0
#         if self.against >= (self.calm if self.on else self.patience):
#             self.on = not self.on
#         return self.on

# %% nbgrader={"grade": true, "grade_id": "test_alarm", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_alarm():
    def run(windows, patience, calm):
        alarm = Alarm(patience, calm)
        return "".join("#" if alarm.update(w == "x") else "." for w in windows)
    check(run("..xx..", 1, 1), "..##..")
    check(run(".x.x.x", 2, 1), "......")
    check(run(".xxx..", 2, 1), "..##..")
    check(run("xx.xx..x...", 2, 3), ".#########.")
    check(run("xx..x", 1, 2), "###.#")
    check(run("xxxx...xxx", 3, 2), "..###....#")
    check_raises(ValueError, lambda: Alarm(0), "patience is 0")
    check_raises(ValueError, lambda: Alarm(2, True), "calm is True")

test_alarm()

# %% [markdown]
# The same windows, three alarms. For three hundred windows nothing changes; then comes the label shift, the weakest of
# the changes above, which the outputs notice only now and then.

# %%
suspicious = []
for trial in range(600):
    order = rng.permutation(len(future))
    reference, rest = future.features[order[:300]], future.subset(order[300:])
    window = rest.features[:100] if trial < 300 else reweighted(rest.features, rest.targets, 100)
    suspicious.append(DETECTORS["outputs"](reference, window))
for patience, calm in ((1, 1), (2, 3), (3, 5)):
    alarm = Alarm(patience, calm)
    states = np.array([alarm.update(s) for s in suspicious])
    begun = np.flatnonzero(states[1:] & ~states[:-1]) + 1
    late = np.flatnonzero(states[300:])
    print(f"patience {patience}, calm {calm}: {np.sum(begun < 300):3d} false alarms in 300 windows, "
          f"on {late[0] + 1 if late.size else 'never':>3} windows after the change, {np.sum(begun >= 300):3d} times begun since")

# %% [markdown]
# Patience removes most false alarms, since one in twenty twice in a row is one in four hundred. It is paid for with
# delay, and where a change is barely visible, with alarms that end too early. What is right depends on what an hour of
# wrong answers costs, beside an hour of somebody's attention.
#
# A monitor puts the pieces together. It collects inputs and outputs until a window is full, tests both against the
# reference that the version brought along, and feeds two alarms. Between windows it holds at most one window of
# inputs, however long it runs.

# %%
#| export
class Monitor:
    """Compares inputs and outputs with a reference, window by window.

    Parameters
    ----------
    reference : array, shape (N, ...)
        Inputs that were held out from training.
    outputs : array, shape (N, K)
        What the model says of them.
    window : int, at least 2
        How many inputs are tested together.
    alpha : float
        Probability of a false suspicion, for a window's inputs and for its outputs.
    patience, calm : int
        Of the alarms.

    Attributes
    ----------
    p_values : dict from "inputs" and "outputs" to float
        Of the last full window: the smallest, adjusted for the number of tests.
    alarms : dict from the same names to Alarm
    windows : int
        Full windows so far.
    """

    def __init__(self, reference, outputs, window: int = 100, alpha: float = 0.01, patience: int = 2, calm: int = 3):
        reference, outputs = checked_array(reference, "Monitor: reference"), checked_array(outputs, "Monitor: outputs")
        self.references = {"inputs": reference.reshape(len(reference), -1), "outputs": outputs.reshape(len(outputs), -1)}
        self.window, self.alpha, self.windows = checked_count(window, "window", 2, "Monitor"), checked_part("Monitor", "alpha", alpha), 0
        self.waiting = {name: [] for name in self.references}
        self.p_values = dict.fromkeys(self.references, 1.0)
        self.alarms = {name: Alarm(patience, calm) for name in self.references}

    def add(self, inputs: np.ndarray, outputs: np.ndarray) -> None:
        """Take note of some inputs and what was answered; test when a window is full."""
        pair = {"inputs": inputs.reshape(len(inputs), -1), "outputs": outputs}
        for name, rows in pair.items():
            same_features(f"Monitor: {name}", self.references[name], rows)
        if len(inputs) != len(outputs):
            raise ValueError(f"Monitor: there are {len(inputs)} inputs and {len(outputs)} outputs. Expected an output for each input.")
        for name, rows in pair.items():
            self.waiting[name].extend(rows)
        while len(self.waiting["inputs"]) >= self.window:
            for name, rows in self.waiting.items():
                p = holm(ks_p_values(self.references[name], np.array(rows[: self.window])))
                self.p_values[name] = float(p.min())
                self.alarms[name].update(bool(p.min() <= self.alpha))
                del rows[: self.window]
            self.windows += 1


# %%
monitor = Monitor(future.features[:300], probabilities(future.features[:300]))
stream = np.concatenate([future.features[300:600], turned(future.features[300:700])])
for start in range(0, len(stream), 50):
    monitor.add(stream[start : start + 50], probabilities(stream[start : start + 50]))
    if start % 100:
        states = "   ".join(f"{name} p {monitor.p_values[name]:.1e} {'ALARM' if alarm.on else '-':5s}" for name, alarm in monitor.alarms.items())
        print(f"window {monitor.windows}, {'upright' if start < 300 else 'askew  '}   {states}")

# %% nbgrader={"grade": true, "grade_id": "test_monitor", "locked": true, "points": 0, "schema_version": 3, "solution": false, "task": false}
def test_monitor():
    line = np.linspace(0, 1, 40)[:, None]
    monitor = Monitor(line, np.hstack([line, 1 - line]), window=20, patience=2, calm=1)
    monitor.add(line[::2], np.hstack([line, 1 - line])[::2])
    check(monitor.windows, 1)
    check((monitor.alarms["inputs"].on, monitor.alarms["outputs"].on), (False, False))
    monitor.add(line[:15] + 2, np.hstack([line, 1 - line])[:15])
    check(monitor.windows, 1)
    monitor.add(line[:30] + 2, np.hstack([line, 1 - line])[::2].repeat(2, axis=0)[:30])
    check(monitor.windows, 3)
    check(monitor.alarms["inputs"].on, True)
    check(len(monitor.waiting["inputs"]), 5)
    check(monitor.p_values["inputs"] < 1e-6, True)
    check_raises(ValueError, lambda: Monitor(line, line, window=1), "window is 1")
    check_raises(ValueError, lambda: Monitor(line, line, alpha=1.5), "alpha is 1.5")

test_monitor()

# %% [markdown]
# ## Is the new one better?
#
# The alarm is on, labels for some of the askew pictures have been bought, and a candidate was trained on them. It reads
# more of the held-out pictures than the version in use. Promote it? Perhaps it was lucky. Two networks that are equally
# good seldom read exactly the same number, so one of them is nearly always ahead.
#
# Both networks have answered the *same* pictures, and that is worth a lot. Most pictures are read correctly by both or
# by neither and say nothing about who is better. What counts are the others: those that only the new one got right, $b$
# of them, and those that only the old one did, $c$. If the two are equally good, each of these $b + c$ pictures is the
# toss of a coin. So the p-value is that of a coin which shows at least $b$ heads in $b + c$ tosses. This is the *sign
# test*; for right and wrong answers it is McNemar's (1947), in its exact form. (It is the paired test of the benchmarking
# chapter for differences that are all of one size, so that there is nothing to rank, and it looks one way only: a
# candidate that is worse is not promoted either.)

# %% nbgrader={"grade": false, "grade_id": "sign_test", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def sign_test(new_right, old_right) -> float:
    """The probability that a model is ahead of another by at least so much if it is no better (McNemar 1947, exact, one-sided).

    Parameters
    ----------
    new_right, old_right : arrays of bool, shape (N,)
        Whether each model answered each input correctly; the same inputs in the same order.

    Returns
    -------
    float

    Notes
    -----
    ``binomial_tail(b, n)`` is the probability of at least b heads in n tosses of a fair coin.
    """
    new_right, old_right = np.asarray(new_right), np.asarray(old_right)
    if new_right.dtype != bool or old_right.dtype != bool or new_right.shape != old_right.shape or new_right.ndim != 1:
        raise ValueError(
            f"sign_test: expected True or False for the same inputs, twice; got {new_right.dtype} {new_right.shape} and {old_right.dtype} {old_right.shape}."
        )
    ### BEGIN SOLUTION sign_test
    b = np.sum(new_right & ~old_right)
    c = np.sum(old_right & ~new_right)
    return binomial_tail(b, b + c)
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# sign_test:
#   title: Better, or lucky?
#   hints:
#     - What does a picture tell you that both networks read correctly? And one that only the new one did?
#     - Count b, where the new one alone is right, and c, where the old one alone is. The coin is tossed b + c times, and shows b heads.
#     - "b = np.sum(new_right & ...), c the other way round, then the tail of b heads in ... tosses"
#   misconceptions:
#     - name: tosses a coin for every input
#       says: >-
#         Inputs on which both models agree were counted as tosses. They say nothing about which one is better; only the b + c others are
#         tosses.
#       code: |
#         b = int(np.sum(new_right & ~old_right))
#         return binomial_tail(b, len(new_right))
#     - name: compares accuracies
#       says: >-
#         The number of right answers was taken for heads. A model may be right nearly always and still be no better than the other. Count where
#         they differ.
#       code: |
#         return binomial_tail(int(new_right.sum()), len(new_right))
#     - name: exchanges the two
#       says: >-
#         The p-value is small where the old model is better. Heads are the inputs that the new one alone got right.
#       code: |
#         b = int(np.sum(old_right & ~new_right))
#         c = int(np.sum(new_right & ~old_right))
#         return binomial_tail(b, b + c)
#     - name: more than so many heads
#       says: >-
#         The tail began at b + 1. A p-value is the probability of what was seen or more: at least b heads.
#       code: |
#         b = int(np.sum(new_right & ~old_right))
#         c = int(np.sum(old_right & ~new_right))
#         return 1 - binomial_tail(c, b + c) if c else 1 / 2 ** (b + c)

# %% nbgrader={"grade": true, "grade_id": "test_sign_test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_sign_test():
    def rights(both, new, old, neither):
        new_right = [True] * both + [True] * new + [False] * old + [False] * neither
        old_right = [True] * both + [False] * new + [True] * old + [False] * neither
        return np.array(new_right, dtype=bool), np.array(old_right, dtype=bool)
    check(sign_test(*rights(0, 3, 0, 0)), 1 / 8)
    check(sign_test(*rights(50, 3, 0, 9)), 1 / 8)
    check(sign_test(*rights(7, 2, 1, 1)), 1 / 2)
    check(sign_test(*rights(7, 1, 2, 1)), 7 / 8)
    check(sign_test(*rights(5, 0, 0, 5)), 1.0)
    check(sign_test(*rights(90, 0, 4, 0)), 1.0)
    check(sign_test(*rights(1000, 2, 0, 0)), 1 / 4)
    check(sign_test(*rights(0, 35, 35, 0)), (1 + math.comb(70, 35) / 2**70) / 2)
    check_raises(ValueError, lambda: sign_test([1, 0], [True, False]), "True or False")
    check_raises(ValueError, lambda: sign_test([True], [True, False]), "same inputs")

test_sign_test()

# %% [markdown]
# How often would luck be promoted? Twenty networks are trained on the same 700 digits, from another seed each. The recipe
# is the same, so none is better by more than the luck of its seed. Let each be the candidate and each other one the version in use. Rule one promotes
# whoever has the higher accuracy on held-out pictures; rule two asks the sign test.

# %%
#| export
def rights(model: Module, data: ArrayDataset) -> np.ndarray:
    """Whether a classifier answers each sample of a data set correctly."""
    if not isinstance(data, ArrayDataset):
        raise TypeError(f"rights: {data!r:.60} is no ArrayDataset. Expected rights(model, data).")
    with evaluating(model):
        return class_probabilities(model, data.features).argmax(axis=1) == data.targets


# %%
def fitted(model, data, seed, epochs=20, learning_rate=0.01):
    """The network, trained on."""
    trainer = Trainer(model, Adam(model.parameters(), learning_rate), CrossEntropyLoss())
    trainer.fit(DataLoader(data, batch_size=32, seed=seed), epochs=epochs, quiet=True)
    return model


answers = [rights(fitted(create_mlp(64, [32], 10, rng=seed), known, seed), future) for seed in range(20)]
pairs = [(new, old) for new in answers for old in answers if new is not old]
p = np.array([sign_test(new, old) for new, old in pairs])
print(f"accuracies from {min(a.mean() for a in answers):.3f} to {max(a.mean() for a in answers):.3f}")
print(f"promoted of {len(pairs)}: ahead in accuracy {np.mean([new.mean() > old.mean() for new, old in pairs]):6.1%}", end="   ")
print(f"sign test below 0.05 {np.mean(p < 0.05):6.1%}   below 0.01 {np.mean(p < 0.01):6.1%}")

# %% [markdown]
# Whoever follows the higher number promotes nearly every second time, and exchanges one network for another with hardly
# a reason. The test hardly ever does.
#
# ## Retraining, and a decision
#
# To retrain is to train; nothing new is needed for that. What is new is everything around it. The candidate starts from
# the weights of the version in use, and is registered with that version as its parent, whatever becomes of it. Then it
# has to pass two tests on pictures that took no part in the training:
#
# - on pictures from *now* it is better, by the sign test;
# - on pictures from *before* it is not shown to be worse, by the same test turned round. A network that learns the new
#   pictures may forget the old, and the scanner may be repaired tomorrow.
#
# The second is the weaker of the two: with few pictures from before, little can be shown, and a small loss passes. So
# both accuracies stand in the reason.
#
# At last the promotion names the version that the candidate was compared with. The level is 0.01, for one retrains
# again and again, and each time luck gets another chance.

# %%
#| export
@dataclass(frozen=True)
class Decision:
    """What became of a candidate, and why."""

    candidate: str
    promoted: bool
    reason: str


def check_registry(function: str, registry) -> None:
    """Raise TypeError where something is no Registry."""
    if not isinstance(registry, Registry):
        raise TypeError(f"{function}: {registry!r:.60} is no Registry. Make one of its directory: Registry('registry').")


def decide(new_right, old_right, new_before=None, old_before=None, alpha: float = 0.01) -> tuple[bool, str]:
    """Whether a candidate should be promoted, and the reason in a sentence.

    Parameters
    ----------
    new_right, old_right : arrays of bool, shape (N,)
        Right answers of the candidate and of the version in use, to held-out inputs from now.
    new_before, old_before : the same, optional
        To held-out inputs from before.
    alpha : float
        How probable a decision by luck may be.
    """
    p = sign_test(new_right, old_right)
    now = f"from now {np.mean(new_right):.3f} against {np.mean(old_right):.3f}, p = {p:.2g}"
    if not p < alpha:
        return False, f"not shown to be better: {now}"
    if new_before is None:
        return True, f"better: {now}"
    q = sign_test(old_before, new_before)
    before = f"from before {np.mean(new_before):.3f} against {np.mean(old_before):.3f}, p = {q:.2g}"
    return (False, f"it has forgotten: {before}") if q < alpha else (True, f"better: {now}; {before}")


def retrain(registry: Registry, data: ArrayDataset, now: ArrayDataset, before: ArrayDataset | None = None, *,
            epochs: int = 20, learning_rate: float = 0.003, seed: int = 0, alpha: float = 0.01) -> Decision:
    """Train the version in use further, register what comes out, and promote it only where it is shown to be better.

    Parameters
    ----------
    registry : Registry
    data : ArrayDataset
        What is trained on.
    now, before : ArrayDataset
        Held-out samples from now, and from before the change. Neither may be a part of `data`.
    epochs, learning_rate, seed
        Of the training, with Adam and batches of 32.
    alpha : float
        As for `decide`.

    Returns
    -------
    Decision

    Raises
    ------
    PromotionConflict
        Where another version has come into use meanwhile. The candidate is registered then, and should be compared with that one.
    """
    check_registry("retrain", registry)
    champion = registry.current()
    candidate = rebuild(champion.record["architecture"])
    candidate.load_state_dict(champion.model.state_dict())
    trainer = Trainer(candidate, Adam(candidate.parameters(), learning_rate), CrossEntropyLoss())
    trainer.fit(DataLoader(data, batch_size=32, seed=seed), epochs=epochs, quiet=True)
    pairs = [(rights(candidate, part), rights(champion.model, part)) for part in (now, before) if part is not None]
    metrics = {f"accuracy {when}": new.mean() for when, (new, _) in zip(("now", "before"), pairs)}
    bounds = champion.record["inputs"]["low"], champion.record["inputs"]["high"]
    name = registry.register(candidate, now.features, metrics=metrics, data=data, seed=seed, parent=champion.name, bounds=bounds,
                             note=f"retrained: {epochs} epochs, Adam {learning_rate:g}, batches of 32")
    promote, reason = decide(*pairs[0], *(pairs[1] if before is not None else ()), alpha=alpha)
    if promote:
        registry.promote(name, instead_of=champion.name)
    return Decision(name, promote, reason)


# %% [markdown]
# Four attempts, in this order: with no new data at all; with labels that somebody has mixed up; with the askew pictures
# alone; with those and the old ones together. Of the pictures of the future, 400 are labelled and trained on, and the
# other 337 judge. For "before", the upright test part judges.

# %%
registry = Registry(tempfile.mkdtemp())
registry.promote(registry.register(model, future.features, data=known, seed=0))
labelled, judges = (part.like(turned(part.features), part.targets) for part in train_test_split(future, test_size=337, seed=2, stratify=True))
mixed_up = labelled.like(labelled.features, np.random.default_rng(0).permutation(labelled.targets))
both = labelled.like(np.concatenate([labelled.features, known.features]), np.concatenate([labelled.targets, known.targets]))
for what, data in (("no new data", known), ("labels mixed up", mixed_up), ("askew only", labelled), ("askew and old", both)):
    decision = retrain(registry, data, judges, before=test)
    today = registry.load(decision.candidate).record["metrics"]["accuracy now"]
    print(f"{what:16s} {decision.candidate} {'promoted' if decision.promoted else 'refused '}   now {today:.3f}   {decision.reason}")
print(*registry.log(), sep="\n")

# %% [markdown]
# Training raised no error, with the mixed-up labels neither. The judges tell the attempts apart. The one that learned
# the askew pictures alone would have been taken by anybody who looked at today's accuracy only.
#
# A refused candidate stays in the registry, with its parent, its data and its metrics. That somebody tried this already
# is worth knowing.

# %% nbgrader={"grade": true, "grade_id": "test_decide", "locked": true, "points": 0, "schema_version": 3, "solution": false, "task": false}
def test_decide():
    yes, no = np.ones(10, dtype=bool), np.zeros(10, dtype=bool)
    check(decide(yes, no), (True, "better: from now 1.000 against 0.000, p = 0.00098"))
    check(decide(yes, yes), (False, "not shown to be better: from now 1.000 against 1.000, p = 1"))
    check(decide(no, yes)[0], False)
    check(decide(yes, no, no, yes), (False, "it has forgotten: from before 0.000 against 1.000, p = 0.00098"))
    check(decide(yes, no, yes, yes)[0], True)
    check(decide(yes, no, alpha=1e-4)[0], False)

test_decide()

# %% [markdown]
# ## Shadow and canary
#
# Held-out pictures are still not the world. Before a candidate answers everybody it can answer beside the version in
# use, in one of two ways:
#
# - As a *shadow* it gets the same inputs, and its answers are noted and thrown away. Nobody is hurt by it, whatever it
#   says. And when labels arrive, both have answered the same inputs: the sign test applies.
# - As a *canary* it really answers a small part of the requests. Some people get its mistakes, but only so is it seen
#   how they live with it, and how its speed and memory are.
#
# Who is in that small part? Not chance at every request: somebody whose answers change back and forth with every click
# takes the service for broken. So the route is computed from a key, such as the user's name, by a hash. Equal keys go
# the same way. Hashed together with the candidate's name, it is not always the same unlucky people. And whoever is
# among the first 5 per cent should still be among them when it is 20.

# %% nbgrader={"grade": false, "grade_id": "routed", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def routed(key: str, candidate: str, fraction: float) -> bool:
    """Whether a request goes to the candidate: always the same for the same key, and for about `fraction` of all keys.

    Parameters
    ----------
    key : str
        Who or what is asking.
    candidate : str
        Name of the candidate.
    fraction : float, 0 to 1

    Returns
    -------
    bool

    Notes
    -----
    ``digest`` holds 32 bytes that look random. ``int.from_bytes(digest[:8])`` makes a whole number of the first eight, from 0 to
    2**64 - 1. Divided by ``2**64`` it lies from 0 to below 1; the request is routed where it is below `fraction`.
    """
    if not isinstance(fraction, (int, float, np.number)) or not 0 <= fraction <= 1:
        raise ValueError(f"routed: fraction is {fraction!r:.40}, but it has to be a number from 0 to 1.")
    digest = hashlib.sha256(f"{candidate} {key}".encode()).digest()
    ### BEGIN SOLUTION routed
    return int.from_bytes(digest[:8]) / 2**64 < fraction
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# routed:
#   title: Always the same way
#   hints:
#     - A number that looks random, but is always the same for the same key. How do you make a yes of it for a tenth of all keys?
#     - Make a number from 0 to below 1 of the first eight bytes of the digest, and compare it with the fraction.
#     - "int.from_bytes(digest[...]) divided by 2**64, below ..."
#   misconceptions:
#     - name: the wrong way round
#       says: >-
#         The comparison is turned round: with a fraction of 0 everybody was routed, and with 1 nobody.
#       code: |
#         return int.from_bytes(digest[:8]) / 2**64 >= fraction
#     - name: looks at a single byte
#       says: >-
#         One byte has 256 values, so that a fraction of one in a thousand becomes one in 256 or none. Use eight.
#       code: |
#         return digest[0] / 256 < fraction
#     - name: takes all bytes
#       says: >-
#         All 32 bytes make a number far above 2**64, and the fraction that comes out is never below 1. Take the first eight.
#       code: |
#         return int.from_bytes(digest) / 2**64 < fraction
#     - name: reads the bytes backwards
#       says: >-
#         The bytes were read from the last to the first. That would be as good a hash, but it is another one, and all routes change.
#       code: |
#         return int.from_bytes(digest[:8], "little") / 2**64 < fraction

# %% nbgrader={"grade": true, "grade_id": "test_routed", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_routed():
    keys = [f"user {n}" for n in range(2000)]
    check([routed(key, "v2", 0.0) for key in keys[:5]], [False] * 5)
    check([routed(key, "v2", 1.0) for key in keys[:5]], [True] * 5)
    def routed_from(key, candidate):
        """From which fraction on the key goes to the candidate, by halving."""
        low, high = 0.0, 1.0
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (low, middle) if routed(key, candidate, middle) else (middle, high)
        return f"{high:.12f}"
    # sha256(b"v2 anna") begins with 3b7600099a11fd5f; divided by 2**64 that is 0.232269289345
    check(routed_from("anna", "v2"), "0.232269289345")
    check(routed_from("anna", "v3"), "0.219363051448")
    tenth = [key for key in keys if routed(key, "v2", 0.1)]
    check(160 < len(tenth) < 240, True)
    check(all(routed(key, "v2", 0.2) for key in tenth), True)
    check(0 < sum(routed(key, "v2", 0.001) for key in keys) < 8, True)
    check_raises(ValueError, lambda: routed("anna", "v2", 5), "fraction is 5")

test_routed()

# %% [markdown]
# How many labels does each way need until a difference is seen? Take the pictures of a scanner that is askew by
# fourteen degrees. The version in use loses some of them, and a candidate that was trained on such pictures loses
# fewer. A shadow answers all requests, and its comparison is paired. A canary with half of the requests compares its
# half with the other half, by Fisher's exact test, the usual one for two groups.

# %%
#| export
def fisher_test(new_right: int, new_count: int, old_right: int, old_count: int) -> float:
    """The probability that one of two groups has at least `new_right` of all right answers, if both are equally good (Fisher 1935, one-sided)."""
    if not 0 <= new_right <= new_count or not 0 <= old_right <= old_count:
        raise ValueError(f"fisher_test: {new_right} right of {new_count} and {old_right} of {old_count} cannot be.")
    right, count = new_right + old_right, new_count + old_count
    ways = sum(math.comb(new_count, k) * math.comb(old_count, right - k) for k in range(new_right, min(right, new_count) + 1))
    return ways / math.comb(count, right)


# %%
little = future.like(turned(future.features, 14), future.targets)
learned, asked = train_test_split(little, test_size=337, seed=2, stratify=True)
more = learned.like(np.concatenate([learned.features, known.features]), np.concatenate([learned.targets, known.targets]))
candidate = fitted(rebuild(architecture(model)), more, seed=0)
new_right, old_right = rights(candidate, asked), rights(model, asked)
print(f"in use {old_right.mean():.3f}   candidate {new_right.mean():.3f}")
for size in (25, 50, 100, 200):
    shadow, canary = [], []
    for _ in range(200):
        of = rng.permutation(len(asked))[:size]
        shadow.append(sign_test(new_right[of], old_right[of]) < 0.05)
        mine, theirs = new_right[of[: size // 2]], old_right[of[size // 2 :]]
        canary.append(fisher_test(int(mine.sum()), len(mine), int(theirs.sum()), len(theirs)) < 0.05)
    print(f"after {size:3d} labelled requests: shown to be better as a shadow {np.mean(shadow):6.1%}   as a canary for half of them {np.mean(canary):6.1%}")

# %% [markdown]
# The shadow needs fewer labels, because every picture is its own comparison. That is why one begins with it, and lets a
# canary show what a shadow cannot.
#
# ## A service
#
# So far one cell ran after the other. A *service* is a program that does not end: it holds a model, waits for *requests*,
# which are inputs that somebody sends, and answers each of them. Meanwhile the registry changes, for somebody promotes.
# So two things go on at once, in two *threads*: each runs through its own lines of the program, both see the same
# objects, and between any two steps of one the other may go on.
#
# What answers requests has to hold a version in memory, notice that another one was promoted, and go over to it between
# two answers, never within one. The trick is small. Everything that belongs to a version sits in one object. An answer
# takes that object once, at its beginning, and uses nothing else. Going over is then a single assignment, which Python
# does as a whole: each answer is one version's, from its first number to its last, and says which.
#
# One trap lies in wait for those who serve with a framework that also trains. `no_grad` switches recording off for the
# whole program (the autograd chapter says so), and a training in another thread would stop learning. So the
# parameters of a version that was loaded have been told that they want no gradient (`made_again`, above). Then nothing is
# recorded, and nothing has to be switched.

# %%
#| export
class Served:
    """All that belongs to a version while it answers. Never changed; a newer version gets a new one."""

    def __init__(self, version: Version, window: int = 100):
        self.name, self.inputs, self.model = version.name, version.record["inputs"], version.model
        self.monitor = Monitor(version.reference, class_probabilities(self.model, version.reference), window)

    def answer(self, x: np.ndarray) -> np.ndarray:
        """Probabilities (N, K) for inputs. Raises FloatingPointError where they are not numbers."""
        with np.errstate(all="ignore"):
            p = class_probabilities(self.model, x)
        if not np.isfinite(p).all():
            raise FloatingPointError(f"version {self.name} gave numbers that are not finite")
        return p


class Service:
    """Answers with the version that a registry has in use, and goes over to another one when that is promoted.

    One thread answers; `refresh` may be called from another.

    Parameters
    ----------
    registry : Registry
        With a version in use.
    candidate : str, optional
        A version that runs beside it.
    mode : "shadow" or "canary"
        What the candidate does.
    fraction : float
        How much of the requests a canary answers.
    window : int
        Of the monitors.

    Attributes
    ----------
    champion : Served
    candidate : Served or None
        None too after the candidate has failed three times.
    problem : str
        Why the newest promotion could not be followed; empty where it was.
    compared, agreed, failures : int
        What the candidate was asked beside the version in use, how often both gave the same class, and how often it failed.
    """

    def __init__(self, registry: Registry, candidate: str | None = None, mode: str = "shadow", fraction: float = 0.1, window: int = 100):
        if mode not in ("shadow", "canary"):
            raise ValueError(f"Service: mode is {mode!r:.40}, but it has to be 'shadow' or 'canary'.")
        check_registry("Service", registry)
        routed("", "", fraction)
        self.registry, self.mode, self.fraction, self.window = registry, mode, fraction, window
        self.seen, self.problem = registry.newest(), ""
        self.champion = Served(registry.current(), window)
        self.candidate = None if candidate is None else Served(registry.load(candidate), window)
        if self.candidate is not None and self.candidate.inputs["shape"] != self.champion.inputs["shape"]:
            raise RegistryError(
                f"{candidate} takes inputs of shape {self.candidate.inputs['shape']}, and {self.champion.name}, which is in use, {self.champion.inputs['shape']}."
            )
        self.compared = self.agreed = self.failures = 0

    def refresh(self) -> bool:
        """Go over to the version in use where it is another one. Where that cannot be, go on as before, and say so in `problem`."""
        try:
            newest = self.registry.newest()
            if newest == self.seen and not self.problem:
                return False
            version = self.registry.current()
            changed = version.name != self.champion.name
            if changed:
                self.champion = Served(version, self.window)  # one assignment: this is the moment
            if self.candidate is not None and self.candidate.name == version.name:
                self.candidate = None  # it has arrived
            self.seen, self.problem = newest, ""
        except Exception as error:  # whatever it is: the version that answers now goes on answering
            changed, self.problem = False, f"{error}"
        return changed

    def answer(self, x: np.ndarray, key: str = "", wanted: str | None = None, champion: Served | None = None) -> tuple[str, np.ndarray]:
        """The name of the version that answers, and its probabilities (N, K).

        `champion` is the version in use for which `x` was checked; the one in use now where it is left out. Raises RegistryError where
        another version is wanted.
        """
        champion, candidate = champion or self.champion, self.candidate
        if wanted is not None:
            if wanted != champion.name:
                raise RegistryError(f"version {wanted!r:.60} does not answer here; {champion.name} does.")
            candidate = None
        if candidate is not None and self.mode == "canary" and routed(key, candidate.name, self.fraction):
            try:
                p = candidate.answer(x)
                candidate.monitor.add(x, p)
                return candidate.name, p
            except Exception:
                self.failed()  # and the version in use answers
        p = champion.answer(x)
        champion.monitor.add(x, p)
        return champion.name, p

    def shadow(self, x: np.ndarray, answered: np.ndarray) -> None:
        """Ask a shadow the same, and compare; to be called after the answer is on its way."""
        if (candidate := self.candidate) is None or self.mode != "shadow":
            return
        try:
            p = candidate.answer(x)
            self.compared += len(p)
            self.agreed += int(np.sum(p.argmax(axis=1) == answered.argmax(axis=1)))
        except Exception:
            self.failed()

    def failed(self) -> None:
        """Take note of a failure of the candidate; after the third it is not asked any more."""
        self.failures += 1
        if self.failures >= 3:
            self.candidate = None


# %%
service = Service(registry, candidate="v4", mode="canary", fraction=0.2)
names = [service.answer(judges.features[i : i + 1], key=f"user {i % 50}")[0] for i in range(300)]
print(f"{names.count('v4')} of 300 answers came from the canary", end="; ")
print("each user always from the same version:", all(len({names[i] for i in range(k, 300, 50)}) == 1 for k in range(50)))
broken = rebuild(architecture(model))
broken.load_state_dict(model.state_dict())
corner = np.flatnonzero((future.features == 0).all(axis=0))[0]
broken[0].weights.data[corner] = 3e38  # nobody noticed: in every picture of the reference this pixel is white
service = Service(registry, candidate=registry.register(broken, future.features), mode="canary", fraction=1.0)
specked = judges.features.copy()
specked[:, corner] = 1.0  # until there is dust on the glass
names = [service.answer(specked[i : i + 1])[0] for i in range(50)]
print(f"with a broken canary: {names.count('v6')} answers from it, {names.count('v5')} from the version in use; it failed {service.failures} times, and was left out")

# %% nbgrader={"grade": true, "grade_id": "test_service", "locked": true, "points": 0, "schema_version": 3, "solution": false, "task": false}
def test_service():
    with tempfile.TemporaryDirectory() as folder:
        registry, x = Registry(folder), np.eye(3, dtype=np.float32)
        models = [create_mlp(3, [4], 2, rng=seed) for seed in range(3)]
        for model in models:
            registry.register(model, x)
        check_raises(RegistryError, lambda: Service(registry), "nothing is promoted")
        registry.promote("v1")
        service = Service(registry, candidate="v3", mode="shadow")
        name, p = service.answer(x)
        check((name, p.sum(axis=1).tolist()), ("v1", [1.0, 1.0, 1.0]))
        check(p, softmax(models[0](Tensor(x))))
        service.shadow(x, p)
        check(service.compared, 3)
        check(service.refresh(), False)
        registry.promote("v2")
        check(service.answer(x)[0], "v1")
        check(service.refresh(), True)
        check(service.answer(x)[1], softmax(models[1](Tensor(x))))
        registry.promote("v3")
        (registry.place("v3") / "weights.npz").write_bytes(b"")
        check(service.refresh(), False)
        check("rollback" in service.problem, True)
        check(service.answer(x)[0], "v2")
        check_raises(RegistryError, lambda: service.answer(x, wanted="v1"), "v2 does")
        registry.rollback()
        check((service.refresh(), service.problem), (False, ""))
        check(any(p.requires_grad for p in service.champion.model.parameters()), False)
        check_raises(ValueError, lambda: Service(registry, mode="both"), "mode is 'both'")

test_service()

# %% [markdown]
# ## What comes in from outside
#
# Over a network a request is a text, and the usual form of it is HTTP: a line that says what is wanted (`POST /predict`),
# then *headers* with the length of the body and the like, then the *body*, which holds the inputs. Ours is written in
# JSON, whose lists and numbers look as they do in Python. The answer has the same form. In place of a wish it begins with
# a *status*, a number that programs understand: 200 where all went well.
#
# Anything comes in: a body that is no JSON, pictures of another size, grey levels to 255, `NaN`, a gigabyte. A server
# answers each with what was wrong and what was expected, and with a status. 400 stands for what is no JSON, 404 for a
# version that does not answer here, 408 for a body that takes too long, 413 for too much, 422 for JSON that holds no such
# inputs, 500 where the model itself fails, 503 for "not now".
#
# Grey levels to 255 are the most treacherous of these. The pixels were divided by 16 before training, and whoever writes
# a client has to know. If they do not, everything runs, and the answers are nonsense: *training/serving skew*, the same
# quantity computed in two places in two ways. The bounds in the record catch this one.
#
# JSON itself knows no `NaN`, but Python's reader lets it pass, and makes infinity of `1e999`. So the numbers are
# checked after they were read, whatever they were spelled like.

# %%
#| export
class Refused(Exception):
    """A request that is not answered: a status of HTTP, a reason, and headers."""

    def __init__(self, status: int, reason: str, **headers: str):
        super().__init__(reason)
        self.status, self.reason, self.headers = status, reason, headers


def read_request(body: bytes, expected: dict, most: int = 100) -> tuple[np.ndarray, str, str | None]:
    """Inputs, key and version from a request's body, ``{"inputs": [...], "key": "...", "version": "..."}``; the last two may be left out.

    Parameters
    ----------
    body : bytes
    expected : dict with "shape", "low" and "high"
        What an input looks like, as a version's record says.
    most : int
        Inputs in one request.

    Raises
    ------
    Refused
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f'the body is no JSON: {error}. Expected {{"inputs": [...]}}.') from error
    if not isinstance(content, dict) or "inputs" not in content:
        raise Refused(422, 'the body holds no inputs. Expected {"inputs": [...]}, a list of inputs.')
    key, version = content.get("key", ""), content.get("version")
    if not isinstance(key, str) or not isinstance(version, str | None):
        raise Refused(422, "key and version have to be texts where they are given.")
    return read_inputs(content["inputs"], expected, most), key, version


def read_inputs(inputs, expected: dict, most: int) -> np.ndarray:
    """The inputs as an array (N, ...), once each of them is seen to be what the version takes. Raises Refused."""
    shape, low, high = tuple(expected["shape"]), expected["low"], expected["high"]
    wanted = f"Expected a list of inputs of shape {shape}, numbers from {low:g} to {high:g}."
    try:
        x = np.array(inputs)
    except ValueError:
        raise Refused(422, f"inputs: the rows differ in length. {wanted}") from None
    if x.dtype.kind not in "iuf":
        raise Refused(422, f"inputs: these are not all numbers. {wanted}")
    if x.shape == shape:
        raise Refused(422, f"inputs: this is one input, not a list of them. Put it into brackets. {wanted}")
    if x.shape[1:] != shape or not len(x):
        raise Refused(422, f"inputs: they have shape {x.shape}. {wanted}")
    if len(x) > most:
        raise Refused(413, f"inputs: there are {len(x)} of them, and at most {most} are answered at once. Send them in parts.")
    wrong = ~((x >= low) & (x <= high))  # NaN is neither
    if wrong.any():
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise Refused(422, f"inputs: entry {list(place)} is {x[place]:g}. {wanted}")
    return x.astype(np.float32)


# %% [markdown]
# First the checks alone, for inputs of two numbers from 0 to 1:

# %%
for body in (b"{", b"[1]", b'{"inputs": [[0.5, "a"]]}', b'{"inputs": [0.5, 0.5]}', b'{"inputs": [[0.5], [0.1, 0.2]]}',
             b'{"inputs": [[0.5, NaN]]}', b'{"inputs": [[0.5, 255]]}', b'{"inputs": [[0, 1]]}'):
    try:
        print(f"{body.decode():32s} taken: {read_request(body, {'shape': [2], 'low': 0, 'high': 1})[0]}")
    except Refused as refused:
        print(f"{body.decode():32s} {refused.status} {refused}")

# %% nbgrader={"grade": true, "grade_id": "test_read_request", "locked": true, "points": 0, "schema_version": 3, "solution": false, "task": false}
def test_read_request():
    expected = {"shape": [2], "low": 0, "high": 1}
    def status(text):
        try:
            read_request(text.encode(), expected, most=3)
        except Refused as refused:
            return refused.status
        return 200
    check(read_request(b'{"inputs": [[0, 1], [0.5, 0.25]], "key": "anna"}', expected)[0], [[0, 1], [0.5, 0.25]])
    check(read_request(b'{"inputs": [[0, 1]], "key": "anna", "version": "v2"}', expected)[1:], ("anna", "v2"))
    check([status(t) for t in ("", "{", "[" * 100000, "nothing")], [400] * 4)
    check([status(t) for t in ("{}", "[]", "3", '{"inputs": null}', '{"inputs": []}', '{"inputs": "ab"}')], [422] * 6)
    check([status(f'{{"inputs": {x}}}') for x in ("[[NaN, 0]]", "[[0, 1e999]]", "[[-1, 0]]", "[[true, false]]", "[[1, 2, 3]]")], [422] * 5)
    check(status('{"inputs": [[0, 1], [0, 1], [0, 1], [0, 1]]}'), 413)
    check(status('{"inputs": [[0, 1]], "key": 3}'), 422)

test_read_request()

# %% [markdown]
# Now a whole answer, from the bytes of a request to a status and a content. The version in use is looked up once: the
# inputs are checked for the version that answers them, even if another one is promoted in between.

# %%
#| export
def respond(service: Service, body: bytes, most: int = 100, later=None) -> tuple[int, dict]:
    """What a service says to a request's body: a status of HTTP, and a content for JSON. The whole server, but for the network.

    Parameters
    ----------
    service : Service
    body : bytes
        As `read_request` takes it.
    most : int
        Inputs in one request.
    later : callable ``(function, *arguments)``, optional
        Has a shadow asked once the answer is on its way; where it is left out, the shadow is asked first.
    """
    champion = service.champion
    try:
        x, key, wanted = read_request(body, champion.inputs, most)
        version, p = service.answer(x, key, wanted, champion)
    except Refused as refused:
        return refused.status, {"error": refused.reason}
    except RegistryError as error:
        return 404, {"error": str(error)}
    except FloatingPointError as error:
        return 500, {"error": f"{error}. Nothing is wrong with the inputs; the model fails on them."}
    if later is None:
        service.shadow(x, p)
    else:
        later(service.shadow, x, p)
    return 200, {"version": version, "classes": p.argmax(axis=1).tolist(), "probabilities": p.tolist()}


# %%
service = Service(registry)
digit = judges.features[:1]
for what, body in (
    ("a digit", json.dumps({"inputs": digit.tolist()})),
    ("the same, for another version", json.dumps({"inputs": digit.tolist(), "version": "v9"})),
    ("grey levels to 16", json.dumps({"inputs": (16 * digit).tolist()})),
    ("two numbers", '{"inputs": [[0.5, 0.5]]}'),
    ("half a body", json.dumps({"inputs": digit.tolist()})[:40]),
):
    status, content = respond(service, body.encode())
    print(f"{what:30s} {len(body):5d} bytes   {status} {json.dumps(content)[:110]}")

# %% nbgrader={"grade": true, "grade_id": "test_respond", "locked": true, "points": 0, "schema_version": 3, "solution": false, "task": false}
def test_respond():
    with tempfile.TemporaryDirectory() as folder:
        registry, x = Registry(folder), np.eye(3, dtype=np.float32)
        for size in (3, 2):
            registry.register(create_mlp(size, [4], 2, rng=size), x[:, :size])
        registry.promote("v1")
        service = Service(registry, candidate="v1", mode="shadow")
        status, content = respond(service, b'{"inputs": [[0, 1, 0]]}')
        check((status, content["version"]), (200, "v1"))
        check(content["probabilities"], softmax(create_mlp(3, [4], 2, rng=3)(Tensor(x[1:2]))))
        check(content["classes"], [int(np.argmax(content["probabilities"]))])
        check((service.compared, service.agreed), (1, 1))
        check(respond(service, b"{")[0], 400)
        check(respond(service, b'{"inputs": [[0, 1, 0]], "version": "v2"}')[0], 404)
        check(respond(service, b'{"inputs": [[0, 1, 0], [0, 1, 0]]}', most=1)[0], 413)
        registry.promote("v2")
        first = service.champion
        service.refresh()
        check(service.answer(x, champion=first)[0], "v1")
        check(respond(service, b'{"inputs": [[0, 1, 0]]}')[0], 422)
        check(respond(service, b'{"inputs": [[0, 1]]}')[1]["version"], "v2")
        service.champion.model[0].weights.data[:] = np.inf
        check(respond(service, b'{"inputs": [[0, 1]]}')[0], 500)

test_respond()

# %% [markdown]
# ## Numbers for whoever is on duty
#
# A server is watched by another program, which asks every few seconds and draws curves. What it asks for is most often
# the text format of Prometheus: a line for each number, with a name and labels. A *counter* only ever rises, so that a
# question that got lost does no harm. A *gauge* is a number as it stands. A *histogram* is several counters: how many
# requests took at most 1 ms, how many at most 2.5, and so on up to `+Inf`, each including those before.

# %%
#| export
class Metrics:
    """Counters and a histogram of durations, in the text format of Prometheus."""

    BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)

    def __init__(self):
        self.counters, self.buckets, self.total = {}, [0] * (len(self.BOUNDS) + 1), 0.0

    def count(self, name: str, amount: int = 1, **labels: str) -> None:
        """Raise a counter."""
        values = self.counters.setdefault(name, {})
        key = tuple(sorted(labels.items()))
        values[key] = values.get(key, 0) + amount

    def observe(self, seconds: float) -> None:
        """Take note of a duration."""
        self.buckets[int(np.searchsorted(self.BOUNDS, seconds))] += 1
        self.total += seconds

    def text(self, gauges: dict[str, dict]) -> str:
        """Everything, with `gauges` as they stand: names to dictionaries from labels, ``(("what", "inputs"),)``, to numbers."""
        lines = []
        for kind, families in (("counter", self.counters), ("gauge", gauges)):
            for name, values in families.items():
                lines.append(f"# TYPE {name} {kind}")
                lines += [f"{name}{labelled(labels)} {value:.10g}" for labels, value in values.items()]
        lines.append("# TYPE tinytorch_request_seconds histogram")
        for bound, count in zip((*map(str, self.BOUNDS), "+Inf"), np.cumsum(self.buckets)):
            lines.append(f'tinytorch_request_seconds_bucket{{le="{bound}"}} {count}')
        lines += [f"tinytorch_request_seconds_sum {self.total:.9g}", f"tinytorch_request_seconds_count {sum(self.buckets)}"]
        return "\n".join(lines) + "\n"


def labelled(labels) -> str:
    """Labels in braces, quoted as the format wants it."""
    quoted = (f'{name}="{str(value).translate(QUOTED)}"' for name, value in labels)
    return "{" + ",".join(quoted) + "}" if labels else ""


QUOTED = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


# %% [markdown]
# Three requests, one of them bad and one with a hundred digits, and what is told of them:

# %%
metrics = Metrics()
for body in (json.dumps({"inputs": digit.tolist()}), "{", json.dumps({"inputs": judges.features[:100].tolist()})):
    begun = time.perf_counter()
    status, _ = respond(service, body.encode())
    metrics.count("tinytorch_requests_total", status=str(status))
    metrics.observe(time.perf_counter() - begun)
print(metrics.text({"tinytorch_version_in_use": {(("version", service.champion.name),): 1}}), end="")

# %% nbgrader={"grade": true, "grade_id": "test_metrics", "locked": true, "points": 0, "schema_version": 3, "solution": false, "task": false}
def test_metrics():
    metrics = Metrics()
    metrics.count("asked_total", status="200")
    metrics.count("asked_total", 2, status="200")
    metrics.observe(0.0005)
    metrics.observe(0.003)
    metrics.observe(7.0)
    lines = metrics.text({"drift": {(("what", 'a"b'),): 0.5}}).splitlines()
    check(lines[:4], ["# TYPE asked_total counter", 'asked_total{status="200"} 3', "# TYPE drift gauge", 'drift{what="a\\"b"} 0.5'])
    check([int(line.split()[-1]) for line in lines if "bucket" in line], [1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 3])
    check(lines[-2:], ["tinytorch_request_seconds_sum 7.0035", "tinytorch_request_seconds_count 3"])

test_metrics()

# %% [markdown]
# ## Over HTTP
#
# All that is missing is the network. Sockets, headers and broken connections are left to those who do little else:
# FastAPI and uvicorn. Neither comes with the course. In a notebook `%pip install fastapi uvicorn` installs them, in a
# terminal `python -m pip install fastapi uvicorn`. Where they are missing, the cells below say so, and show what can
# be seen without a network. What is ours is the order of things.
#
# uvicorn listens at an address (`127.0.0.1` is this machine, seen from itself), reads HTTP, and calls an *application*
# for every request. FastAPI makes one of our functions, one for each path such as `/predict`. They begin with `async
# def`. At an `await` such a function steps aside until what it waits for is there, and the thread goes on with other
# requests. So a single thread, the *event loop*, can wait for a thousand slow senders. But whatever computes in it holds
# up all of them.
#
# First the body. It comes in pieces, when its sender likes. Three limits keep bodies from filling the memory: how long
# one may be, how long it may take, and how much is kept of all those that are not complete. Where that is too much, the
# one that has been on its way longest is given up, so that whoever dawdles makes room for the others.

# %%
#| export
def fastapi_names():
    """What is needed of FastAPI, with a clear word where it is missing."""
    try:
        import uvicorn  # noqa: F401 (FastAPI alone does not listen)
        from fastapi import FastAPI, Request
        from fastapi.responses import JSONResponse, PlainTextResponse
    except ImportError as error:
        raise ImportError(
            f"create_app: serving needs FastAPI and uvicorn, and they cannot be imported ({error}).\n"
            "  Install them: python -m pip install fastapi uvicorn, or the extra, tinytorch[serve]."
        ) from error
    return FastAPI, Request, JSONResponse, PlainTextResponse


class Bodies:
    """Reads the bodies of requests.

    What is too long is not kept, but up to ten times as much is still read: a client that is cut off while it sends gets a broken
    connection in place of the reason.

    Parameters
    ----------
    most : int
        Bytes of a body.
    seconds : float
        In which all of it has to be there.
    room : int
        Bytes of all bodies together that are not complete.
    """

    def __init__(self, most: int, seconds: float, room: int):
        self.most, self.seconds, self.room = most, seconds, room
        self.coming = {}  # the timeouts of the bodies on their way, the oldest first, and how much of each is kept

    async def read(self, request) -> bytes:
        """The body of a request. Raises Refused."""
        import asyncio

        from starlette.requests import ClientDisconnect

        told, parts, size = request.headers.get("content-length", ""), [], 0
        declared, timeout = int(told) if told.isdigit() else 0, asyncio.timeout(self.seconds)
        try:
            async with timeout:
                self.coming[timeout] = 0
                if declared <= 10 * self.most:
                    async for part in request.stream():
                        size += len(part)
                        if size <= self.most:
                            parts.append(part)
                            self.keep(timeout, len(part))
                        elif size > 10 * self.most:
                            break
        except TimeoutError:
            if timeout not in self.coming:
                late = {"Connection": "close", "Retry-After": "1"}
                raise Refused(503, "the body was not complete, and others needed the room. Come again.", **late) from None
            raise Refused(408, f"the body did not arrive within {self.seconds:g} seconds.", Connection="close") from None
        except ClientDisconnect:
            raise Refused(400, "the connection was closed before the whole body was there.") from None
        finally:
            self.coming.pop(timeout, None)
        if max(size, declared) > self.most:
            unread = {"Connection": "close"} if max(size, declared) > 10 * self.most else {}
            raise Refused(413, f"the body is longer than {self.most} bytes. Send fewer inputs at once.", **unread)
        return b"".join(parts)

    def keep(self, timeout, size: int) -> None:
        """Note that so much more of a body is kept, and give up the oldest bodies until there is room."""
        self.coming[timeout] = self.coming.get(timeout, 0) + size
        while sum(self.coming.values()) > self.room:
            oldest = next(iter(self.coming))
            del self.coming[oldest]
            if not oldest.expired():
                oldest.reschedule(0)  # its time is over now


# %% [markdown]
# The answers are computed by one worker, a second thread, one after the other; `run_in_executor` hands it the work, and
# the loop is free until the answer is there. It is one worker, because two that fill a window of the monitor at once
# would both find it full and both empty it. In front of it is a queue, and the queue has an end. Where requests come twice
# as fast as they can be answered, half of a minute's requests are left over after that minute, and the worker needs one
# more minute for them: who comes now to an endless queue waits that long, and most have given up by then. It is
# kinder to say at once: 503, and `Retry-After` with a number of seconds. This is *back-pressure*.

# %%
#| export
def create_app(registry: Registry, candidate: str | None = None, mode: str = "shadow", fraction: float = 0.1, *, queue_size: int = 32,
               max_bytes: int = 1_000_000, max_inputs: int = 100, body_seconds: float = 10.0, poll_seconds: float = 0.1, window: int = 100):
    """An application that answers with the version in use: for uvicorn, or any other server that speaks ASGI.

    Parameters
    ----------
    registry, candidate, mode, fraction, window
        As for `Service`.
    queue_size : int
        Requests that may be waiting or being answered; more get 503.
    max_bytes, max_inputs : int
        Of a request; more get 413.
    body_seconds : float
        In which the whole body of a request has to be there; who takes longer gets 408.
    poll_seconds : float
        How often the registry is looked at.

    Returns
    -------
    FastAPI
        With ``POST /predict``, ``GET /health``, ``GET /metrics`` and ``GET /versions``.

    Raises
    ------
    ImportError
        Where FastAPI is not installed.
    RegistryError
        Where no version is in use, or it is damaged.
    """
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    FastAPI, Request, JSONResponse, PlainTextResponse = fastapi_names()
    service, metrics = Service(registry, candidate, mode, fraction, window), Metrics()
    bodies = Bodies(max_bytes, body_seconds, room=queue_size * max_bytes)
    worker = ThreadPoolExecutor(1, thread_name_prefix="answers")
    waiting = 0

    async def watch():
        while True:
            await asyncio.sleep(poll_seconds)
            if await asyncio.to_thread(service.refresh):
                metrics.count("tinytorch_version_changes_total")

    @contextlib.asynccontextmanager
    async def lifespan(app):
        watching = asyncio.create_task(watch())
        yield
        watching.cancel()
        worker.shutdown()

    app = FastAPI(title="TinyTorch", lifespan=lifespan)

    @app.post("/predict", openapi_extra=PREDICT)
    async def predict(request: Request):
        nonlocal waiting
        begun, status, content, headers = time.perf_counter(), 500, {}, {}
        try:
            body = await bodies.read(request)
            if waiting >= queue_size:
                raise Refused(503, f"as many requests as may wait, {waiting}, are waiting already. Come again.", **{"Retry-After": "1"})
            waiting += 1
            try:
                status, content = await asyncio.get_running_loop().run_in_executor(worker, respond, service, body, max_inputs, worker.submit)
            finally:
                waiting -= 1
        except Refused as refused:
            status, content, headers = refused.status, {"error": refused.reason}, refused.headers
        finally:
            metrics.count("tinytorch_requests_total", status=str(status), version=content.get("version", ""))
            metrics.observe(time.perf_counter() - begun)
        return JSONResponse(content, status, headers)

    @app.get("/health")
    async def health():
        state = {"status": "degraded" if service.problem else "ok", "version": service.champion.name, "problem": service.problem}
        alarms = {name: alarm.on for name, alarm in service.champion.monitor.alarms.items()}
        return {**state, "alarms": alarms, "waiting": waiting}

    @app.get("/versions")
    async def versions():
        candidate = service.candidate.name if service.candidate is not None else None
        try:
            names = await asyncio.to_thread(registry.names)
        except OSError as error:
            return JSONResponse({"error": f"the registry cannot be read: {error}"}, 503)
        return {"in use": service.champion.name, "candidate": candidate, "versions": names}

    @app.get("/metrics")
    async def prometheus():
        monitor = service.champion.monitor
        gauges = {
            "tinytorch_waiting_requests": {(): waiting},
            "tinytorch_registry_problem": {(): float(bool(service.problem))},
            "tinytorch_version_in_use": {(("version", service.champion.name),): 1},
            "tinytorch_drift_p_value": {(("what", name),): p for name, p in monitor.p_values.items()},
            "tinytorch_drift_alarm": {(("what", name),): float(alarm.on) for name, alarm in monitor.alarms.items()},
            "tinytorch_candidate_compared": {(): service.compared},
            "tinytorch_candidate_agreed": {(): service.agreed},
            "tinytorch_candidate_failures": {(): service.failures},
        }
        return PlainTextResponse(metrics.text(gauges), media_type="text/plain; version=0.0.4")

    return app


PREDICT = {"requestBody": {"required": True, "content": {"application/json": {"schema": {
    "type": "object", "required": ["inputs"], "properties": {
        "inputs": {"type": "array", "description": "inputs of the shape that the model takes", "items": {}},
        "key": {"type": "string", "description": "who is asking: a canary answers equal keys alike"},
        "version": {"type": "string", "description": "refuse unless this version is in use"}}}}}}}  # fmt: skip


# %% [markdown]
# Connections are limited too, by `bounded` of `tinytorch/serve.py`: it keeps only so many, and one more takes the place
# of the one that has gone longest without an answer. So hundreds that say nothing, or a byte a second, do not keep
# others out.

# %%
#| export
@contextlib.contextmanager
def serving(app, port: int = 0, connections: int = 100):
    """Serve an application on this machine, from a thread, and give the address; the server ends with the `with` block."""
    import uvicorn

    from tinytorch.serve import bounded

    server = uvicorn.Server(bounded(app, connections, host="127.0.0.1", port=port))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError(f"serving: the server did not start. Is port {port} taken?")
            time.sleep(0.005)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


# %%
import http.client
from concurrent.futures import ThreadPoolExecutor


def over(connection, body, method="POST", path="/predict"):
    """Status, headers and content of an answer."""
    connection.request(method, path, body)
    response = connection.getresponse()
    return response.status, response.headers, response.read()


try:
    fastapi_names()
except ImportError as error:
    print(error)
else:
    with serving(create_app(registry)) as url:
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
        print(over(connection, None, "GET", "/health")[2].decode())
        for body in (json.dumps({"inputs": digit.tolist()}), "{", " " * 2_000_000):
            status, headers, content = over(connection, body)
            print(status, headers["content-type"], content.decode()[:130])
        print(*over(connection, None, "GET", "/metrics")[2].decode().splitlines()[:4], sep="\n")

# %% [markdown]
# ## Under load
#
# "It answers" is said quickly. A *load test* says how many questions were asked, how many were answered, refused or
# lost, whether each answer was right, and how long it took. Right means here: the probabilities are those of the
# version that the answer names, computed beside it without any server. The test ends by itself, after a number of
# requests or of seconds.
#
# What it is after are answers that are lost or wrong. Its latencies are those of a *closed loop*: each client asks again
# when it was answered, so while the server is slow few ask. What visitors who come when they please would wait, `serve`
# of the benchmarking chapter tells.

# %%
#| export
@dataclass
class Load:
    """What came of a load test.

    Attributes
    ----------
    answered, refused, failed, wrong : int
        Right answers; statuses other than 200; connections that broke; answers that were not right.
    versions : dict
        How many right answers came from each version.
    latencies : list of float
        Seconds, of every answer with status 200.
    """

    answered: int = 0
    refused: int = 0
    failed: int = 0
    wrong: int = 0
    versions: dict = None
    latencies: list = None

    @property
    def sent(self) -> int:
        """All requests."""
        return self.answered + self.refused + self.failed + self.wrong

    def __str__(self):
        told = f"{self.sent} sent: {self.answered} answered, {self.refused} refused, {self.failed} failed, {self.wrong} wrong"
        if self.latencies:
            median, late = np.quantile(self.latencies, [0.5, 0.99]) * 1e3
            told += f"; median {median:.2f} ms, 99% within {late:.2f} ms; versions {self.versions}"
        return told


# %%
#| export
@contextlib.contextmanager
def asking(server):
    """A function from a body to status and content: `server` itself, or requests over one connection to its ``/predict``."""
    import http.client

    if callable(server):
        yield server
        return
    connection = http.client.HTTPConnection(server.removeprefix("http://"), timeout=5)

    def ask(body):
        try:
            connection.request("POST", "/predict", body)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()  # the next request opens another one
            raise ConnectionError(f"{error!r}") from error
        return response.status, json.loads(content) if response.status == 200 else {}

    try:
        yield ask
    finally:
        connection.close()


def load_test(server, bodies: list, right, *, requests: int = 1000, clients: int = 4, seconds: float = 5.0,
              stop: threading.Event | None = None) -> Load:
    """Ask many questions from several threads, and check every answer.

    Parameters
    ----------
    server : str or callable
        An address, such as "http://127.0.0.1:8000", or a function from a body to status and content, such as `respond` with a service.
    bodies : list of bytes or str
        Asked one after the other, again and again; of an address, at ``/predict``.
    right : callable ``(number, answer) -> bool``
        Whether the answer (JSON as a dictionary) to body `number` is right.
    requests, clients, seconds
        It ends after so many requests, or so many seconds.
    stop : Event, optional
        Or when this is set.
    """
    import itertools
    from concurrent.futures import ThreadPoolExecutor

    if not (callable(server) or isinstance(server, str) and server.startswith("http://")) or not bodies:
        raise ValueError(f"load_test: the address is {server!r:.60}, and there are {len(bodies)} bodies. Expected http://HOST:PORT, and at least one.")
    load, numbers, end = Load(versions={}, latencies=[]), itertools.count(), time.monotonic() + seconds
    lock, stop = threading.Lock(), stop or threading.Event()

    def client():
        with asking(server) as ask:
            while (number := next(numbers)) < requests and time.monotonic() < end and not stop.is_set():
                begun, answer = time.perf_counter(), {}
                try:
                    status, content = ask(bodies[number % len(bodies)])
                    answer = content if status == 200 else {}
                    outcome = "refused" if not answer else "answered" if right(number % len(bodies), answer) else "wrong"
                except ConnectionError:
                    outcome = "failed"
                with lock:
                    setattr(load, outcome, getattr(load, outcome) + 1)
                    if answer:
                        load.versions[answer["version"]] = load.versions.get(answer["version"], 0) + 1
                        load.latencies.append(time.perf_counter() - begun)

    with ThreadPoolExecutor(clients) as threads:
        for ended in [threads.submit(client) for _ in range(clients)]:
            ended.result()
    return load


# %% [markdown]
# While four clients ask, a version is promoted and later taken back: first with one worker that calls `respond`, then
# over HTTP. In the last line the queue is made as short as can be, and eight clients ask for a hundred pictures at a time.

# %%
bodies = [json.dumps({"inputs": judges.features[i : i + 1].tolist()}) for i in range(len(judges))]
truth = {name: class_probabilities(registry.load(name).model, judges.features) for name in registry.names()}


def right(i, answer):
    return np.allclose(answer["probabilities"], truth[answer["version"]][i : i + 1], atol=1e-5)


def promote_and_roll_back(afterwards=lambda: None):
    for change in (lambda: registry.promote("v4"), registry.rollback):
        time.sleep(0.4)
        change()
        afterwards()


def loaded(server, afterwards=lambda: None):
    """A load test, and two changes meanwhile."""
    changing = threading.Thread(target=promote_and_roll_back, args=(afterwards,))
    changing.start()
    load = load_test(server, bodies, right, requests=10**6, seconds=1.5)
    changing.join()
    return load


service = Service(registry)
with ThreadPoolExecutor(1) as worker:
    print("asked directly:", loaded(lambda body: worker.submit(respond, service, body).result(), service.refresh))
try:
    fastapi_names()
except ImportError:
    print("over HTTP: not measured without FastAPI and uvicorn")
else:
    with serving(create_app(registry)) as url:
        print("over HTTP:", loaded(url))
    with serving(create_app(registry, queue_size=1)) as url:
        many = [json.dumps({"inputs": judges.features[:100].tolist()})]
        print("short queue:", load_test(url, many, lambda i, answer: np.allclose(answer["probabilities"], truth[answer["version"]][:100], atol=1e-5),
                                        requests=200, clients=8, seconds=2))

# %% [markdown]
# Nothing failed and nothing was wrong: some answers came from one version and some from the other, each whole. Where the
# server ran, many were refused with the short queue, and those that were not did not have to wait for all the others.
# What happens when the server's process is killed in the middle of this cannot be shown from a thread of the very same
# process; the tests of this chapter do it. They start it as one does outside a notebook, `python -m tinytorch.serve` and
# the registry's directory.
#
# What does the server cost? The same picture, asked of the model, of `respond`, and over HTTP, one request at a time:

# %%
from tinytorch.core.benchmarking import measure

print(measure(lambda: class_probabilities(model, digit), runs=300, name="the model"))
print(measure(lambda: respond(service, bodies[0]), runs=300, name="respond"))
try:
    fastapi_names()
except ImportError:
    print("over HTTP: not measured without FastAPI and uvicorn")
else:
    with serving(create_app(registry)) as url, asking(url) as ask:
        print(measure(lambda: ask(bodies[0]), runs=300, name="over HTTP"))

# %% [markdown]
# For a network as small as this one everything around it costs more than the answer: the text of JSON, the checks and the
# monitor, and by far the most the way over the network. The latter is a fixed price for each request, and hardly depends on the
# network that answers. Hence the list in a request: a hundred pictures at once pay it once.
#
# ## Leaving the house
#
# Not every place that needs the network has Python. *ONNX* is a file format for networks that many programs read, in
# browsers, telephones and servers. A file holds a graph: named tensors, and nodes such as `MatMul` or `Relu` that make
# new ones of them. It is written in Google's *protocol buffers*, and those are simple enough to write by hand.
#
# A message is a row of fields. Each begins with a number that says which field it is and how it is stored; then comes
# the value. Whole numbers are stored as *varints*: seven bits in each byte, the lowest seven first, and the topmost bit
# of a byte is 1 where more bytes follow. So small numbers take one byte, and large ones as many as they need.
#
# A negative number, such as an axis of -1, is the exception: the format has no sign. In place of $n < 0$ the number
# $n + 2^{64}$ is written, what remains of $n$ modulo $2^{64}$, and a reader who finds $2^{63}$ or more subtracts $2^{64}$
# again. So even -1 takes ten bytes. The function does this before the exercise begins.

# %% nbgrader={"grade": false, "grade_id": "varint", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def varint(n: int) -> bytes:
    """A whole number as protocol buffers store it.

    Parameters
    ----------
    n : int, from -2**63 to below 2**64
        In place of a negative number ``n % 2**64``, which is n + 2**64, is stored: the 64 bits of its two's complement.

    Returns
    -------
    bytes
        Seven bits of the number in each byte, the lowest first. The top bit of every byte but the last is 1.

    Raises
    ------
    ValueError
        For a number that does not fit into 64 bits.

    Notes
    -----
    From here on n is not negative. ``n % 128`` are the lowest seven bits, ``n // 128`` is the rest. Adding 128 sets the top bit of a byte. ``bytes([3, 4])`` makes two
    bytes of a list.
    """
    if not isinstance(n, (int, np.integer)):
        raise TypeError(f"varint: {n!r:.40} is no whole number.")
    if not -(2**63) <= int(n) < 2**64:
        raise ValueError("varint: this number does not fit into 64 bits. Expected one from -2**63 to below 2**64.")
    n = int(n) % 2**64
    ### BEGIN SOLUTION varint
    out = []
    while n >= 128:
        out.append(n % 128 + 128)
        n //= 128
    return bytes([*out, n])
    ### END SOLUTION


# %% [raw] tags=["exercise"]
# varint:
#   title: Seven bits at a time
#   hints:
#     - 300 is 2 times 128, and 44. Which of the two bytes comes first, and which of them has to say that another one follows?
#     - While at least 128 is left, put the lowest seven bits with the top bit set into a list, and go on with the rest. The last byte is what remains.
#     - "while n >= 128: out.append(n % 128 + ...), then n becomes n // ..."
#   misconceptions:
#     - name: highest first
#       says: >-
#         The bytes are in the order in which we write numbers. Here the lowest seven bits come first.
#       code: |
#         out = [n % 128]
#         while n >= 128:
#             n //= 128
#             out.insert(0, n % 128 + 128)
#         return bytes(out)
#     - name: eight bits in a byte
#       says: >-
#         All eight bits were used for the number, and nothing is left that says where it ends.
#       code: |
#         out = []
#         while n >= 256:
#             out.append(n % 256)
#             n //= 256
#         return bytes([*out, n])
#     - name: no sign that more follows
#       says: >-
#         Seven bits went into each byte, but the top bit is never set. A reader takes the first byte for the whole number. Add 128 to every byte but
#         the last.
#       code: |
#         out = []
#         while n >= 128:
#             out.append(n % 128)
#             n //= 128
#         return bytes([*out, n])
#     - name: one byte too few
#       says: >-
#         128 does not fit into one byte of seven bits, but it was left there, and looks like a byte after which another follows. Go on while
#         at least 128 is left.
#       code: |
#         out = []
#         while n > 128:
#             out.append(n % 128 + 128)
#             n //= 128
#         return bytes([*out, n])
#     - name: one byte too many
#       says: >-
#         128 needs two bytes, but 127 fits into one. Go on while at least 128 is left.
#       code: |
#         out = []
#         while n >= 127:
#             out.append(n % 128 + 128)
#             n //= 128
#         return bytes([*out, n])

# %% nbgrader={"grade": true, "grade_id": "test_varint", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_varint():
    check(varint(0).hex(), "00")
    check(varint(1).hex(), "01")
    check(varint(127).hex(), "7f")
    check(varint(200).hex(), "c801")
    check(varint(128).hex(), "8001")
    check(varint(300).hex(), "ac02")
    check(varint(128 * 128).hex(), "808001")
    check(varint(-1).hex(), "ff" * 9 + "01")
    check(varint(-(2**63)).hex(), "80" * 9 + "01")
    check(varint(2**64 - 1).hex(), "ff" * 9 + "01")
    check_raises(ValueError, lambda: varint(2**64), "64 bits")

test_varint()

# %% [markdown]
# The rest are names and numbers from the format's specification: which field of a node is its operator, and so on. For
# each layer there is one rule, which adds nodes to the graph and gives the name of the last one's output. The rules are
# found by the name of the layer's class, so that those for pictures can stand here too, and a layer of your own joins
# by a row.

# %%
#| export
def field(number: int, value) -> bytes:
    """A field of a message: a whole number, a float, a text, or bytes (another message, say)."""
    if isinstance(value, (int, np.integer)):
        return varint(number << 3) + varint(int(value))
    if isinstance(value, float):
        return varint(number << 3 | 5) + np.float32(value).astype("<f4").tobytes()
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def onnx_attribute(name: str, value) -> bytes:
    """An attribute of a node: a whole number, a float, a text, or a list of whole numbers."""
    stored = {int: (3, 2), float: (2, 1), str: (4, 3), list: (8, 7)}  # its field, and the number of its type
    number, kind = stored[type(value)]
    values = b"".join(field(number, v) for v in (value if isinstance(value, list) else [value]))
    return field(1, name) + values + field(20, kind)


def onnx_value(name: str, shape: tuple) -> bytes:
    """An input or an output of the graph, float32; None in a shape stands for any number."""
    dims = b"".join(field(1, field(2, "N") if n is None else field(1, n)) for n in shape)
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, dims)))


class Graph:
    """An ONNX graph that grows from its input on."""

    def __init__(self):
        self.nodes, self.tensors = [], []

    def constant(self, array) -> str:
        """Put a float32 array into the file; its name there."""
        array, name = np.asarray(array.data if isinstance(array, Tensor) else array, dtype="<f4"), f"w{len(self.tensors)}"
        dims = b"".join(field(1, n) for n in array.shape)
        self.tensors.append(dims + field(2, 1) + field(8, name) + field(9, array.tobytes()))
        return name

    def add(self, operator: str, *inputs: str, **attributes) -> str:
        """Add a node; the name of its output."""
        name = f"x{len(self.nodes) + 1}"
        parts = [field(1, i) for i in inputs] + [field(2, name), field(3, f"{operator}_{name}"), field(4, operator)]
        self.nodes.append(b"".join(parts + [field(5, onnx_attribute(*a)) for a in attributes.items()]))
        return name


def onnx_dense(graph: Graph, layer, x: str) -> str:
    """x @ w + b."""
    out = graph.add("MatMul", x, graph.constant(layer.weights))
    return out if layer.bias is None else graph.add("Add", out, graph.constant(layer.bias))


def onnx_conv(graph: Graph, layer, x: str) -> str:
    """A convolution of pictures (N, C, H, W)."""
    constants = [graph.constant(p) for p in (layer.weights, layer.bias) if p is not None]
    return graph.add("Conv", x, *constants, strides=list(layer.stride), pads=[*layer.padding] * 2, dilations=list(layer.dilation), group=layer.groups)


def onnx_pool(operator: str, **attributes):
    """The rule of a layer that makes pictures smaller."""
    return lambda graph, layer, x: graph.add(
        operator, x, kernel_shape=list(layer.kernel_size), strides=list(layer.stride), pads=[*layer.padding] * 2, **attributes
    )


# fmt: off
ONNX_RULES = {
    "Dense":      onnx_dense,
    "LayerNorm":  lambda graph, layer, x: graph.add("LayerNormalization", x, *map(graph.constant, (layer.gain, layer.bias)), axis=-1, epsilon=layer.epsilon),
    "Dropout":    lambda graph, layer, x: x,  # does nothing after training
    "Dropout2D":  lambda graph, layer, x: x,
    "ReLU":       lambda graph, layer, x: graph.add("Relu", x),
    "LeakyReLU":  lambda graph, layer, x: graph.add("LeakyRelu", x, alpha=layer.slope),
    "Sigmoid":    lambda graph, layer, x: graph.add("Sigmoid", x),
    "Tanh":       lambda graph, layer, x: graph.add("Tanh", x),
    "GELU":       lambda graph, layer, x: graph.add("Gelu", x, approximate="tanh"),
    "Softmax":    lambda graph, layer, x: graph.add("Softmax", x, axis=layer.axis),
    "Conv2D":     onnx_conv,
    "MaxPool2D":  onnx_pool("MaxPool"),
    "AvgPool2D":  onnx_pool("AveragePool", count_include_pad=1),
    "BatchNorm":  lambda graph, layer, x: graph.add("BatchNormalization", x, *map(graph.constant, (layer.gain, layer.bias, layer.running_mean, layer.running_var)),
                                                    epsilon=layer.epsilon),
    "Flatten":    lambda graph, layer, x: graph.add("Flatten", x, axis=1),
}
# fmt: on


def onnx_nodes(graph: Graph, layer, x: str) -> str:
    """Add a layer's nodes behind x; the name of its output. Raises TypeError where there is no rule, or it does not fit."""
    if is_sequential(layer):
        for part in layer:
            x = onnx_nodes(graph, part, x)
        return x
    kind = type(layer).__name__
    if kind not in ONNX_RULES:
        raise TypeError(f"export_onnx: there is no rule for {layer!r:.60}. Known are Sequential, {', '.join(ONNX_RULES)}; add yours to ONNX_RULES.")
    try:
        return ONNX_RULES[kind](graph, layer, x)
    except KeyError as error:
        raise TypeError(f"export_onnx: {layer!r:.60} has a setting that the rule for {kind} cannot write down: {error}.") from error


def export_onnx(model: Module, path: str | os.PathLike, input_shape: tuple[int, ...]) -> None:
    """Write a network as an ONNX file, for any number of inputs at once; all of the file or nothing.

    Parameters
    ----------
    model : Sequential, or a layer
        Written as it computes in evaluation mode.
    path : str or Path
    input_shape : tuple of int
        Shape of one input, without the batch axis: (64,).

    Raises
    ------
    TypeError
        For a layer without a rule in `ONNX_RULES`.
    """
    path = checked_path("export_onnx", model, path)
    if not isinstance(input_shape, (tuple, list)) or not all(isinstance(n, (int, np.integer)) and n > 0 for n in input_shape):
        raise ValueError(f"export_onnx: input_shape is {input_shape!r:.60}. Expected the shape of one input, without the batch axis, such as (64,).")
    with evaluating(model):
        out = np.shape(model(from_numpy(np.zeros((1, *input_shape), dtype=np.float32))))
    graph = Graph()
    last = onnx_nodes(graph, model, "inputs")
    naming = field(1, last) + field(2, "outputs") + field(4, "Identity")  # the last node gives the output its name
    nodes = [field(1, node) for node in (*graph.nodes, naming)]
    tensors = [field(5, tensor) for tensor in graph.tensors]
    ends = field(11, onnx_value("inputs", (None, *input_shape))) + field(12, onnx_value("outputs", (None, *out[1:])))
    written = b"".join([*nodes, field(2, "tinytorch"), *tensors, ends])
    content = field(1, 9) + field(2, "tinytorch") + field(7, written) + field(8, field(1, "") + field(2, 20))  # IR 9, operators of set 20
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        write_through(beside, content)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


# %%
folder = Path(tempfile.mkdtemp())
served = registry.current().model
export_onnx(served, folder / "digits.onnx", (64,))
raw = (folder / "digits.onnx").read_bytes()
print(f"{len(raw)} bytes, {sum(p.data.nbytes for p in served.parameters())} of them weights; it begins {raw[:24]}")
try:
    import onnxruntime
except ImportError:
    print("not checked without onnxruntime: python -m pip install onnx onnxruntime, or the extra, tinytorch[onnx]")
else:
    session = onnxruntime.InferenceSession(raw)
    theirs = session.run(None, {"inputs": test.features})[0]
    print(f"onnxruntime {onnxruntime.__version__} and we, on the {len(test)} test digits: at most {abs(theirs - served(test.features).data).max():.1e} apart")

# %% nbgrader={"grade": true, "grade_id": "test_export_onnx", "locked": true, "points": 0, "schema_version": 3, "solution": false, "task": false}
def test_export_onnx():
    check(field(1, 9).hex(), "0809")
    check(field(2, "ab").hex(), "12026162")
    check(field(2, 1.0).hex(), "150000803f")
    check(onnx_attribute("a", [1, 2]).hex(), "0a0161" + "4001" + "4002" + "a00107")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net.onnx")
        weights = np.array([[1.5, -2.5]], dtype="<f4")
        export_onnx(Dense(1, 2, weight_init=lambda shape, rng: weights), path, (1,))
        raw = path.read_bytes()
        check(raw[:2].hex(), "0809")
        check([raw.count(word) for word in (b"MatMul_x1", b"Add_x2", b"Identity", weights.tobytes())], [1, 1, 1, 1])
        check_raises(TypeError, lambda: export_onnx(Sequential([abs]), path, (1,)), "no rule for")
        check(path.read_bytes() == raw, True)
        check(os.listdir(folder), ["net.onnx"])

test_export_onnx()

# %% [markdown]
# Where both ran, two programs that share no line of code agree to the last digits of float32. That is a strong check of
# a network, and of a file format as well.
#
# ## Where next
#
# - *Order, not only mixture.* Our windows forget in which order their inputs came. Let the scanner turn by a tenth of a
#   degree a day and find out after how many days the tests notice. Then compare each window with the one a month before
#   as well.
# - *Slices.* An accuracy is a mean, and a mean can hide a class. Let `decide` ask for every digit by itself whether the
#   candidate is worse, with Holm's correction. How many judges does that take?
# - *Old versions.* The registry only grows. Write `prune(keep)`, which removes versions that are not on the pile, not a
#   parent of one that is, and older than the last `keep`. What may not happen if it is killed half-way, or if somebody
#   promotes one meanwhile?
# - *Batches.* Let the worker take all requests that are waiting and answer them as one batch. What becomes of the
#   latency, and of the throughput?
#
# What our version leaves out: a registry for many models and many machines (an object store and a database in place of
# directories), signatures against malice, who may promote, features that are computed in one place for training and
# serving alike so that the two cannot differ (Polyzotis et al. 2018), encryption and passwords in front of the
# server, several processes behind one address. Breck et al. (2017) have a list of 28 tests to ask oneself before going
# live, and Sculley et al. (2015) say what becomes of those who do not.
#
# *Papers.* Breck, Cai, Nielsen, Salib & Sculley, The ML Test Score (2017). McNemar, Note on the Sampling Error of the Difference Between Correlated Proportions
# or Percentages (1947). Polyzotis, Roy, Whang & Zinkevich, Data Lifecycle Challenges in Production Machine Learning (2018). Rabanser,
# Günnemann & Lipton, Failing Loudly (2019). Sculley et al., Hidden Technical Debt in Machine Learning Systems (2015).
