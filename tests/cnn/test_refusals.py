"""What convolutions, poolings and batch normalisation say of bad input."""

# ruff: noqa: E501 (a row of a table is a line)

import numpy as np
import pytest

from tinytorch.core.cnn import (
    AvgPool2D,
    BatchNorm,
    Conv2D,
    Dropout2D,
    Flatten,
    MaxPool2D,
    conv2d,
    conv2d_naive,
    random_rotation,
    rotated,
    unfold,
    with_channels,
)
from tinytorch.core.dataloader import load_iris
from tinytorch.core.layers import Dense
from tinytorch.core.networks import Sequential
from tinytorch.core.tensor import Tensor

X = np.ones((2, 3, 8, 8), np.float32)
WRONG = [
    (lambda: Conv2D(3, 4, 3)(X[0]), ValueError, "Conv2D(3, 4, kernel_size=3) got an input with 3 axes, (3, 8, 8), expected pictures: (N, C, H, W)"),
    (lambda: Conv2D(3, 4, 3)(X[0]), ValueError, "one picture (C, H, W) becomes a batch with x[None]"),
    (lambda: Conv2D(3, 4, 3)(X.reshape(2, -1)), ValueError, "x.reshape(len(x), 1, height, width)"),
    (lambda: Conv2D(1, 4, 3)(X), ValueError, "Conv2D(1, 4, kernel_size=3) got 3 channels: the input is (2, 3, 8, 8), expected (N, 1, H, W)"),
    (lambda: Conv2D(1, 4, 3)(X), ValueError, "Did you mean Conv2D(3, 4, ...)?"),
    (lambda: Conv2D(3, 4, 3)(X.transpose(0, 2, 3, 1)), ValueError, "The channels stand last. x.transpose(0, 3, 1, 2)"),
    (lambda: Conv2D(3, 4, 9)(X), ValueError, "got pictures of 8 x 8: a kernel of 9 with dilation 1 does not fit on 8 pixels"),
    (lambda: Conv2D(3, 4, 3, dilation=5, padding=1)(X), ValueError, "a kernel of 3 with dilation 5 does not fit on 8 pixels and 1 of padding"),
    (lambda: Conv2D(3, 4, 3, groups=2), ValueError, "2 groups do not divide 3 input and 4 output channels"),
    (lambda: Conv2D(4, 6, 3, groups=4), ValueError, "groups has to divide both numbers"),
    (lambda: Conv2D(3, 4, 3, groups=0), ValueError, "groups is 0, expected an integer of at least 1"),
    (lambda: Conv2D(3, 4, 3, padding=-1), ValueError, "padding is -1, expected a whole number of at least 0"),
    (lambda: Conv2D(3, 4, 3, stride=0), ValueError, "stride is 0, expected a whole number of at least 1"),
    (lambda: Conv2D(3, 4, 3, dilation=(1, 0)), ValueError, "dilation is (1, 0)"),
    (lambda: Conv2D(3, 4, (3, 3, 3)), ValueError, "kernel_size is (3, 3, 3), expected one number, or two: down and across"),
    (lambda: Conv2D(3, 4, 2.5), ValueError, "kernel_size is 2.5"),
    (lambda: Conv2D(3, 4, "same"), ValueError, "kernel_size is 'same'"),
    (lambda: Conv2D(3, 4, True), ValueError, "kernel_size is True"),
    (lambda: Conv2D(0, 4, 3), ValueError, "in_channels is 0"),
    (lambda: Conv2D(3, 4, 3, weight_init="he"), TypeError, "expected a function such as he_normal"),
    (lambda: Conv2D(3, 4, 3, weight_init=lambda s, r: np.zeros(3)), ValueError, "weight_init returned the shape (3,), expected (3, 3, 3, 4)"),
    (lambda: Conv2D(3, 4, 3)((X * 255).astype(np.uint8)), TypeError, "pixels of type uint8, expected floats. Bytes from 0 to 255 become x.astype(np.float32) / 255"),
    (lambda: Conv2D(3, 4, 3)(X[:0]), ValueError, "got an empty batch, (0, 3, 8, 8), expected at least one picture"),
    (lambda: Conv2D(3, 4, 3)(X[..., :0]), ValueError, "got pictures without pixels"),
    (lambda: Conv2D(3, 4, 3)(3.0), ValueError, "got an input with no axes"),
    (lambda: conv2d(X, np.ones((4, 3, 3), np.float32), np.zeros(4)), ValueError, "do not belong together. Expected (O, C, kh, kw) and (O,)"),
    (lambda: conv2d(X, np.ones((4, 3, 3, 3), np.float32), np.zeros(3)), ValueError, "weights (4, 3, 3, 3) and bias (3,)"),
    (lambda: conv2d(Tensor(X), Tensor(np.ones((4, 3, 3, 3))), Tensor(np.zeros(4)), stride=0), ValueError, "conv2d: stride is 0"),
    (lambda: conv2d(Tensor(X), Tensor(np.ones((4, 3, 3, 3))), Tensor(np.zeros(4)), groups=0), ValueError, "conv2d: groups is 0"),
    (lambda: conv2d(Tensor(X), Tensor(np.ones((4, 1, 3, 3))), Tensor(np.zeros(4)), groups=3), ValueError, "divides the 4 kernels"),
    (lambda: unfold(Tensor(X[0]), 3), ValueError, "got an input with 3 axes"),
    (lambda: MaxPool2D(0), ValueError, "MaxPool2D: kernel_size is 0"),
    (lambda: AvgPool2D(2, stride=0), ValueError, "AvgPool2D: stride is 0"),
    (lambda: MaxPool2D(2, padding=2), ValueError, "MaxPool2D: padding is (2, 2), more than half of the window, (2, 2)"),
    (lambda: MaxPool2D(9)(X), ValueError, "pooling got pictures of 8 x 8: a kernel of 9"),
    (lambda: AvgPool2D(9)(X), ValueError, "pooling got pictures of 8 x 8: a kernel of 9"),
    (lambda: AvgPool2D(2)(X[0]), ValueError, "pooling got an input with 3 axes"),
    (lambda: MaxPool2D(2)(X[:0]), ValueError, "pooling got an empty batch"),
    (lambda: MaxPool2D(2)(X.astype(int)), TypeError, "pixels of type int64"),
    (lambda: BatchNorm(4)(X), ValueError, "BatchNorm(4) got 3 channels: the input is (2, 3, 8, 8), expected (N, 4) or (N, 4, H, W)"),
    (lambda: BatchNorm(3)(X[0, :, 0, 0]), ValueError, "BatchNorm(3) got an input of shape (3,)"),
    (lambda: BatchNorm(3)(X[:1, :, 0, 0]), ValueError, "BatchNorm(3) got a single entry for each channel"),
    (lambda: BatchNorm(3)(X[:1, :, :1, :1]), ValueError, "or call model.eval() to use the running statistics"),
    (lambda: BatchNorm(3)(X[:0]), ValueError, "BatchNorm(3) got an empty batch"),
    (lambda: BatchNorm(3)(X.astype(int)), TypeError, "expected floats: x.astype(np.float32)"),
    (lambda: BatchNorm(0), ValueError, "size is 0"),
    (lambda: BatchNorm(3, momentum=1.5), ValueError, "momentum is 1.5, expected a number from 0 to 1"),
    (lambda: BatchNorm(3, epsilon=0), ValueError, "epsilon is 0, expected a small positive number"),
    (lambda: Dropout2D(0.5)(X[0]), ValueError, "Dropout2D(rate=0.5) got an input with 3 axes"),
    (lambda: Dropout2D(1.0), ValueError, "rate is 1.0"),
    (lambda: Flatten()(3.0), ValueError, "Flatten got a single number"),
    (lambda: with_channels(X), TypeError, "x[:, None]"),
    (lambda: with_channels(load_iris()), AttributeError, "the samples of this data set are no pictures"),
    (lambda: random_rotation(X[0, 0]), ValueError, "pictures of floats, (N, height, width)"),
    (lambda: random_rotation(X.astype(np.uint8)), ValueError, "not uint8"),
    (lambda: random_rotation(X, -3), ValueError, "max_degrees is -3"),
    (lambda: rotated(X, [1, 2, 3]), ValueError, "or one for each of the"),
    (lambda: rotated(X, float("nan")), ValueError, "Expected a finite number"),
    (lambda: rotated(X, "a"), TypeError, "degrees of rotated"),
    (lambda: conv2d_naive(X[0], X[0, 0]), ValueError, "expected a picture (H, W)"),
    (lambda: Sequential([Conv2D(3, 4, 3), Conv2D(5, 6, 3)])(X), ValueError, "layer 1, Conv2D(5, 6, kernel_size=3), does not take what layer 0"),
    (lambda: Sequential([Conv2D(3, 4, 3), Dense(144, 2)])(X), ValueError, "x.reshape(len(x), -1)"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_what_is_said_of_bad_input(number):
    call, kind, words = WRONG[number]
    with pytest.raises(kind) as caught:
        call()
    assert words in str(caught.value), str(caught.value)
