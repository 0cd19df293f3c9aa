"""Runs a matrix in processes that are killed: started by test_resume.py as a program of its own.

Each line of its input is JSON: the words of the command, the cache folder, and the seconds after which it is
killed, null for never. The answers are two lines: the number of the process, and its exit status. Each start
is a fork of this process, which has its imports behind it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence

import chromadb  # noqa: F401
import scipy.stats  # noqa: F401

import ameli_llm.engines.vllm_server  # noqa: F401
import eval.matrix.scores  # noqa: F401
from tests.command import command


def start(words: Sequence[str], after: float | None) -> int:
    """The exit status of one start; that of the command where it was not killed."""
    process = os.fork()
    if not process:
        try:
            done = command(*words)
        except BaseException:
            traceback.print_exc()
            os._exit(99)
        if done.code:
            sys.stderr.write(done.err)
            sys.stderr.flush()
        os._exit(done.code)
    say(process)
    if after is not None:
        time.sleep(after)
        os.kill(process, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def say(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def main() -> None:
    for line in sys.stdin:
        words, cache, after = json.loads(line)
        os.environ["AMELI_LLM_CACHE"] = cache
        say(start(words, after))


if __name__ == "__main__":
    main()
