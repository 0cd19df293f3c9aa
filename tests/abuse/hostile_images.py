"""Files that are called pictures: broken, odd, lying, enormous, or none at all."""

from __future__ import annotations

import gzip
import io
import random
import struct
import zlib
from collections.abc import Iterator

from PIL import Image, ImageDraw

from tests.abuse.damage import damaged

FORMATS = ("JPEG", "PNG", "WEBP")
OTHERS = ("GIF", "BMP", "TIFF", "ICO", "PPM", "TGA", "PDF", "JPEG2000", "AVIF")


def photo(mode: str = "RGB", size: tuple[int, int] = (96, 64)) -> Image.Image:
    """A picture with edges, words and noise."""
    noise = random.Random(0).randbytes(size[0] * size[1])
    image = Image.frombytes("L", size, noise).point(lambda value: 200 + value // 8).convert("RGB")
    draw = ImageDraw.Draw(image)
    draw.ellipse((8, 8, size[0] // 2, size[1] - 8), fill="red")
    draw.text((size[0] // 2, size[1] // 3), "1100 W", fill="black")
    return image.convert(mode)


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour: int, data: bytes, *others: bytes) -> bytes:
    """A PNG of these header fields, whatever its data are."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    rest = [*others, chunk(b"IDAT", data), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(rest)


def exif(entries: bytes) -> bytes:
    """A JPEG with these bytes as its EXIF data."""
    data = encoded(photo(), "JPEG")
    body = b"Exif\x00\x00" + entries
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]


def _odd() -> Iterator[tuple[str, bytes]]:
    """Good pictures of unusual kinds."""
    for mode in ("1", "L", "LA", "P", "RGBA", "I;16"):
        yield f"{mode} PNG", encoded(photo("L" if mode == "I;16" else mode).convert(mode), "PNG")
    for mode in ("L", "CMYK", "YCbCr"):
        yield f"{mode} JPEG", encoded(photo(mode), "JPEG")
    for size in ((1, 1), (1, 3000), (3000, 1), (2, 2), (7, 5)):
        yield f"{size} PNG", encoded(Image.new("RGB", size, "red"), "PNG")
        yield f"{size} JPEG", encoded(Image.new("RGB", size, "red"), "JPEG")
    yield "transparent palette", encoded(photo("P"), "PNG", transparency=3)
    yield "nothing but transparent", encoded(Image.new("RGBA", (64, 64)), "PNG")
    yield "progressive", encoded(photo(), "JPEG", progressive=True)
    for format in ("PNG", "WEBP"):
        frames = [photo(size=(64, 64)) for _ in range(3)]
        moving = {"save_all": True, "append_images": frames, "duration": 10}
        yield f"animated {format}", encoded(frames[0], format, **moving)
    for orientation in (0, 2, 6, 8, 9, 65535):
        tags = Image.Exif()
        tags[0x0112] = orientation
        yield f"orientation {orientation}", encoded(photo(), "JPEG", exif=tags)


def _lying(draw: random.Random) -> Iterator[tuple[str, bytes]]:
    """Headers that promise what does not follow, and metadata that break readers."""
    for width, height in ((50_000, 50_000), (2**31 - 1, 1), (1, 2**31 - 1), (0, 0), (0, 9), (2**31, 2**31)):
        yield f"{width} x {height}", png(width, height, 8, 2, zlib.compress(bytes(1000)))
    for depth, colour in ((16, 2), (3, 0), (16, 3), (0, 0), (8, 7), (255, 255)):
        yield f"depth {depth}, colour {colour}", png(8, 8, depth, colour, zlib.compress(bytes(1000)))
    bomb = zlib.compress(bytes(60_000_000))
    yield "a bomb in its data", png(8, 8, 8, 2, bomb)
    yield "a bomb of a picture", png(8000, 7990, 8, 2, bomb)
    yield "a bomb in a text", png(8, 8, 8, 2, zlib.compress(bytes(300)), chunk(b"zTXt", b"k\0\0" + bomb))
    yield "a bomb in a profile", png(8, 8, 8, 2, zlib.compress(bytes(300)), chunk(b"iCCP", b"k\0\0" + bomb))
    yield "no zlib", png(8, 8, 8, 2, b"none")
    yield "a thousand chunks", png(8, 8, 8, 2, zlib.compress(bytes(300)), chunk(b"tEXt", b"k\0v") * 1000)
    yield "a chunk of 4 GB", png(8, 8, 8, 2, b"")[:33] + struct.pack(">I", 2**32 - 1) + b"IDAT" + bytes(90)
    for entries in (
        b"",
        b"II*\x00\xff\xff\xff\xff",
        b"II*\x00\x08\x00\x00\x00\xff\xff" + bytes(40),
        b"MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\xff\xff\x00\x00",
        b"II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x05\x00\xff\xff\xff\x7f\x08\x00\x00\x00",
        *(draw.randbytes(200) for _ in range(6)),
        *(b"II*\x00\x08\x00\x00\x00" + draw.randbytes(200) for _ in range(6)),
    ):
        yield f"EXIF {entries[:12].hex()}", exif(entries)
    data = encoded(photo(), "JPEG")
    at = data.index(b"\xff\xc0") + 5
    for size in (b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x00\x01\xff\xff"):
        yield f"JPEG of size {size.hex()}", data[:at] + size + data[at + 4 :]
    yield "JPEG of one marker", b"\xff\xd8\xff" + b"\xff" * 100_000
    yield "RIFF of no size", b"RIFF\x00\x00\x00\x00WEBPVP8 \xff\xff\xff\xff" + bytes(90)


def _none(draw: random.Random) -> Iterator[tuple[str, bytes]]:
    """Files that are no JPEG, PNG or WebP."""
    for format in OTHERS:
        try:
            yield format, encoded(photo(), format)
        except (KeyError, OSError):  # this Pillow cannot write it
            continue
    texts = (
        "",
        "\n",
        "<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
        "<?xml version='1.0'?><!DOCTYPE s [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><svg>&x;</svg>",
        "<html><script>alert(1)</script></html>",
        "#!/bin/sh\nexit 1\n",
        "%!PS-Adobe-3.0\n(/etc/passwd) (r) file\n",
        "push graphic-context\nimage over 0,0 0,0 'ephemeral:/etc/passwd'\n",
        "GIF89a/*\xff*/=1;",
        "version https://git-lfs.github.com/spec/v1\n",
    )
    for text in texts:
        yield f"text {text[:12]!r}", text.encode("latin-1")
    yield "zip", b"PK\x03\x04" + draw.randbytes(90)
    yield "gzip", gzip.compress(encoded(photo(), "PNG"))
    yield "program", b"\x7fELF" + draw.randbytes(90)
    for _ in range(6):
        yield "noise", draw.randbytes(draw.randrange(1, 3000))
    for start in (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x90\x00\x00\x00WEBP"):
        yield f"{start[:4]!r} and noise", start + draw.randbytes(400)


def hostile_images(damages: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """What each file is, and its content; ``damages`` of them are good pictures that were damaged."""
    draw = random.Random(seed)
    yield from _odd()
    yield from _lying(draw)
    yield from _none(draw)
    good = [encoded(photo(), format) for format in FORMATS]
    good += [encoded(photo(), "WEBP", lossless=True), encoded(photo(), "JPEG", progressive=True)]
    for number in range(damages):
        what, content = damaged(good[number % len(good)], draw)
        yield f"{number % len(good)}: {what}", content
