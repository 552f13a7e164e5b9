"""Reading files of tensors that anybody may have written: nothing in them is ever run, and what is odd is one line."""

from __future__ import annotations

import difflib
import hashlib
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import safetensors
import torch
from safetensors.torch import load_file
from torch import Tensor

from triscale.errors import FileError, WeightsError

LARGEST_FILE = 16 * 2**30  # bytes; L2 in fp32 has 2 GB
LARGEST_HEADER = 32 * 2**20  # bytes of JSON before the tensors; L2's is 0.4 MB
NESTED = ("state_dict", "model", "state_dict_ema", "model_ema", "model_state_dict")
UNREADABLE = (safetensors.SafetensorError, OSError, ValueError)  # what that library raises for a damaged file
WRAPPERS = ("module.", "_orig_mod.", "model.")  # put before every key by DataParallel, torch.compile and trainers


@dataclass(frozen=True, slots=True)
class TensorFile:
    """Tensors by name, the text that came with them, and the SHA-256 of the file."""

    path: Path
    tensors: dict[str, Tensor] = field(repr=False)
    metadata: dict[str, str] = field(repr=False)
    sha256: str


def read_tensors(path: str | Path) -> TensorFile:
    """Read a .safetensors file, or a PyTorch file (.pth, .pt, .bin) without running anything in it.

    Raises: FileError when it is missing, unreadable, truncated, too large, a web page, or holds more than tensors.
    """
    path = Path(path)
    beginning = _beginning(path)
    if _is_safetensors(path, beginning):
        tensors, metadata = _read_safetensors(path, beginning)
    else:
        tensors, metadata = state_dict_in(_read_torch(path), str(path)), {}
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror}.") from None
    return TensorFile(path, tensors, metadata, digest)


def read_metadata(path: str | Path) -> dict[str, str]:
    """The text that came with the tensors of a .safetensors file, which are not read; of other files nothing.

    Raises: FileError as `read_tensors` does.
    """
    path = Path(path)
    beginning = _beginning(path)
    return _safetensors_metadata(path, beginning) if _is_safetensors(path, beginning) else {}


def state_dict_in(loaded: object, where: str) -> dict[str, Tensor]:
    """The tensors by name in what a checkpoint holds: itself, or what it keeps under a usual key.

    Prefixes that wrappers put before every key are taken off.
    Raises: WeightsError when there are no named tensors.
    """
    for key in (None, *NESTED):
        inner = loaded if key is None else loaded.get(key) if isinstance(loaded, Mapping) else None
        if isinstance(inner, Mapping) and inner and all(isinstance(k, str) for k in inner):
            tensors = {str(k): v for k, v in inner.items() if isinstance(v, Tensor)}
            if len(tensors) == len(inner):
                return _unwrapped(tensors)
    raise WeightsError(
        f"{where}: holds no weights by name (found {_describe(loaded)}); expected a state dict, as model.state_dict() "
        f"gives, or one under {', '.join(NESTED[:3])}."
    )


def storable(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same values on the CPU, contiguous, and no two in the same memory: what a safetensors file can hold.

    A weight that two layers share is written under both names; reading both back into the shared one changes nothing.
    """
    made: dict[str, Tensor] = {}
    taken: set[int] = set()
    for key, tensor in tensors.items():
        value = tensor.detach().to("cpu", memory_format=torch.contiguous_format)
        if value.untyped_storage().data_ptr() in taken:
            value = value.clone()
        taken.add(value.untyped_storage().data_ptr())
        made[key] = value
    return made


def _describe(loaded: object) -> str:
    if isinstance(loaded, Mapping):
        return f"a dictionary with {', '.join(map(repr, list(loaded)[:4])) or 'nothing'}"
    return f"a {type(loaded).__name__}"


def _unwrapped(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in WRAPPERS:
        if all(key.startswith(prefix) for key in tensors):
            tensors = {key.removeprefix(prefix): tensor for key, tensor in tensors.items()}
    return tensors


def _beginning(path: Path) -> bytes:
    """The first bytes of a file that is there, can be read, and is neither empty, huge nor a web page."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            beginning = file.read(512)
    except FileNotFoundError:
        names = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, names, n=2, cutoff=0.4)
        raise FileError(f"{path}: no such file{'; nearby: ' + ', '.join(near) if near else ''}.") from None
    except IsADirectoryError:
        inside = sorted(each.name for each in path.iterdir() if each.suffix == ".safetensors")
        hint = f"give {path / inside[0]}" if inside else "give the file of the weights"
        raise FileError(f"{path}: is a folder; {hint}.") from None
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror}.") from None
    if size == 0:
        raise FileError(f"{path}: is empty; fetch it again.")
    if size > LARGEST_FILE:
        raise FileError(f"{path}: has {size:,} bytes, more than the {LARGEST_FILE:,} that weights may have.")
    text = beginning.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise FileError(f"{path}: is a web page, not weights: the download answered with a page; fetch it again.")
    if text.startswith(b"version https://git-lfs"):
        raise FileError(f"{path}: is a Git LFS pointer, not the weights; run `git lfs pull` where it came from.")
    return beginning


def _is_safetensors(path: Path, beginning: bytes) -> bool:
    length = int.from_bytes(beginning[:8], "little")
    return path.suffix == ".safetensors" or (beginning[8:9] == b"{" and length <= path.stat().st_size)


def _read_safetensors(path: Path, beginning: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    metadata = _safetensors_metadata(path, beginning)
    try:
        return load_file(path), metadata
    except UNREADABLE as error:
        raise _damaged(path, error) from None


def _safetensors_metadata(path: Path, beginning: bytes) -> dict[str, str]:
    header = int.from_bytes(beginning[:8], "little")
    if len(beginning) < 8 or 8 + header > path.stat().st_size:
        raise FileError(f"{path}: is truncated, or no safetensors file; fetch it again.")
    if header > LARGEST_HEADER:
        raise FileError(f"{path}: its header has {header:,} bytes, more than the {LARGEST_HEADER:,} of a network.")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except UNREADABLE as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> FileError:
    return FileError(f"{path}: is damaged or truncated ({_one_line(error)}); fetch it again.")


def _read_torch(path: Path) -> object:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        # PyTorch stores tensors uncompressed, so what is inside is never much larger than the file.
        if unpacked > 4 * path.stat().st_size + LARGEST_HEADER:
            raise FileError(f"{path}: would unpack to {unpacked:,} bytes; PyTorch writes no such file, it is refused.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the age of the file's format: nothing that a user could do
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a parser says about bytes that anybody may have written
        culprit = re.search(r"GLOBAL:? ([\w.]+)", str(error))
        if culprit is not None:
            raise FileError(
                f"{path}: holds Python objects ({culprit[1]}) that only running its code could load, which is never "
                f"done; ask for a .safetensors file, or for the plain state dict."
            ) from None
        refused = "its pickle holds more than tensors" if "Weights only" in str(error) else _one_line(error)
        raise FileError(
            f"{path}: is truncated, damaged, or no file of PyTorch weights ({refused}); fetch it again, or ask for a "
            f".safetensors file."
        ) from None


def _one_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
