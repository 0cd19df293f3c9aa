from __future__ import annotations

import io
import os
import resource
import struct
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from ameli_llm.dataset.images import MAX_PIXELS, REASONS, ImageProblem, open_image, probe_image

FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def red(width: int = 40, height: int = 20) -> Image.Image:
    """Red with a blue left fifth, so that its orientation shows."""
    image = Image.new("RGB", (width, height), (255, 0, 0))
    image.paste((0, 0, 255), (0, 0, width // 5, height))
    return image


def png_header(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = b"\x89PNG\r\n\x1a\n"
    for kind, data in ((b"IHDR", header), *chunks, (b"IDAT", zlib.compress(b"\x00" * 100)), (b"IEND", b"")):
        body += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return body


def jpeg_header(width: int, height: int) -> bytes:
    data = encoded(red(), "JPEG")
    size = data.index(b"\xff\xc0") + 5
    return data[:size] + struct.pack(">HH", height, width) + data[size + 4 :]


def webp_header(width: int, height: int) -> bytes:
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBP" + b"VP8X" + struct.pack("<I", 10) + b"\x00" * 4 + size + encoded(red(), "WEBP")[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.fixture
def put(tmp_path: Path) -> Callable[[bytes], Path]:
    def write(content: bytes, name: str = "a.jpg") -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


Put = Callable[[bytes], Path]


@pytest.mark.parametrize("format", FORMATS.values())
def test_opens_by_content_not_by_name(format: str, put: Put) -> None:
    path = put(encoded(red(), format))
    assert probe_image(path) == (40, 20)
    image = open_image(path)
    assert (image.mode, image.size) == ("RGB", (40, 20))
    pixel = image.getpixel((30, 10))
    assert isinstance(pixel, tuple)
    assert pixel[0] > 240
    assert pixel[2] < 15


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_every_mode_becomes_rgb(mode: str, put: Put) -> None:
    content = encoded(Image.new(mode, (4, 4)), "JPEG" if mode == "CMYK" else "PNG")
    assert open_image(put(content)).mode == "RGB"


def test_16_bits_keep_their_brightness(put: Put) -> None:
    grey = Image.new("I;16", (2, 2), 32768)
    assert open_image(put(encoded(grey, "PNG"))).getpixel((0, 0)) == (128, 128, 128)


def test_transparent_becomes_white(put: Put) -> None:
    clear = Image.new("RGBA", (2, 2), (0, 0, 0, 0))
    assert open_image(put(encoded(clear, "PNG"))).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize(("orientation", "size", "blue"), [(1, (40, 20), (2, 10)), (6, (20, 40), (10, 2))])
def test_exif_orientation(orientation: int, size: tuple[int, int], blue: tuple[int, int], put: Put) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = open_image(put(encoded(red(), "JPEG", exif=exif)))
    pixel = image.getpixel(blue)
    assert image.size == size
    assert isinstance(pixel, tuple)
    assert pixel[2] > 200


def test_damaged_metadata_is_no_fault(put: Put) -> None:
    broken_exif = b"Exif\x00\x00II*\x00\x08\x00\x00\x00\xff\xff\x12\x01\x03\x00"
    assert open_image(put(encoded(red(), "JPEG", exif=broken_exif))).size == (40, 20)
    data = encoded(red(), "PNG")
    control = struct.pack(">I", 8) + b"acTL" + bytes(8)
    control += struct.pack(">I", zlib.crc32(control[4:]))
    assert open_image(put(data[:33] + control + data[33:])).size == (40, 20)


@pytest.mark.parametrize(
    ("content", "reason", "message"),
    [
        (b"", "empty", "Image a.jpg: empty (0 bytes)."),
        (
            b"just text",
            "not_an_image",
            "Image a.jpg: not an image (no JPEG, PNG or WebP signature).",
        ),
        (
            encoded(red(), "GIF"),
            "unsupported_format",
            "Image a.jpg: unsupported format (GIF; JPEG, PNG and WebP are read).",
        ),
        (
            encoded(red(), "BMP"),
            "unsupported_format",
            "Image a.jpg: unsupported format (BMP; JPEG, PNG and WebP are read).",
        ),
        (
            encoded(red(), "TIFF"),
            "unsupported_format",
            "Image a.jpg: unsupported format (TIFF; JPEG, PNG and WebP are read).",
        ),
        (
            b"<svg onload='x'/>",
            "unsupported_format",
            "Image a.jpg: unsupported format (SVG; JPEG, PNG and WebP are read).",
        ),
        (
            png_header(50_000, 50_000),
            "too_large",
            "Image a.jpg: too large (50000 x 50000, the limit is 64,000,000 pixels).",
        ),
        (
            jpeg_header(50_000, 50_000),
            "too_large",
            "Image a.jpg: too large (50000 x 50000, the limit is 64,000,000 pixels).",
        ),
        (
            jpeg_header(MAX_PIXELS // 1000 + 1, 1000),
            "too_large",
            "Image a.jpg: too large (64001 x 1000, the limit is 64,000,000 pixels).",
        ),
    ],
)
@pytest.mark.parametrize("opener", [open_image, probe_image])
def test_bad_content(
    content: bytes, reason: str, message: str, opener: Callable[[Path], object], put: Put
) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ImageProblem) as error:
        opener(put(content))
    assert error.value.reason == reason
    assert str(error.value) == message
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 100_000  # KiB: nothing of the picture's claimed size was allocated


@pytest.mark.parametrize("size", [(16_000, 16_000), (2**24, 2**24)])
def test_huge_webp(size: tuple[int, int], put: Put) -> None:
    with pytest.raises(ImageProblem) as error:
        open_image(put(webp_header(*size)))
    assert error.value.reason == "too_large"


@pytest.mark.parametrize("format", FORMATS.values())
@pytest.mark.parametrize("share", [0.98, 0.5, 0.1])
def test_truncated(format: str, share: float, put: Put) -> None:
    data = encoded(Image.effect_noise((200, 200), 80), format)
    path = put(data[: int(len(data) * share)])
    with pytest.raises(ImageProblem) as error:
        open_image(path)
    assert error.value.reason == "truncated"
    assert str(error.value).startswith("Image a.jpg: truncated (")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("signature", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x00\x00\x00\x00WEBP"])
def test_signature_alone(signature: bytes, put: Put) -> None:
    with pytest.raises(ImageProblem) as error:
        open_image(put(signature))
    assert error.value.reason == "truncated"


def test_missing_folder_and_pipe(tmp_path: Path) -> None:
    with pytest.raises(ImageProblem) as error:
        open_image(tmp_path / "none.jpg")
    assert str(error.value) == "Image none.jpg: missing (No such file or directory)."
    with pytest.raises(ImageProblem) as error:
        open_image(tmp_path)
    assert error.value.reason == "not_an_image"
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ImageProblem) as error:
        open_image(tmp_path / "pipe.jpg")
    assert str(error.value) == "Image pipe.jpg: not an image (not a regular file)."


def outcome(path: Path) -> str:
    try:
        return open_image(path).mode
    except ImageProblem as problem:
        return problem.reason


@pytest.mark.parametrize("format", FORMATS.values())
def test_damaged_bytes_end_in_a_named_reason(format: str, put: Put) -> None:
    """Every eighth byte of a small image inverted in turn: it opens, or there is a named reason."""
    data = encoded(red(8, 8), format)
    damaged = (data[:i] + bytes([data[i] ^ 0xFF]) + data[i + 1 :] for i in range(0, len(data), 8))
    assert {outcome(put(content)) for content in damaged} <= {"RGB", *REASONS}


def test_threads_silence_no_other_warnings(put: Put) -> None:
    path = put(encoded(red(), "PNG"))
    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(open_image, [path] * 200))) == 200
    with pytest.warns(UserWarning, match="still shown"):
        warnings.warn("still shown", UserWarning, stacklevel=1)
