from __future__ import annotations

from pathlib import Path

import pytest

from ameli_llm.config import RunConfig, dump_config, load_config, override, retriever_alone
from ameli_llm.errors import AmeliError

EVERY = " docs/configuration.md lists every key."


def of(path: Path, text: str) -> RunConfig:
    path.write_text(text, encoding="utf-8")
    return load_config(path)


@pytest.mark.parametrize("text", ["", "# nothing", "{}", "fusion: {}"])
def test_what_is_left_out_has_its_default(tmp_path: Path, text: str) -> None:
    assert of(tmp_path / "c.yaml", text) == RunConfig() == load_config(None)


def test_a_written_configuration_reads_back(tmp_path: Path) -> None:
    config = override(RunConfig(), ["fusion.text=0.25", "retrieval.weights={bm25: 2}", "seed=3"])
    assert of(tmp_path / "c.yaml", dump_config(config)) == config


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "engin: {}",
            "No setting named 'engin'. Available: attributes, comparison, engine, fusion, retrieval, seed. "
            "Did you mean 'engine'?",
        ),
        (
            "comparison: {order: 2}",
            "No setting named 'comparison.order'. Available: comparison.comparators, comparison.orders, "
            "comparison.template, comparison.weights. Did you mean 'comparison.orders'?",
        ),
        ("fusion: 3", f"fusion: Input should be a valid dictionary or instance of FusionConfig.{EVERY}"),
        (
            "[fusion]",
            f"top level: Input should be a valid dictionary or instance of RunConfig.{EVERY}",
        ),
        ("[]", f"top level: Input should be a valid dictionary or instance of RunConfig.{EVERY}"),
        ("0", f"top level: Input should be a valid dictionary or instance of RunConfig.{EVERY}"),
        (
            "fusion: {text: much}",
            "fusion.text: Input should be a valid number, unable to parse string as a number." + EVERY,
        ),
        ("fusion: {text: .nan}", f"fusion.text: Input should be a finite number.{EVERY}"),
        ("retrieval: {weights: {a: .inf}}", f"retrieval.weights.a: Input should be a finite number.{EVERY}"),
        (
            "retrieval: {weights: {}}",
            f"retrieval.weights: Dictionary should have at least 1 item after validation, not 0.{EVERY}",
        ),
        ("retrieval: {depth: 0}", f"retrieval.depth: Input should be greater than or equal to 1.{EVERY}"),
        ("retrieval: {search: faiss}", f"retrieval.search: Input should be 'exact' or 'chroma'.{EVERY}"),
        ("1: 2", f"1: Keys should be strings.{EVERY}"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "c.yaml"
    with pytest.raises(AmeliError) as caught:
        of(path, text)
    assert str(caught.value) == f"Configuration {path}: {complaint}"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"a: b: c", "mapping values are not allowed here in"),
        (b"a: [", "expected the node content, but found '<stream end>'"),
        (b"a: !!python/object:os.system x", "could not determine a constructor for the tag"),
        (b"\x00", "unacceptable character #x0000"),
        (b"\xff\xfe\xfa", "'utf-8' codec can't decode byte 0xff"),
    ],
)
def test_what_is_not_yaml(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    with pytest.raises(AmeliError) as caught:
        load_config(path)
    assert str(caught.value).startswith(f"Configuration {path} is not YAML: ")
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none.yaml", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(AmeliError) as caught:
            load_config(path)
        assert str(caught.value) == f"Cannot read configuration {path}: {reason}."


@pytest.mark.parametrize(
    ("setting", "section", "name", "value"),
    [
        ("fusion.text=2", "fusion", "text", 2.0),
        ("retrieval.weights.bm25=3", "retrieval", "weights", RunConfig().retrieval.weights | {"bm25": 3.0}),
        ("retrieval.weights={title: 1}", "retrieval", "weights", {"title": 1.0}),
        ("attributes.extractors=[rules]", "attributes", "extractors", ("rules",)),
        ("attributes.extractors=null", "attributes", "extractors", None),
        ("engine.model=a=b", "engine", "model", "a=b"),
    ],
)
def test_an_override(setting: str, section: str, name: str, value: object) -> None:
    changed = override(RunConfig(), [setting])
    assert getattr(getattr(changed, section), name) == value
    assert changed.model_copy(update={section: getattr(RunConfig(), section)}) == RunConfig()


KEY_VALUE = " Write KEY=VALUE, for instance fusion.text=2."


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("fusion.text", f"No setting 'fusion.text'.{KEY_VALUE}"),
        ("", f"No setting ''.{KEY_VALUE}"),
        ("a.b=1", f"No setting 'a.b=1'.{KEY_VALUE}"),
        ("fusion.text.x=1", f"No setting 'fusion.text.x=1'.{KEY_VALUE}"),
        (
                "fusion.text=[",
                "Setting 'fusion.text=[': the value is not YAML: while parsing a flow node expected the node "
                "content, but found '<stream end>' in \"<unicode string>\", line 1, column 2: [ ^",
            ),
        (
            "sead=1",
            "--set: No setting named 'sead'. Available: attributes, comparison, engine, fusion, retrieval, "
            "seed. Did you mean 'seed'?",
        ),
        ("seed=x", "--set: seed: Input should be a valid integer, unable to parse string as an integer."
         + EVERY),
        ("retrieval.weights.bm25=", f"--set: retrieval.weights.bm25: Input should be a valid number.{EVERY}"),
    ],
)  # fmt: skip
def test_an_override_that_is_refused(setting: str, message: str) -> None:
    with pytest.raises(AmeliError) as caught:
        override(RunConfig(), [setting])
    assert str(caught.value) == message


def test_a_baseline_is_one_retriever_and_nothing_else() -> None:
    config = retriever_alone(override(RunConfig(), ["engine.name=vllm_server", "seed=4"]), "bm25")
    assert config.retrieval.weights == {"bm25": 1.0}
    assert (config.attributes.extractors, config.comparison.comparators) == ((), ())
    assert (config.engine.name, config.seed) == ("none", 4)
