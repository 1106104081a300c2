"""Settings classes in, a JSON schema of config files out, for editors to complete and check them.

``python -m sensor_ad.schema configs/schema.json`` remakes the committed one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sensor_ad.config import Config
from sensor_ad.detector_names import OWN_DETECTORS, PYOD_TESTED
from sensor_ad.durable import write_text

NARROWED: dict[tuple[str, str], dict[str, Any]] = {
    ("DataSettings", "separator"): {"enum": [",", ";", "\t", "|"]},
    ("PrepareSettings", "window"): {"enum": [1 << power for power in range(3, 13)]},
}
"""(Section, key) -> what a validator of the settings allows, which the classes do not tell."""
DETECTORS = {"enum": [*OWN_DETECTORS, *(f"pyod:{name}" for name in PYOD_TESTED)]}


def config_schema() -> dict[str, Any]:
    """Give the JSON schema of a config file.

    Keys that are not settings are left out, and so is null, for which TOML has no word: an optional
    key is simply not written.
    """
    schema = Config.model_json_schema(by_alias=True)
    del schema["properties"]["folder"]
    sections = schema["$defs"]
    sections["Config"] = schema
    for (section, key), narrower in NARROWED.items():
        sections[section]["properties"][key] |= narrower
    sections["ScoringSettings"]["properties"]["detectors"] |= {
        "items": {"type": "string", **DETECTORS},
        "uniqueItems": True,
    }
    for section in sections.values():
        section.pop("title")
        section["properties"] = {key: _cleaned(v) for key, v in section["properties"].items()}
    del sections["Config"]
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "sensor_ad config",
        **{key: schema[key] for key in ("description", "type", "additionalProperties")},
        "properties": schema["properties"],
        "$defs": sections,
    }


def _cleaned(value: dict[str, Any]) -> dict[str, Any]:
    """One key without made-up titles, nulls and the defaults of whole sections."""
    value = {key: inner for key, inner in value.items() if key != "title"}
    options = [one for one in value.pop("anyOf", []) if one != {"type": "null"}]
    for option in options:
        value = {**option, **value}
    if value.get("default", 0) is None or "$ref" in value:
        value.pop("default", None)
    # JSON's date-time asks for a zone; in a config a time without one is plant time.
    value.pop("format", None)
    if "prefixItems" in value:  # draft 7, which editors know best, has no such word
        value["items"] = value.pop("prefixItems")[0]
    return value


def schema_text() -> str:
    """Give the schema as the text of a file."""
    return json.dumps(config_schema(), indent=2, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the JSON schema of config files: `python -m sensor_ad.schema [FILE]`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("file", nargs="?", type=Path, help="default: standard output")
    file = parser.parse_args(arguments).file
    if file is None:
        sys.stdout.write(schema_text())
    else:
        write_text(file, schema_text())


if __name__ == "__main__":
    main()
