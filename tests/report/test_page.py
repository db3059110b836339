"""The report as a page to send: complete, in words, and readable by everybody."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pipelines.evaluation.findings import Comparison, Evaluation, Findings
from pipelines.lineage.presented import presented
from pipelines.lineage.views import open_current
from pipelines.report import alternatives, markup, model_card, sections
from pipelines.report.artefacts import Report
from pipelines.report.chain import Chain
from pipelines.report.options import Page, Part
from pipelines.report.page import page
from pipelines.report.style import STYLE
from tests.conftest import Chain as Run
from tests.report.pages import Read, faults


@pytest.fixture(scope="module")
def tiny(chain: Run) -> Chain:
    """The assets of tiny, as its report sees them."""
    record = chain.store.current_record("tiny/report")
    settings = Page.model_validate_json(json.dumps(record.decides["recipe"]))
    keys = {part.title: part.title if "/" in part.title else f"tiny/{part.title}"
            for part in settings.parts}  # fmt: skip
    return Chain(settings, {title: open_current(chain.store, key) for title, key in keys.items()})


@pytest.fixture(scope="module")
def shown(chain: Run) -> str:
    return presented(chain.store, chain.store.current("tiny/report", Report))


def test_everybody_can_read_it(chain: Run, shown: str) -> None:
    assert list(faults(shown)) == []
    assert list(faults(chain.store.current("tiny/report", Report).page())) == []


def test_faults_are_found() -> None:
    """The reader above is worth something only if it finds what is wrong."""
    wrong = (
        '<h1 id="a">x</h1><h3 id="a">y</h3><img src="http://x/y.png"><a href="#b">z</a>'
        "<table><tr><th>t</th></tr></table><script></script><p onclick=''>"
    )
    assert len(list(faults(wrong))) >= 9


def test_equal_artefacts_give_an_equal_page(chain: Run, tiny: Chain) -> None:
    content = chain.store.current("tiny/report", Report).page()
    assert page(tiny.page, tiny.artefacts) == content
    record = chain.store.current_record("tiny/foundation")
    for word in ("tiny/", "tiny:", record.made["git_commit"], record.made["finished"]):
        assert word is None or str(word) not in content, "the records decide nothing in the bytes"


def test_every_asset_has_its_place_and_its_words(tiny: Chain, shown: str) -> None:
    anchors = {one["id"] for _, one in Read(shown).elements if "id" in one}
    assert {f"a-{title.replace('/', '-')}" for title in tiny.artefacts} <= anchors
    assert tiny.names["toy_spam_evaluation"] == "Evaluation of the toy spam classifier"
    for name in tiny.names.values():
        assert name in shown
    for title, artefact in tiny.artefacts.items():
        assert f"<code>{title}</code>" in shown
        assert artefact.version[:12] in shown


def test_the_card_says_what_it_is(tiny: Chain, shown: str) -> None:
    card = shown.split('id="card"')[1].split('id="changes"')[0]
    words = Read(card).words
    for told in (
        *("GPT, 2 layers, width 64, 2 heads, context of 64 tokens", "163,840 parameters"),
        *(
            "61,440 tokens (0.41 times toy dialogues), in 120 steps of 8 windows of 64 tokens",
            "CC0",
        ),
        *("dragon run tiny", "generated: dialogues", "Toy spam classifier: labels a text as ham"),
        *("reads at most 64 tokens", "Nobody searched the training text for held-out text"),
    ):
        assert told in words, told
    (row,) = [row for row in model_card.data(tiny) if row["corpus"] == "toy messages"]
    assert row["trained on it"] == "Toy spam classifier"
    for name in ("Date", "Commit", "Machine", "Time", "Seed", "Optimizer"):
        assert f"<dt>{name}</dt>" in card


def test_samples_are_of_ten_conversations_and_read_with_their_prompts(tiny: Chain) -> None:
    replies = tiny.of(Evaluation)["toy_reply_evaluation"].findings().samples or ()
    assert len({one["prompt"] for one in replies}) == len(replies) == 10
    (continued,) = tiny.of(Evaluation)["foundation_evaluation"].findings().samples or ()
    told = sections.results(tiny.of(Evaluation)["foundation_evaluation"].findings())
    assert f'<span class="soft">{continued["prompt"]}</span><b>' in told


def findings(**parts: object) -> Findings:
    comparison = Comparison(
        measure="F1 of spam on the test split",
        better="higher",
        ours=0.9,
        baselines={"majority": 0.0, "zeal": 0.2, "best": 0.95},
    )
    return Findings(figures={"f1": 0.9}, comparison=comparison, **parts)  # type: ignore[arg-type]


def test_what_a_model_did_not_write_is_marked() -> None:
    written = [
        {"prompt": "a", "reply": "", "person": "b"},
        {"prompt": "c", "reply": "d", "person": ""},
    ]
    told = sections.results(findings(samples=written))
    assert told.count("the model ended at once") == 1
    assert "Replies to held-out conversations" in told


def test_a_long_text_with_a_wrong_label_is_cut() -> None:
    wrong = {"text": f"call {'x' * 900}", "label": "ham", "predicted": "spam, 99% sure"}
    told = sections.results(findings(samples=[wrong]))
    assert "Wrong labels, of each kind the ones it was surest of" in told
    assert "x" * 601 not in told


def test_an_empty_cell_and_a_failed_baseline_are_marked() -> None:
    told = sections.results(findings(tables={"texts": [{"prompt": "a", "general": ""}]}))
    assert '<span class="soft">nothing</span>' in told
    assert "majority 0.000 F1, which finds none" in told


def test_baselines_stand_by_worth() -> None:
    comparison = findings().comparison
    assert [name for name, _ in comparison.by_worth()] == ["best", "zeal", "majority"]
    told = alternatives.comparison(comparison)
    assert told.index("this model 0.900 F1") < told.index("best 0.950") < told.index("majority")


def test_a_beaten_model_is_a_limit(tiny: Chain) -> None:
    lines = list(model_card.limits(tiny))
    beaten = [
        title for title, one in tiny.of(Evaluation).items()
        if one.findings().comparison.margin() <= 0
    ]  # fmt: skip
    assert sum("does not beat" in line for line in lines) == len(beaten)


def test_pictures_are_told_in_words() -> None:
    found = findings(
        confusion={"matrix": [[9, 1], [0, 5]], "labels": ["ham", "spam"]},
        curves={"loss": {"x": "step", "y": "nats", "lines": {"one": [[0, 2.0], [9, 0.5]]}}},
        heatmaps={"reads": {"rows": ["la", "mer"], "columns": ["the", "sea"],
                            "values": [[0.9, 0.1], [0.2, 0.8]]}},
        map=[{"name": "la", "x": 0.0, "y": 1.0, "group": "words"}],
    )  # fmt: skip
    told = alternatives.findings(found)
    assert told["confusion"] == (
        "A grid of true and predicted labels: of 10 that are ham, 9 were taken for ham and 1 were"
        " taken for spam; of 5 that are spam, 5 were taken for spam."
    )
    assert told["loss"] == "Curves of loss, nats by step: one from 2 to 0.5."
    assert told["reads"] == "A grid of shades, the darkest of each row: la on the and mer on sea."
    assert told["map"] == "A map of 1 words in 1 groups: words."


# Whether contaminated text was used


@pytest.mark.parametrize("readers", [(), ("token_shards",)])
def test_the_page_says_whether_shared_text_was_trained_on(
    readers: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Found(model_card.Contamination):
        def figures(self) -> dict[str, float]:
            return {"documents": 119}

    search = Found("", "0" * 64, "", Path(), {})
    parts = (
        Part(title="contamination", reads=(), settings='{"ngram":13}'),
        *(Part(title=title, reads=("contamination",), settings="{}") for title in readers),
    )
    chain = Chain(Page(description="", parts=parts), {"contamination": search})
    rows = [{"training documents": "talk", "share words with": "talk/test", "documents": 119}]
    monkeypatch.setattr(sections.card, "contaminated", lambda _: rows)
    monkeypatch.setattr(sections.card, "overlaps", lambda _: rows)
    told = Read(sections.overlaps(chain, "contamination", search)).words
    assert "119 training documents share 13 words in a row with a held-out text" in told
    assert ("all of them were left out of training" in told) is bool(readers)
    assert ("may be too good" in told) is not bool(readers)
    assert ("no, left out" in told) is bool(readers)


# The frame and its style


def test_a_page_has_one_frame() -> None:
    content = markup.framed("a <b>", "<h1>x</h1>", bar={"Home": "/"})
    assert list(faults(content)) == []
    assert "<title>a &lt;b&gt;</title>" in content
    assert content.index("To the content") < content.index("Home") < content.index("<main")


def test_cells_do_not_act_unless_they_are_markup() -> None:
    told = markup.table(("a", "b"), [("<i>", markup.Html("<i>x</i>")), ("\x1b[31m", 2)])
    assert "&lt;i&gt;" in told
    assert "<td><i>x</i></td>" in told or '<td class="number"><i>x</i></td>' in told
    assert "\x1b" not in told


def contrast(one: str, other: str) -> float:
    def light(colour: str) -> float:
        digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
        parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
        red, green, blue = (
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_every_text_has_contrast_in_light_and_dark() -> None:
    schemes = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    assert len(schemes) == 2
    for scheme in schemes:
        colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{3,6});", scheme))
        for text in ("ink", "soft", "head", "link", "good", "bad"):
            for ground in ("ground", "panel"):
                assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
