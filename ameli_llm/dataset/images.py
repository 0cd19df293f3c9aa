"""Opens the pictures of a dataset, which are untrusted: every bad file ends in a named reason."""

from __future__ import annotations

import io
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, get_args

from PIL import Image, ImageOps
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from ameli_llm.errors import AmeliError

MAX_PIXELS = 64_000_000
"""Largest width x height that is decoded: 192 MB of RGB. Phones take up to 50 million."""

Reason = Literal["missing", "empty", "not_an_image", "unsupported_format", "too_large", "truncated"]
REASONS: tuple[Reason, ...] = get_args(Reason)

_OTHER_FORMATS = {
    "GIF": (0, b"GIF8"),
    "BMP": (0, b"BM"),
    "TIFF": (0, b"II*\x00"),
    "TIFF (big endian)": (0, b"MM\x00*"),
    "ICO": (0, b"\x00\x00\x01\x00"),
    "Photoshop": (0, b"8BPS"),
    "AVIF": (4, b"ftypavif"),
    "HEIC": (4, b"ftyphei"),
    "HEIF": (4, b"ftypmif1"),
    "JPEG 2000": (4, b"jP  "),
    "JPEG XL": (4, b"JXL "),
    "SVG": (0, b"<svg"),
}


class ImageProblem(AmeliError):
    """An image file that cannot be used; ``reason`` is one of ``REASONS``."""

    def __init__(self, path: Path, reason: Reason, detail: str) -> None:
        super().__init__(f"Image {path.name}: {reason.replace('_', ' ')} ({detail}).")
        self.reason = reason


def open_image(path: Path, shorter: int = 0) -> Image.Image:
    """The decoded image, RGB, turned upright by its EXIF orientation; of several frames the first.

    JPEG, PNG and WebP only; transparent pixels become white. The size is checked in the header, before
    anything is decoded. With ``shorter`` a large JPEG is decoded at 1/2, 1/4 or 1/8 of its size, which is
    several times as fast, its shorter side not below so many pixels. Raises ImageProblem.
    """
    with _quiet(), _header(path) as image:
        try:
            if shorter:
                image.draft(None, (shorter, shorter))
            image.load()
            return _rgb(_upright(image))
        except MemoryError:
            raise ImageProblem(path, "too_large", "not enough memory to decode it") from None
        except Exception as error:  # Pillow's decoders raise many types on damaged files
            raise ImageProblem(path, "truncated", _one_line(error)) from None


def probe_image(path: Path) -> tuple[int, int]:
    """Width and height in the header, nothing decoded: cannot tell a truncated file. Raises ImageProblem."""
    with _quiet(), _header(path) as image:
        return image.size


def thumbnail(path: Path, side: int, quality: int) -> bytes:
    """The picture as WebP with at most ``side`` pixels a side, its pixels only. Raises ImageProblem.

    ``quality``: WebP's, 0 to 100.
    """
    picture = open_image(path)
    picture.thumbnail((side, side))
    bare = Image.new("RGB", picture.size)
    bare.paste(picture)
    out = io.BytesIO()
    bare.save(out, "WEBP", quality=quality)
    return out.getvalue()


@contextmanager
def _header(path: Path) -> Iterator[ImageFile]:
    """The image with its header read and its size within the limit."""
    try:
        # Not Image.open: it tries every format it knows and warns about sizes by a process-wide setting.
        image = _reader(path)(path)
    except ImageProblem:
        raise
    except MemoryError:
        raise ImageProblem(path, "too_large", "not enough memory to open it") from None
    except Image.DecompressionBombError as error:
        raise ImageProblem(path, "too_large", _one_line(error)) from None
    except Exception as error:  # Pillow's readers raise many types on damaged headers
        raise ImageProblem(path, "truncated", f"header: {_one_line(error)}") from None
    with image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            detail = f"{width} x {height}, the limit is {MAX_PIXELS:,} pixels"
            raise ImageProblem(path, "too_large", detail)
        yield image


def _reader(path: Path) -> type[ImageFile]:
    """The reader for the file's signature; its name does not count."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ImageProblem(path, "not_an_image", "not a regular file")
        if status.st_size == 0:
            raise ImageProblem(path, "empty", "0 bytes")
        with path.open("rb") as file:
            start = file.read(16)
    except (OSError, ValueError) as error:
        raise ImageProblem(path, "missing", _one_line(error)) from None
    if start.startswith(b"\xff\xd8\xff"):
        return JpegImageFile
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return PngImageFile
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return WebPImageFile
    for name, (offset, signature) in _OTHER_FORMATS.items():
        if start[offset:].startswith(signature):
            raise ImageProblem(path, "unsupported_format", f"{name}; JPEG, PNG and WebP are read")
    raise ImageProblem(path, "not_an_image", "no JPEG, PNG or WebP signature")


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF data: the picture itself is good
        return image


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits a pixel
        image = image.convert("I").point(lambda value: value / 256).convert("L")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


@contextmanager
def _quiet() -> Iterator[None]:
    """Pillow's warnings about odd metadata are not shown; other threads at most lose some of Pillow's."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__
