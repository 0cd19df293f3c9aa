"""TREC files of a run, so that any retrieval tool can score it again.

The query is the review id, the document the product id. Scores count down from the length of the list:
strictly decreasing by rank, so that no tool breaks ties in its own way. TREC knows no withheld answer: every
review with candidates is in the file, whatever its state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from ameli_llm.runs import CandidateRow, GoldRow, PredictionRow
from eval.measures.judged import by_retrieval, in_order

TAG = "ameli-llm"


def final_ranking(row: PredictionRow) -> Sequence[CandidateRow]:
    """Candidates as the run ordered them, best first by fused score."""
    return row.candidates


def run_lines(
    rows: Iterable[PredictionRow], ranking: Callable[[PredictionRow], Sequence[CandidateRow]] = final_ranking
) -> str:
    """The content of ``run.trec`` (with ``by_retrieval``: of ``retrieval.trec``), in order of review id."""
    lines = []
    for row in in_order(rows):
        ranked = ranking(row)
        for rank, candidate in enumerate(ranked, start=1):
            score = len(ranked) - rank + 1
            lines.append(f"{row.review_id} Q0 {candidate.entity_id} {rank} {score} {TAG}\n")
    return "".join(lines)


def retrieval_lines(rows: Iterable[PredictionRow]) -> str:
    """The content of ``retrieval.trec``: the order that recall@k is measured on."""
    return run_lines(rows, by_retrieval)


def qrels_lines(gold: Mapping[int, GoldRow]) -> str:
    """The content of ``qrels.trec``: the one right product of each review that has one in the KB."""
    return "".join(
        f"{review} 0 {row.gold} 1\n" for review, row in sorted(gold.items()) if row.gold is not None
    )
