"""The setup chapter: bad input, edge cases, properties."""

import dataclasses
import math
import os
import platform
import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tinytorch.core.setup import (
    PersonalInfo,
    distances,
    machine_epsilon,
    personal_info,
    physical_memory,
    relative_error,
    system_info,
)

finite = st.floats(-1e6, 1e6)
word = st.text(string.ascii_letters + string.digits + ".-_", min_size=1, max_size=12)


@given(finite, finite.filter(lambda x: abs(x) > 1e-6))
def test_relative_error_is_a_size_and_ignores_scale_and_sign(measured, exact):
    error = relative_error(measured, exact)
    assert error >= 0
    assert relative_error(exact, exact) == 0
    assert relative_error(-measured, -exact) == error
    assert relative_error(4 * measured, 4 * exact) == pytest.approx(error, rel=1e-12)


@pytest.mark.parametrize("zero", [0, 0.0, -0.0, np.float32(0)])
def test_relative_error_refuses_zero(zero):
    with pytest.raises(ValueError, match="exact is 0"):
        relative_error(1.0, zero)


@given(word, word, word)
def test_a_good_address_is_kept(name, left, right):
    email = f"{left}@{right}"
    assert personal_info(f" {name}\t", f"\n{email} ") == PersonalInfo(name, email)


@pytest.mark.parametrize("email", ["", " ", "@", "a@", "@b", "a", "a@b@c", "a @b", "a@ b", "a\t@b", "@@"])
def test_a_bad_address_is_named_in_the_error(email):
    with pytest.raises(ValueError, match="email") as caught:
        personal_info("Ada", email)
    assert repr(email.strip()) in str(caught.value)


@pytest.mark.parametrize("value", [None, 3, b"ada", ["ada"]])
def test_what_is_no_text_is_refused(value):
    with pytest.raises(TypeError, match="name has to be text"):
        personal_info(value, "ada@example.org")
    with pytest.raises(TypeError, match="email has to be text"):
        personal_info("Ada", value)


def test_letters_of_all_kinds_are_welcome():
    assert personal_info("Søren Åström", "søren@exämple.org", "東京大学").institution == "東京大学"


def test_the_record_does_not_change():
    info = personal_info("Ada", "ada@example.org")
    with pytest.raises(dataclasses.FrozenInstanceError):
        info.name = "Grace"


def test_facts_have_the_types_they_promise():
    info = system_info()
    assert list(info) == ["python_version", "numpy_version", "platform", "machine", "cpu_count", "memory_bytes"]
    assert all(value is None or isinstance(value, (str, int)) for value in info.values())
    assert info["cpu_count"] is None or info["cpu_count"] >= 1
    assert info["memory_bytes"] is None or info["memory_bytes"] > 2**20


@pytest.mark.parametrize("trouble", [ValueError, OSError, None])
def test_memory_is_none_where_the_system_does_not_tell(monkeypatch, trouble):
    def sysconf(name):
        if trouble is None:
            return -1
        raise trouble(name)

    monkeypatch.setattr(os, "sysconf", sysconf, raising=False)
    assert physical_memory() is None
    assert system_info()["memory_bytes"] is None


def test_memory_is_none_without_sysconf(monkeypatch):
    monkeypatch.delattr(os, "sysconf", raising=False)
    assert physical_memory() is None


def test_an_unknown_platform_is_none(monkeypatch):
    monkeypatch.setattr(platform, "system", lambda: "")
    assert system_info()["platform"] is None


@given(st.integers(0, 5).flatmap(lambda d: st.tuples(
    st.integers(0, 6).flatmap(lambda n: arrays(np.float64, (n, d), elements=finite)),
    arrays(np.float64, (d,), elements=finite),
)))  # fmt: skip
def test_distances_are_those_of_math_dist(case):
    points, centre = case
    expected = [math.dist(p, centre) for p in points]
    # the squares of smaller differences underflow
    np.testing.assert_allclose(distances(points, centre), expected, rtol=1e-12, atol=1e-150)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 2)])
def test_a_centre_of_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"\(4, 2\)"):
        distances(np.zeros((4, 2)), np.zeros(shape))


def test_distances_keep_their_input_and_dtype():
    points, centre = np.ones((3, 2), np.float32), np.zeros(2, np.float32)
    assert distances(points, centre).dtype == np.float32
    assert (points == 1).all()
    assert (centre == 0).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, "float32", float])
def test_epsilon_is_numpys(dtype):
    assert machine_epsilon(dtype) == float(np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [np.int32, bool, np.complex64, "U1"])
def test_epsilon_needs_floats(dtype):
    with pytest.raises(TypeError, match="no floating-point type"):
        machine_epsilon(dtype)
