"""Where a NaN came from is said as a line of the chapter, not of the generated file."""

import re

from tinytorch.core.autograd import first_nonfinite
from tinytorch.core.layers import dense_composed
from tito.course import Course

ROOT = Course.find().root


def test_first_nonfinite_names_the_chapters_line():
    text = first_nonfinite(lambda x: dense_composed(x, x.mT, x[0, :1]), [[1e30, 1e30]])
    found = re.search(r"called from (modules/source/\S+_layers/layers_dev\.py), line (\d+)", text)
    line = (ROOT / found[1]).read_text(encoding="utf-8").splitlines()[int(found[2]) - 1]
    assert "matmul(x, w)" in line
