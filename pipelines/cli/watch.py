"""``dragon watch``: a training that goes on in another terminal, or in the pages."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import click

from pipelines.cli.curve import drawn
from pipelines.cli.terminal import CLEAR, columns, cut, is_terminal, painted
from pipelines.core.progress import spell_rate, spell_seconds
from pipelines.core.project import Project
from pipelines.core.tracking.live import Going, Watch
from pipelines.core.tracking.spool import is_written, left, read
from pipelines.text.nearest import did_you_mean

T = TypeVar("T")

EVERY_SECONDS = 1.0  # between two pictures on a terminal
PLAIN_SECONDS = 10.0  # between two lines in a pipe
NEXT_SECONDS = 10.0  # in which the next point of a sweep begins
HEIGHT = 12  # lines of the curve
TRAINED, VALIDATED = ".", "o"  # the marks of the two curves
UP = "\x1b[{}A"  # the cursor, by so many lines


@click.command()
@click.argument(
    "target",
    metavar="[RECIPE|ASSET]",
    required=False,
    default="",
    help="A recipe or a key of dragon ls; left out, whatever is training.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the events, one JSON value a line.")
def watch(target: str, as_json: bool) -> None:
    """Follow a running training: curve, speed, time left, samples.

    It shows what another process trains, and ends when the training ends, or some seconds after the
    last point of a sweep. Without a name it follows what was begun last. Ctrl-C ends the watching
    alone.
    """
    folder = Project.here().spools
    if as_json:
        for line in _events(folder, _chosen(Watch(folder).going(), target).key):
            click.echo(line)
        return
    watcher = Watch(folder)
    key = _chosen(watcher.going(), target).key
    follow = _move if is_terminal() else _say
    last = follow(partial(_awaited, key, lambda: [m for m in watcher.going() if m.key == key]))
    click.echo(f"{key}: ended" + (f" after step {last.step:,}" if last and last.steps else ""))


def _chosen(makings: list[Going], target: str) -> Going:
    """The making that was begun last and fits the name of a recipe or the key of an asset."""
    fitting = [m for m in makings if target in ("", m.key, m.key.split("/")[0])]
    if fitting:
        return max(fitting, key=lambda making: (bool(making.curves), making.began))
    if makings:
        mend = did_you_mean(target, [m.key for m in makings], "name one of these")
        raise ValueError(f"{target}: is not being made now; {mend}")
    name = target.split("/")[0] or "RECIPE"
    what = f"{target}: is not being made" if target else "nothing is being made"
    raise ValueError(f"{what} now; begin with dragon run {name} in another terminal")


def _awaited(key: str, find: Callable[[], Sequence[T]]) -> T | None:
    """The first of what is found; of a sweep also what is found some seconds later: its points are
    trained one after the other, each as a making of the sweep's key."""
    end = time.monotonic() + (NEXT_SECONDS if key.endswith("/sweep") else 0)
    while not (found := find()) and time.monotonic() < end:
        time.sleep(EVERY_SECONDS / 4)
    return found[0] if found else None


def _move(newest: Callable[[], Going | None]) -> Going | None:
    """Draw the newest state again and again at the same place; the last state."""
    making, height = newest(), 0
    last = making
    while making is not None:
        last, lines = making, picture(making, columns() - 1)
        above = UP.format(height) if height else ""
        blank = max(height - len(lines), 0)
        click.echo(
            above + "".join(f"{CLEAR}{line}\n" for line in [*lines, *[""] * blank]), nl=False
        )
        height = max(height, len(lines))
        time.sleep(EVERY_SECONDS)
        making = newest()
    return last


def _say(newest: Callable[[], Going | None]) -> Going | None:
    """Print a line from time to time, and the picture at the end; the last state."""
    making, said, last = newest(), 0.0, None
    while making is not None:
        last = making
        if time.monotonic() - said >= PLAIN_SECONDS:
            said = time.monotonic()
            click.echo(f"{making.key}: {' · '.join(_state(making))}")
        time.sleep(EVERY_SECONDS / 4)
        making = newest()
    for line in picture(last, columns()) if last is not None else ():
        click.echo(line)
    return last


def picture(making: Going, width: int) -> list[str]:
    """The state of a making as lines of at most ``width`` columns."""
    from pipelines.report.card import legible

    lines = [painted(making.key, "bold"), *_wrapped(_state(making), width)]
    marks = {TRAINED: "training_loss", VALIDATED: "validation_loss"}
    curves = {mark: making.curves.get(name, ()) for mark, name in marks.items()}
    if picture := drawn(curves, width, HEIGHT, making.steps):
        lines += ["", *picture]
        lines.append(cut(f"  {TRAINED} training loss   {VALIDATED} validation loss (nats)", width))
    if making.samples:
        lines += ["", "It writes:"]
        lines += [cut(f"  {legible(text)}", width) for text in making.samples]
    return lines


def _wrapped(words: list[str], width: int) -> list[str]:
    """The words on as many lines as they need, cut if one alone is too wide."""
    lines = words[:1]
    for word in words[1:]:
        longer = f"{lines[-1]} · {word}"
        lines[-1:] = [longer] if len(longer) <= width else [lines[-1], word]
    return [cut(line, width) for line in lines]


def _state(making: Going) -> list[str]:
    """The newest figures: step, losses, rate, speed, use of the machine, time left."""
    newest = {name: points[-1][1] for name, points in making.curves.items() if points}
    words = [
        f"step {making.step:,} of {making.steps:,}" if making.steps else f"step {making.step:,}"
    ]
    losses = {"training_loss": "loss", "validation_loss": "validation"}
    words += [f"{word} {newest[name]:.3f}" for name, word in losses.items() if name in newest]
    if "learning_rate" in newest:
        words.append(f"rate {newest['learning_rate']:.3g}")
    if "tokens_per_second" in newest:
        words.append(spell_rate(newest["tokens_per_second"], "tokens"))
    if "utilisation" in newest:
        words.append(f"{100 * newest['utilisation']:.0f} % of the peak")
    if making.seconds_left is not None:
        words.append(f"{spell_seconds(making.seconds_left)} left")
    if making.saved:
        words.append(f"saved at step {making.saved:,}")
    return words


def _events(folder: Path, key: str) -> Iterator[str]:
    """The lines of a making's log as they are written, up to its end; of a sweep, of all points."""
    told: set[Path] = set()
    while path := _awaited(key, lambda: [p for p in _logs(folder, key) if p not in told]):
        told.add(path)
        yield from _followed(path)


def _logs(folder: Path, key: str) -> Iterator[Path]:
    """The logs of a key that are being written, the newest first."""
    for path in reversed(left(folder)):
        first = next(read(path, 0), (0, None))[1] or {}
        if first.get("key") == key and is_written(path):
            yield path


def _followed(path: Path) -> Iterator[str]:
    offset, alive = 0, True
    while alive:
        alive = is_written(path)
        try:
            for end, line in read(path, offset):
                offset = end
                if line is not None:
                    yield json.dumps(line)
                    if line["kind"] == "end":
                        return
        except OSError:  # it ended, and all of it was sent
            return
        time.sleep(EVERY_SECONDS / 4)
