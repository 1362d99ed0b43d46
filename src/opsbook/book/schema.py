"""The JSON Schema of book.yaml (draft 2020-12), so that editors complete and check it."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from opsbook.book.catalogue import Catalogue, NoParameters, Parameters
from opsbook.book.model import VERSION, book_model

ID = f"urn:opsbook:book:{VERSION}"

EXAMPLE: dict[str, Any] = {
    "opsbook": VERSION,
    "system": "shop",
    "environments": {"production": {"policy": "strict"}},
    "components": {"cache": {"kind": "redis", "url": "${REDIS_URL}"}},
    "checks": [{"id": "cache-up", "observe": "redis.up", "of": "cache", "critical": "is down"}],
}


class _Plain(GenerateJsonSchema):
    """Without titles that only repeat the key."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False


def book_schema(catalogue: Catalogue) -> dict[str, Any]:
    """The schema of a book that uses this catalogue: its component kinds, observations and their parameters."""
    schema = book_model(catalogue).model_json_schema(schema_generator=_Plain)
    definitions = schema["$defs"]
    _close(schema)
    _name_observations(definitions, catalogue)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": ID,
        "title": "book.yaml",
        **{key: value for key, value in schema.items() if key not in ("$defs", "title")},
        "examples": [EXAMPLE],
        "$defs": dict(sorted(definitions.items())),
    }


def _close(schema: Any) -> None:
    """Mappings by name hold nothing else."""
    if isinstance(schema, dict):
        if "patternProperties" in schema:
            schema.setdefault("additionalProperties", False)
        for inner in schema.values():
            _close(inner)
    elif isinstance(schema, list):
        for inner in schema:
            _close(inner)


def _name_observations(definitions: dict[str, Any], catalogue: Catalogue) -> None:
    """What can be observed is completed, and the parameters of each observation with it."""
    for model in ("Check", "Job"):
        observe = definitions[model]["properties"]["observe"]
        names = {"enum": list(catalogue.observations)}
        if "anyOf" in observe:  # a job need not observe anything
            observe["anyOf"] = [names, {"type": "null"}]
        else:
            observe.update(names)
        definitions[model]["allOf"] = [
            {
                "if": {"properties": {"observe": {"const": name}}, "required": ["observe"]},
                "then": _with(f"parameters-of-{name}", spec.parameters, definitions),
            }
            for name, spec in catalogue.observations.items()
            if spec.parameters is not NoParameters
        ]


def parameter_schema(parameters: type[Parameters]) -> dict[str, Any]:
    """The schema of an observation's parameters."""
    return parameters.model_json_schema(schema_generator=_Plain)


def _with(key: str, parameters: type[Parameters], definitions: dict[str, Any]) -> dict[str, Any]:
    schema = parameter_schema(parameters)
    definitions.update(schema.pop("$defs", {}))
    definitions[key] = schema
    then: dict[str, Any] = {"properties": {"with": {"$ref": f"#/$defs/{key}"}}}
    if schema.get("required"):
        then["required"] = ["with"]
    return then
