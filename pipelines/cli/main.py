"""``dragon``: run a recipe, talk to what it made, and ask where every weight comes from.

Each verb is a file here, named as the verb, with its arguments and its function. A file is loaded
when its verb is called, so that ``dragon --help`` loads none.
"""

from __future__ import annotations

import importlib
import os
import sys

import click

# A verb and its line of ``dragon --help``, which is the first line of the verb's own help too.
VERBS = {
    "run": "Make all that a recipe describes.",
    "chat": "Talk to a recipe's assistant.",
    "write": "Let a recipe's foundation go on with a text.",
    "classify": "Label a text with a recipe's classifier.",
    "translate": "Translate a text with a recipe's translator.",
    "fill": "Say which words fit the gaps of a text.",
    "neighbours": "List the words whose vectors lie nearest.",
    "export": "Write a model with its tokenizer and lineage as others read it.",
    "trace": "Print what an asset was made from, down to the documents.",
    "show": "Print an asset's files, figures and record.",
    "documents": "Print a corpus' data card, or read its documents.",
    "ls": "List what the store holds.",
    "migrate": "Move a store of an earlier version to today's layout.",
    "ui": "Start Dagster's and MLflow's pages on this machine.",
    "schema": "Print the JSON Schema of recipes, for editors.",
}


class Verbs(click.Group):
    """The group of all verbs: their names and lines are known, their files loaded on demand."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The verbs, in the order of a person's way through them."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command that a verb's file holds under the verb's name; None for no verb."""
        if cmd_name not in VERBS:
            return None
        command: click.Command = getattr(
            importlib.import_module(f"pipelines.cli.{cmd_name}"), cmd_name
        )
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, but what may have been meant is sought among the verbs."""
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            raise click.exceptions.NoSuchCommand(
                error.command_name, possibilities=VERBS, ctx=ctx
            ) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The verbs and their lines, without loading a verb's file."""
        with formatter.section("Commands"):
            formatter.write_dl(VERBS.items())


app = Verbs(
    "dragon",
    help="From raw text to an assistant, every weight traceable to its data.",
    epilog="Begin with: dragon run tiny (a minute, no download). Of each verb: dragon VERB --help.",
)


def run() -> None:
    """The console script: our errors are one line and exit code 1, bugs are tracebacks."""
    try:
        sys.exit(app.main(prog_name="dragon", standalone_mode=False) or 0)
    except click.ClickException as error:  # how the command was written
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
            " choose another with DRAGON_HOME; what was published is in the store"
        )


def _fail(fault: str) -> None:
    click.echo(f"dragon: {fault}", err=True)
    sys.exit(1)


def _is_of_a_database(error: BaseException) -> bool:
    """Whether SQLAlchemy raised it: by name, since its import takes longer than ``--help``."""
    return any(kind.__module__ == "sqlalchemy.exc" for kind in type(error).__mro__)
