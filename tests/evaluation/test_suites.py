"""Evaluation sets: rows become items, models are asked, and what training text holds is told."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from model.architectures import build, find
from pipelines.core.artefact import build_manifest, read_manifest
from pipelines.core.making import Making
from pipelines.core.project import Project
from pipelines.corpora.artefacts import Overlapping
from pipelines.corpora.sources.records import BadRow
from pipelines.evaluation import choices, endings, texts
from pipelines.evaluation.asking import ask, encoded, selected, windows
from pipelines.evaluation.item_sets import take
from pipelines.evaluation.items import Item, Items
from pipelines.evaluation.options import Choosing, Reading
from pipelines.evaluation.suite import ItemsTaken, SuiteOptions
from pipelines.evaluation.suites import catalogue
from pipelines.text.errors import TextError
from pipelines.tokens.tokenizers import BytePairTokenizer

LENGTH = 48

LAYOUTS: dict[str, tuple[dict[str, Any], dict[str, Any], Item]] = {
    "as llm-foundry writes PIQA, ARC, OpenBookQA, COPA": (
        {"kind": "multiple_choice"},
        {"query": "What is wet?", "choices": ["sand", "water"], "gold": 1},
        Item("", ["What is wet?"] * 2, ["sand", "water"], 1),
    ),
    "ARC on the hub": (
        {
            "kind": "multiple_choice",
            "fields": {
                "query": "Question: {question}",
                "choices": "choices.text",
                "names": "choices.label",
                "gold": "answerKey",
            },
        },
        {
            "question": "What?",
            "choices": {"text": ["a", "b", "c"], "label": ["A", "B", "C"]},
            "answerKey": "C",
        },
        Item("", ["Question: What?"] * 3, ["a", "b", "c"], 2),
    ),
    "PIQA on the hub": (
        {
            "kind": "multiple_choice",
            "fields": {"query": "goal", "choices": ["sol1", "sol2"], "gold": "label"},
        },
        {"goal": "dry it", "sol1": "in the sun", "sol2": "in the sea", "label": "0"},
        Item("", ["dry it"] * 2, ["in the sun", "in the sea"], 0),
    ),
    "Winograd": (
        {"kind": "context_choice"},
        {"context_options": ["as he", "as it"], "continuation": "was full.", "gold": 1},
        Item("", ["as he", "as it"], ["was full."] * 2, 1),
    ),
    "BLiMP": (
        {"kind": "minimal_pairs"},
        {"sentence_good": "He is.", "sentence_bad": "He are.", "UID": "x"},
        Item("", ["", ""], ["He is.", "He are."], 0),
    ),
    "LAMBADA in two parts": (
        {"kind": "last_word"},
        {"context": "the sea is", "continuation": "blue"},
        Item("", ["the sea is"], ["blue"], 0),
    ),
    "LAMBADA as text": (
        {"kind": "last_word", "fields": {"text": "text"}},
        {"text": "the sea is blue"},
        Item("", ["the sea is"], ["blue"], 0),
    ),
}


def options_of(section: dict[str, Any], path: str = "items.jsonl", **more: Any) -> SuiteOptions:
    source = {"kind": "folder", "path": path, "licence": "MIT"}
    kind = catalogue()[section["kind"]].options
    return kind.model_validate({"source": source, **section, **more})


def making_in(folder: Path, key: str = "set/items") -> Making:
    made = folder / "made"
    made.mkdir(exist_ok=True)
    return Making(key, made, Project(folder, folder / "home", folder / "store"))


def taken(folder: Path, rows: list[dict[str, Any]], settings: ItemsTaken) -> list[Item]:
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "items.jsonl").write_text(lines, encoding="utf-8")
    making = making_in(folder)
    take(making, settings)
    return list(opened(making, Items).items())


def opened(making: Making, view: Any) -> Any:
    manifest = build_manifest(making.folder)
    (making.folder / "manifest.json").write_bytes(manifest)
    version = hashlib.sha256(manifest).hexdigest()
    return view(making.key, version, "0" * 64, making.folder, read_manifest(making.folder, version))


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda name: name.replace(" ", "-"))
def test_known_layouts_become_items(tmp_path: Path, layout: str) -> None:
    section, row, item = LAYOUTS[layout]
    settings = options_of(section).taken()
    assert taken(tmp_path, [row, row], settings) == [
        item._replace(id=f"items.jsonl:{number}") for number in (1, 2)
    ]


def test_a_table_of_columns_is_a_set_too(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text(
        "goal,sol1,sol2,label\ndry it,sun,sea,0\nwet it,sun,sea,1\n"
    )
    fields = {"query": "goal", "choices": ["sol1", "sol2"], "gold": "label"}
    options = options_of({"kind": "multiple_choice", "fields": fields}, "items.csv")
    making = making_in(tmp_path)
    take(making, options.taken())
    assert [item.gold for item in opened(making, Items).items()] == [0, 1]


def test_texts_to_predict_are_items(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("A first text.\n")
    (tmp_path / "b.txt").write_text("A second one.")
    options = options_of({"kind": "perplexity"}, path=".")
    options = options.model_copy(
        update={"source": options.source.model_copy(update={"glob": "*.txt"})}
    )
    making = making_in(tmp_path)
    take(making, options.taken())
    found = [(item.id, item.continuations) for item in opened(making, Items).items()]
    assert found == [("a.txt", ["A first text.\n"]), ("b.txt", ["A second one."])]


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ({"query": "q", "choices": ["a", "b"]}, r"items.jsonl:2: no field 'gold' .*`fields`"),
        (
            {"query": "q", "choices": ["a", "b"], "gold": 2},
            r":2: field 'gold' is 2, no number from",
        ),
        ({"query": "q", "choices": [], "gold": 0}, r":2: field 'choices' is no list of texts"),
        ({"query": None, "choices": ["a"], "gold": 0}, r":2: field 'query' is NoneType|null"),
        ({"query": "q", "choices": ["a", "b"], "gold": True}, r":2: field 'gold' is True"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, row: dict[str, Any], fault: str) -> None:
    good = {"query": "q", "choices": ["a", "b"], "gold": 0}
    with pytest.raises(TextError, match=fault) as error:
        taken(tmp_path, [good, row], options_of({"kind": "multiple_choice"}).taken())
    assert "\n" not in str(error.value)


def test_a_set_maps_its_own_fields() -> None:
    with pytest.raises(ValueError, match="write `fields` beside `source`"):
        options_of(
            {"kind": "multiple_choice"},
            source={"kind": "folder", "path": ".", "licence": "MIT", "fields": {"text": "x"}},
        )


def test_the_place_of_a_file_does_not_decide_its_items() -> None:
    here, there = (options_of({"kind": "last_word"}, path).taken() for path in ("a", "b"))
    assert here.decides() == there.decides()
    other = options_of({"kind": "last_word", "fields": {"text": "t"}}, "a").taken()
    assert other.decides() != here.decides()


# --- asking -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network(small: BytePairTokenizer) -> Any:
    return disturbed(small.vocab_size)


def disturbed(vocab_size: int, **more: Any) -> Any:
    sizes = {"vocab_size": vocab_size, "context_length": LENGTH, "d_model": 32, **more}
    network = build("gpt", find("gpt").configure("gpt2", **sizes, n_layers=2, n_heads=4), 0)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return network


class Held:
    """Items that lie in memory."""

    key = "set/items"

    def __init__(self, items: list[Item]) -> None:
        self._items = items

    def items(self) -> list[Item]:
        return self._items


class Seen:
    """Items that training text is said to hold."""

    def __init__(self, *ids: str) -> None:
        self._ids = ids

    def ids(self) -> frozenset[str]:
        return frozenset(self._ids)

    def overlaps(self) -> list[Overlapping]:
        return [Overlapping("tales", "d7", "items", one, 3, "a b c") for one in self._ids]


def some_items(count: int = 30) -> list[Item]:
    said = ["fine", "thank you", "I am here", "no"]
    return [
        Item(
            f"x.jsonl:{n}",
            [f"How are you, friend number {n}?"] * 3,
            [said[n % 4], said[(n + 1) % 4], f"{said[n % 3]} {n}"],
            n % 3,
        )
        for n in range(count)
    ]


def test_an_answer_is_read_after_its_question(small: BytePairTokenizer) -> None:
    asked = encoded(small, "How are you? ", "fine")
    assert list(asked.tokens) == small.encode("How are you? fine")
    assert small.decode(asked.tokens[-asked.asked :]) == " fine"
    alone = encoded(small, "", " fine")
    assert list(alone.tokens) == [small.end_of_text, *small.encode(" fine")]
    assert alone.asked == len(alone.tokens) - 1


def test_a_delimiter_belongs_to_the_question(network: Any, small: BytePairTokenizer) -> None:
    """Only its last space is asked, with the answer: else long delimiters would make scores."""
    item = some_items(1)[0]
    asked = item._replace(contexts=[f"{context}\nAnswer:" for context in item.contexts])
    (one,) = ask(network, small, [], [item], "\nAnswer: ")
    (other,) = ask(network, small, [], [asked], " ")
    assert one.likely == other.likely
    assert one.likely[0].tokens == len(small.encode(f" {item.continuations[0]}"))


@pytest.mark.parametrize("rows", [1, 8])
def test_scores_do_not_depend_on_the_batch(
    network: Any, small: BytePairTokenizer, rows: int
) -> None:
    """FAULTS 51: evaluated twice, and with other batches, the scores are the same."""
    items = some_items()
    first = ask(network, small, [], items, " ")
    again = ask(network, small, [], items, " ", tokens_at_once=rows * LENGTH)
    one, other = (choices.findings(found, Seen()) for found in (first, again))
    assert one.figures == other.figures
    assert one.figures == choices.findings(ask(network, small, [], items, " "), Seen()).figures
    assert 0 < one.figures["accuracy"] < 1


def test_choices_are_the_likeliest_answers(network: Any, small: BytePairTokenizer) -> None:
    items = some_items(12)
    answered = ask(network, small, [], items, " ")
    for one, said in zip(answered, choices.choices(answered), strict=True):
        scores = []
        for answer in one.item.continuations:
            question = small.encode(one.item.contexts[0])
            tokens = small.encode(f"{one.item.contexts[0]} {answer}")
            with torch.no_grad():
                likely = network.eval()(torch.tensor([tokens]))[0].log_softmax(-1)
            places = range(len(question), len(tokens))
            scores.append(sum(float(likely[p - 1, tokens[p]]) for p in places))
        assert said == max(range(3), key=scores.__getitem__)
        assert [found.nats for found in one.likely] == pytest.approx(scores, abs=1e-3)


def test_answers_are_also_compared_by_the_byte(network: Any, small: BytePairTokenizer) -> None:
    answered = ask(network, small, [], some_items(), " ")
    found = choices.findings(answered, Seen()).figures
    right = 0
    for one in answered:
        each = [
            likely.nats / len(text.encode())
            for likely, text in zip(one.likely, one.item.continuations, strict=True)
        ]
        right += each.index(max(each)) == one.item.gold
    assert found["normalised_accuracy"] == pytest.approx(right / len(answered))
    assert found["normalised_accuracy"] != found["accuracy"]


def test_contaminated_items_are_scored_apart(network: Any, small: BytePairTokenizer) -> None:
    """FAULTS 50: by id, with the scores of the others beside."""
    answered = ask(network, small, [], some_items(), " ")
    seen = Seen("x.jsonl:3", "x.jsonl:4", "x.jsonl:5", "never.jsonl:1")
    found = choices.findings(answered, seen)
    figures, all_right = found.figures, found.answers["values"]
    assert figures["contaminated_items"] == 3
    clean = [right for n, right in enumerate(all_right) if n not in (3, 4, 5)]
    assert figures["clean_accuracy"] == pytest.approx(sum(clean) / 27)
    assert figures["contaminated_accuracy"] == pytest.approx(sum(all_right[3:6]) / 3)
    rows = found.shown_tables()["items in training text"]
    assert [(row["item"], row["document"]) for row in rows] == [
        (f"x.jsonl:{n}", "d7") for n in (3, 4, 5)
    ]
    none = choices.findings(answered, Seen()).figures
    assert none["contaminated_items"] == 0
    assert "clean_accuracy" not in none


def test_every_score_has_its_interval(network: Any, small: BytePairTokenizer) -> None:
    figures = choices.findings(ask(network, small, [], some_items(), " "), Seen()).figures
    for name in ("accuracy", "normalised_accuracy"):
        assert figures[f"{name}_low"] < figures[name] < figures[f"{name}_high"]


def test_solved_items_stand_before_a_question(network: Any, small: BytePairTokenizer) -> None:
    items = Held(some_items(10))
    shots, asked = selected(items, Choosing(shots=2))
    assert len(shots) == 2
    assert len(asked) == 8
    assert not {item.id for item in shots} & {item.id for item in asked}
    prompt = "".join(f"{shot.contexts[0]}: {shot.continuations[shot.gold]}\n\n" for shot in shots)
    told = ask(network, small, shots, asked[:2], ": ")
    by_hand = [
        item._replace(contexts=[f"{prompt}{context}" for context in item.contexts])
        for item in asked[:2]
    ]
    for one, other in zip(told, ask(network, small, [], by_hand, ": "), strict=True):
        assert one.likely == other.likely
        assert one.cut == other.cut > 0, "the prompt does not fit into so short a context"


def test_a_limit_takes_the_same_items_in_any_order() -> None:
    items = some_items(20)
    _, some = selected(Held(items), Choosing(limit=5))
    _, turned = selected(Held(items[::-1]), Choosing(limit=5))
    assert {item.id for item in some} == {item.id for item in turned}
    assert len(some) == 5


def test_nothing_to_evaluate_is_an_error(tmp_path: Path) -> None:
    """FAULTS 53: no figure of nothing."""
    with pytest.raises(TextError, match="set/items: there is no item to evaluate"):
        selected(Held(some_items(2)), Choosing(shots=2))
    with pytest.raises(TextError, match="no text in it"):
        taken(tmp_path, [], options_of({"kind": "last_word"}).taken())


# --- endings and texts --------------------------------------------------------------------------


def test_an_end_is_right_if_each_token_is_the_likeliest(
    network: Any, small: BytePairTokenizer
) -> None:
    items = [Item(f"x:{n}", [f"How are {who}"], ["you"], 0) for n, who in enumerate("abcdefgh")]
    with torch.no_grad():
        tokens = small.encode("How are a")
        best = int(network.eval()(torch.tensor([tokens]))[0, -1].argmax())
    answered = ask(network, small, [], items, " ")
    found = endings.findings(answered, Seen())
    nats = [-one.likely[0].nats for one in answered]
    assert found.figures["perplexity"] == pytest.approx(math.exp(sum(nats) / len(nats)))
    assert found.figures["perplexity_low"] < found.figures["perplexity"]
    said = [one.likely[0].greedy for one in answered]
    assert found.figures["accuracy"] == sum(said) / len(said)
    assert found.comparison.baselines == {"the most frequent end": 1.0}
    assert said[0] == (small.decode([best]) == " you")


@pytest.mark.parametrize("stride", [1, 3, 5])
def test_windows_ask_each_token_once_with_enough_before_it(stride: int) -> None:
    tokens = list(range(100, 117))
    told = list(windows(tokens, 7, 5, stride))
    asked = [token for window in told for token in window.tokens[-window.asked :]]
    assert asked == tokens
    assert list(told[0].tokens) == [7, *tokens[:5]]
    for window in told[1:]:
        assert len(window.tokens) == 6
        assert len(window.tokens) - 1 - window.asked >= 5 - stride


def test_windows_of_a_whole_context_are_those_of_the_harness() -> None:
    """The example in the documentation of lm-eval's loglikelihood_rolling."""
    told = [(list(w.tokens[:-1]), list(w.tokens[-w.asked :])) for w in windows(range(10), -1, 4, 4)]
    assert told == [
        ([-1, 0, 1, 2], [0, 1, 2, 3]),
        ([3, 4, 5, 6], [4, 5, 6, 7]),
        ([5, 6, 7, 8], [8, 9]),
    ]


def test_texts_have_bits_per_byte_with_an_interval(network: Any, small: BytePairTokenizer) -> None:
    said = ["How are you? I am fine, thank you. " * 6, "Grüße. " * 20]
    items = [Item(f"{n}", [""], [text], 0) for n, text in enumerate(said)]
    read = texts.predicted(network, small, items, None)
    figures = texts.findings(read, Seen("1")).figures
    total = 0.0
    for text in said:
        tokens = small.encode(text)
        for window in windows(tokens, small.end_of_text, LENGTH, LENGTH):
            row = torch.tensor([list(window.tokens)])
            with torch.no_grad():
                likely = network.eval()(row[:, :-1])[0].log_softmax(-1)
            picked = likely.gather(1, row[0, 1:, None])[-window.asked :]
            total -= float(picked.sum())
    size = sum(len(text.encode()) for text in said)
    assert figures["bits_per_byte"] == pytest.approx(total / size / math.log(2), rel=1e-5)
    assert figures["perplexity"] == pytest.approx(math.exp(total / figures["tokens"]), rel=1e-4)
    assert figures["bits_per_byte_low"] < figures["bits_per_byte"] < figures["bits_per_byte_high"]
    assert figures["contaminated_items"] == 1
    assert figures["clean_items"] == 1
    assert figures["contaminated_bits_per_byte"] != figures["clean_bits_per_byte"]


def test_a_stride_gives_more_text_before_each_token(network: Any, small: BytePairTokenizer) -> None:
    item = [Item("a", [""], ["How are you? I am fine, thank you. " * 8], 0)]
    whole, half = (texts.predicted(network, small, item, stride) for stride in (None, LENGTH // 2))
    assert sum(w.tokens for w in whole[0].likely) == sum(w.tokens for w in half[0].likely)
    assert len(half[0].likely) > len(whole[0].likely)
    assert texts.measured(half)["loss"] != texts.measured(whole)["loss"]


def test_how_a_set_is_asked_is_part_of_its_section() -> None:
    options = options_of({"kind": "multiple_choice", "shots": 3, "limit": 50, "delimiter": "\n"})
    assert options.asking() == Choosing(shots=3, limit=50, delimiter="\n")
    assert options_of({"kind": "perplexity", "stride": 64}).asking() == Reading(stride=64)
    assert options.taken() == options_of({"kind": "multiple_choice"}).taken()


def test_a_kind_has_a_file_of_its_name() -> None:
    assert {"multiple_choice", "context_choice", "minimal_pairs", "last_word", "perplexity"} <= set(
        catalogue()
    )
    for name, suite in catalogue().items():
        assert suite.name == name
        assert suite.making.startswith("pipelines.evaluation.")


def test_a_bad_row_says_what_is_wrong() -> None:
    fields = catalogue()["last_word"].options.model_fields["fields"].default
    with pytest.raises(BadRow, match="its end is empty"):
        catalogue()["last_word"].item("x", {"context": "a", "continuation": ""}, fields)
