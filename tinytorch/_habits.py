"""Words that mean the same elsewhere: what an exception that nobody caught is told of them.

Python says which word it does not know, and NumPy that it expects an int. Neither knows what the course calls it. The
chapters stay free of such tables.
"""

import inspect
import re
import sys

__all__ = ["explain"]

_OURS = {
    "lr": ("learning_rate",),
    "dim": ("axis",),
    "keepdim": ("keepdims",),
    "eps": ("epsilon",),
    "betas": ("beta1", "beta2"),
    "params": ("parameters",),
    "in_features": ("input_size",),
    "out_features": ("output_size",),
    "bias": ("use_bias",),
    "p": ("rate",),
}
_UNKNOWN = re.compile(r"(\w+)(?:\.\w+)*\(\) got an unexpected keyword argument '(\w+)'")
_SEED = "rng is a seed, an integer of at least 0; or a generator such as np.random.default_rng(0); or None."


def explain(error, passed_through_chapters):
    """Add a note to an exception that comes of a habit.

    Parameters
    ----------
    error : Exception
    passed_through_chapters : bool
        Whether it comes out of the package's code.
    """
    if passed_through_chapters and "SeedSequence expects" in str(error):
        error.add_note(_SEED)
    elif isinstance(error, TypeError) and (found := _UNKNOWN.search(str(error))):
        name, word = found.groups()
        ours = [other for other in _OURS.get(word, ()) if other in _parameters(name)]
        if ours:
            error.add_note(f"What is {word} elsewhere is {' and '.join(ours)} here.")


def _parameters(name):
    """The parameters of what the package calls by a name; none where it calls nothing so."""
    modules = [module for key, module in list(sys.modules.items()) if key.startswith("tinytorch.core.")]
    known = [getattr(module, name) for module in modules if callable(getattr(module, name, None))]
    return set(inspect.signature(known[0]).parameters) if known else set()
