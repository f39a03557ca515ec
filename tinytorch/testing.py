"""The checks that the chapters' test cells are written with.

A failing check says what was called, what came out and what was expected, in the
words of the chapter, and keeps the three apart for whoever reports it.
"""

import ast
import linecache
import re
import sys

import numpy as np

__all__ = ["CheckFailed", "check", "check_raises"]


class CheckFailed(AssertionError):
    """A check that did not hold.

    Attributes
    ----------
    call : str
        Source of the expression that was checked; empty where the source is not known.
    actual, expected : str
        What came out and what should have, as text of at most a few lines.
    reason : str
        What differs (shape, value, type), in one line.
    """

    def __init__(self, call, actual, expected, reason):
        self.call, self.actual, self.expected, self.reason = call, actual, expected, reason
        lines = [call] if call else []
        lines += [f"  gave      {_indent(actual)}", f"  expected  {_indent(expected)}"]
        if reason:
            lines.append(f"  {reason}")
        super().__init__("\n".join(lines))


def check(actual, expected, rtol=1e-5, atol=1e-7):
    """Check that `actual` equals `expected`: numbers within a tolerance, all else exactly.

    Parameters
    ----------
    actual : number, array, Tensor, str, tuple, bool, None, ...
        The value of the call being tested.
    expected : same kind, or nested lists for an array
        The value worked out by hand. Shapes have to agree; dtypes need not.
    rtol, atol : float
        Two numbers agree where ``|actual - expected| <= atol + rtol * |expected|``.
        The defaults suit float32. NaN agrees with NaN.

    Raises
    ------
    CheckFailed
        With the call, the value that came out and the value expected.
    """
    reason = _difference(actual, expected, rtol, atol)
    if reason is not None:
        raise CheckFailed(_call_source(), shown(actual), shown(expected), reason)


def check_raises(error, call, match=""):
    """Check that `call()` raises `error` with `match` somewhere in its message.

    Parameters
    ----------
    error : type or tuple of types
    call : callable without arguments, most often a lambda
    match : str
        Text that the message has to contain (plain text, not a pattern).

    Raises
    ------
    CheckFailed
        Where nothing is raised, another type is raised, or the message lacks `match`.
    """
    names = " or ".join(e.__name__ for e in (error if isinstance(error, tuple) else (error,)))
    wanted = f"{names} with {match!r} in its message" if match else names
    try:
        value = call()
    except error as e:
        if match not in str(e):
            raise CheckFailed(_call_source(), f"{type(e).__name__}: {e}", wanted, "the message differs") from e
        return
    except NotImplementedError as e:
        if re.match(r"exercise \w+$", str(e)):  # an unsolved exercise, not an answer
            raise
        raise CheckFailed(_call_source(), f"{type(e).__name__}: {e}", wanted, "another error was raised") from e
    except Exception as e:
        raise CheckFailed(_call_source(), f"{type(e).__name__}: {e}", wanted, "another error was raised") from e
    raise CheckFailed(_call_source(), shown(value), wanted, "nothing was raised")


def _difference(actual, expected, rtol, atol):
    """None where the two agree, else what differs."""
    if expected is None or isinstance(expected, (str, bool, type, dict, set)):
        same = actual is expected if expected is None else _plain(actual) == expected
        return None if same is True or same is np.True_ else "the value differs"
    if isinstance(expected, tuple) or isinstance(expected, list) and not _is_numeric(expected):
        if type(actual) is not type(expected):
            return f"a {type(expected).__name__} was expected, this is a {type(actual).__name__}"
        if len(actual) != len(expected):
            return f"the length differs: {len(actual)}, expected {len(expected)}"
        for i, (a, e) in enumerate(zip(actual, expected)):
            if (reason := _difference(a, e, rtol, atol)) is not None:
                return f"item {i}: {reason}" if reason else f"item {i} differs"
        return None
    if not _is_numeric(expected):
        return None if actual == expected else "the value differs"
    return _numeric_difference(actual, _array(expected), rtol, atol)


def _numeric_difference(actual, expected, rtol, atol):
    if actual is None:
        return "the result is None: is a return missing?"
    try:
        actual = _array(actual)
    except (TypeError, ValueError):
        return "this is no array of numbers"
    if actual.dtype.kind not in "biuf":
        return "this is no array of numbers"
    if actual.shape != expected.shape:
        return f"the shape differs: {actual.shape}, expected {expected.shape}"
    close = np.isclose(actual, expected, rtol=rtol, atol=atol, equal_nan=True)
    if close.all():
        return None
    if actual.ndim == 0:
        return ""
    first = tuple(int(i) for i in np.argwhere(~close)[0])
    place = f"[{', '.join(map(str, first))}]"
    count = f"{(~close).sum()} of {close.size} entries differ"
    return f"{count}, the first at {place}: {actual[first]:.7g}, expected {expected[first]:.7g}"


def _is_numeric(value):
    if isinstance(value, (list, tuple)):
        return all(map(_is_numeric, value))
    return isinstance(value, (int, float, np.ndarray, np.generic)) or _is_tensor(value)


def _is_tensor(value):
    return hasattr(value, "data") and hasattr(value, "requires_grad")


def _plain(value):
    """A one-entry array or Tensor as the Python value it holds."""
    value = value.data if _is_tensor(value) else value
    return value.item() if isinstance(value, (np.ndarray, np.generic)) and value.size == 1 else value


def _array(value):
    """The numbers of a Tensor, an array or nested lists of these."""
    if isinstance(value, (list, tuple)):
        return np.array([_array(v) for v in value])
    return np.asarray(value.data if _is_tensor(value) else value)


def shown(value, limit=400):
    """`value` as text of at most a few lines."""
    if _is_tensor(value):
        value = value.data
    if isinstance(value, np.ndarray):
        text = np.array2string(value, precision=6, threshold=30, edgeitems=2)
    elif isinstance(value, np.generic):
        text = str(value)
    else:
        text = _repr(value)
    lines = text.splitlines() or [""]
    text = "\n".join(lines[:6] + (["..."] if len(lines) > 6 else []))
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _repr(value):
    """`repr`, with NumPy's numbers as plain ones inside tuples and lists."""
    try:
        with np.printoptions(legacy="1.25"):
            return repr(value)
    except Exception as error:
        return f"<{type(value).__name__}, whose repr fails: {type(error).__name__}>"


def _indent(text):
    return text.replace("\n", "\n" + " " * 12)


def _call_source():
    """Source of the first argument of the check that is running, or "" where it is not known."""
    frame = sys._getframe(2)
    position = next(
        (p for i, p in enumerate(frame.f_code.co_positions()) if i == frame.f_lasti // 2), (None,) * 4
    )
    first, last, start, end = position
    if first is None or end is None:
        return ""
    lines = [linecache.getline(frame.f_code.co_filename, n) for n in range(first, last + 1)]
    if not all(lines):
        return ""
    raw = [line.encode() for line in lines]
    raw[-1] = raw[-1][:end]
    raw[0] = raw[0][start:]
    try:
        call = ast.parse(b"".join(raw).decode().strip()).body[0].value
        position = 0 if call.func.id == "check" else 1
        argument = call.args[position]
    except (SyntaxError, AttributeError, IndexError, UnicodeDecodeError):
        return ""
    if isinstance(argument, ast.Lambda):
        argument = argument.body
    return ast.unparse(argument)

