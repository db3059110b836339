"""Conversations from the project's own grammar: an answer repeats a word of its question."""

from __future__ import annotations

from itertools import cycle

from pipelines.corpora.generator import Generator
from pipelines.corpora.grammar import Dice
from pipelines.corpora.turns import document_text

_OPENINGS = (
    ("Hi, how are you?", "I am {mood}, thanks. And you?", "I am {mood} too."),
    ("Hello there!", "Hello! My name is {name}.", "Nice to meet you, {name}."),
    ("Good to see you.", "You too! How was your {day}?", "It was {good}, thank you."),
    ("Hey, what is up?", "Not much, I feel {mood} today.", "I see, {mood} days happen."),
)

# Slots of one exchange share their words, so a model can predict the second line from the first.
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


def dialogue(seed: int, index: int) -> tuple[str, None]:
    """A conversation of two in lines ``A: ...`` and ``B: ...``, 5 to 17 turns long."""
    dice = Dice("dialogues", seed, index)
    turns = dice.fill(dice.pick(_OPENINGS))
    for _ in range(dice.pick((1, 2, 2, 3))):
        turns += dice.fill(dice.pick(_EXCHANGES))
    if dice.chance(0.6):
        turns += dice.fill(dice.pick(_GOODBYES))
    return document_text(zip(cycle("AB"), turns, strict=False)), None


GENERATOR = Generator(name="dialogues", write=dialogue)
