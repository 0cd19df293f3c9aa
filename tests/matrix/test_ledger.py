"""The account of what was sent, and its budget."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from ameli_llm.errors import AmeliError
from eval.matrix.ledger import FILE, BudgetSpentError, Ledger, Sent


def call(ledger: Ledger, most: int, tokens: int, model: str = "m") -> None:
    assert ledger.reserve([most]) == 1
    ledger.settle(most, model, Sent(calls=1, prompt=tokens - 1, completion=1))


def test_it_outlives_the_process(tmp_path: Path) -> None:
    first = Ledger(tmp_path)
    call(first, 0, 10)
    call(first, 0, 5, "other")
    first.close()
    with (tmp_path / FILE).open("a", encoding="utf-8") as file:
        file.write('{"calls": 1, "prom')  # the process was killed here
    second = Ledger(tmp_path)
    call(second, 0, 7)
    second.close()
    third = Ledger(tmp_path)
    assert (third.total.calls, third.total.tokens) == (3, 22)
    assert (third.of("m").calls, third.of("m").tokens, third.of("nobody").calls) == (2, 17, 0)
    assert third.now == Sent()
    assert second.now.tokens == 7


def test_a_call_waits_for_those_that_may_leave_it_room(tmp_path: Path) -> None:
    """Each call could take 10 and takes 5: of 50, nine fit one after the other, and five at once."""
    ledger = Ledger(tmp_path, 50)
    done, stopped = [], []

    def work() -> None:
        try:
            while True:
                call(ledger, 10, 5)
                done.append(5)
        except BudgetSpentError as error:
            stopped.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledger.close()
    assert len(done) == 9
    assert len(stopped) == 8
    assert stopped[-1].startswith("The next call could take 10 tokens, and 45 of 50 are spent.")


def test_of_several_calls_the_first_that_fit_are_begun(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, 50)
    assert ledger.reserve([20, 20, 20, 1]) == 2
    ledger.settle(40, "m", Sent(calls=2, prompt=18, completion=2))
    assert ledger.reserve([20, 1]) == 2
    ledger.settle(21, "m", Sent(calls=2, prompt=20, completion=1))
    ledger.check()
    with pytest.raises(BudgetSpentError):
        ledger.reserve([20])
    with pytest.raises(BudgetSpentError):
        ledger.reserve([1])
    with pytest.raises(BudgetSpentError):
        ledger.check()
    ledger.close()


def test_seconds_are_counted_once_for_calls_side_by_side(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.reserve([0])
    ledger.reserve([0])
    ledger.settle(0, "m", Sent(calls=1))
    ledger.settle(0, "m", Sent(calls=1))
    between = ledger.total.seconds
    call(ledger, 0, 3)
    ledger.close()
    assert 0 < between < ledger.total.seconds < 1


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    ledger = Ledger(tmp_path)
    with pytest.raises(AmeliError, match="Cannot write"):
        call(ledger, 0, 1)
