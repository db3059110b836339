"""A conversation as ids of bounded length, by a template, and what is left out so that it fits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from pipelines.corpora.roles import ASSISTANT, SYSTEM, USER
from pipelines.text.errors import TextError
from pipelines.tokens.template import Piece, Template

if TYPE_CHECKING:
    from pipelines.tokens.tokenizers import Tokenizer

LEFT_OUT = "turns_left_out"
REPLIES_LEFT_OUT = "replies_left_out"
SHORTENED = "requests_shortened"
REPLIES_SHORTENED = "replies_shortened"


class Turn(NamedTuple):
    """One turn: the role (system, user, assistant or tool) and its words."""

    role: str
    said: str


class Fitted(NamedTuple):
    """A conversation as ids, and what was left out of it to fit.

    ``counted[i]`` is True if the prediction of ``ids[i]`` counts in the loss. ``lost`` counts turns
    and learned replies that were left out, and requests and replies that were shortened.
    """

    ids: list[int]
    counted: list[bool]
    lost: Counter[str]


class Part:
    """Ids that belong together. ``turn`` is the number of the turn whose words they hold.

    ``mark`` is the text before the words, which is encoded together with them.
    """

    def __init__(self, ids: list[int], counts: bool, turn: int | None, mark: str) -> None:
        self.ids, self.counts, self.turn, self.mark = ids, counts, turn, mark


class Row:
    """The parts of a conversation: controls by number, and the text between two of them as one."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.parts: list[Part] = []
        self._tokenizer = tokenizer
        self._text, self._mark = "", ""
        self._turn: int | None = None

    def __len__(self) -> int:
        return sum(len(part.ids) for part in self.parts)

    def add(self, pieces: Iterable[Piece], counts: bool = False) -> None:
        """Append control tokens and text; a control token ends the text before it."""
        for piece in pieces:
            if isinstance(piece, str):
                self._text += piece
            else:
                self.end_text(counts)
                self.parts.append(Part([piece], counts, None, ""))

    def say(self, words: str, turn: int) -> None:
        """Append the words of a turn to the text."""
        self._mark, self._turn = self._text, turn
        self._text += words

    def end_text(self, counts: bool = False) -> None:
        """Encode the text so far."""
        if self._text:
            ids = self._tokenizer.encode(self._text)
            self.parts.append(Part(ids, counts, self._turn, self._mark))
        self._text, self._mark, self._turn = "", "", None

    def shorten(self, part: Part, excess: int, *, at_right: bool = False) -> int:
        """Take up to ``excess`` ids of a part's words, but not the last one; how many it took."""
        first = self._words_begin(part)
        taken = max(0, min(excess, len(part.ids) - first - 1))
        stop = len(part.ids) - taken
        part.ids = part.ids[:stop] if at_right else part.ids[:first] + part.ids[first + taken :]
        return taken

    def _words_begin(self, part: Part) -> int:
        """How many ids of a part are those of its mark alone."""
        alone = self._tokenizer.encode(part.mark) if part.mark else []
        same = (own == other for own, other in zip(part.ids, alone, strict=False))
        return next(
            (n for n, equal in enumerate(same) if not equal), min(len(alone), len(part.ids))
        )


class Conversation:
    """Turns, and which of them are learned. ``asks``: a generation goes on behind them."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        turns: Sequence[Turn],
        learned: Sequence[bool],
        template: Template | None,
        *,
        asks: bool = False,
    ) -> None:
        self._tokenizer, self._asks = tokenizer, asks
        self._template = tokenizer.template if template is None else template
        self._given = len(turns)
        default = self._template.default_system
        own = [] if default is None or (turns[:1] and turns[0].role == SYSTEM) else [default]
        self._turns = [*(Turn(SYSTEM, words) for words in own), *turns]
        self._learned = [*(False for _ in own), *learned]

    def fitted(self, max_tokens: int) -> Fitted:
        """The ids of all turns, or of those that fit in ``max_tokens``.

        Raises TextError without a turn, or for too few ``max_tokens``.
        """
        if not self._given:
            raise TextError("turns=0: at least 1 is needed")
        row, lost = self._row(range(len(self._turns))), Counter[str]()
        for to_user in (True, False):
            if len(row) > max_tokens:
                row, lost = self._cut(max_tokens, to_user=to_user)
        if len(row) > max_tokens:
            raise TextError(
                f"max_tokens={max_tokens}: at least {len(row)} are needed for the last turns of a"
                " conversation; raise the context length"
            )
        ids = [i for part in row.parts for i in part.ids]
        counted = [part.counts for part in row.parts for _ in part.ids]
        return Fitted(ids, counted, +lost)

    def _row(self, places: Iterable[int]) -> Row:
        """The turns of these numbers, whether they fit or not."""
        chosen = list(places)
        turns = [self._turns[place] for place in chosen]
        return self._encoded(turns, [self._learned[p] for p in chosen], asks=self._asks)

    def _encoded(self, turns: Sequence[Turn], learned: Sequence[bool], *, asks: bool) -> Row:
        template, row = self._template, Row(self._tokenizer)
        row.add(template.opening)
        behind: str | None = None
        for place, (turn, learns) in enumerate(zip(turns, learned, strict=True)):
            role = template.known(turn.role)
            folded = template.folds_system and behind == SYSTEM and role == USER
            row.add(() if folded else template.before[role])
            behind = turn.role
            if role == ASSISTANT:
                more = asks or place + 1 < len(turns)
                self._reply(row, turn.said, place, learns, more=more)
            else:
                row.say(turn.said, place)
                row.add(template.after[role])
        row.add(template.before[ASSISTANT] if asks else ())
        row.end_text()
        return row

    def _reply(self, row: Row, said: str, place: int, learns: bool, *, more: bool) -> None:
        """The words of the assistant and their end; ``more``: something follows."""
        after = self._template.after[ASSISTANT]
        end = next((n for n, piece in enumerate(after, 1) if isinstance(piece, int)), len(after))
        row.end_text()
        row.say(self._template.lead + said, place)
        row.add(after[:end], learns)
        row.end_text(learns)
        row.add(after[end:] if more else ())

    def _cut(self, max_tokens: int, *, to_user: bool) -> tuple[Row, Counter[str]]:
        """The system's turn and the last turns, and what is lost.

        The last turns begin at the last of a user at least (``to_user``), or else at the last that
        is no reply. A turn of the system that needs more than half of the room is left out.
        """
        first = int(self._turns[0].role == SYSTEM and len(self._turns) > 1)
        system = [0] if first and self._size(0) <= max_tokens // 2 else []
        room = max_tokens - len(self._row(system))
        starts = self._starts(first, to_user=to_user)
        start, end, size = starts[0], len(self._turns), 0
        for candidate in starts:
            size += sum(map(self._size, range(candidate, end)))
            if size > room:
                break
            start = end = candidate
        row = self._row([*system, *range(start, len(self._turns))])
        while len(row) > max_tokens and start != starts[0]:  # joined texts may need more tokens
            start = starts[starts.index(start) - 1]
            row = self._row([*system, *range(start, len(self._turns))])
        gone = [*range(first - len(system)), *range(first, start)]
        lost = Counter({LEFT_OUT: len(gone)})
        lost[REPLIES_LEFT_OUT] += sum(self._learned[place] for place in gone)
        self._shorten(row, len(row) - max_tokens, lost)
        return row, lost

    def _starts(self, first: int, *, to_user: bool) -> list[int]:
        """Where a shorter conversation may begin, the last place first.

        It never begins with a reply, because its request would be gone.
        """
        roles = [turn.role for turn in self._turns]
        asked = [place for place in range(first, len(roles)) if roles[place] != ASSISTANT]
        users = [place for place in asked if roles[place] == USER or not to_user]
        last = max(users or asked, default=len(roles) - 1)
        return [last, *(place for place in reversed(asked) if place < last)]

    def _size(self, place: int) -> int:
        """The tokens of one turn by itself."""
        turns, learned = [self._turns[place]], [self._learned[place]]
        return len(self._encoded(turns, learned, asks=False)) - len(self._template.opening)

    def _shorten(self, row: Row, excess: int, lost: Counter[str]) -> None:
        """Take ``excess`` ids from the words: from requests first, and then from the last reply."""
        said = [part for part in row.parts if part.turn is not None]
        reply = next((part for part in reversed(said) if part.counts), None)
        for part in said:
            if excess > 0 and part is not reply:
                taken = row.shorten(part, excess)
                excess -= taken
                lost[SHORTENED] += taken > 0
        if excess > 0 and reply is not None:
            place = row.parts.index(reply) + 1
            ends, row.parts = row.parts[place:], row.parts[:place]  # a cut reply has no end
            excess -= sum(len(part.ids) for part in ends)
            row.shorten(reply, excess, at_right=True)
            lost[REPLIES_SHORTENED] += 1
