"""Orders: what a record needs so that the making of its version can be executed again.

The deciding part of a record names the making, the values of its settings and the versions of its
inputs. An order adds what decides nothing but is needed: the class of the settings, all their
values (such as the place of a folder, or how often a training is validated), the function that
observes what is outside, and whether several processes work together.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union

from pipelines.core.artefact import Artefact
from pipelines.core.declaration import Declaration, found
from pipelines.core.record import Record
from pipelines.core.stanza import Strict

ORDER = "order"  # the name of an order among what a record says of its making


def order_of(declared: Declaration) -> dict[str, Any]:
    """The order of a declaration, as JSON."""
    section, settings = declared.settings, None
    if section is not None:
        # Of an address a section may hide a part, such as a signature, from what decides.
        shown = {name: v for name, v in section.decides().items() if isinstance(v, str)}
        kind = f"{type(section).__module__}:{type(section).__qualname__}"
        settings = {"class": kind, "values": {**section.model_dump(mode="json"), **shown}}
    return {"settings": settings, "observe": declared.observe, "together": declared.together}


def declared_again(record: Record, key: str, makes: type[Artefact]) -> Declaration:
    """The declaration of a record's version. Its inputs are named as the record names them.

    Raises ValueError if the record has no order, or if its settings are not those that decided the
    version. It imports the making.
    """
    order, decides = record.made.get(ORDER), record.decides
    if not isinstance(order, Mapping):
        raise ValueError("the record has no order: an earlier version of dragon made it")
    settings = None
    if order["settings"] is not None:
        kind: Any = found(order["settings"]["class"])
        settings = section_of(kind, order["settings"]["values"])
        if settings.decides() != decides["recipe"]:
            raise ValueError("the order in its record has other settings than decided it")
    return Declaration(
        key=key,
        makes=makes,
        making=decides["making"],
        group="",
        inputs=_inputs(decides["making"], decides["reads"]),
        settings=settings,
        libraries=tuple(decides["libraries"]),
        observe=order["observe"],
        uses={catalogue: tuple(names) for catalogue, names in decides["uses"].items()},
        reads_beside="beside" in decides,
        together=order["together"],
    )


def _inputs(making: str, reads: list[str]) -> dict[str, str | dict[str, str]]:
    """The parameters of a making and their inputs; an input is its own key here."""
    given = list(inspect.signature(found(making)).parameters)[1:]
    inputs: dict[str, Any] = {name: {} for name in given if name != "settings"}
    for name in reads:
        parameter, _, inner = name.partition("/")
        if inner:
            inputs[parameter][inner] = name
        else:
            inputs[parameter] = name
    return inputs


def section_of(kind: type[Strict], values: Mapping[str, Any]) -> Strict:
    """A section from its values as JSON, in which a mapping is a list of pairs.

    Raises ValueError if the class has other fields by now.
    """
    return kind.model_validate(_written(kind, values))


def _written(kind: Any, value: Any) -> Any:
    """A value for a field of type ``kind``, as a person would have written it."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return _written(inner[0], value)
    if origin in (Union, types.UnionType):
        fitting = [one for one in inner if _fits(one, value)]
        return _written(fitting[0], value) if fitting else value
    if inspect.isclass(origin) and issubclass(origin, Mapping):
        pairs = value.items() if isinstance(value, Mapping) else value
        return {name: _written(inner[-1], one) for name, one in pairs}
    if origin in (list, tuple) and isinstance(value, list):
        return [_written(inner[0], one) for one in value]
    if inspect.isclass(kind) and issubclass(kind, Strict) and isinstance(value, Mapping):
        fields = kind.model_fields
        return {
            (fields[name].alias or name) if name in fields else name: (
                _written(fields[name].annotation, one) if name in fields else one
            )
            for name, one in value.items()
        }
    return value


def _fits(kind: Any, value: Any) -> bool:
    """Whether a value may be of one type of a union: a section's tags are those of the value."""
    while typing.get_origin(kind) is Annotated:
        kind = typing.get_args(kind)[0]
    origin = typing.get_origin(kind)
    if inspect.isclass(kind) and issubclass(kind, Strict):
        if not isinstance(value, Mapping):
            return False
        tags = {n: f.annotation for n, f in kind.model_fields.items() if _is_tag(f.annotation)}
        return all(value.get(name) in typing.get_args(tag) for name, tag in tags.items())
    if inspect.isclass(origin) and issubclass(origin, Mapping | list | tuple):
        return isinstance(value, Mapping | list)
    return False


def _is_tag(kind: Any) -> bool:
    return typing.get_origin(kind) is Literal and len(typing.get_args(kind)) == 1
