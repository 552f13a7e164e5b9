"""One image to RGB pixels as a person sees them, or one line that says why not."""

from __future__ import annotations

import contextlib
import io
import stat
import threading
import warnings
from collections.abc import Generator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal

import numpy as np
from PIL import Image, UnidentifiedImageError

from triscale.data.member import ImagePlace, Member
from triscale.data.nearby import nearby
from triscale.errors import DataError
from triscale.spec.network import Size

# suffix -> Pillow's name of the format; formats that run other programs (EPS, PDF) stay out
SUFFIXES = {
    **dict.fromkeys((".jpg", ".jpeg", ".jfif"), "JPEG"),
    ".png": "PNG",
    ".bmp": "BMP",
    ".gif": "GIF",
    **dict.fromkeys((".tif", ".tiff"), "TIFF"),
    ".webp": "WEBP",
    ".avif": "AVIF",
    **dict.fromkeys((".ppm", ".pgm", ".pbm", ".pnm"), "PPM"),
}
FORMATS = tuple(dict.fromkeys(SUFFIXES.values()))

# Above this nothing is decoded: 0.5 GB as RGB. Pillow itself stops a little later.
MAX_PIXELS = 160_000_000

# how the formats' files begin: damage behind that is damage, not another kind of file
_BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\x00", b"MM\x00*", b"RIFF")

Fault = Literal["missing", "unreadable", "empty", "not-image", "too-large", "broken"]

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageError(DataError):
    """One image, or file of images, that cannot be used.

    path: where it is. fault: which kind of trouble. why: the message without the file's name.
    """

    def __init__(self, path: ImagePlace, fault: Fault, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path, self.fault, self.why = path, fault, why


def open_image(path: str | ImagePlace, at_least: Size | None = None) -> Image.Image:
    """Decode an image, a file or a member of a shard, to RGB, upright.

    EXIF orientation is applied. Grey, palette, CMYK and 16-bit images become 8-bit RGB; transparent parts show white.
    Floats are read as 0..1 or 0..255, whichever holds them; values that no usual range holds are stretched from their
    own minimum to their own maximum.
    Of several frames the first is read.

    at_least: (H, W) that is needed of the whole upright image. A JPEG is then decoded smaller where that is possible,
        but to no less than twice that (so that the resize that follows still decides the quality).
    Returns: an "RGB" image, never larger than the file's.
    Raises: ImageError (a DataError) for a file that is missing, unreadable, empty, not an image, truncated, or larger
        than `MAX_PIXELS`; the size is read from the header before anything is decoded.
    """
    with _opened(path) as image:
        if at_least is not None and image.format in ("JPEG", "MPO"):
            height, width = at_least[::-1] if _orientation(image) >= 5 else at_least
            image.draft(None, (2 * width, 2 * height))
        image.load()
        # after loading, because TIFF is turned by Pillow itself and PNG may carry its EXIF at the end
        turn = _UPRIGHT.get(_orientation(image))
        pixels = _rgb(image)
        return pixels if turn is None else pixels.transpose(turn)


def image_header(path: str | ImagePlace) -> tuple[str, Size]:
    """What the content is (one of `FORMATS`, whatever the name says), and its upright size, (H, W) in pixels.

    Only the header is read. Raises like `open_image`.
    """
    with _opened(path) as image:
        width, height = image.size
        turned = _orientation(image) >= 5 and image.format != "TIFF"  # Pillow reports a TIFF's size upright
        size = (width, height) if turned else (height, width)
        return ("JPEG" if image.format == "MPO" else str(image.format)), size


def image_orientation(path: str | ImagePlace) -> int:
    """EXIF's orientation, 1 to 8: from 5 on the image is shown on its side. Raises like `open_image`.

    A TIFF's is 1, because `image_header` and everything else see it turned already.
    """
    with _opened(path) as image:
        turn = _orientation(image)
        return turn if turn in _UPRIGHT and image.format != "TIFF" else 1


def is_image_name(path: ImagePlace | PurePosixPath) -> bool:
    """Whether the file's suffix is one of `SUFFIXES`."""
    return path.suffix.lower() in SUFFIXES


@contextlib.contextmanager
def _opened(place: str | ImagePlace) -> Generator[Image.Image]:
    """The image with its header read and its size allowed; whatever goes wrong inside leaves as ImageError."""
    path = place if isinstance(place, Member) else Path(place)
    try:
        with _QUIET, _stream(path) as file:
            image = Image.open(file, formats=FORMATS)
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise _too_large(path, f"{width} x {height} pixels")
            yield image
    except DataError:  # also that of a shard which cannot be had
        raise
    except PermissionError as error:
        raise ImageError(path, "unreadable", "no permission to read it; allow it (chmod +r) or remove it.") from error
    except Image.DecompressionBombError as error:
        raise _too_large(path, "the header promises a huge image") from error
    except UnidentifiedImageError as error:
        if _begins_as_image(path):
            why = "truncated or damaged image (its header cannot be read); replace or remove it."
            raise ImageError(path, "broken", why) from error
        expected = f"expected {', '.join(FORMATS)}; replace or remove it."
        raise ImageError(path, "not-image", f"not an image: its content is of no known format; {expected}") from error
    except Exception as error:  # decoders raise nearly anything on damaged files, and no list of it would stay complete
        why = f"{type(error).__name__}: {error}" if not isinstance(error, OSError | EOFError) else str(error)
        raise ImageError(path, "broken", f"truncated or damaged image ({why}); replace or remove it.") from error


def _stream(path: ImagePlace) -> BinaryIO:
    """The bytes of the image as a file."""
    if isinstance(path, Path):
        _require_file(path)
        return path.open("rb")
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ImageError(path, "missing", f"the shard is gone: {error.filename}.") from error
    if not data:
        raise ImageError(path, "empty", "the image is empty (0 bytes); replace or remove it.")
    return io.BytesIO(data)


def _require_file(path: Path) -> None:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageError(path, "missing", f"no such file{nearby(path)}.") from error
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise ImageError(path, "not-image", f"this is {kind}; expected an image file.")
    if status.st_size == 0:
        raise ImageError(path, "empty", "the file is empty (0 bytes); replace or remove it.")


def _begins_as_image(path: ImagePlace) -> bool:
    with _stream(path) as file:
        beginning = file.read(12)
    return beginning.startswith(_BEGINNINGS) or beginning[4:8] == b"ftyp"


def _too_large(path: ImagePlace, found: str) -> ImageError:
    limit = f"more than {MAX_PIXELS:,} pixels are never decoded; make it smaller or remove it."
    return ImageError(path, "too-large", f"{found}: {limit}")


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged EXIF does not make the picture unreadable: it is then shown as stored
        return 1


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_to_bytes(np.asarray(image))).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        picture = image.convert("RGBA")
        page = Image.new("RGBA", picture.size, "white")
        page.alpha_composite(picture)
        return page.convert("RGB")
    # `convert` would copy what is RGB already, a tenth of the time that a large JPEG takes; formats of several
    # frames keep their file, and are copied out of it.
    return image if image.mode == "RGB" and image.format == "JPEG" else image.convert("RGB")


def _to_bytes(values: np.ndarray) -> np.ndarray:
    """Grey values of 16 or 32 bits, or floats, to 0..255."""
    tops = (65535.0,) if np.issubdtype(values.dtype, np.integer) else (1.0, 255.0)
    values = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    top = next((each for each in tops if high <= each), None)
    if low >= 0 and top is not None:
        low, high = 0.0, top
    return np.rint((values - low) / max(high - low, 1e-12) * 255).astype(np.uint8)


class _Quiet:
    """Keeps Pillow's warnings (odd EXIF, large image) to itself while any thread decodes; errors still come through.

    `warnings.catch_warnings` alone is not safe between threads: the first one out would undo the others.
    """

    def __init__(self) -> None:
        self.lock, self.inside, self.saved = threading.Lock(), 0, warnings.catch_warnings()

    def __enter__(self) -> None:
        with self.lock:
            if self.inside == 0:
                self.saved = warnings.catch_warnings()
                self.saved.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            self.inside += 1

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                self.saved.__exit__(None, None, None)


_QUIET = _Quiet()
