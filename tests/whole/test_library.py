"""Dragon in a program: the examples of its page run as they stand; models say what they are."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import tokenizers
import torch

import dragon
from model.architectures import build
from model.architectures.gpt.config import GPTConfig
from pipelines.core.record import StoreError
from pipelines.inference.session import Session
from pipelines.tokens.tokenizers import HuggingFaceTokenizer, Named

EXAMPLES = (Path(__file__).parents[2] / "docs" / "library.md").read_text(encoding="utf-8")


def load(chain, key: str) -> Session:
    return dragon.load(key, store=chain.root)


def test_the_examples_of_the_page_run(chain, monkeypatch, capsys):
    monkeypatch.setenv("DRAGON_STORE", str(chain.root))
    found: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", EXAMPLES, re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        exec(block, found)  # the page's own text
    printed = capsys.readouterr().out
    model, text = found["model"], found["text"]
    assert text == model.generate("A: hello\nB:", length=20, seed=1)
    assert len(found["vector"]) == model.config["network"]["d_model"]
    assert found["first"]
    assert found["second"]
    assert found["label"] == max(found["shares"], key=found["shares"].get)
    assert sum(found["shares"].values()) == pytest.approx(1, abs=1e-5)
    assert found["keys"][-1] == "tiny/foundation"
    assert "toy_dialogues/raw_text" in found["keys"][:-1]
    assert found["document"].text in printed


def test_it_says_what_the_command_line_says(chain):
    model = load(chain, "tiny/toy_reply_assistant")
    said = chain.dragon("chat", "tiny", stdin="hello\nwhat do you like?\n").out
    first = model.reply("hello")
    second = model.reply("hello", first, "what do you like?", seed=1)
    assert said == f"tiny: {first}\ntiny: {second}\n"
    shares = load(chain, "tiny/toy_spam_classifier").classify("win a prize")
    label, share = next(iter(shares.items()))
    assert chain.dragon("classify", "toy_spam", "win a prize").out == f"{label}\t{share:.1%}\n"


def test_a_foundation_writes_on(chain):
    model = load(chain, "tiny/foundation")
    text = model.generate("A: hello\nB:", length=12, seed=3)
    assert text == "".join(model.write("A: hello\nB:", length=12, seed=3))
    said = chain.dragon("write", "tiny", "A: hello", "--max-tokens", "12", "--seed", "3")
    assert said.out == f"A: hello{model.generate('A: hello', length=12, seed=3)}\n"
    piped = chain.dragon("write", "tiny", "-", "--max-tokens", "5", stdin="A: hello\nA: good\n")
    assert piped.out.startswith("A: hello")
    assert "\nA: good" in piped.out
    assert model.in_eight_bits().generate("A: hello", length=5)
    wrong = chain.dragon("write", "tiny", "A: hello", "--top-k", "0")
    assert wrong.code == 2
    assert "'--top-k': 0 is not in the range" in wrong.err
    assert wrong.out == "", "what is wrong is said before anything is shown"


@pytest.mark.parametrize(
    ("key", "ask", "wrong"),
    [
        ("tiny/foundation", lambda m: m.fill("a ___ b"), "is a gpt, which cannot do this task"),
        ("tiny/foundation", lambda m: m.classify("a"), "has no labels: load a classifier"),
        ("tiny/foundation", lambda m: m.embed(""), "has no token"),
        ("tiny/foundation", lambda m: m.embed("hello " * 9999), "exceeds context_length"),
        ("tiny/foundation", lambda m: m.generate("a", top_k=0), "top_k=0"),
        ("tiny/foundation", lambda m: m.generate("a", stops=[""]), "stop=''"),
        ("tiny/toy_spam_classifier", lambda m: m.reply("a"), "is a classifier"),
        ("tiny/toy_spam_classifier", lambda m: m.translate("a"), "is a classifier"),
        ("tiny/foundation", lambda m: m.translate("a"), "learned no translations: load a translat"),
        ("tiny/toy_reply_assistant", lambda m: m.translate("a", 3), "beams=3: .* leave beams out"),
    ],
)
def test_what_a_model_cannot_do_is_said(chain, key, ask, wrong):
    with pytest.raises(ValueError, match=wrong):
        ask(load(chain, key))


def test_a_vector_is_of_a_text_behind_its_beginning():
    """As the network was trained to read it; the beginning itself is no part of the mean."""
    library = tokenizers.Tokenizer(
        tokenizers.models.WordLevel(
            {"<s>": 0, "</s>": 1, "<unk>": 2, "hello": 3, "you": 4}, "<unk>"
        )
    )
    library.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    library.add_special_tokens(["<s>", "</s>"])
    plain = HuggingFaceTokenizer(library.to_str().encode())
    opened = HuggingFaceTokenizer(library.to_str().encode(), named=Named(beginning=0, opens=True))
    config = GPTConfig(
        vocab_size=opened.vocab_size, context_length=8, d_model=16, n_layers=1, n_heads=2
    )
    network = build("gpt", config, seed=1).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0.0, 0.5, generator=torch.Generator().manual_seed(len(parameter)))
        behind = network.features(torch.tensor([[0, 3, 4]]))[0, 1:].mean(0)
        alone = network.features(torch.tensor([[3, 4]]))[0].mean(0)
    checkpoint = SimpleNamespace(key="x/foundation", config=lambda: {"architecture": "gpt"})
    assert not torch.allclose(behind, alone)
    for words, expected in ((opened, behind), (plain, alone)):
        vector = Session(checkpoint, network, words).embed("hello you")
        assert vector == pytest.approx(expected.tolist(), abs=1e-6)


def test_what_is_no_model_is_said(chain):
    with pytest.raises(ValueError, match="toy_dialogues/documents: is not a model that reads text"):
        load(chain, "toy_dialogues/documents")
    with pytest.raises(StoreError, match="did you mean 'tiny/foundation'"):
        load(chain, "tinny/foundation")
    with pytest.raises(
        ValueError, match="split='tests': is unknown; name one of train, validation, test"
    ):
        dragon.documents("toy_dialogues", "tests", chain.root)
