"""The project's own grammar: words for the slots of sentences, drawn from a seeded stream.

Only ``random.Random.random`` is used, because Python promises that its stream never changes
(there is no such promise for ``choice``).
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

_WORDS = {
    "name": "Anna, Ben, Clara, David, Emma, Frank, Grace, Henry, Ivy, Jack, Kate, Leo, Maya, Noah",
    "sender": "Paula, Oscar, Nina, Martin, Laura, Simon, Tessa, Victor, Rosa, Peter",
    "food": "soup, rice, bread, pasta, cake, salad, cheese, pizza, curry, porridge, stew, pancakes",
    "animal": "dog, cat, horse, rabbit, parrot, turtle, hamster, goat, pony, duck",
    "place": "park, river, library, market, beach, museum, station, garden, harbour, forest",
    "colour": "red, blue, green, yellow, black, white, brown, grey",
    "day": "Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday",
    "weather": "sunny, rainy, windy, cloudy, snowy, foggy, warm, cold",
    "job": "teacher, nurse, baker, farmer, driver, painter, writer, gardener, pilot, cook",
    "hobby": "swimming, reading, cooking, singing, dancing, running, fishing, drawing, cycling",
    "mood": "happy, tired, busy, hungry, excited, calm, bored, cheerful",
    "time": "in the morning, at noon, after lunch, in the evening, at night",
    "good": "good, great, lovely, nice, wonderful, fine",
    "prize": "a phone, a holiday, 500 pounds, a voucher, a new car, concert tickets",
    "urgent": "now, today, before midnight, within 24 hours, right away",
    "number": "80123, 87066, 61200, 88600, 83355, 07700900",
    "price": "10p, 50p, 1.50, 25p, 3.00",
    "chore": "milk, stamps, keys, dinner, tickets, homework, laundry, groceries",
}
_CHOICES = {slot: words.split(", ") for slot, words in _WORDS.items()}

_SLOT = re.compile(r"\{(\w+)\}")


class Dice:
    """A random stream for one document, independent of the streams of all other documents."""

    def __init__(self, generator: str, seed: int, index: int) -> None:
        digest = hashlib.sha256(f"{generator}/{seed}/{index}".encode()).digest()
        self._random = random.Random(int.from_bytes(digest[:8], "big"))

    def chance(self, share: float) -> bool:
        return self._random.random() < share

    def below(self, end: int) -> int:
        """A number from 0 to ``end`` - 1."""
        return int(self._random.random() * end)

    def pick(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def fill(self, lines: Sequence[str]) -> list[str]:
        """The lines with their slots filled; a slot that occurs twice gets the same word twice."""
        words: dict[str, str] = {}

        def word(slot: re.Match[str]) -> str:
            name = slot[1]
            if name not in words:
                words[name] = self.pick(_CHOICES[name])
            return words[name]

        return [_SLOT.sub(word, line) for line in lines]
