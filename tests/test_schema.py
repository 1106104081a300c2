"""The JSON schema of configs: as committed, and telling right from wrong like the program does."""

from __future__ import annotations

import datetime
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import BaseModel

from sensor_ad.config import Config, make_config
from sensor_ad.errors import UsageError
from sensor_ad.schema import config_schema, main, schema_text

CONFIGS = Path(__file__).parents[1] / "configs"


def plain(value: Any) -> Any:
    """TOML values as an editor hands them to the schema: times are texts."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value.isoformat() if isinstance(value, datetime.date) else value


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft7Validator:
    schema = config_schema()
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


def test_schema_is_the_committed_one() -> None:
    committed = (CONFIGS / "schema.json").read_text(encoding="utf-8")
    assert committed == schema_text(), "run: python -m sensor_ad.schema configs/schema.json"


def test_schema_is_written_to_a_file_or_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(tmp_path / "schema.json")])
    main([])
    assert (tmp_path / "schema.json").read_text(encoding="utf-8") == schema_text()
    assert capsys.readouterr().out == schema_text()


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.name)
def test_configs_are_valid_and_name_the_schema(
    path: Path, validator: jsonschema.Draft7Validator
) -> None:
    text = path.read_text(encoding="utf-8")
    validator.validate(plain(tomllib.loads(text)))
    assert text.startswith("#:schema ./schema.json\n")


def sections(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Every settings class below `model` by its name, itself left out."""
    found: dict[str, type[BaseModel]] = {}
    for field in model.model_fields.values():
        kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found |= {kind.__name__: kind, **sections(kind)}
    return found


def test_every_key_is_described_and_no_other_is_there() -> None:
    schema = config_schema()
    assert set(schema["properties"]) == set(Config.model_fields) - {"folder"}
    classes = sections(Config)
    assert set(schema["$defs"]) == set(classes)
    for name, model in classes.items():
        properties = schema["$defs"][name]["properties"]
        assert set(properties) == {f.alias or key for key, f in model.model_fields.items()}
        assert [key for key, value in properties.items() if not value.get("description")] == []
        assert schema["$defs"][name]["additionalProperties"] is False


@pytest.mark.parametrize(
    "table",
    [
        {"prepare": {"windw": 64}},
        {"prepare": {"window": 60}},
        {"prepare": {"parts": [0.5, 0.5]}},
        {"data": {"separator": "#"}},
        {"data": {"duplicates": "first"}},
        {"data": {"exclude": [{"from": "2026-01-01"}]}},
        {"scoring": {"detectors": ["pyod:ECOD"]}},
        {"scoring": {"detectors": ["nearest", "nearest"]}},
        {"tags": {"flow": {"role": "setpoint"}}},
        {"training": {"learning_rate": 0}},
        {"folder": "here"},
        {"asset": "no blanks"},
    ],
    ids=str,
)
def test_schema_refuses_what_the_program_refuses(
    table: dict[str, Any], validator: jsonschema.Draft7Validator
) -> None:
    assert not validator.is_valid(table)
    with pytest.raises(UsageError):
        make_config(table)


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"tags": {"Volume Flow RateRMS": {"unit": "l/min", "low": 0, "high": 60.5}}},
        {"data": {"start": "2026-01-01T00:00:00", "period_s": 1}},
        {"data": {"exclude": [{"from": "2026-01-01", "to": "2026-01-02T06:00", "reason": "x"}]}},
        {"scoring": {"detectors": ["pyod:KNN"]}, "model": {"latent": 4}},
    ],
    ids=str,
)
def test_schema_takes_what_the_program_takes(
    table: dict[str, Any], validator: jsonschema.Draft7Validator
) -> None:
    validator.validate(table)
    make_config(table)
