import os
import random
import struct
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.images import make_image
from tests.nobody import as_nobody
from triscale.data.images import MAX_PIXELS, ImageError, image_header, open_image
from triscale.errors import DataError


def pixels(path, at_least=None):
    image = open_image(path, at_least)
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


def png_header(width, height):
    """A valid PNG start that promises width x height pixels and holds none."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


BEGUN = struct.pack(">I", 100) + b"IDAT"  # pixel data is announced, and missing


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp", ".ppm"])
def test_every_format_gives_the_pixels_that_were_saved(tmp_path, suffix):
    image = make_image(1, size=(20, 30))
    image.save(tmp_path / f"a{suffix}", lossless=True)
    assert np.array_equal(pixels(tmp_path / f"a{suffix}"), np.asarray(image))


@pytest.mark.parametrize("suffix", [".jpg", ".gif", ".avif"])
def test_lossy_formats_come_close(tmp_path, suffix):
    image = Image.linear_gradient("L").resize((40, 24)).convert("RGB")
    image.save(tmp_path / f"a{suffix}", quality=95)
    assert abs(pixels(tmp_path / f"a{suffix}") - np.asarray(image)).mean() < 4


def test_grey_images_of_8_and_16_bits_show_the_same(tmp_path):
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(grey).save(tmp_path / "8.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "16.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "16.tif")
    Image.fromarray(grey.astype(np.int32) * 257).save(tmp_path / "32.tif")
    Image.fromarray((grey / 255).astype(np.float32)).save(tmp_path / "float.tif")
    for name in ("8.png", "16.png", "16.tif", "32.tif", "float.tif"):
        assert np.array_equal(pixels(tmp_path / name), np.repeat(grey[..., None], 3, axis=2)), name


def test_values_outside_the_usual_range_are_stretched_over_it(tmp_path):
    Image.fromarray(np.array([[-1000, 0, 1000]], dtype=np.int32)).save(tmp_path / "a.tif")
    Image.fromarray(np.array([[500.0, float("nan"), 1000.0]], dtype=np.float32)).save(tmp_path / "b.tif")
    assert pixels(tmp_path / "a.tif")[0, :, 0].tolist() == [0, 128, 255]
    assert pixels(tmp_path / "b.tif")[0, :, 0].tolist() == [128, 0, 255]


def test_a_flat_wide_image_does_not_divide_by_zero(tmp_path):
    Image.fromarray(np.full((4, 4), 100_000, dtype=np.int32)).save(tmp_path / "a.tif")
    assert pixels(tmp_path / "a.tif").max() == 0


def test_black_and_white_and_palette_images_become_rgb(tmp_path):
    image = make_image(2)
    image.convert("1").save(tmp_path / "1.png")
    image.convert("P", palette=Image.Palette.ADAPTIVE, colors=256).save(tmp_path / "p.png")
    assert set(np.unique(pixels(tmp_path / "1.png"))) == {0, 255}
    assert abs(pixels(tmp_path / "p.png") - np.asarray(image)).mean() < 8


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_parts_show_white(tmp_path, mode):
    image = Image.new(mode, (4, 4), (0, 0, 0, 0) if mode == "RGBA" else (0, 0))
    image.putpixel((1, 2), (9, 9, 9, 255) if mode == "RGBA" else (9, 255))
    image.save(tmp_path / "a.png")
    seen = pixels(tmp_path / "a.png")
    assert seen[0, 0].tolist() == [255, 255, 255]
    assert seen[2, 1].tolist() == [9, 9, 9]


def test_a_transparent_palette_colour_shows_white(tmp_path):
    image = Image.new("P", (4, 4), 0)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((0, 0), 1)
    image.save(tmp_path / "a.png", transparency=0)
    assert pixels(tmp_path / "a.png")[0, :2].tolist() == [[200, 100, 50], [255, 255, 255]]


def test_cmyk_jpeg_shows_its_colours(tmp_path):
    Image.new("RGB", (16, 16), (200, 30, 60)).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    assert abs(pixels(tmp_path / "a.jpg") - (200, 30, 60)).max() < 6


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".jpg", ".avif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotated_images_stand_upright(tmp_path, suffix, orientation):
    stored = Image.new("RGB", (64, 32), "black")
    stored.paste("white", (0, 0, 16, 8))  # a white corner at the stored top left
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a{suffix}"
    stored.save(path, exif=exif)
    # EXIF 2.32, tag 0x0112: where the stored row 0 and column 0 belong on the screen
    corner = {1: "top left", 2: "top right", 3: "bottom right", 4: "bottom left"} | {
        5: "top left", 6: "top right", 7: "bottom right", 8: "bottom left"}  # fmt: skip
    seen = pixels(path)
    assert seen.shape[:2] == ((32, 64) if orientation < 5 else (64, 32)) == image_header(path)[1]
    row = 2 if "top" in corner[orientation] else -3
    column = 2 if "left" in corner[orientation] else -3
    assert seen[row, column].min() > 200
    assert seen[-row, -column].max() < 60


def test_a_large_jpeg_is_decoded_smaller_but_never_below_twice_the_need(tmp_path):
    make_image(1, size=(600, 800)).save(tmp_path / "a.jpg")
    assert open_image(tmp_path / "a.jpg").size == (800, 600)
    assert open_image(tmp_path / "a.jpg", at_least=(64, 64)).size == (
        200,
        150,
    )  # a quarter; an eighth would be 75 < 128
    assert open_image(tmp_path / "a.jpg", at_least=(500, 500)).size == (800, 600)


def test_a_rotated_jpeg_is_decoded_for_its_upright_size(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    make_image(1, size=(200, 800)).save(tmp_path / "a.jpg", exif=exif)
    assert open_image(tmp_path / "a.jpg", at_least=(200, 50)).size == (100, 400)


def test_damaged_exif_does_not_spoil_a_picture(tmp_path):
    make_image(1).save(tmp_path / "a.png", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")
    assert open_image(tmp_path / "a.png").size == (32, 32)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".bmp", ".avif"])
@pytest.mark.parametrize("at_least", [None, (8, 8)])
def test_a_truncated_image_is_refused_by_name(tmp_path, suffix, at_least):
    path = tmp_path / f"cut{suffix}"
    make_image(1, size=128).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(ImageError, match=r"cut.*: .*replace or remove it") as caught:
        open_image(path, at_least)
    assert "\n" not in str(caught.value)
    assert caught.value.fault in ("broken", "not-image")


@pytest.mark.parametrize(
    ("name", "content", "fault", "words"),
    [
        ("empty.jpg", b"", "empty", "the file is empty"),
        ("words.jpg", b"these are words, not pixels", "not-image", "not an image.*expected JPEG, PNG"),
        ("program.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not-image", "not an image"),
        ("bomb.png", png_header(60_000, 60_000) + BEGUN, "too-large", "never decoded"),
        ("wide.png", png_header(11_000, 15_000) + BEGUN, "too-large", "11000 x 15000 pixels"),
        ("hollow.png", png_header(5, 5) + BEGUN, "broken", "truncated or damaged"),
        ("stump.png", png_header(5, 5), "broken", "truncated or damaged"),
    ],
    ids=["empty", "words", "program", "bomb", "wide", "hollow", "stump"],
)
def test_what_is_no_image_gets_one_line(tmp_path, name, content, fault, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{name}: .*{words}") as caught:
        open_image(tmp_path / name)
    assert caught.value.fault == fault
    assert len(str(caught.value).splitlines()) == 1


def test_a_bomb_is_refused_without_decoding_it(tmp_path):
    (tmp_path / "bomb.png").write_bytes(png_header(20_000, 10_000) + BEGUN)
    assert MAX_PIXELS < 20_000 * 10_000
    with pytest.raises(ImageError, match="never decoded"):
        image_header(tmp_path / "bomb.png")


def test_a_missing_file_says_what_is_nearby(tmp_path):
    make_image(1).save(tmp_path / "coffee.png")
    with pytest.raises(DataError, match=r"cofee.png: no such file; nearby in .*: coffee.png"):
        open_image(tmp_path / "cofee.png")


def test_a_folder_is_not_an_image(tmp_path):
    with pytest.raises(DataError, match="this is a folder; expected an image file"):
        open_image(tmp_path)


def test_a_pipe_is_refused_rather_than_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(DataError, match="not a regular file"):
        open_image(tmp_path / "a.png")


def test_a_file_without_read_permission_is_refused_by_name(shared_folder):
    path = shared_folder / "secret.png"
    make_image(1).save(path)
    path.chmod(0)
    said = as_nobody(
        "import PIL.PngImagePlugin, triscale.data.images", f"triscale.data.images.open_image({str(path)!r})"
    )
    assert said.endswith(f"ImageError: {path}: no permission to read it; allow it (chmod +r) or remove it.")


def test_the_format_is_told_by_the_content(tmp_path):
    make_image(1).save(tmp_path / "a.jpg", format="PNG")
    assert image_header(tmp_path / "a.jpg") == ("PNG", (32, 32))


def test_damaged_files_never_raise_anything_else(tmp_path):
    """700 random injuries: each file opens or is refused by name."""
    sources = []
    for suffix in (".jpg", ".png", ".tif", ".gif", ".webp", ".bmp", ".ppm"):
        make_image(3, size=24).save(tmp_path / f"a{suffix}")
        sources.append((suffix, (tmp_path / f"a{suffix}").read_bytes()))
    dice = random.Random(0)
    refused = 0
    for number in range(700):
        suffix, data = sources[number % len(sources)]
        hurt = bytearray(data)
        for _ in range(dice.randrange(1, 6)):
            hurt[dice.randrange(min(len(hurt), 400))] = dice.randrange(256)
        path = Path(tmp_path / f"hurt{suffix}")
        path.write_bytes(hurt)
        try:
            open_image(path)
        except ImageError as error:
            refused += 1
            assert str(path) in str(error)
    assert refused > 70


def test_warnings_stay_quiet_in_many_threads_and_come_back_after(tmp_path):
    make_image(1, size=200).save(tmp_path / "a.png", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")
    before = list(warnings.filters)
    failures = []

    def read():
        try:
            for _ in range(30):
                open_image(tmp_path / "a.png")
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert list(warnings.filters) == before
