from __future__ import annotations

import csv as csv_format
import io
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from ameli_llm.errors import AmeliError
from eval.measures.statistics import Interval
from eval.tables import Table, csv, json_object, latex, markdown, settings, write_tables

TABLE = Table(
    title="Recall: a_set, 50 % & more",
    caption="In percent; P(e|m) is\nthe prior.",
    columns=("Method", "n"),
    rows=(("P(e|m)", "3"), ("AMELINK_w/o_Text", "4.50 [1.00, 9.00]"), ("a\\b, *c*", "-")),
    notes=("Seed 0 <b>.",),
    data={
        "rows": [{"recall": Interval(1 / 3, 0.1, float("nan"), 3), "p": 1.25e-19}],
        "names": ("a", "b"),
        "none": None,
    },
)


def test_markdown() -> None:
    assert markdown(TABLE) == (
        "# Recall: a_set, 50 % & more\n"
        "\n"
        "In percent; P(e\\|m) is the prior.\n"
        "\n"
        "| Method | n |\n"
        "| --- | ---: |\n"
        "| P(e\\|m) | 3 |\n"
        "| AMELINK_w/o_Text | 4.50 [1.00, 9.00] |\n"
        "| a\\\\b, \\*c\\* | - |\n"
        "\n"
        "- Seed 0 \\<b>.\n"
    )


def test_latex() -> None:
    assert latex(TABLE) == (
        "% Needs \\usepackage[T1]{fontenc}, \\usepackage{booktabs}, \\usepackage{rotating}.\n"
        "\\begin{table*}\n"
        "\\centering\n"
        "\\small\n"
        "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%\n"
        "\\begin{tabular}{lr}\n"
        "\\toprule\n"
        "Method & n \\\\\n"
        "\\midrule\n"
        "P(e\\textbar{}m) & 3 \\\\\n"
        "AMELINK\\_w/o\\_Text & 4.50 {[}1.00, 9.00] \\\\\n"
        "a\\textbackslash{}b, {*}c{*} & - \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}}\n"
        "\\caption{Recall: a\\_set, 50 \\% \\& more. In percent; P(e\\textbar{}m) is the prior.}\n"
        "\\end{table*}\n"
        "{\\footnotesize\\raggedright Seed 0 \\textless{}b\\textgreater{}.\\par}\n"
    )


def test_a_wide_table_lies_on_its_side() -> None:
    wide = Table("T", "C", tuple("abcdefghijk"), (tuple("12345678901"),))
    assert "\\begin{sidewaystable*}" in latex(wide)
    assert latex(wide).endswith("\\end{sidewaystable*}\n")


def test_what_all_rows_of_a_wide_table_share_stands_in_its_caption() -> None:
    rows = (("a", "10", *"123456789", "-"), ("b", "10", *"abcdefghi", "-"))
    wide = Table("T", "C.", ("Row", "K", *map(str, range(9)), "p"), rows)
    assert "\\caption{T. C. All rows: K 10, p -.}" in latex(wide)
    assert "b & a & b & c & d & e & f & g & h & i \\\\" in latex(wide)
    assert "K" in csv(wide).splitlines()[0].split(",")
    narrow = Table("T", "C.", ("Row", "K"), (("a", "10"), ("b", "10")))
    assert "\\caption{T. C.}" in latex(narrow)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("_%&#$", r"\_\%\&\#\$"),
        ("~^\\{}", r"\textasciitilde{}\textasciicircum{}\textbackslash{}\{\}"),
        ("<>|`", r"\textless{}\textgreater{}\textbar{}\textasciigrave{}"),
        ("--set '' ,,", "-{}-set '{}' ,{},"),
        ("cafe\u0301 × → Ž", "café × → Ž"),
        ("λ ≤ Ω−1", r"\ensuremath{\lambda} \ensuremath{\leq} \ensuremath{\Omega}\ensuremath{-}1"),
        ("中\x00Ħ😀", "U+4E2DU+0000U+0126U+1F600"),
    ],
)
def test_latex_writes_every_character(text: str, written: str) -> None:
    assert f"{written} & b" in latex(Table("T", "C", ("a", "b"), ((text, "b"),)))


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex")
@pytest.mark.parametrize("columns", [3, 12])
def test_pdflatex_sets_the_table(columns: int, tmp_path: Path) -> None:
    latin = "".join(map(chr, range(0xA1, 0x180)))
    greek = "".join(map(chr, range(0x391, 0x3CA)))
    signs = "ȘșȚț‐–—‘’‚“”„†‡•…‰‹›€№™←↑→↓≤≥≠≈∞−中\x00\x7f"
    hostile = f"_%&#$~^\\{{}}<>|[]*`'\" -- --- ,, \\hline {latin}{greek}{signs}"
    plain = [str(number) for number in range(columns - 2)]
    starts = ["[x", "*x", "&x", "", "\\x", "{x", "%x"]
    rows = tuple((start, hostile + start, *(one + start for one in plain)) for start in starts)
    made = Table(hostile, hostile, ("[1]", hostile, *plain), rows, (hostile, "[x", "*x"))
    packages = ["[T1]{fontenc}", "{booktabs}", "{rotating}"]
    lines = [r"\documentclass{article}", *(rf"\usepackage{one}" for one in packages)]
    document = "\n".join([*lines, r"\begin{document}", latex(made), r"\end{document}"])
    (tmp_path / "made.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-draftmode", "-halt-on-error", "-interaction=nonstopmode", "made.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]


def test_csv_is_read_back_cell_by_cell() -> None:
    assert list(csv_format.reader(io.StringIO(csv(TABLE)))) == [list(TABLE.columns), *map(list, TABLE.rows)]


def test_json_keeps_small_p_and_has_null_for_nan() -> None:
    content = json_object(TABLE)
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert content == {
        "title": TABLE.title,
        "caption": TABLE.caption,
        "notes": ["Seed 0 <b>."],
        "rows": [{"recall": {"value": 0.33333333, "low": 0.1, "high": None, "n": 3}, "p": 1.25e-19}],
        "names": ["a", "b"],
        "none": None,
    }


def test_a_table_without_rows_or_notes_is_a_table() -> None:
    empty = Table("T", "C", ("a", "b", "c"), ())
    assert markdown(empty) == "# T\n\nC\n\n| a | b | c |\n| --- | ---: | ---: |\n"
    assert csv(empty) == "a,b,c\n"


def test_every_row_has_every_cell() -> None:
    with pytest.raises(ValueError, match="1 cells for 2 columns"):
        Table("T", "C", ("a", "b"), (("x",),))


def test_files(tmp_path: Path) -> None:
    paths = write_tables(TABLE, tmp_path / "new" / "folder", "table4")
    assert [path.name for path in paths] == ["table4.md", "table4.tex", "table4.csv", "table4.json"]
    texts = [path.read_text(encoding="utf-8") for path in paths]
    assert texts[:3] == [markdown(TABLE), latex(TABLE), csv(TABLE)]
    assert json.loads(texts[3]) == json_object(TABLE)


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(AmeliError, match="Cannot write to"):
        write_tables(TABLE, tmp_path / "file", "table4")


def test_settings_fit_a_line() -> None:
    tree = {"name": "x", "weights": {"text": 0.30000, "image": 2}, "names": ["a", 1.5], "digest": "0f" * 32}
    assert settings(tree) == "name x, weights.text 0.3, weights.image 2, names a 1.5, digest 0f0f0f0f0f0f..."
    assert settings({"empty": [], "none": None, "blank": "", "zero": 0}) == "empty none, zero 0"
