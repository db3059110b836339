"""Labelled messages from the project's own grammar: spam or ham.

Their words decide the label, but no single word does, and some messages are ambiguous on purpose.
"""

from __future__ import annotations

from pipelines.corpora.generator import Generator
from pipelines.corpora.grammar import Dice

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

# Both labels use these, so no classifier can be perfect, and a test may not expect a perfect one.
_EITHER = (
    "Call me {urgent} on {number}.",
    "Your {chore} is ready at the {place}, come {urgent}.",
    "Did you see {prize}? Text me on {day}.",
)

SPAM_SHARE = 0.3
EITHER_SHARE = 0.04


def message(seed: int, index: int) -> tuple[str, str]:
    """A short message and its label, ``spam`` or ``ham``."""
    dice = Dice("messages", seed, index)
    label = "spam" if dice.chance(SPAM_SHARE) else "ham"
    templates = _EITHER if dice.chance(EITHER_SHARE) else _SPAM if label == "spam" else _HAM
    return " ".join(dice.fill([dice.pick(templates)])), label


GENERATOR = Generator(name="messages", write=message)
