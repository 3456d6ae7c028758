"""broker/asyncapi.yaml says what broker/events.py does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from broker import cloudevents, events
from broker.signatures import Signer

Schema = Mapping[str, Any]

DOCUMENT = yaml.safe_load(Path(events.__file__).with_name("asyncapi.yaml").read_text(encoding="utf-8"))
NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
TYPES: dict[str, type] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
}
KEYWORDS = {"type", "format", "description", "properties", "required", "const", "allOf", "$ref"}


def concrete(kind: type[events.Event] = events.Event) -> Iterator[type[events.Event]]:
    """The events that have a type of their own."""
    if "type" in vars(kind):
        yield kind
    for child in kind.__subclasses__():
        yield from concrete(child)


# The platform's: tests have some of their own.
EVENTS = {kind.type: kind for kind in concrete() if kind.__module__ == events.__name__}
every_event = pytest.mark.parametrize("kind", EVENTS.values(), ids=EVENTS)


def test_every_event_has_a_channel_a_message_and_an_operation_and_nothing_else_has() -> None:
    assert set(DOCUMENT["channels"]) == set(EVENTS)
    assert set(DOCUMENT["components"]["messages"]) == set(EVENTS)
    announced = [operation["channel"]["$ref"] for operation in DOCUMENT["operations"].values()]
    assert sorted(announced) == sorted(f"#/channels/{name}" for name in EVENTS)


def test_every_reference_leads_somewhere() -> None:
    for reference in references(DOCUMENT):
        assert resolve({"$ref": reference}, DOCUMENT)


def test_a_schema_has_no_keyword_that_is_none() -> None:
    """As one is that a comma makes of the rest of a description."""
    assert {keyword for schema in all_schemas() for keyword in schema} == KEYWORDS


def test_a_whole_number_has_64_bits() -> None:
    whole = [schema for schema in all_schemas() if "integer" in schema.get("type", ())]
    assert whole
    assert {schema.get("format") for schema in whole} == {"int64"}


@every_event
def test_a_message_has_the_headers_that_it_is_sent_with(kind: type[events.Event]) -> None:
    made = cloudevents.headers(events.envelope(example(kind), NOW))
    (trait,) = DOCUMENT["components"]["messages"][kind.type]["traits"]
    promised = resolve(trait, DOCUMENT)["headers"]["required"]
    assert promised == [name for name in made if name.startswith("cloudEvents:")]
    assert {name.replace("cloudEvents:", "ce-") for name in promised} | set(promised) == set(made)
    assert all(isinstance(value, str) for value in made.values())


@every_event
def test_a_channel_is_the_exchange_and_the_routing_key(kind: type[events.Event]) -> None:
    channel = DOCUMENT["channels"][kind.type]
    declared = events.exchange(kind.source)
    described = resolve(channel["bindings"], DOCUMENT)["amqp"]
    assert described["is"] == "routingKey"
    assert described["exchange"] == {
        "name": declared.name,
        "type": declared.type,
        "durable": declared.durable,
        "autoDelete": declared.auto_delete,
    }
    assert channel["address"] == kind.type
    assert channel["messages"] == {kind.type: {"$ref": f"#/components/messages/{kind.type}"}}


@every_event
def test_the_data_have_the_fields_and_types_of_the_model(kind: type[events.Event]) -> None:
    model = kind.model_json_schema(mode="serialization")
    described = payload(kind.type)["allOf"][1]["properties"]["data"]
    assert shape(described, DOCUMENT) == shape(model, model)


@every_event
def test_an_envelope_fits_its_description(kind: type[events.Event]) -> None:
    made = events.envelope(example(kind), NOW)
    assert list(problems(made, payload(kind.type))) == []
    signed = Signer(b"any", "movies").signed(made)
    assert set(signed) == set(DOCUMENT["components"]["schemas"]["Envelope"]["properties"])


@every_event
def test_an_envelope_that_departs_from_its_description_is_noticed(kind: type[events.Event]) -> None:
    made = events.envelope(example(kind), NOW)
    urn = made["dataschema"]
    made |= {"time": 7, "dataschema": "urn:another", "data": {**made["data"], "version": "one"}}
    del made["subject"]
    found = list(problems(made, payload(kind.type)))
    assert set(found) == {
        "/subject: missing",
        "/time: not {'string'}",
        f"/dataschema: not {urn}",
        "/data/version: not {'integer'}",
    }


def test_the_consumers_envelope_asks_for_nothing_that_is_not_promised() -> None:
    promised = DOCUMENT["components"]["schemas"]["Envelope"]["required"]
    assert set(events.Envelope.model_json_schema()["required"]) <= set(promised)


def payload(event_type: str) -> Schema:
    described: Schema = DOCUMENT["components"]["messages"][event_type]["payload"]
    return described


def references(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        if "$ref" in node:
            yield node["$ref"]
        for child in node.values():
            yield from references(child)


def schemas(schema: Schema) -> Iterator[Schema]:
    """A schema and those inside it."""
    yield schema
    for child in (*schema.get("properties", {}).values(), *schema.get("allOf", ())):
        yield from schemas(child)


def all_schemas() -> list[Schema]:
    parts = DOCUMENT["components"]
    tops = [
        *parts["schemas"].values(),
        *(message["payload"] for message in parts["messages"].values()),
        *(trait["headers"] for trait in parts["messageTraits"].values()),
    ]
    return [schema for top in tops for schema in schemas(top)]


def resolve(node: Schema, root: Schema) -> Schema:
    """The node itself, or what its reference leads to."""
    while "$ref" in node:
        target: Any = root
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def types(schema: Schema) -> set[str]:
    """The JSON types that a schema names, be it as a list or as alternatives."""
    if "anyOf" in schema:
        return {name for choice in schema["anyOf"] for name in types(choice)}
    named = schema["type"]
    return {named} if isinstance(named, str) else set(named)


def shape(schema: Schema, root: Schema) -> Any:
    """What two schemas must have in common: fields, which of them must be there, types."""
    schema = resolve(schema, root)
    if "properties" not in schema:
        return types(schema)
    fields = {name: shape(field, root) for name, field in schema["properties"].items()}
    return {"fields": fields, "required": set(schema["required"])}


def example(kind: type[events.Event]) -> events.Event:
    """An event with every field filled in, by its model's own types; null where it may be."""
    model = kind.model_json_schema(mode="serialization")
    return kind.model_validate(filled(model, model))


def filled(schema: Schema, root: Schema) -> Any:
    schema = resolve(schema, root)
    if "properties" in schema:
        return {name: filled(field, root) for name, field in schema["properties"].items()}
    samples = {"null": None, "integer": 7, "number": 7.5, "string": "text", "boolean": True}
    return next(sample for name, sample in samples.items() if name in types(schema))


def problems(value: Any, schema: Schema, path: str = "") -> Iterator[str]:
    """Where `value` departs from `schema`, in the keywords that the document uses."""
    schema = resolve(schema, DOCUMENT)
    for part in schema.get("allOf", ()):
        yield from problems(value, part, path)
    if "type" in schema and not any(is_a(value, name) for name in types(schema)):
        yield f"{path}: not {types(schema)}"
        return
    if "const" in schema and value != schema["const"]:
        yield f"{path}: not {schema['const']}"
    if isinstance(value, Mapping):
        yield from (f"{path}/{name}: missing" for name in schema.get("required", ()) if name not in value)
        for name, field in schema.get("properties", {}).items():
            if name in value:
                yield from problems(value[name], field, f"{path}/{name}")


def is_a(value: Any, name: str) -> bool:
    if name in ("integer", "number"):
        return isinstance(value, int if name == "integer" else int | float) and not isinstance(value, bool)
    return isinstance(value, TYPES[name])
