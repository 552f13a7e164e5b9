"""Common corruptions of photographs, to see what is left of a network's accuracy: noise, blur, weather, compression.

After the idea of Hendrycks & Dietterich 2019, https://arxiv.org/abs/1903.12261: kinds of corruption in four groups,
each in five severities, on images that no training saw. The implementation is our own, at the size that the network
reads, with strengths that grow with it: figures compare between networks that are measured here, not with published
mCE on ImageNet-C's files. Whoever trains on these corruptions measures nothing with them.
"""

from __future__ import annotations

import functools
import io
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

from triscale.errors import DataError

SEVERITIES = (1, 2, 3, 4, 5)
REFERENCE = 224  # pixels of a side for which lengths are written down here
SHARPEST = 0.6  # pixels that a point's disk has at least: a smaller one would stay inside its pixel

# one RGB or grey image (H, W, C) float in 0..1, severity 0..4, dice: the same shape, clipped by the caller
Corruption = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]


def corrupt(image: Image.Image, kind: str, severity: int, seed: int = 0, index: int = 0) -> Image.Image:
    """A corrupted image of the same size and mode.

    image: grey or RGB, at the size that the network reads. kind: of `CORRUPTIONS`. severity: 1 to 5.
    seed, index: the same ones corrupt the same way; of another severity, only the strength is another.
    Raises: DataError for a kind or severity that there is not.
    """
    if kind not in CORRUPTIONS:
        raise DataError(f"there is no corruption {kind!r}; choose one of {', '.join(CORRUPTIONS)}.")
    if severity not in SEVERITIES:
        raise DataError(f"severity must be 1 to 5, got {severity!r}.")
    dice = np.random.default_rng([seed % 2**63, zlib.crc32(kind.encode()), index])
    pixels = np.asarray(image, np.float64) / 255
    found = CORRUPTIONS[kind](pixels if pixels.ndim == 3 else pixels[..., None], severity - 1, dice)
    return _image(found, image.mode)


def gaussian_noise(image: np.ndarray, severity: int, dice: np.random.Generator) -> np.ndarray:
    """Noise of a sensor that gets little light."""
    return image + dice.normal(0, (0.04, 0.08, 0.12, 0.18, 0.26)[severity], image.shape)


def shot_noise(image: np.ndarray, severity: int, dice: np.random.Generator) -> np.ndarray:
    """Noise of light itself: so many photons for white, Poisson-distributed."""
    photons = (120, 50, 25, 12, 6)[severity]
    return dice.poisson(image * photons) / photons


def impulse_noise(image: np.ndarray, severity: int, dice: np.random.Generator) -> np.ndarray:
    """Salt and pepper: single values that are lost."""
    share, draw = (0.02, 0.04, 0.07, 0.12, 0.2)[severity], dice.random(image.shape)
    return np.where(draw < share / 2, 0.0, np.where(draw < share, 1.0, image))


def defocus_blur(image: np.ndarray, severity: int, dice: np.random.Generator) -> np.ndarray:
    """A lens that is set to another distance: every point becomes a disk."""
    radius = _pixels((2, 3, 4.5, 6, 8)[severity], image)
    return _filtered(image, _disk(float(np.hypot(radius, SHARPEST))))


def motion_blur(image: np.ndarray, severity: int, dice: np.random.Generator) -> np.ndarray:
    """A camera that moves while it looks: every point becomes a line, in a direction by chance."""
    return _filtered(image, _line(_pixels((8, 13, 19, 26, 34)[severity], image), dice.uniform(0, np.pi)))


def zoom_blur(image: np.ndarray, severity: int, dice: np.random.Generator) -> np.ndarray:
    """A camera that comes nearer while it looks: the mean of images at growing scales."""
    most, (height, width, channels) = (1.06, 1.1, 1.16, 1.22, 1.3)[severity], image.shape
    total = np.zeros_like(image)
    scales = np.linspace(1, most, 12)
    for scale in scales:
        left, top = width * (1 - 1 / scale) / 2, height * (1 - 1 / scale) / 2
        box = (left, top, width - left, height - top)
        for channel in range(channels):
            plane = Image.fromarray(image[..., channel].astype(np.float32))
            total[..., channel] += np.asarray(plane.resize((width, height), Image.Resampling.BILINEAR, box))
    return total / len(scales)


def fog(image: np.ndarray, severity: int, dice: np.random.Generator) -> np.ndarray:
    """Clouds of light grey before the scene, of a fractal's roughness."""
    thick = (0.5, 0.8, 1.2, 1.7, 2.4)[severity]
    return (image + thick * _clouds(image.shape[:2], dice)[..., None]) / (1 + thick)


def brightness(image: np.ndarray, severity: int, dice: np.random.Generator) -> np.ndarray:
    """Over-exposed: every value rises."""
    return image + (0.1, 0.2, 0.3, 0.4, 0.5)[severity]


def contrast(image: np.ndarray, severity: int, dice: np.random.Generator) -> np.ndarray:
    """Washed out: every value moves towards the mean."""
    mean = image.mean((0, 1))
    return mean + (image - mean) * (0.55, 0.4, 0.28, 0.17, 0.1)[severity]


def elastic(image: np.ndarray, severity: int, dice: np.random.Generator) -> np.ndarray:
    """Small places are pushed about, as on paper that was crumpled."""
    push, smooth = _pixels((5, 8, 12, 17, 23)[severity], image), _pixels(14, image)
    height, width, _ = image.shape
    field = _filtered(dice.uniform(-1, 1, (height, width, 2)), _bell(smooth))
    field *= push / max(1e-9, float(np.abs(field).max()))
    y, x = np.mgrid[0:height, 0:width]
    return _at(image, y + field[..., 0], x + field[..., 1])


def pixelate(image: np.ndarray, severity: int, dice: np.random.Generator) -> np.ndarray:
    """Made small and large again, without smoothing."""
    share, (height, width, channels) = (0.7, 0.55, 0.42, 0.32, 0.24)[severity], image.shape
    small = max(1, round(width * share)), max(1, round(height * share))
    whole = _image(image, "RGB" if channels == 3 else "L").resize(small, Image.Resampling.BOX)
    pixels = np.asarray(whole.resize((width, height), Image.Resampling.NEAREST), np.float64) / 255
    return pixels.reshape(image.shape)


def jpeg(image: np.ndarray, severity: int, dice: np.random.Generator) -> np.ndarray:
    """Compressed too far."""
    file = io.BytesIO()
    _image(image, "RGB" if image.shape[2] == 3 else "L").save(file, "JPEG", quality=(30, 20, 14, 9, 5)[severity])
    return (np.asarray(Image.open(file), np.float64) / 255).reshape(image.shape)


CORRUPTIONS: dict[str, Corruption] = {
    "gaussian_noise": gaussian_noise,
    "shot_noise": shot_noise,
    "impulse_noise": impulse_noise,
    "defocus_blur": defocus_blur,
    "motion_blur": motion_blur,
    "zoom_blur": zoom_blur,
    "fog": fog,
    "brightness": brightness,
    "contrast": contrast,
    "elastic": elastic,
    "pixelate": pixelate,
    "jpeg": jpeg,
}


def _pixels(length: float, image: np.ndarray) -> float:
    """A length that is written down for 224 pixels, at this image's size."""
    return length * min(image.shape[:2]) / REFERENCE


def _image(pixels: np.ndarray, mode: str) -> Image.Image:
    whole = (pixels.clip(0, 1) * 255).round().astype(np.uint8)
    return Image.fromarray(whole if mode == "RGB" else whole[..., 0])


def _filtered(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Convolution of each channel with an odd square kernel; edges go on as they end."""
    reach = len(kernel) // 2
    wide = np.pad(image, ((reach, reach), (reach, reach), (0, 0)), "edge")
    height, width = wide.shape[:2]
    spectrum = np.fft.rfft2(kernel, (height, width))[..., None]
    found = np.fft.irfft2(np.fft.rfft2(wide, axes=(0, 1)) * spectrum, (height, width), axes=(0, 1))
    return found[2 * reach :, 2 * reach :]


@functools.lru_cache(maxsize=32)
def _disk(radius: float) -> np.ndarray:
    """A disk of that radius with smooth edges; its sum is 1."""
    return _sampled(lambda y, x: (np.hypot(y, x) <= radius).astype(float), radius)


@functools.lru_cache(maxsize=32)
def _bell(sigma: float) -> np.ndarray:
    """A Gaussian; its sum is 1."""
    return _sampled(lambda y, x: np.exp(-(y**2 + x**2) / (2 * sigma**2)), 3 * sigma)


def _line(length: float, angle: float) -> np.ndarray:
    """A line of that length through the middle, one pixel wide; its sum is 1."""
    sine, cosine = np.sin(angle), np.cos(angle)

    def inside(y: np.ndarray, x: np.ndarray) -> np.ndarray:
        along, across = x * cosine + y * sine, y * cosine - x * sine
        return ((np.abs(along) <= length / 2) & (np.abs(across) <= 0.5)).astype(float)

    return _sampled(inside, length / 2 + 0.5)


def _sampled(shape: Callable[[np.ndarray, np.ndarray], np.ndarray], reach: float, fine: int = 7) -> np.ndarray:
    """A shape as a kernel: each of its pixels is the mean of `fine` x `fine` points; its sum is 1."""
    pixels = max(1, int(np.ceil(reach - 0.5)))
    points = (np.arange((2 * pixels + 1) * fine) + 0.5) / fine - pixels - 0.5
    values = shape(*np.meshgrid(points, points, indexing="ij"))
    kernel = values.reshape(2 * pixels + 1, fine, 2 * pixels + 1, fine).mean((1, 3))
    return kernel / kernel.sum()


def _clouds(size: tuple[int, int], dice: np.random.Generator) -> np.ndarray:
    """(H, W) of noise in 0..1 whose amplitude falls with frequency, as clouds' does."""
    height, width = size
    frequency = np.hypot(np.fft.fftfreq(height)[:, None] * height, np.fft.rfftfreq(width) * width)
    amplitude = 1 / np.maximum(frequency, 1) ** 1.7
    noise = dice.normal(size=amplitude.shape) + 1j * dice.normal(size=amplitude.shape)
    field = np.fft.irfft2(noise * amplitude, size)
    low, high = field.min(), field.max()
    return 0.4 + 0.6 * (field - low) / max(1e-12, high - low)


def _at(image: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The image at places between its pixels, bilinearly; beyond its edges as at them."""
    height, width, _ = image.shape
    y, x = y.clip(0, height - 1), x.clip(0, width - 1)
    top, left = np.minimum(y.astype(int), max(0, height - 2)), np.minimum(x.astype(int), max(0, width - 2))
    down, right = (y - top)[..., None], (x - left)[..., None]
    below, beside = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    upper = image[top, left] * (1 - right) + image[top, beside] * right
    lower = image[below, left] * (1 - right) + image[below, beside] * right
    return upper * (1 - down) + lower * down
