"""Text that needs no network: dialogues and labelled messages from a grammar of our own, and pairs
of translations from other people's tables (``pipelines.corpora.generators.translations``).

Each document is a pure function of (seed, index): equal on every machine and Python version, and
asking for more of them leaves the first ones as they were. ``random.Random.random`` is the one
method used, because its stream is promised never to change (that of ``choice`` is not).

The dialogues hold what a tiny model can learn: an answer names what the question asked about. The
messages can be told apart by their words, but not by one word, and some are ambiguous on purpose.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Sequence
from itertools import cycle
from typing import TypeVar

from pipelines.corpora.generators import translations
from pipelines.corpora.turns import document_text

T = TypeVar("T")

_WORDS = {
    "name": "Anna, Ben, Clara, David, Emma, Frank, Grace, Henry, Ivy, Jack, Kate, Leo, Maya, Noah",
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

_OPENINGS = (
    ("Hi, how are you?", "I am {mood}, thanks. And you?", "I am {mood} too."),
    ("Hello there!", "Hello! My name is {name}.", "Nice to meet you, {name}."),
    ("Good to see you.", "You too! How was your {day}?", "It was {good}, thank you."),
    ("Hey, what is up?", "Not much, I feel {mood} today.", "I see, {mood} days happen."),
)

# Slots of one exchange share their words, so the second line can be foretold from the first.
_EXCHANGES = (
    ("What did you eat {time}?", "I had {food} with {name}.", "Was the {food} {good}?", "Very!"),
    ("Do you like {food}?", "Yes, {food} is my favourite.", "I will cook {food} on {day} then."),
    ("Do you have a pet?", "Yes, a {colour} {animal}.", "What is your {animal} called?", "{name}."),
    ("Where is {name}?", "{name} went to the {place}.", "Why the {place}?", "To see a {animal}."),
    ("Is it {weather} today?", "Yes, it is {weather} at the {place}.", "I like it {weather}."),
    ("What do you do for work?", "I am a {job}.", "Do you like being a {job}?", "It is {good}."),
    ("What is your hobby?", "I enjoy {hobby}.", "When do you go {hobby}?", "On {day} {time}."),
    ("Shall we meet on {day}?", "Sure, {day} is {good}. Where?", "At the {place}, {time}."),
    ("Which colour is your coat?", "My coat is {colour}.", "I love {colour} coats."),
    ("Do you know {name}?", "{name} is a {job}, I think.", "Yes, {name} is a {good} {job}."),
)

_GOODBYES = (
    ("I have to go now.", "Bye, see you on {day}!"),
    ("It was {good} to talk.", "Yes, it was {good}. Goodbye!"),
    ("See you at the {place}.", "See you there, {name}!"),
)

_HAM = (
    "Hi {name}, are you free on {day} {time}? We could go to the {place}.",
    "Can you get {food} and {chore} from the market? I will call you {time}.",
    "Sorry, I missed your call. I was {hobby} with {name}. Text me {urgent}!",
    "The {animal} is {mood}. Did you win the game on {day}?",
    "I won the {hobby} contest! {name} says it was {good}. Dinner is on me {urgent}.",
    "Meeting moved to {day} {time}, please reply to {name}.",
    "Do not forget the {chore}. It is {weather} so take the {colour} coat.",
    "Happy birthday {name}! Hope you get {prize} and {food}.",
    "Thanks for the {food}, it was {good}. See you {time} at the {place}.",
    "New number: {number}. Call me {time}, {name}.",
)

_SPAM = (
    "Congratulations {name}! You have won {prize}. Call {number} {urgent} to claim.",
    "FREE entry to win {prize}! Text {chore} to {number}, {price} per message.",
    "Urgent: your account is waiting. Reply {urgent} or call {number}.",
    "Dear customer, claim {prize} at the {place} {urgent}. Cost {price} per minute.",
    "{name} wants to meet you on {day}. Text {number} to see the picture, {price} each.",
    "Your {food} voucher is ready, text YES to {number} {urgent}.",
    "Last chance! {prize} for {price} only. Offer ends {day}.",
    "We tried to call you about {prize}. Ring {number} {time}, {good} offer.",
)

# Either label may carry these: no classifier can be perfect, and a test that one is would be wrong.
_EITHER = (
    "Call me {urgent} on {number}.",
    "Your {chore} is ready at the {place}, come {urgent}.",
    "Did you see {prize}? Text me on {day}.",
)

SPAM_SHARE = 0.3
EITHER_SHARE = 0.04

_SLOT = re.compile(r"\{(\w+)\}")


class _Dice:
    """A random stream for one document, apart from every other document's."""

    def __init__(self, generator: str, seed: int, index: int) -> None:
        digest = hashlib.sha256(f"{generator}/{seed}/{index}".encode()).digest()
        self._random = random.Random(int.from_bytes(digest[:8], "big"))

    def chance(self, share: float) -> bool:
        return self._random.random() < share

    def pick(self, options: Sequence[T]) -> T:
        return options[int(self._random.random() * len(options))]

    def fill(self, lines: Sequence[str]) -> list[str]:
        """Slots filled; a slot named twice in these lines gets one word."""
        words: dict[str, str] = {}

        def word(slot: re.Match[str]) -> str:
            name = slot[1]
            if name not in words:
                words[name] = self.pick(_CHOICES[name])
            return words[name]

        return [_SLOT.sub(word, line) for line in lines]


def dialogue(seed: int, index: int) -> tuple[str, None]:
    """A conversation of two in lines ``A: ...`` and ``B: ...``, 5 to 17 turns long."""
    dice = _Dice("dialogues", seed, index)
    turns = dice.fill(dice.pick(_OPENINGS))
    for _ in range(dice.pick((1, 2, 2, 3))):
        turns += dice.fill(dice.pick(_EXCHANGES))
    if dice.chance(0.6):
        turns += dice.fill(dice.pick(_GOODBYES))
    return document_text(zip(cycle("AB"), turns, strict=False)), None


def message(seed: int, index: int) -> tuple[str, str]:
    """A short message and its label, ``spam`` or ``ham``."""
    dice = _Dice("messages", seed, index)
    label = "spam" if dice.chance(SPAM_SHARE) else "ham"
    templates = _EITHER if dice.chance(EITHER_SHARE) else _SPAM if label == "spam" else _HAM
    return " ".join(dice.fill([dice.pick(templates)])), label


GENERATORS: dict[str, Callable[[int, int], tuple[str, str | None]]] = {
    "dialogues": dialogue,
    "messages": message,
    "translations": translations.translation,
}
# Of what a generator writes from, where that is not our own.
LICENCES = {"translations": translations.LICENCE}
LIBRARIES = {"translations": translations.LIBRARIES}
