"""Parquet files, and what `save_to_disk` of Hugging Face `datasets` writes, as shards.

Layout (https://huggingface.co/docs/datasets, "Image" and "ClassLabel" features): a column of images, bytes or a record
{bytes, path}; a column of labels, strings or numbers whose names stand in the schema's metadata under "huggingface".
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from triscale.data.images import is_image_name
from triscale.data.shards.write import Packed, write_tar
from triscale.errors import DataError, MissingExtraError

IMAGE_COLUMNS = ("image", "img", "jpg", "png")
LABEL_COLUMNS = ("label", "labels", "cls", "class", "fine_label")
ROWS = 64  # read at once
_BEGINNINGS = {
    b"\xff\xd8\xff": ".jpg",
    b"\x89PNG": ".png",
    b"GIF8": ".gif",
    b"RIFF": ".webp",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
}


def table_to_tar(table: Path, place: Path) -> None:
    """Write the rows of a parquet or arrow file as the samples of a tar file, read a few rows at a time.

    Raises: MissingExtraError without pyarrow; DataError where it has no images with labels, or is damaged.
    """
    try:
        import pyarrow
    except ImportError as error:
        raise MissingExtraError("pyarrow", "parquet", f"Reading {table.name}") from error
    try:
        write_tar(place, _samples(table))
    except pyarrow.ArrowException as error:
        raise DataError(f"{table}: is damaged, or no table ({str(error).splitlines()[0]}); copy it again.") from error


def _samples(table: Path) -> Iterator[Packed]:
    schema, batches = _parquet(table) if table.suffix.lower() == ".parquet" else _arrow(table)
    image = _column(table, schema.names, IMAGE_COLUMNS, "images")
    label = _column(table, schema.names, LABEL_COLUMNS, "labels")
    names = _class_names(schema, label)
    number = itertools.count()
    for batch in batches:
        for one, value in zip(batch.column(image).to_pylist(), batch.column(label).to_pylist(), strict=True):
            row = next(number)
            data, path = (one.get("bytes"), one.get("path")) if isinstance(one, dict) else (one, None)
            data = _bytes_of(table, row, data, path)
            yield Packed(f"{row:09d}", _suffix(path, data), data, _label(value, names))


def _parquet(table: Path) -> tuple[Any, Iterator[Any]]:
    from pyarrow import parquet

    file = parquet.ParquetFile(table)
    columns = [name for name in file.schema_arrow.names if name in (*IMAGE_COLUMNS, *LABEL_COLUMNS)]
    return file.schema_arrow, file.iter_batches(batch_size=ROWS, columns=columns)


def _arrow(table: Path) -> tuple[Any, Iterator[Any]]:
    """`datasets` writes streams; other programs write files, which say so in their first bytes."""
    import pyarrow

    source = pyarrow.memory_map(str(table))
    if source.read(6) == b"ARROW1":
        file = pyarrow.ipc.open_file(source)
        return file.schema, (file.get_batch(number) for number in range(file.num_record_batches))
    source.seek(0)
    stream = pyarrow.ipc.open_stream(source)
    return stream.schema, iter(stream)


def _column(table: Path, names: list[str], known: tuple[str, ...], what: str) -> str:
    found = next((name for name in known if name in names), None)
    if found is None:
        raise DataError(
            f"{table}: no column of {what}: it has {', '.join(names[:8])}; expected one called {' or '.join(known)}."
        )
    return found


def _class_names(schema: Any, column: str) -> list[str] | None:
    """The names of the numbers in the label column, where the schema has them."""
    try:
        described = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        names = described["info"]["features"][column]["names"]
    except (ValueError, KeyError, TypeError):
        return None
    return [str(name) for name in names] if isinstance(names, list) else None


def _label(value: object, names: list[str] | None) -> str:
    """The class by name where it has one; what is no label at all becomes empty, which is then told."""
    if isinstance(value, int) and names is not None and 0 <= value < len(names):
        return names[value]
    return str(value) if isinstance(value, int | str) else ""


def _bytes_of(table: Path, row: int, data: object, path: object) -> bytes:
    """The image itself; where only its path was kept, the file beside the table."""
    if isinstance(data, bytes):
        return data
    if (
        data is None
        and isinstance(path, str)
        and not PurePosixPath(path).is_absolute()
        and ".." not in Path(path).parts
    ):
        try:
            return (table.parent / path).read_bytes()
        except OSError:
            return b""  # which is then told as an empty image
    if data is None:
        return b""
    raise DataError(f"{table}: row {row} holds {type(data).__name__} as an image; expected the bytes of an image file.")


def _suffix(path: object, data: bytes) -> str:
    """By the content, else by the name that the file had."""
    found = next((suffix for beginning, suffix in _BEGINNINGS.items() if data.startswith(beginning)), "")
    if found:
        return found
    name = PurePosixPath(path if isinstance(path, str) else "")
    return name.suffix.lower() if is_image_name(name) else ".jpg"
