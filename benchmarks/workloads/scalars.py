"""Single numbers: what an operation costs when there is nothing to compute."""

import math

import numpy as np

from benchmarks.workloads.base import Workload

# z = xy + x^2; a = exp(z/10); b = log(a + 1); c = sigmoid(b - y); d = cx + b; f = log(exp(d/2) + y^2);
# sigmoid(f) z + c - x


def expression_numpy():
    def run(x=np.float64(5.0), y=np.float64(3.0)):
        z = x * y + x * x
        a = np.exp(z / 10)
        a1 = a + 1
        b = np.log(a1)
        c = 1 / (1 + np.exp(y - b))
        d = c * x + b
        e = np.exp(d / 2)
        s = e + y * y
        f = np.log(s)
        h = 1 / (1 + np.exp(-f))
        g_z, g_c, g_x = h, 1.0, -1.0
        g_s = z * h * (1 - h) / s
        g_y = g_s * 2 * y
        g_d = g_s * e / 2
        g_c += g_d * x
        g_x += g_d * c
        g_t = g_c * c * (1 - c)
        g_y -= g_t
        g_b = g_d + g_t
        g_z += g_b / a1 * a / 10
        g_x += g_z * (y + 2 * x)
        g_y += g_z * x
        return g_x, g_y

    return run


def expression(variable, exp, log, sigmoid, backward):
    def run():
        x, y = variable(5.0), variable(3.0)
        z = x * y + x * x
        a = exp(z / 10)
        b = log(a + 1)
        c = sigmoid(b - y)
        d = c * x + b
        f = log(exp(d / 2) + y * y)
        backward(sigmoid(f) * z + c - x)
        return x.grad, y.grad

    return run


def expression_tinytorch():
    from tinytorch.core.activations import sigmoid
    from tinytorch.core.autograd import Variable
    from tinytorch.core.tensor import exp, log

    return expression(lambda v: Variable(np.float64(v)), exp, log, sigmoid, lambda out: out.backward())


def expression_torch():
    import torch

    torch.set_num_threads(1)
    variable = lambda v: torch.tensor(v, dtype=torch.float64, requires_grad=True)
    return expression(variable, torch.exp, torch.log, torch.sigmoid, lambda out: out.backward())


def expression_mygrad():
    import mygrad

    sigmoid = lambda t: 1 / (1 + mygrad.exp(-t))
    return expression(lambda v: mygrad.tensor(v), mygrad.exp, mygrad.log, sigmoid, lambda out: out.backward())


def expression_micrograd():
    from micrograd.engine import Value

    def unary(value, slope):
        def apply(x):
            out = Value(value(x.data), (x,))

            def backward():
                x.grad += slope(x.data, out.data) * out.grad

            out._backward = backward
            return out

        return apply

    logistic = lambda v: 1 / (1 + math.exp(-v))
    return expression(
        Value, unary(math.exp, lambda x, out: out), unary(math.log, lambda x, out: 1 / x),
        unary(logistic, lambda x, out: out * (1 - out)), lambda out: out.backward(),
    )  # fmt: skip


def expression_autograd():
    import autograd.numpy as anp
    from autograd import grad

    def f(x, y):
        z = x * y + x * x
        b = anp.log(anp.exp(z / 10) + 1)
        c = 1 / (1 + anp.exp(y - b))
        h = anp.log(anp.exp((c * x + b) / 2) + y * y)
        return 1 / (1 + anp.exp(-h)) * z + c - x

    both = grad(f, (0, 1))
    return lambda: both(5.0, 3.0)


def repeated(step, steps, numpy_run, leaf=1.0000001):
    """Contestants for a loop that applies `step(y, x)` again and again."""
    def loop(variable, backward=lambda y: y.backward()):
        def run():
            x = y = variable(leaf)
            for _ in range(steps):
                y = step(y, x)
            backward(y)
            return x.grad

        return run

    def tinytorch():
        from tinytorch.core.autograd import Variable

        return loop(lambda v: Variable(np.float64(v)))

    def torch():
        import torch

        torch.set_num_threads(1)
        return loop(lambda v: torch.tensor(v, dtype=torch.float64, requires_grad=True))

    def mygrad():
        import mygrad

        return loop(mygrad.tensor)

    def autograd():
        from autograd import grad

        def f(x):
            y = x
            for _ in range(steps):
                y = step(y, x)
            return y

        slope = grad(f)
        return lambda: slope(leaf)

    def micrograd():
        from micrograd.engine import Value

        return loop(Value)

    runs = {"numpy": lambda: numpy_run, "tinytorch": tinytorch, "torch": torch, "mygrad": mygrad, "autograd": autograd}
    return runs | ({"micrograd": micrograd} if steps < 500 else {})


def chain_numpy(steps):
    def run():
        c = np.float64(1.0000001)
        y = np.float64(1.0000001)
        for _ in range(steps):
            y = y * c
        g = np.float64(1.0)
        for _ in range(steps):
            g = g * c
        return g

    return run


def wide_numpy(steps):
    def run():
        x = np.float64(1.0000001)
        y = x
        for _ in range(steps):
            y = y + x
        g = np.float64(1.0)
        total = np.float64(0.0)
        for _ in range(steps):
            total = total + g
        return total + g

    return run


def diamond_numpy(steps):
    def run():
        y = np.float64(1.0000001)
        for _ in range(steps):
            y = y / 2 + y / 2
        g = np.float64(1.0)
        for _ in range(steps):
            g = g / 2 + g / 2
        return g

    return run


def chain(steps):
    return repeated(lambda y, x: y * 1.0000001, steps, chain_numpy(steps))


def wide(steps):
    return repeated(lambda y, x: y + x, steps, wide_numpy(steps))


def diamond(steps):
    return repeated(lambda y, x: y / 2 + y / 2, steps, diamond_numpy(steps))


EXPRESSION = {
    "numpy": expression_numpy, "tinytorch": expression_tinytorch, "torch": expression_torch,
    "autograd": expression_autograd, "mygrad": expression_mygrad, "micrograd": expression_micrograd,
}  # fmt: skip

WORKLOADS = [
    Workload("scalar", "an expression of 20 scalar operations", EXPRESSION, 15, 11),
    Workload("chain", "a chain of 100,000 products", chain(100_000), 50, 30),
    Workload("chain-memory", "its extra peak memory", chain(100_000), 60, 45, "memory"),
    Workload("chain-long", "a chain of 1,000,000 products", chain(1_000_000), 75, 40),
    Workload("wide", "one value used 10,000 times", wide(10_000), 30, 20),
    Workload("diamond", "y = y/2 + y/2, 16 deep", diamond(16), 25, 16),
]
