"""``dragon``: run a recipe, use its models, and print the lineage of every asset.

Each verb has a file here with the verb's name, arguments and function. A file is loaded only when
its verb is called, so ``dragon --help`` loads none.
"""

from __future__ import annotations

import importlib
import os
import sys

import click

# Each verb with its line of ``dragon --help``, which is also the first line of the verb's own help.
VERBS = {
    "run": "Make all that a recipe describes.",
    "plan": "Say what a recipe will take and reach, before it is run.",
    "watch": "Follow a running training: curve, speed, time left, samples.",
    "sweep": "Train a recipe with several values of its settings and compare.",
    "chat": "Talk to a recipe's assistant.",
    "write": "Let a recipe's foundation go on with a text.",
    "classify": "Label a text with a recipe's classifier.",
    "translate": "Translate a text with a recipe's translator.",
    "fill": "Say which words fit the gaps of a text.",
    "neighbours": "List the words whose vectors lie nearest.",
    "export": "Write a model with its tokenizer and lineage as others read it.",
    "evaluate": "Ask a recipe's models the items of its evaluation sets.",
    "trace": "Print what an asset was made from, down to the documents.",
    "steps": "Print what the steps of a training read.",
    "forget": "Take documents back: put them on the list of a corpus.",
    "verify": "Read and hash everything, and name every fault with its mend.",
    "reproduce": "Make a lineage again from its records, and compare the hashes.",
    "attribute": "Find passages of a text in the training documents.",
    "certificate": "Print the root over all documents that a model was trained on.",
    "prove": "Write a proof that a document was trained on, or was not.",
    "check": "Check a proof that a document was trained on, or was not.",
    "licences": "Print what the licences of a model's training texts ask for.",
    "impact": "Print what a document, file, corpus or library is in.",
    "diff": "Print the smallest set of differences between two versions.",
    "show": "Print an asset's files, figures and record.",
    "compare": "Compare two versions, assets or recipes: figures side by side.",
    "documents": "Print a corpus' data card, or read its documents.",
    "ls": "List what the store holds.",
    "gc": "Remove what nothing in the store needs any more.",
    "pin": "Keep a version and all that it was made from.",
    "unpin": "Remove the pin of a version, or all pins of an asset.",
    "migrate": "Move a store of an earlier version to today's layout.",
    "ui": "Start the pages on this machine: ours, Dagster's and MLflow's.",
    "doctor": "Check this machine and project, with the mend of each fault.",
    "schema": "Print the JSON Schema of recipes, for editors.",
}


class Verbs(click.Group):
    """The group of all verbs: names and help lines are listed here, files are loaded on demand."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The verbs, in the order in which a person needs them."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of a verb, loaded from the verb's file; None for an unknown verb."""
        if cmd_name not in VERBS:
            return None
        command: click.Command = getattr(
            importlib.import_module(f"pipelines.cli.{cmd_name}"), cmd_name
        )
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve a verb as click does, but suggest the nearest verb for an unknown one."""
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            raise click.exceptions.NoSuchCommand(
                error.command_name, possibilities=VERBS, ctx=ctx
            ) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the verbs and their help lines without loading a verb's file."""
        with formatter.section("Commands"):
            formatter.write_dl(VERBS.items())


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Print the version, and the commit if the code lies in a repository, and end."""
    if wanted and not ctx.resilient_parsing:
        from importlib import metadata

        from pipelines.core.project import environment

        facts = environment()
        changed = " with changes" if facts["git_dirty"] else ""
        commit = f" (commit {facts['git_commit'][:12]}{changed})" if facts["git_commit"] else ""
        click.echo(f"dragon {metadata.version('dragon')}{commit}")
        ctx.exit()


app = Verbs(
    "dragon",
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_print_version,
            help="Print the version and the commit.",
        )
    ],
    help="From raw text to an assistant, every weight traceable to its data.",
    epilog="Begin with: dragon run tiny (a minute, no download). Help: dragon VERB --help.",
)


def run() -> None:
    """The console script. Our errors print one line and exit with 1; bugs print a traceback."""
    try:
        sys.exit(app.main(prog_name="dragon", standalone_mode=False) or 0)
    except click.ClickException as error:  # the command has wrong arguments
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:  # Ctrl-C
        sys.exit(130)
    except (ValueError, OSError) as error:
        if os.environ.get("DRAGON_DEBUG"):
            raise
        _fail(" ".join(str(error).split()))
    except Exception as error:
        if os.environ.get("DRAGON_DEBUG") or not _is_of_a_database(error):
            raise
        from pipelines.core.project import Project

        first = str(error).splitlines()[0]
        _fail(
            f"the databases in {Project.here().home} cannot be used ({first}); make room there or"
            " set DRAGON_HOME to another folder; the store keeps all published assets"
        )


def _fail(fault: str) -> None:
    from pipelines.cli.terminal import painted

    click.echo(f"{painted('dragon:', 'red', sys.stderr)} {fault}", err=True)
    sys.exit(1)


def _is_of_a_database(error: BaseException) -> bool:
    """Whether SQLAlchemy raised an error, found by module name: its import is slow."""
    return any(kind.__module__ == "sqlalchemy.exc" for kind in type(error).__mro__)
