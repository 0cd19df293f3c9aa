"""What ``ameli-llm data build`` does: from raw dumps to a benchmark, going on where it was killed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ameli_llm.dataset.construction.dividing import divide_products
from ameli_llm.dataset.construction.duplicates import find_bands, join_products
from ameli_llm.dataset.construction.features import FeatureReader, check_features
from ameli_llm.dataset.construction.filtering import Filter, find_filter
from ameli_llm.dataset.construction.knowledge import KnowledgeBase
from ameli_llm.dataset.construction.mentions import MentionFinder, check_mentions
from ameli_llm.dataset.construction.raw import RawTables
from ameli_llm.dataset.construction.rules import RULES, make_rules
from ameli_llm.dataset.construction.rules.rule import Rule
from ameli_llm.dataset.construction.settings import BuildSettings
from ameli_llm.dataset.construction.similarity import Tools
from ameli_llm.dataset.construction.steps import judge, read_products, read_reviews, sweep
from ameli_llm.dataset.construction.store import BuildStore
from ameli_llm.dataset.construction.writing import Written, write_dataset
from ameli_llm.dataset.importing.plan import Plan
from ameli_llm.errors import AmeliError
from ameli_llm.files import lock, make_folder
from ameli_llm.types import Progress, no_progress

STEPS = ("products", "reviews", "images", "mentions", "crop", "informative", "duplicates", "split")
"""The steps in their order."""
_TEXT, _IMAGES, _CROP = "text", "images", "crop"


@dataclass(frozen=True)
class Sources:
    """What is built from: the folder, its tables, where image paths start (else beside them), labels."""

    raw: Path
    plan: Plan
    images: Path | None = None
    labels: Mapping[str, bool] | None = None


def build_dataset(
    sources: Sources,
    out: Path,
    settings: BuildSettings,
    tools: Tools,
    *,
    progress: Progress = no_progress,
) -> Written:
    """Builds the dataset ``out``, which must be empty or absent.

    What is done so far lies in a folder beside it; the same call goes on from there, whatever killed the one
    before, and comes to the same bytes. Raises AmeliError when the sources, settings or tools are others than
    those that were begun with, when another process is at it, or when a file cannot be read or written.
    """
    if not sources.raw.is_dir():
        raise AmeliError(f"No folder at {sources.raw}.", hint="Name the folder of the raw dumps.")
    if not sources.plan.tables["reviews"]:
        raise AmeliError("No file of reviews to build from.", hint="Name it with --reviews FILE.")
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise AmeliError(f"{out} exists.", hint="Choose another --out, or delete it.")
    work = make_folder(work_folder(out))
    with closing(lock(work)):
        store = BuildStore(work / "build.sqlite")
        try:
            written = _Build(sources, out, settings, tools, store, work, progress).run()
        except sqlite3.Error as error:
            hint = f"Delete {work} to begin anew."
            raise AmeliError(f"What was built so far cannot be used: {error}.", hint=hint) from error
        finally:
            store.close()
    shutil.rmtree(work, ignore_errors=True)
    return written


def work_folder(out: Path) -> Path:
    """Where an unfinished build keeps what it has done."""
    return out.absolute().with_name(f".{out.absolute().name}.building")


class _Build:
    def __init__(
        self,
        sources: Sources,
        out: Path,
        settings: BuildSettings,
        tools: Tools,
        store: BuildStore,
        work: Path,
        progress: Progress,
    ) -> None:
        self._sources = sources
        self._out = out
        self._settings = settings
        self._tools = tools
        self._store = store
        self._progress = progress
        self._crops = work / "crops"
        self._tables = RawTables(sources.plan, sources.raw, settings.columns.model_dump(), sources.images)
        self._knowledge = KnowledgeBase(store)
        offered: dict[str, Callable[[], Any]] = {
            "knowledge": lambda: self._knowledge,
            "crops": lambda: self._crops,
        }
        self._rules = make_rules(settings.rules, offered)

    def run(self) -> Written:
        # First what is wrong with the settings: once a build has begun, it has them for good.
        check_mentions(self._settings.mentions, self._tools)
        if self._sources.labels is None:
            check_features(self._settings.informative.thresholds, self._tools)
        self._begin()
        store, batch, progress = self._store, self._settings.batch, self._progress
        read_products(self._tables, self._rules, store, batch, progress)
        read_reviews(self._tables, self._knowledge, self._of(_TEXT), store, batch, progress)
        self._apply("images", self._of(_IMAGES))
        self._mentions()
        self._apply("crop", self._of(_CROP))
        chosen = self._informative()
        split, seed = self._settings.split, self._settings.seed
        find_bands("duplicates", store, self._tables, split, seed, batch, progress)
        join_products("split", store, split)
        division = divide_products(store, split, seed)
        return write_dataset(
            self._out, store, self._tables, division, self._crops, self._account(chosen), progress
        )

    def _begin(self) -> None:
        """Keeps what the build is made from, or sees that it still is the same."""
        now = {
            "settings": self._settings.model_dump(mode="json"),
            "tools": self._tools.names,
            "labels": dict(sorted((self._sources.labels or {}).items())),
            "sources": source_files(self._sources.plan, self._sources.raw),
        }
        begun = self._store.fact("begun")
        if begun is None:
            with self._store.batch():
                self._store.keep("begun", now)
        elif begun != json.loads(json.dumps(now)):
            other = ", ".join(name for name in now if begun.get(name) != json.loads(json.dumps(now[name])))
            raise AmeliError(
                f"An unfinished build of {self._out} has other {other}.",
                hint=f"Use what it was begun with, or delete {work_folder(self._out)}.",
            )

    def _of(self, stage: str) -> dict[str, Rule]:
        return {name: rule for name, rule in self._rules.items() if stage == RULES.module(name).STAGE}

    def _apply(self, step: str, rules: Mapping[str, Rule]) -> None:
        if rules:
            sweep(
                step,
                self._store,
                self._settings.batch,
                self._progress,
                lambda reviews: [judge(review, rules, self._tables) for review in reviews],
            )

    def _mentions(self) -> None:
        if not self._store.standing("mentions")[1]:
            finder = MentionFinder(
                self._settings.mentions, self._knowledge, self._knowledge.categories(), self._tools
            )
            sweep("mentions", self._store, self._settings.batch, self._progress, finder.judge)

    def _informative(self) -> Filter | None:
        reader = FeatureReader(self._knowledge, self._tables, self._tools)
        chosen = find_filter(
            self._settings.informative,
            self._store,
            reader,
            self._sources.labels,
            self._settings.batch,
            self._settings.seed,
            self._progress,
        )
        if chosen is not None:
            sweep("informative", self._store, self._settings.batch, self._progress, chosen.judge)
        return chosen

    def _account(self, chosen: Filter | None) -> dict[str, Any]:
        """What decided the dataset, apart from its counts."""
        begun = self._store.fact("begun")
        return {
            "settings": begun["settings"],
            "tools": begun["tools"],
            "sources": begun["sources"],
            "columns": self._columns(),
            "filter": None if chosen is None else chosen.content(),
        }

    def _columns(self) -> dict[str, Any]:
        mapping = self._sources.plan.mapping.model_dump(mode="json")
        parts = {
            kind: {"records": mapping[kind]["records"], "columns": mapping[kind]["columns"]}
            for kind in ("products", "reviews")
        }
        return parts | {"found": dict(self._tables.columns)}


def source_files(plan: Plan, raw: Path) -> list[dict[str, Any]]:
    """Name, size and SHA-256 of every table, in the order in which they are read. Raises AmeliError."""
    found = []
    for kind, tables in plan.tables.items():
        for table in tables:
            try:
                with table.path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                    size = os.fstat(file.fileno()).st_size
            except OSError as error:
                raise AmeliError(f"Cannot read {table.path}: {error.strerror}.") from None
            found.append({"kind": kind, "file": _name(table.path, raw), "bytes": size, "sha256": digest})
    return found


def _name(path: Path, raw: Path) -> str:
    """A file as a page names it: by its place in the raw folder, without the machine's own folders."""
    try:
        return path.resolve().relative_to(raw.resolve()).as_posix()
    except ValueError:
        return path.name
