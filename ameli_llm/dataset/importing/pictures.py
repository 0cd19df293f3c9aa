"""The pictures that rows name, copied into a dataset: only image files inside the tables' own folders."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from ameli_llm.dataset.images import ImageProblem, probe_image
from ameli_llm.dataset.importing.losses import LeftOutError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:|//")
_DRIVE = re.compile(r"[A-Za-z]:")
_MAX_PATH = 4096
_STEM_BYTES = 180


class Pictures:
    """Copies pictures into the folder ``target``, and their crops, of the same name, into ``crops``.

    ``subfolders`` are looked in below each folder that a path may be relative to; "" is that folder itself.
    Copies are called like the file, with a number where another file is called so.
    """

    def __init__(self, target: Path, subfolders: Sequence[str], crops: Path | None = None) -> None:
        self._target = target
        self._subfolders = subfolders
        self._crops = crops
        self._names: dict[Path, str] = {}
        self._taken: set[str] = set()

    @property
    def copied(self) -> int:
        """How many files there are now."""
        return len(self._names)

    def take(self, path: str, folders: Sequence[Path]) -> str:
        """The name under which the picture now lies in the dataset; the same file is copied once.

        ``path`` is relative to one of ``folders``, the first that has it. Raises LeftOutError with the
        reason, and OSError when it cannot be copied.
        """
        relative = _relative(path)
        file = self._find(relative, folders)
        if file in self._names:
            return self._names[file]
        try:
            probe_image(file)
        except ImageProblem as problem:
            raise LeftOutError(f"is {problem.reason.replace('_', ' ')}") from None
        name = self._free_name(file.name)
        self._copy(file, self._target / name)
        self._names[file] = name
        if self._crops and (
            crop := _inside([(self._crops.name, folder) for folder in folders], relative.name)
        ):
            self._copy(crop, self._crops / name)
        return name

    def find(self, path: str, folders: Sequence[Path]) -> Path:
        """The file that ``take`` would copy. Raises LeftOutError with the reason why there is none."""
        return self._find(_relative(path), folders)

    def _find(self, path: Path, folders: Sequence[Path]) -> Path:
        file = _inside([(sub, folder) for sub in self._subfolders for folder in folders], path)
        if file is None:
            raise LeftOutError("has no file in the folder")
        return file

    def _free_name(self, name: str) -> str:
        stem, suffix = os.path.splitext(name)
        stem = stem if len(stem.encode()) <= _STEM_BYTES else "image"
        number, free = 1, stem + suffix[:10]
        while free.lower() in self._taken:
            number += 1
            free = f"{stem}-{number}{suffix[:10]}"
        self._taken.add(free.lower())
        return free

    @staticmethod
    def _copy(source: Path, target: Path) -> None:
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(source, target)


def _relative(path: str) -> Path:
    """The path if it stays below where it starts. Raises LeftOutError."""
    text = path.strip().replace("\\", "/")
    if len(text) > _MAX_PATH or "\x00" in text:
        raise LeftOutError("is no path")
    if _DRIVE.match(text) or (text.startswith("/") and not text.startswith("//")) or text.startswith("~"):
        raise LeftOutError("is an absolute path")
    if _URL.match(text):
        raise LeftOutError("is a link into the web")
    if ".." in text.split("/"):
        raise LeftOutError("leads out of the folder")
    return Path(text)


def _inside(places: Iterable[tuple[str, Path]], path: Path | str) -> Path | None:
    """The file of the path in the first subfolder of a folder that has it; no link leads out of a folder."""
    for subfolder, folder in places:
        file = folder / subfolder / path
        if os.path.isfile(file) and (real := file.resolve()).is_relative_to(folder.resolve()):
            return real
    return None
