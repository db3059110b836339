"""Requests and helpful replies, to teach a model to do what it is asked.

The kinds are e-mails from keywords, lists, sums, capitals, translations of words into French,
polite sentences, opposites, words in order, questions about a short text, and small talk. The label
of a document is its kind. The French words are those of the generator ``translations``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from pipelines.corpora.generator import Generator
from pipelines.corpora.generators.translations import names, number
from pipelines.corpora.grammar import Dice
from pipelines.corpora.turns import document_text


class Answered(NamedTuple):
    """A request, and the reply to it."""

    request: str
    reply: str


class _Occasion(NamedTuple):
    """What an e-mail is about: its keywords, its subject and its sentences."""

    keywords: str
    subject: str
    body: tuple[str, ...]


KEYWORDS = "KEYWORDS"  # stands for them in a request
_WRITE = (
    "Write a short e-mail from these keywords: KEYWORDS.",
    "Write an e-mail to {name} with these keywords: KEYWORDS.",
    "Turn these notes into a polite e-mail: KEYWORDS.",
    "I need a short e-mail. Keywords: KEYWORDS.",
)

_OCCASIONS = (
    _Occasion(
        "meeting, {day}, {place}",
        "Meeting on {day}",
        (
            "I would like to meet you on {day}. Could we meet at the {place} {time}?",
            "Please let me know if this suits you, or name another day.",
        ),
    ),
    _Occasion(
        "thank you, {food}, {day}",
        "Thank you for {day}",
        (
            "Thank you very much for inviting me on {day}. I liked the {food}, and I enjoyed our"
            " talk.",
            "Next time you are my guest.",
        ),
    ),
    _Occasion(
        "ill, {day}, {chore}",
        "Not at work on {day}",
        (
            "I am sorry, but I am ill and cannot come to work on {day}.",
            "Could you please take care of the {chore}? I will be in touch when I feel better.",
        ),
    ),
    _Occasion(
        "invitation, {hobby}, {day}",
        "{hobby} on {day}?",
        (
            "A few of us are going {hobby} on {day} {time}. Would you like to join us?",
            "We start at the {place}. I would be happy to see you there.",
        ),
    ),
    _Occasion(
        "sorry, late, {chore}",
        "Sorry for the delay",
        (
            "I am sorry that the {chore} came late. It was my mistake.",
            "I will make sure that it does not happen again. Thank you for your patience.",
        ),
    ),
    _Occasion(
        "question, {job}, {place}",
        "A question about the {place}",
        (
            "I am looking for a {job} who could help at the {place}.",
            "Do you know somebody? I would be grateful for a name or a telephone number.",
        ),
    ),
    _Occasion(
        "lost, {colour} bag, {place}",
        "A lost bag",
        (
            "On {day} I lost a {colour} bag at the {place}.",
            "If somebody finds it, please send me a message. I can collect it {time}.",
        ),
    ),
)

_LISTS = {
    "fruits": "apples, pears, cherries, plums, grapes, lemons, oranges, bananas",
    "vegetables": "carrots, onions, peas, beans, potatoes, cabbage, spinach, leeks",
    "animals on a farm": "cows, pigs, sheep, goats, chickens, horses, ducks, geese",
    "musical instruments": "the piano, the violin, the flute, the guitar, the drum, the trumpet",
    "things in a kitchen": "a spoon, a pan, a kettle, a plate, a cup, a knife, an oven, a fridge",
    "sports": "football, tennis, swimming, running, cycling, rowing, skiing, basketball",
    "colours": "red, blue, green, yellow, black, white, brown, grey",
    "ways to travel": "by train, by bus, by bicycle, by car, by ship, by plane, on foot",
    "tools": "a hammer, a saw, a screwdriver, a drill, a ruler, a file, a spanner",
    "ways to save energy": "Turn off the lights, Dry clothes in the open, Close the windows in"
    " winter, Take short showers, Use a bicycle, Cook with a lid on the pan",
    "good habits": "Get enough sleep, Drink enough water, Walk every day, Read a little, Eat fruit,"
    " Meet friends, Keep your desk tidy",
}

_CAPITALS = (
    "France Paris, Germany Berlin, Italy Rome, Spain Madrid, Portugal Lisbon, Austria Vienna,"
    " Switzerland Bern, Belgium Brussels, Ireland Dublin, Poland Warsaw, Norway Oslo, Sweden"
    " Stockholm, Finland Helsinki, Denmark Copenhagen, Greece Athens, Hungary Budapest, Romania"
    " Bucharest, Bulgaria Sofia, Croatia Zagreb, Serbia Belgrade, Turkey Ankara, Russia Moscow,"
    " Ukraine Kyiv, Egypt Cairo, Morocco Rabat, Kenya Nairobi, Nigeria Abuja, Ghana Accra, China"
    " Beijing, Japan Tokyo, India Delhi, Thailand Bangkok, Vietnam Hanoi, Indonesia Jakarta,"
    " Australia Canberra, Canada Ottawa, Cuba Havana, Peru Lima, Chile Santiago, Iceland Reykjavik,"
    " Estonia Tallinn, Latvia Riga, Lithuania Vilnius, Iran Tehran, Iraq Baghdad, Nepal Kathmandu"
)

_OPPOSITES = (
    "hot cold, big small, early late, full empty, happy sad, light dark, old young, open closed,"
    " rich poor, strong weak, wet dry, loud quiet, fast slow, high low, easy difficult, near far,"
    " clean dirty, thick thin, soft hard, deep shallow, brave afraid, polite rude, cheap expensive"
)

_POLITE = (
    ("Give me the {chore}.", "Could you please give me the {chore}?"),
    ("Come to the {place}.", "Would you please come to the {place}?"),
    ("Call {name}.", "Could you please call {name}?"),
    ("Wait here.", "Would you mind waiting here, please?"),
    ("Send me the {chore} {urgent}.", "Could you please send me the {chore} {urgent}?"),
    ("Move your {animal}.", "Would you mind moving your {animal}, please?"),
    ("Make {food}.", "Could you please make {food}?"),
    ("Be quiet.", "Could you please be a little quieter?"),
)

_STORIES = (
    ("{name} went to the {place} on {day}.", "Where did {name} go?", "{name} went to the {place}."),
    ("{name} went to the {place} on {day}.", "When was {name} there?", "It was on {day}."),
    ("{name} is a {job} and likes {hobby}.", "What does {name} like?", "{name} likes {hobby}."),
    ("{name} is a {job} and has a {animal}.", "What is {name}'s job?", "{name} is a {job}."),
    ("{name} ate {food} {time}.", "What did {name} eat?", "{name} ate {food}."),
    (
        "The {colour} {animal} of {name} ran away.",
        "What colour is it?",
        "The {animal} is {colour}.",
    ),
)

_TALK = (
    ("Hello, how are you?", "I am fine, thank you. How can I help you?"),
    ("Hi there!", "Hello! What can I do for you?"),
    ("I feel {mood} today.", "Thank you for telling me. What made you feel {mood}?"),
    ("I had {food} {time}.", "That sounds {good}. Did you make the {food} yourself?"),
    ("I am going to the {place} on {day}.", "Enjoy your time at the {place}!"),
    ("My name is {name}.", "Nice to meet you, {name}. How can I help you?"),
    ("Thank you for your help!", "You are welcome. Is there anything else?"),
    ("I like {hobby}. And you?", "I am a program, but I can talk about {hobby} with you."),
    ("Good night!", "Good night, sleep well!"),
)


def request(seed: int, index: int) -> tuple[str, str]:
    """A request and its reply as a conversation of two turns, and the kind of the request."""
    kind, answered = drawn(Dice("requests", seed, index))
    return document_text(zip("AB", answered, strict=True)), kind


def drawn(dice: Dice) -> tuple[str, Answered]:
    """The kind of a request, and the request with its reply."""
    kind = dice.pick(_SHARES)
    return kind, _KINDS[kind](dice)


def _email(dice: Dice) -> Answered:
    occasion = dice.pick(_OCCASIONS)
    lines = (dice.pick(_WRITE), occasion.keywords, occasion.subject, *occasion.body)
    closing = dice.pick(("Best regards", "Kind regards", "Many thanks", "Best wishes"))
    asked, keywords, subject, *body, name, sender = dice.fill((*lines, "{name}", "{sender}"))
    text = f"Subject: {subject[0].upper()}{subject[1:]}\n\nDear {name},\n\n{' '.join(body)}\n\n"
    return Answered(asked.replace(KEYWORDS, keywords), f"{text}{closing},\n{sender}")


def _list(dice: Dice) -> Answered:
    subject = dice.pick(tuple(_LISTS))
    things = _some(dice, _LISTS[subject].split(", "), count := dice.pick((3, 4, 5)))
    count_word = {3: "three", 4: "four", 5: "five"}[count]
    ask = dice.pick(("Name {} {}.", "List {} {}.", "Give me {} {}."))
    lines = [f"{place}. {thing[0].upper()}{thing[1:]}" for place, thing in enumerate(things, 1)]
    return Answered(ask.format(count_word, subject), "\n".join(lines))


def _sum(dice: Dice) -> Answered:
    a, b = (1 + dice.below(90) for _ in range(2))
    if dice.chance(0.4):
        a, b = max(a, b), min(a, b)
        return Answered(f"What is {a} minus {b}?", f"{a} - {b} = {a - b}")
    if dice.chance(0.5):
        return Answered(f"What is {a} plus {b}?", f"{a} + {b} = {a + b}")
    (name,) = dice.fill(("{name}",))
    asked = f"{name} has {a} stamps and gets {b} more. How many stamps does {name} have now?"
    return Answered(asked, f"{name} has {a} + {b} = {a + b} stamps.")


def _capital(dice: Dice) -> Answered:
    country, city = dice.pick(_CAPITALS.split(", ")).split()
    if dice.chance(0.25):
        return Answered(
            f"Which country has the capital {city}?", f"{city} is the capital of {country}."
        )
    ask = dice.pick(("What is the capital of {}?", "Tell me the capital of {}.", "Capital of {}?"))
    return Answered(ask.format(country), f"The capital of {country} is {city}.")


def _translate(dice: Dice) -> Answered:
    pair = dice.pick(names()) if dice.chance(0.5) else number(dice.below(100))
    ask = dice.pick(("Translate into French: {}", "How do you say '{}' in French?"))
    return Answered(ask.format(pair.english), pair.french)


def _polite(dice: Dice) -> Answered:
    rude, polite = dice.fill(dice.pick(_POLITE))
    ask = dice.pick(("Say this politely: {}", "Make this sentence polite: {}"))
    return Answered(ask.format(rude), polite)


def _opposite(dice: Dice) -> Answered:
    pair = dice.pick(_OPPOSITES.split(", ")).split()
    word, other = pair if dice.chance(0.5) else pair[::-1]
    ask = dice.pick(("What is the opposite of {}?", "Give me the opposite of the word {}."))
    return Answered(ask.format(word), f"The opposite of {word} is {other}.")


def _ordered(dice: Dice) -> Answered:
    words = _some(
        dice, _LISTS[dice.pick(("fruits", "vegetables", "colours", "sports"))].split(", "), 4
    )
    return Answered(
        f"Put these words in alphabetical order: {', '.join(words)}", ", ".join(sorted(words))
    )


def _story(dice: Dice) -> Answered:
    told, question, reply = dice.fill(dice.pick(_STORIES))
    return Answered(f"{told} {question}", reply)


def _talk(dice: Dice) -> Answered:
    return Answered(*dice.fill(dice.pick(_TALK)))


def _some(dice: Dice, things: Sequence[str], count: int) -> list[str]:
    """Some different things in a drawn order."""
    left = list(things)
    return [left.pop(dice.below(len(left))) for _ in range(count)]


_KINDS: dict[str, Callable[[Dice], Answered]] = {
    "email": _email,
    "list": _list,
    "sum": _sum,
    "capital": _capital,
    "translation": _translate,
    "polite": _polite,
    "opposite": _opposite,
    "order": _ordered,
    "story": _story,
    "talk": _talk,
}
_SHARES = (*_KINDS, "email", "email", "list", "translation", "talk")

GENERATOR = Generator(
    name="requests",
    write=request,
    licence="Unicode-3.0",  # of the names in French; the rest is the project's own
    libraries=("babel", "num2words"),
    has_roles=True,
)
