"""Asset checks: what must hold of an artefact before anything downstream is made from it."""

import itertools
from collections.abc import Iterable, Iterator

import dagster as dg

from pipelines.corpora.artefacts import DROPPED, Contamination, Documents
from pipelines.evaluation.findings import Evaluation
from pipelines.recipe.schema import Recipe
from pipelines.tokens.artefacts import TokenizerFiles
from pipelines.tokens.tokenizers import BytePairTokenizer, Tokenizer, WordTokenizer

MOST = 10  # of what is wrong that is told
# Text that has broken tokenizers: several scripts, control spellings, control characters.
AWKWARD = ("naïve café 😀 日本語", "<|endoftext|> <|user|>", "a\r\n\tb  c", "\x00\x7f\u200d")


def declare_checks(recipes: Iterable[Recipe]) -> list[dg.AssetChecksDefinition]:
    """The checks of some recipes' assets."""
    recipes = list(recipes)
    corpora = {corpus for recipe in recipes for corpus in recipe.corpora}
    checks = [_ledger(corpus) for corpus in sorted(corpora)]
    for recipe in recipes:
        checks += [_round_trip(recipe.name), _beats(f"evaluation/foundation/{recipe.name}")]
        if recipe.decontamination is not None:
            checks.append(_no_contamination(recipe.name, recipe.decontamination.drop))
    return checks


def _ledger(corpus: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=["documents", corpus],
        name="ledger_adds_up",
        blocking=True,
        description="Every document is kept or dropped, and lies in the table where it is counted.",
    )
    def ledger_adds_up(documents: Documents) -> dg.AssetCheckResult:
        ledger = documents.ledger()  # raises unless it adds up
        told = {f"{split}.arrow": count for split, count in ledger.kept.items()}
        told[DROPPED] = ledger.dropped.total()
        found = {name: documents.table(name).index.rows for name in told}
        return dg.AssetCheckResult(passed=found == told, metadata={"rows": found})

    return ledger_adds_up


def _round_trip(recipe: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=["tokenizer", recipe],
        name="round_trip",
        blocking=True,
        description="No text becomes a control token; what can come back comes back exactly.",
    )
    def round_trip(tokenizer: TokenizerFiles) -> dg.AssetCheckResult:
        wrong = list(itertools.islice(_wrong(tokenizer.load()), MOST))
        return dg.AssetCheckResult(passed=not wrong, metadata={"wrong": wrong})

    return round_trip


def _wrong(tokenizer: Tokenizer) -> Iterator[str]:
    """What does not hold of a tokenizer, seen on awkward text and on what its tokens spell."""
    controls = tokenizer.controls
    ordinary = [i for i in range(tokenizer.vocab_size) if i not in controls]
    some = ordinary[:: 1 + len(ordinary) // 1000]
    for text in (*AWKWARD, *(tokenizer.decode([i]) for i in (*sorted(controls), *some))):
        ids = tokenizer.encode(text)
        if not controls.isdisjoint(ids) or max(ids, default=0) >= tokenizer.vocab_size:
            yield f"{text!r} becomes {ids}"
        elif tokenizer.lossless and tokenizer.decode(ids) != text:
            yield f"{text!r} comes back as {tokenizer.decode(ids)!r}"
    if isinstance(tokenizer, BytePairTokenizer):
        every = bytes(range(256))
        if tokenizer.decode_bytes(tokenizer.encode_bytes(every)) != every:
            yield "not every byte comes back"
    if isinstance(tokenizer, WordTokenizer):
        known = itertools.islice(enumerate(tokenizer.words), len(some))
        yield from (f"{word!r} is not known" for i, word in known if tokenizer.encode(word) != [i])


def _no_contamination(recipe: str, drop: bool) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=["contamination", recipe],
        name="no_contamination",
        description="No document that is trained on shares words in a row with an evaluation text.",
    )
    def no_contamination(contamination: Contamination) -> dg.AssetCheckResult:
        count = int(contamination.figures()["documents"])
        first = dict.fromkeys(
            f"{row.corpus}: {row.document_id}"
            for row in itertools.islice(contamination.overlaps(), MOST)
        )
        return dg.AssetCheckResult(
            passed=drop or not count,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"documents": count, "left out": drop, "first": list(first)},
        )

    return no_contamination


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
