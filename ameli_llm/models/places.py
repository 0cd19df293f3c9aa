"""Where a known model lies: in its package, or in the cache, where it is made on first use and sealed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from importlib import metadata, util
from pathlib import Path
from typing import Literal

from ameli_llm.errors import AmeliError, MissingPackageError
from ameli_llm.files import make_folder
from ameli_llm.install import install_line
from ameli_llm.models.convert import CONVERSION, convert_gguf
from ameli_llm.models.known import (
    FromGguf,
    InPackage,
    KnownModel,
    WithAdapter,
    instruction_model,
    is_known,
    known_model,
)
from ameli_llm.models.lora import CONFIG, MERGING, WEIGHTS, write_merged
from ameli_llm.paths import cache_dir
from ameli_llm.seal import file_checksum, flaw, open_sealed
from ameli_llm.types import Progress, no_progress

ADAPTERS = Path(__file__).parent / "adapters"
"""The adapters of this distribution, a folder each."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a model can be used here. ``fix`` is what to type, "" when there is nothing to do."""

    state: Literal["here", "can be made", "missing"]
    detail: str
    folder: Path | None = None
    fix: str = ""


def standing(model: KnownModel) -> Standing:
    """How it stands with a model. Files in the cache are read, to see that they are whole."""
    if isinstance(model.source, FromGguf | WithAdapter):
        return _standing_made(model, model.source)
    missing = Standing("missing", f"{model.package} is not installed", fix=install_line(model.extra))
    if model.source is None:
        try:
            return Standing("here", f"computed by {model.package} {metadata.version(model.package)}")
        except metadata.PackageNotFoundError:
            return missing
    folder = _module_folder(model.source.module)
    if folder is None or not (folder / model.source.folder).is_dir():
        return missing
    return Standing("here", f"in the package {model.package}", folder / model.source.folder)


def found_folder(name: str) -> Path:
    """The folder of a known model, whole as it was made; nothing is made.

    Raises AmeliError, with what to type, when it is not here or has no folder.
    """
    model = known_model(name)
    if isinstance(model.source, WithAdapter):
        _adapter(model.source)
    found = standing(model)
    if found.state != "here":
        raise AmeliError(f"{name} is not here: {found.detail}.", hint=f"Type: {found.fix}")
    if found.folder is None:
        raise AmeliError(f"{name} has no folder: it has no weights.")
    return found.folder


def model_folder(name: str, progress: Progress = no_progress) -> Path:
    """The folder of a known model: an ordinary model folder, made on first use from the installed package.

    Made once, by one process while others wait; it appears whole or not at all, and is made again when a
    checksum shows that it was damaged. Its name ends in 12 hex digits of what it was made from. Raises
    MissingPackageError, and AmeliError when the package's file is not the expected one or the disk is full.
    """
    model = known_model(name)
    if not isinstance(model.source, FromGguf | WithAdapter):
        return found_folder(name)
    place = _place(model, model.source)
    make_folder(place.parent)
    try:
        return open_sealed(place, partial(_write, model, progress))
    except OSError as error:
        raise AmeliError(
            f"Cannot make {place}: {error.strerror or error}.",
            hint=f"It takes {model.megabytes} MB: make room, or name another cache in AMELI_LLM_CACHE.",
        ) from error


def base_folder(base: str, progress: Progress = no_progress) -> Path:
    """The folder of a base to train or to merge into: an instruction model by name, or a model folder.

    Raises AmeliError when it is neither, and as ``model_folder`` does.
    """
    if is_known(base):
        return model_folder(instruction_model(base).name, progress)
    if not (Path(base) / "config.json").is_file():
        raise AmeliError(
            f"No model {base!r}: it is no name of a known model, and no folder with config.json.",
            hint="Type: ameli-llm models list",
        )
    return Path(base)


def _standing_made(model: KnownModel, source: FromGguf | WithAdapter) -> Standing:
    try:
        place = _place(model, source)
    except AmeliError as error:
        return Standing("missing", "its adapter is not in this installation", fix=error.hint)
    found = flaw(place)
    if not found:
        return Standing("here", "in the cache", place)
    tools = _tools(source)
    absent = [tool for tool in tools if util.find_spec(tool) is None]
    if absent:
        return Standing("missing", f"not installed: {', '.join(absent)}", fix=install_line(model.extra))
    detail = f"damaged: {found}" if place.exists() else "made on first use"
    return Standing("can be made", detail, fix=f"ameli-llm models add {model.name}")


def _tools(source: FromGguf | WithAdapter) -> tuple[str, ...]:
    """The modules that the making needs."""
    if isinstance(source, FromGguf):
        return (source.module, *source.tools)
    base = known_model(source.base).source
    return (*(_tools(base) if isinstance(base, FromGguf | WithAdapter) else ()), *source.tools)


def _write(model: KnownModel, progress: Progress, out: Path) -> None:
    step = partial(progress, f"making {model.name}")
    if isinstance(model.source, FromGguf):
        file = packaged_file(model)
        convert_gguf(file, out, model.source.tools, model.extra, step)
    elif isinstance(model.source, WithAdapter):
        base = model_folder(model.source.base, progress)
        write_merged(base, model.source.base, _adapter(model.source), out, step)


def packaged_file(model: KnownModel) -> Path:
    """The file in which a package carries the weights; its content is the pinned one.

    Raises MissingPackageError, and AmeliError when the file is another one.
    """
    source = model.source
    if not isinstance(source, FromGguf | InPackage) or not source.file:
        raise AmeliError(f"{model.name} is not made from one file.")
    folder = _module_folder(source.module)
    if folder is None:
        raise MissingPackageError(model.package, model.extra)
    file = folder / (source.folder if isinstance(source, InPackage) else "") / source.file
    try:
        found = file_checksum(file)
    except OSError as error:
        raise AmeliError(f"Cannot read {file}: {error.strerror}.", hint=_again(model)) from error
    if found != source.sha256:
        raise AmeliError(
            f"{file} is damaged or of another version of {model.package}: "
            f"its SHA-256 begins with {found[:12]} and not with {source.sha256[:12]}.",
            hint=_again(model),
        )
    return file


def _again(model: KnownModel) -> str:
    return f"Type: {install_line(model.extra)} --reinstall-package {model.package}"


def _module_folder(module: str) -> Path | None:
    """Where the module's files lie; it is not imported."""
    spec = util.find_spec(module)
    return Path(spec.origin).parent if spec and spec.origin else None


def _place(model: KnownModel, source: FromGguf | WithAdapter) -> Path:
    return cache_dir() / "models" / f"{model.name}-{_identity(source)}"


def _identity(source: FromGguf | WithAdapter | InPackage | None) -> str:
    """12 hex digits of what a model is made from. Raises AmeliError where no adapter is shipped."""
    if isinstance(source, FromGguf):
        parts = [source.sha256, str(CONVERSION)]
    elif isinstance(source, WithAdapter):
        adapter = _adapter(source)
        parts = [_identity(known_model(source.base).source), str(MERGING)]
        parts += [file_checksum(adapter / name) for name in (CONFIG, WEIGHTS)]
    else:
        raise AssertionError("only what is made has an identity")
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:12]


def _adapter(source: WithAdapter) -> Path:
    folder = ADAPTERS / source.adapter
    absent = [name for name in (CONFIG, WEIGHTS) if not (folder / name).is_file()]
    if absent:
        raise AmeliError(
            f"This installation has no adapter for {source.base}: {folder} lacks {absent[0]}.",
            hint=f"Take the model {source.base}, or one that you have trained.",
        )
    return folder
