"""The photos of a review as files: stored until it is linked, checked before anything is decoded."""

from __future__ import annotations

import base64
import binascii
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ameli_llm.dataset.images import ImageProblem, probe_image
from ameli_llm.service.bodies import ImageBody
from ameli_llm.service.limits import Limits
from ameli_llm.service.problems import BAD_IMAGE, INVALID, Problem, invalid


@dataclass
class Pictures:
    """``names`` leads from the path of each photo to what the client calls it, in order."""

    names: dict[str, str] = field(default_factory=dict)
    folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """The files."""
        return tuple(self.names)

    def close(self) -> None:
        """Deletes what was stored; a second call does nothing."""
        if self.folder is not None:
            self.folder.cleanup()
            self.folder = None


def store(
    images: Sequence[ImageBody],
    uploads: Mapping[str, bytes],
    home: Path | None,
    limits: Limits,
    pointer: str,
) -> Pictures:
    """The photos of the review at ``pointer``: those in the body as files, those in ``home`` where they lie.

    Raises Problem, and leaves no file, for the first that is not there, not an image, or too large.
    """
    if len(images) > limits.images:
        raise invalid(f"{pointer}/images", f"{len(images)} images; a review may have {limits.images}")
    pictures = Pictures()
    try:
        for number, image in enumerate(images):
            place = f"{pointer}/images/{number}"
            path, name = _file(pictures, image, uploads, home, limits, place, number)
            _check(path, limits, place)
            pictures.names[str(path)] = name
    except BaseException:
        pictures.close()
        raise
    return pictures


def _file(
    pictures: Pictures,
    image: ImageBody,
    uploads: Mapping[str, bytes],
    home: Path | None,
    limits: Limits,
    place: str,
    number: int,
) -> tuple[Path, str]:
    """The file of an image, and what the client calls it."""
    if image.path is not None:
        return _below(home, image.path, place), image.path
    if image.upload is not None:
        if image.upload not in uploads:
            raise invalid(place, f"no part of the body is named {image.upload[:80]!r}")
        content, name = uploads[image.upload], image.upload
    else:
        content, name = _decoded(image.base64 or "", place), f"images/{number}"
    if len(content) > limits.image_bytes:
        raise invalid(place, f"{len(content):,} bytes; an image may have {limits.image_bytes:,}", BAD_IMAGE)
    if pictures.folder is None:
        pictures.folder = tempfile.TemporaryDirectory(prefix="ameli-llm-", ignore_cleanup_errors=True)
    path = Path(pictures.folder.name) / f"image-{number}"
    path.write_bytes(content)
    return path, name


def _below(home: Path | None, name: str, place: str) -> Path:
    if home is None:
        raise invalid(place, "the service has no folder of images: upload it, or send it as base64")
    # Links are followed before the comparison: one that leads out of the folder could name any file.
    try:
        path = (home / name).resolve()
        if path.is_relative_to(home.resolve()) and path.is_file():
            return path
    except (OSError, ValueError):  # a name that no file can have
        pass
    raise invalid(place, f"no file {name[:80]!r} in the folder of images", BAD_IMAGE)


def _decoded(text: str, place: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise invalid(place, "not base64", INVALID) from None


def _check(path: Path, limits: Limits, place: str) -> None:
    if path.stat().st_size > limits.image_bytes:
        raise invalid(place, f"more than {limits.image_bytes:,} bytes", BAD_IMAGE)
    try:
        width, height = probe_image(path)
    except ImageProblem as error:
        raise image_problem(error, place) from None
    if width * height > limits.pixels:
        detail = f"{width} x {height}; an image may have {limits.pixels:,} pixels"
        raise invalid(place, detail, BAD_IMAGE)


def image_problem(error: ImageProblem, place: str) -> Problem:
    """The problem of a file that is no image, without its name on this machine."""
    return invalid(place, error.reason.replace("_", " "), BAD_IMAGE)
