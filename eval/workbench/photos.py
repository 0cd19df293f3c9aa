"""Photos of reviews for the page: those that were uploaded, and small copies of any to look at."""

from __future__ import annotations

import secrets
import tempfile
import threading
from pathlib import Path

from ameli_llm.dataset.images import probe_image
from ameli_llm.errors import AmeliError

MAX_PHOTO = 12 << 20
"""Bytes of an uploaded photo."""

MOST = 16
"""Uploads that are kept: the oldest makes room."""

SIDE = 480
"""Pixels of the longer side of a photo as it is shown."""

QUALITY = 80
"""Of that photo: WebP's, 0 to 100."""


class Photos:
    """Uploaded photos, in a folder that is gone when they are closed. Threads may share it."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="ameli-llm-photos-")
        self._kept: dict[str, Path] = {}
        self._lock = threading.Lock()

    def add(self, content: bytes) -> str:
        """The name under which the photo is kept. Raises AmeliError when it is none, or too large."""
        if len(content) > MAX_PHOTO:
            raise AmeliError(f"The photo has {len(content)} bytes; the limit is {MAX_PHOTO}.")
        name = secrets.token_hex(16)
        path = Path(self._folder.name) / name
        path.write_bytes(content)
        try:
            probe_image(path)
        except AmeliError as error:
            path.unlink()
            raise AmeliError(error.message.replace(f"Image {name}", "The photo")) from None
        with self._lock:
            self._kept[name] = path
            while len(self._kept) > MOST:
                self._kept.pop(next(iter(self._kept))).unlink()
        return name

    def path(self, name: str) -> Path:
        """The file of an upload. Raises AmeliError when it is not there any more."""
        path = self._kept.get(name)
        if path is None:
            raise AmeliError("The photo is not there any more.", hint="Choose it again.")
        return path

    def close(self) -> None:
        """Removes them."""
        self._folder.cleanup()
