"""What a command costs before it does anything: seconds of processes, beside Python that does nothing.

    python benchmarks/cold_start.py [--starts 7] [--reviews 3000] [--products 1000]

``--help``, ``compare`` of two synthetic runs of so many reviews, and the first link of ``link-one`` on a warm
index of a twin, by rules. They take turns with ``python -c pass``; compiled modules are kept between the
processes, as in an installation that has run before. Prints Markdown; exit code 1 when a median misses its
goal.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from link_one import RULES, Start, finish, median_and_most, read_reviews, spent
from report import make_run

from ameli_llm.dataset.synth import write_twin

NOTHING = "python -c pass"
GOALS = {"ameli-llm --help": 0.4, "ameli-llm compare": 1.5, "ameli-llm link-one": 3.0}


def main() -> int:
    """A row for each command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--starts", type=int, default=7)
    parser.add_argument("--reviews", type=int, default=3000)
    parser.add_argument("--products", type=int, default=1000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(commands(Path(folder), options.products, options.reviews), options.starts)
    print("| command | s (median, most) | processor s (median, most) | goal s |\n|---|---:|---:|---:|")
    for name, starts in found.items():
        clock = median_and_most([start.wall for start in starts])
        processor = median_and_most([start.processor for start in starts])
        print(f"| {name} | {clock} | {processor} | {GOALS.get(name, '')} |")
    medians = {name: statistics.median(start.wall for start in starts) for name, starts in found.items()}
    return int(any(medians[name] > goal for name, goal in GOALS.items()))


def commands(work: Path, products: int, reviews: int) -> dict[str, Callable[[], object]]:
    """What is measured, by name; it was run once, and made what it finds later."""
    runs = [make_run(work / f"run-{number}", number, reviews) for number in range(2)]
    write_twin(work / "twin", products=products, reviews=50, seed=0, images=False)
    review = read_reviews(work / "twin")[0]
    words = ["link-one", work / "twin", "--body", review["body"], "--header", review["header"], *RULES]
    named: dict[str, Callable[[], object]] = {
        NOTHING: partial(subprocess.run, [sys.executable, "-c", "pass"], check=True),
        "ameli-llm --help": partial(finish, work, ["--help"]),
        "ameli-llm compare": partial(finish, work, ["compare", *runs]),
        "ameli-llm link-one": partial(finish, work, words),
    }
    for run in named.values():
        run()
    return named


def measure(named: Mapping[str, Callable[[], object]], starts: int) -> dict[str, list[Start]]:
    """So many starts of each command, by turns."""
    found: dict[str, list[Start]] = {name: [] for name in named}
    for _ in range(starts):
        for name, run in named.items():
            found[name].append(spent(run))
    return found


if __name__ == "__main__":
    sys.exit(main())
