"""Values on their way from the student's process to the judge: JSON and raw bytes, never pickle.

`encode` runs beside the student's code and is only obliging. `decode` runs in the judge and believes nothing:
what it returns is made of plain Python values and NumPy arrays of numbers or text, and of the three classes here.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import re

import numpy as np

from tito.plain import plain

LARGEST_MESSAGE = 8_000_000  # bytes of a line
LARGEST_ARRAY = 4_000_000
MOST_ITEMS, MOST_KEYS, DEEPEST = 20_000, 200, 12  # keys: of dicts and sets, whose hashes a student may choose
MOST_MARKS = 150_000  # brackets and commas of a line, and so values
LONGEST_TEXT, LONGEST_REPR, LONGEST_INTEGER = 20_000, 2_000, 1_000  # characters, and bits
DTYPE = re.compile(r"\|b1|\|[iu]1|<[iu][248]|<f[248]|<c(?:8|16)|\|S\d{1,5}|<U\d{1,4}")

SHORTER = {"g": "<f8", "G": "<c16"}  # np.longdouble and np.clongdouble


class BadMessage(ValueError):
    """What came through the pipe is not what a worker sends."""


@dataclasses.dataclass(frozen=True, eq=False)
class Tensor:
    """The numbers of a Tensor, told apart from an array as `tinytorch.testing` tells them."""

    data: object
    requires_grad = False


@dataclasses.dataclass(frozen=True)
class Record:
    """A dataclass's name and fields."""

    name: str
    fields: dict

    def __repr__(self):
        return f"{self.name.rpartition('.')[2]}({', '.join(f'{k}={v!r}' for k, v in self.fields.items())})"


@dataclasses.dataclass(frozen=True)
class Named:
    """A class, by its name."""

    name: str

    def __repr__(self):
        return f"<class {self.name!r}>"


@dataclasses.dataclass(frozen=True, eq=False)
class Opaque:
    """A value that has no form here; it equals nothing."""

    text: str

    def __repr__(self):
        return self.text


def encode(value, depth=0):
    """`value` as what `json` writes. Scalars stand for themselves, all else is an object with one key."""
    if value is None or isinstance(value, bool):
        return value
    if depth > DEEPEST:
        return {"other": "nested too deeply"}
    if isinstance(value, np.generic | np.ndarray):
        return _encode_array(value)
    if isinstance(value, int):
        return int(value) if value.bit_length() <= LONGEST_INTEGER else {"other": "a very large integer"}
    if isinstance(value, float):
        return float(value)
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    if isinstance(value, str):
        return str(value) if len(value) <= LONGEST_TEXT else {"other": repr(value[:200]) + "..."}
    if isinstance(value, bytes) and len(value) <= LONGEST_TEXT:
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, type):
        return {"class": name_of(value)}
    if type(value) in (list, tuple, set, frozenset, dict):
        return _encode_items(value, depth)
    if hasattr(value, "data") and hasattr(value, "requires_grad"):
        return {"tensor": encode(np.asarray(value.data), depth + 1)}
    if dataclasses.is_dataclass(value):
        fields = {f.name: encode(getattr(value, f.name), depth + 1) for f in dataclasses.fields(value)}
        return {"record": [name_of(type(value)), fields]}
    return _encode_other(value)


def _encode_items(value, depth):
    if len(value) > (MOST_ITEMS if type(value) in (list, tuple) else MOST_KEYS):
        return {"other": f"a {type(value).__name__} of {len(value)} items"}
    items = [list(pair) for pair in value.items()] if type(value) is dict else value
    coded = [[encode(k, depth + 1), encode(v, depth + 1)] for k, v in items] if type(value) is dict else None
    return {type(value).__name__: [encode(v, depth + 1) for v in items] if coded is None else coded}


def _encode_array(value):
    array = np.asarray(value)
    with np.errstate(all="ignore"):  # NumPy's longest numbers are not the same everywhere: as the next shorter ones
        array = array.astype(SHORTER.get(array.dtype.char, array.dtype.newbyteorder("<")), copy=False)
    if not DTYPE.fullmatch(array.dtype.str):
        return {"other": repr(value)[:LONGEST_REPR]}
    if array.nbytes > LARGEST_ARRAY:
        return {"other": f"an array of shape {array.shape}, too large to be compared"}
    content = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    key = "scalar" if isinstance(value, np.generic) else "array"
    return {key: [array.dtype.str, list(array.shape), content]}


def _encode_other(value):
    """What NumPy takes for numbers is an array here too, as `check` does it."""
    try:
        array = np.asarray(value)
        if array.dtype.kind in "biuf":
            return _encode_array(array)
    except Exception:
        pass
    return {"other": repr(value)[:LONGEST_REPR]}


def steady(text: str) -> str:
    """Text without addresses and scratch directories, which differ from run to run."""
    return re.sub(r"tito-grade-[\w-]+", "scratch", re.sub(r"\b0x[0-9a-f]{6,}", "0x0", text))


def name_of(cls):
    return f"{cls.__module__}.{cls.__qualname__}"


def parse(line):
    """One message: a JSON object, of no more values than are quickly read."""
    if sum(map(line.count, (b",", b"[", b"{", b":"))) > MOST_MARKS:
        raise BadMessage("a message holds more values than a test may send")
    try:
        message = json.loads(line)
    except (ValueError, RecursionError, MemoryError) as error:
        raise BadMessage("a message is not JSON") from error
    if not isinstance(message, dict):
        raise BadMessage("a message is not an object")
    return message


def decode(coded):
    """The value, or `BadMessage`. The work that it takes is bounded, whatever was sent."""
    return Decoder().value(coded)


class Decoder:
    """Makes one value. Equal hashes make a dict compare each key with each, so there may be few keys in all."""

    def __init__(self):
        self.keys, self.depth = MOST_KEYS, 0

    def value(self, coded):
        if coded is None or isinstance(coded, bool | float):
            return coded
        if isinstance(coded, int) and coded.bit_length() <= LONGEST_INTEGER:
            return coded
        if isinstance(coded, str) and len(coded) <= LONGEST_TEXT:
            return coded
        if self.depth > DEEPEST + 2 or not isinstance(coded, dict) or len(coded) != 1:
            raise BadMessage("a value has no known form")
        ((kind, content),) = coded.items()
        if kind not in DECODERS:
            raise BadMessage("a value is of no known kind")
        self.depth += 1
        try:
            return DECODERS[kind](self, content)
        except BadMessage:
            raise
        except (TypeError, ValueError, LookupError, ArithmeticError, MemoryError, AttributeError) as error:
            raise BadMessage(f"a value is no {kind}") from error
        finally:
            self.depth -= 1

    def items(self, content):
        if not isinstance(content, list) or len(content) > MOST_ITEMS:
            raise BadMessage("items are not a list")
        return list(map(self.value, content))

    def hashed(self, content):
        self.keys -= len(content)
        if not isinstance(content, list) or self.keys < 0:
            raise BadMessage("keys are not a list, or are too many")
        return content

    def dict(self, content):
        return {self.value(key): self.value(value) for key, value in self.hashed(content)}

    def record(self, content):
        name, fields = content
        self.hashed(list(fields))
        return Record(_text(name), {_text(key): self.value(value) for key, value in fields.items()})


def _array(content):
    name, shape, data = content
    if not all(type(n) is int and n >= 0 for n in shape) or len(shape) > 32:
        raise BadMessage("a shape is not whole numbers")
    if not isinstance(name, str) or not DTYPE.fullmatch(name):
        raise BadMessage("a dtype is unknown")
    dtype, raw = np.dtype(name), base64.b64decode(data, validate=True)
    if len(raw) > LARGEST_ARRAY or len(raw) != math.prod(shape) * dtype.itemsize:
        raise BadMessage("an array's bytes do not fit its shape")
    array = np.frombuffer(raw, dtype).reshape(shape)
    if dtype.kind == "U" and (np.frombuffer(raw, "<u4") > 0x10FFFF).any():
        raise BadMessage("an array's text is none")
    return array.astype(bool) if dtype.kind == "b" else array


def _scalar(content):
    array = _array(content)
    if array.ndim:
        raise BadMessage("a scalar has a shape")
    return array[()]


def _text(content, limit=500):
    if not isinstance(content, str):
        raise BadMessage("a text is none")
    return plain(content[:limit])


DECODERS = {
    "list": Decoder.items,
    "tuple": lambda decoder, content: tuple(decoder.items(content)),
    "set": lambda decoder, content: set(decoder.items(decoder.hashed(content))),
    "frozenset": lambda decoder, content: frozenset(decoder.items(decoder.hashed(content))),
    "dict": Decoder.dict,
    "bytes": lambda decoder, content: base64.b64decode(content, validate=True),
    "complex": lambda decoder, content: complex(float(content[0]), float(content[1])),
    "class": lambda decoder, content: Named(_text(content)),
    "array": lambda decoder, content: _array(content),
    "scalar": lambda decoder, content: _scalar(content),
    "tensor": lambda decoder, content: Tensor(decoder.value(content)),
    "record": Decoder.record,
    "other": lambda decoder, content: Opaque(steady(_text(content, LONGEST_REPR))),
}
