"""The values of a recipe that decide no result: who owns its assets, their tags, the time zone."""

from __future__ import annotations

import difflib
import re
from typing import Annotated
from zoneinfo import available_timezones

from pydantic import AfterValidator


def _known_timezone(name: str) -> str:
    known = available_timezones()
    if name in known:
        return name
    near = difflib.get_close_matches(name, known, n=1)
    mend = f"did you mean {near[0]!r}?" if near else "give one such as 'Europe/Berlin'"
    raise ValueError(f"{name!r} is not a time zone; {mend}")


Timezone = Annotated[str, AfterValidator(_known_timezone)]

OWNER = re.compile(r"team:[^\s:]+|[^\s@:/]+@[^\s@:/]+\.[^\s@:/]+")
TAG = re.compile(r"[A-Za-z0-9_.-]{1,63}")
OWN_TAGS = ("licence",)  # tags that the assets have anyway


def _known_owner(owner: str) -> str:
    if not OWNER.fullmatch(owner):
        raise ValueError(f"{owner!r} is neither an e-mail address nor a team such as 'team:data'")
    return owner


def _known_tags(tags: dict[str, str]) -> dict[str, str]:
    for name, value in tags.items():
        for word in (name, value) if value else (name,):
            if not TAG.fullmatch(word):
                raise ValueError(
                    f"{word!r} is not a tag; use at most 63 letters, digits and the marks _ . -"
                )
        if name in OWN_TAGS:
            raise ValueError(f"{name!r} is a tag that assets have anyway; choose another name")
    return tags


Owner = Annotated[str, AfterValidator(_known_owner)]
Tags = Annotated[dict[str, str], AfterValidator(_known_tags)]
