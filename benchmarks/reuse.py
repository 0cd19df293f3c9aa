"""What an edit of a comparison template costs: with ``link --from`` and without, one review and many.

    python benchmarks/reuse.py [--reviews 200] [--model smollm2] [--set KEY=VALUE]

Starts a vLLM server, links reviews of a synthetic twin, edits the template (a sentence of its instructions)
and links again as a command of its own: everything anew but for the reply cache, with ``--from``, and one
review with ``--from``. Each has an edit of its own, so that no reply of the edited template is known. Prints
Markdown; "linking" is a part of the command's time, and what the server works at is a part of that.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from served import server

from ameli_llm.dataset.synth import write_twin
from ameli_llm.models import model_folder
from ameli_llm.templates.load import load_template

TEMPLATE = "compare/listwise"


def main() -> None:
    """Four commands, a row each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reviews", type=int, default=200)
    parser.add_argument("--products", type=int, default=300)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        os.environ["AMELI_LLM_CACHE"] = str(work / "cache")
        write_twin(work / "twin", products=options.products, reviews=5 * options.reviews, seed=0)
        with server(model_folder(options.model), 64, work) as port:
            served = ["--engine", "vllm_server", "--set", f"engine.base_url=http://127.0.0.1:{port}/v1"]
            common = [*served, "--set", "comparison.comparators=[rules,listwise]"]
            common += [word for setting in options.set for word in ("--set", setting)]
            many, one = str(options.reviews), "1"
            print("| command | reviews | s | linking s | requests |\n|---|---:|---:|---:|---:|")
            _row(work, "first run", "a", [*common, "--limit", many])
            again = _edited(work, "Look closely.")
            _row(work, "edited, everything anew", "b", [*common, "--limit", many, *again])
            again = [*_edited(work, "Look very closely."), "--from", str(work / "a")]
            _row(work, "edited, `--from`", "c", [*common, "--limit", many, *again])
            again = [*_edited(work, "Take your time."), "--from", str(work / "a")]
            _row(work, "edited, one review, `--from`", "d", [*common, "--limit", one, *again])


def _edited(work: Path, sentence: str) -> list[str]:
    source = load_template(TEMPLATE).source
    start = "{% block system %}"
    if start not in source:
        raise SystemExit(f"{TEMPLATE} has no {start}")
    path = work / f"edit-{len(sentence)}.j2"
    path.write_text(source.replace(start, f"{start}\n{sentence}", 1), encoding="utf-8")
    return ["--set", f"comparison.template={path}"]


def _row(work: Path, name: str, run: str, options: list[str]) -> None:
    line = [sys.executable, "-m", "ameli_llm", "link", str(work / "twin"), "--split", "train"]
    began = time.perf_counter()
    done = subprocess.run([*line, "--out", str(work / run), *options], capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(done.stderr)
    rows = [json.loads(text) for text in (work / run / "predictions.jsonl").read_text().splitlines()]
    (session,) = json.loads((work / run / "run.json").read_text())["sessions"]
    cells = f"{seconds:.1f} | {session['seconds']:.1f} | {session['requests']}"
    print(f"| {name} | {len(rows)} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
