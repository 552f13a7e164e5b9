"""Shards made by hand."""

import io
import tarfile

from tests.images import make_image


def png(label=0, number=0, size=24):
    """The bytes of an image of that class."""
    target = io.BytesIO()
    make_image(label, number, size).save(target, "PNG")
    return target.getvalue()


def write_tar(path, members):
    """A tar file of (name, bytes), in this order; names may come twice. Returns: its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def samples(labels, prefix="", suffix=".cls"):
    """Members of a shard with one image for each of these labels."""
    made = []
    for number, label in enumerate(labels):
        key = f"{prefix}{number:03d}"
        made += [(f"{key}.png", png(number % 3, number)), (f"{key}{suffix}", str(label).encode())]
    return made
