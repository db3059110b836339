"""``dragon``: run a recipe, talk to what it made, and ask where every weight comes from."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich alone takes longer to load than all of --help may
    help="From raw text to an assistant, every weight traceable to its data.",
)

StoreOption = Annotated[
    Path | None,
    typer.Option("--store", help="The store [default: DRAGON_STORE, else ./assets_store]."),
]


MaxTokens = Annotated[int, typer.Option(min=1, help="The longest answer.")]
Stops = Annotated[
    list[str] | None, typer.Option("--stop", help="A text that ends it; may be given again.")
]
Seed = Annotated[int, typer.Option(help="Same seed and words, same answer.")]
Temperature = Annotated[float | None, typer.Option(help="0: always the likeliest.")]
TopK = Annotated[int | None, typer.Option(help="Of so many likeliest tokens.")]
TopP = Annotated[float | None, typer.Option(help="Of those that share this much.")]
MinP = Annotated[float | None, typer.Option(help="Of those this likely beside the likeliest.")]
Penalty = Annotated[float | None, typer.Option(help="Above 1: less of what stands there already.")]


@app.command("run")
def run_recipe(
    recipe: Annotated[str, typer.Argument(help="A name in recipes/, or a .yaml file.")],
    select: Annotated[
        list[str] | None,
        typer.Option(
            "--select", "-s", help="Only this asset and all it hangs on; may be given again."
        ),
    ] = None,
) -> None:
    """Make everything a recipe says, or what is selected; what is unchanged is reused."""
    from pipelines.cli.run import run_recipe

    run_recipe(recipe, select or [])


@app.command()
def chat(
    recipe: Annotated[str, typer.Argument(help="A recipe that was run.")],
    task: Annotated[str | None, typer.Option(help="The assistant task, if it has several.")] = None,
    seed: Seed = 0,
    max_tokens: MaxTokens = 60,
    stop: Stops = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    min_p: MinP = None,
    repetition_penalty: Penalty = None,
    int8: Annotated[bool, typer.Option("--int8", help="Weights rounded to eight bits.")] = False,
) -> None:
    """Talk to a recipe's assistant; an empty line or Ctrl-D ends it."""
    from pipelines.cli.chat import chat

    sampling = _given(
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
    )
    chat(recipe, task, seed, max_tokens, stop or [], int8, **sampling)


@app.command()
def write(
    recipe: Annotated[str, typer.Argument(help="A recipe that was run.")],
    prompt: Annotated[str, typer.Argument(help="The text; - reads standard input, a text a line.")],
    seed: Seed = 0,
    max_tokens: MaxTokens = 120,
    stop: Stops = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    min_p: MinP = None,
    repetition_penalty: Penalty = None,
) -> None:
    """Let a recipe's foundation go on with a text."""
    from pipelines.cli.chat import write

    sampling = _given(
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
    )
    write(recipe, prompt, seed, max_tokens, stop or [], **sampling)


def _given(**sampling: float | None) -> dict[str, float]:
    return {name: value for name, value in sampling.items() if value is not None}


@app.command()
def classify(
    task: Annotated[str, typer.Argument(help="A classifier task, such as spam.")],
    text: Annotated[str, typer.Argument(help="The text; - reads standard input, a text a line.")],
    recipe: Annotated[str | None, typer.Option(help="The recipe, if several have it.")] = None,
) -> None:
    """Label a text with a recipe's classifier."""
    from pipelines.cli.chat import classify

    classify(task, text, recipe)


@app.command()
def translate(
    recipe: Annotated[str, typer.Argument(help="A recipe with a translation task.")],
    text: Annotated[str, typer.Argument(help="The text; - reads standard input, a text a line.")],
    task: Annotated[str | None, typer.Option(help="The task, if it has several.")] = None,
    beams: Annotated[int | None, typer.Option(min=1, help="Translations followed at once.")] = None,
    decoder_only: Annotated[
        bool, typer.Option("--decoder-only", help="By the GPT that learned the same pairs.")
    ] = False,
) -> None:
    """Translate a text with a recipe's translator."""
    from pipelines.cli.translate import translate

    translate(recipe, text, task, beams, decoder_only)


@app.command()
def fill(
    recipe: Annotated[str, typer.Argument(help="A recipe whose network reads both ways.")],
    text: Annotated[str, typer.Argument(help="A text with ___ where words are missing.")],
    count: Annotated[int, typer.Option(min=1, help="Words for each gap.")] = 3,
) -> None:
    """Say which words fit the gaps of a text."""
    from pipelines.cli.fill import fill

    fill(recipe, text, count)


@app.command()
def neighbours(
    corpus: Annotated[str, typer.Argument(help="A corpus with word vectors.")],
    words: Annotated[list[str], typer.Argument(help="Words of it.")],
    count: Annotated[int, typer.Option(min=1, help="Neighbours of each.")] = 8,
    store: StoreOption = None,
) -> None:
    """List the words whose vectors lie nearest."""
    from pipelines.cli.neighbours import neighbours

    neighbours(corpus, words, count, store)


@app.command()
def export(
    recipe: Annotated[str, typer.Argument(help="A recipe that was run.")],
    layout: Annotated[
        str, typer.Option("--format", help="hf: a folder that transformers loads.")
    ] = "hf",
    to: Annotated[
        Path | None, typer.Option(help="The folder to make [default: exports/RECIPE].")
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="The model of this task, not the foundation.")
    ] = None,
    store: StoreOption = None,
) -> None:
    """Write a model with its tokenizer and lineage as others read it."""
    from pipelines.cli.export import export

    export(recipe, layout, to, task, store)


@app.command()
def trace(
    target: Annotated[
        str,
        typer.Argument(
            help="An asset (foundation/chat), a version folder, a weights file or an export."
        ),
    ],
    store: StoreOption = None,
) -> None:
    """Print what an artefact was made from, down to the documents, hashing all of it again."""
    from pipelines.cli.lineage import trace

    trace(target, store)


@app.command()
def show(
    target: Annotated[str, typer.Argument(help="An asset, a version folder or a weights file.")],
    store: StoreOption = None,
) -> None:
    """Print an artefact's files, figures and record."""
    from pipelines.cli.lineage import show

    show(target, store)


@app.command()
def documents(
    corpus: Annotated[str, typer.Argument(help="A corpus that was made.")],
    dropped: Annotated[
        str | None, typer.Option(metavar="REASON", help="Read what was left out for this reason.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(metavar="SPLIT", help="Read what was kept in this split.")
    ] = None,
    contaminated: Annotated[
        str | None,
        typer.Option(metavar="RECIPE", help="Show which share words with what it is evaluated on."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="How many documents.")] = 5,
    full: Annotated[bool, typer.Option("--full", help="All of each text, not its start.")] = False,
    store: StoreOption = None,
) -> None:
    """Print a corpus' data card, or read its documents: kept, left out, contaminated."""
    from pipelines.cli.documents import documents

    documents(corpus, dropped, split, contaminated, count, full, store)


@app.command("ls")
def list_store(store: StoreOption = None) -> None:
    """List what the store holds."""
    from pipelines.cli.lineage import list_store

    list_store(store)


@app.command()
def ui(
    port: Annotated[int, typer.Option(help="Dagster's port on this machine.")] = 3000,
    mlflow_port: Annotated[int, typer.Option(help="MLflow's port on this machine.")] = 5000,
) -> None:
    """Start Dagster's and MLflow's pages on this machine; Ctrl-C ends both."""
    from pipelines.cli.ui import serve

    serve(port, mlflow_port)


@app.command()
def schema() -> None:
    """Print the JSON Schema of recipes, for editors."""
    import json

    from pipelines.recipe.loading import json_schema

    typer.echo(json.dumps(json_schema(), indent=2, sort_keys=True))


def run() -> None:
    """The console script: our errors are one line and exit code 1, bugs are tracebacks."""
    try:
        app()
    except (ValueError, OSError) as error:
        if os.environ.get("DRAGON_DEBUG"):
            raise
        typer.echo(f"dragon: {' '.join(str(error).split())}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if os.environ.get("DRAGON_DEBUG") or not _is_of_a_database(error):
            raise
        from pipelines.core.project import Project

        first = str(error).splitlines()[0]
        typer.echo(
            f"dragon: the databases in {Project.here().home} cannot be used ({first}); make room"
            " there or choose another with DRAGON_HOME; what was published is in the store",
            err=True,
        )
        sys.exit(1)


def _is_of_a_database(error: BaseException) -> bool:
    """Whether SQLAlchemy raised it: by name, since its import takes longer than ``--help``."""
    return any(kind.__module__ == "sqlalchemy.exc" for kind in type(error).__mro__)
