"""Asset checks: what must hold of an artefact before anything downstream is made from it."""

from collections.abc import Iterable

import dagster as dg

from pipelines.artifacts import Documents, Evaluation, TokenizerFiles
from pipelines.recipe import Recipe

# Text that has broken tokenizers: several scripts, control spellings, every byte there is.
AWKWARD = ("naïve café 😀 日本語", "<|endoftext|> <|user|>", "a\r\n\tb  c", "\x00\x7f\u200d")


def declare_checks(recipes: Iterable[Recipe]) -> list[dg.AssetChecksDefinition]:
    """The checks of some recipes' assets."""
    recipes = list(recipes)
    corpora = {corpus for recipe in recipes for corpus in recipe.corpora}
    checks = [_ledger(corpus) for corpus in sorted(corpora)]
    for recipe in recipes:
        checks += [_round_trip(recipe.name), _beats(f"evaluation/foundation/{recipe.name}")]
    return checks


def _ledger(corpus: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=["documents", corpus],
        name="ledger_adds_up",
        blocking=True,
        description="Documents in = kept + dropped, and every kept one is in its split's file.",
    )
    def ledger_adds_up(documents: Documents) -> dg.AssetCheckResult:
        ledger = documents.ledger()  # raises unless it adds up
        found = {split: sum(1 for _ in documents.split(split)) for split in ledger.kept}
        return dg.AssetCheckResult(passed=found == dict(ledger.kept), metadata={"found": found})

    return ledger_adds_up


def _round_trip(recipe: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=["tokenizer", recipe],
        name="round_trip",
        blocking=True,
        description="Decoding gives back the bytes that were encoded; no control token is made.",
    )
    def round_trip(tokenizer: TokenizerFiles) -> dg.AssetCheckResult:
        encoder = tokenizer.load()
        texts = [text.encode() for text in AWKWARD] + [bytes(range(256))]
        wrong = []
        for text in texts:
            ids = encoder.encode_bytes(text)
            if encoder.decode_bytes(ids) != text or max(ids) >= encoder.end_of_text:
                wrong.append(repr(text))
        return dg.AssetCheckResult(passed=not wrong, metadata={"wrong": wrong})

    return round_trip


def _beats(key: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=key.split("/"),
        name="beats_every_baseline",
        description="The model does better on the test split than counting or compressing.",
    )
    def beats_every_baseline(evaluation: Evaluation) -> dg.AssetCheckResult:
        comparison, (name, best) = evaluation.comparison(), evaluation.best_baseline()
        ours = comparison["ours"]
        return dg.AssetCheckResult(
            passed=ours < best if comparison["better"] == "lower" else ours > best,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"ours": ours, name: best},
        )

    return beats_every_baseline
