"""The documents tell the truth: their commands run, and they name every command, option and key."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from pydantic import BaseModel

import sensor_ad.errors
from sensor_ad.cli import INTERRUPTED, TERMINATED, app
from sensor_ad.config import Config, Exclusion, TagSettings, load_config, make_config

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "data" / "README.md",
    ROOT / "reports" / "README.md",
]
USER_DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
DEFAULTS = ROOT / "configs" / "default.toml"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUN_BY_HAND = ("make ", "git clone ", "cd ")
"""Commands of the README that install, or that are tests of their own."""


def blocks(path: Path, language: str) -> list[str]:
    """Texts of a document's code blocks in one language."""
    found = FENCE.findall(path.read_text(encoding="utf-8"))
    return [text for kind, text in found if kind == language]


def commands(path: Path) -> list[tuple[str, str]]:
    """Each command behind a prompt, with the output printed below it."""
    found = []
    for block in blocks(path, "sh"):
        for piece in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = piece.partition("\n")
            found.append((command, output))
    return found


# --- the README's commands ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder like a fresh clone, in which the README's commands are run one by one."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("configs", "data"):
        shutil.copytree(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def printed(copy: Path) -> dict[str, str]:
    """Run each command of README and features.md; gives what it printed, if it ended with 0."""
    outputs = {}
    for command, _ in shown_commands():
        if not command.startswith(RUN_BY_HAND):
            outputs[command] = run(command, copy)
    return outputs


def shown_commands() -> list[tuple[str, str]]:
    """Commands with their output; those of docs/features.md use the model of the README's."""
    return [*commands(ROOT / "README.md"), *commands(ROOT / "docs" / "features.md")]


def run(command: str, folder: Path) -> str:
    """Run one command of the README with the present Python; returns its standard output."""
    words = shlex.split(command, comments=True)
    program = {"sensor-ad": ["-m", "sensor_ad.cli"], "python": []}[words[0]]
    done = subprocess.run(
        [sys.executable, *program, *words[1:]],
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=600,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"},
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_readme_commands_run(printed: dict[str, str]) -> None:
    assert {command.split()[1] for command in printed} >= {
        "inspect", "train", "score", "models", "features", "map",
    }  # fmt: skip
    assert all(output.strip() for output in printed.values()), printed


def test_readme_shows_what_is_printed(printed: dict[str, str]) -> None:
    shown = dict(shown_commands())
    for command in printed:
        if command.split()[1] == "inspect":
            assert printed[command].split() == shown[command].split()
        # Ids, times and figures differ from machine to machine; the words do not.
        assert first_words(printed[command]) == first_words(shown[command]), command


def first_words(text: str) -> list[str]:
    """Give the words of the first line that hold no digit."""
    line = next(line for line in text.splitlines() if line.strip())
    return [word for word in line.split() if not re.search(r"\d", word)]


def test_readme_example_in_python_runs(printed: dict[str, str], copy: Path) -> None:
    (example,) = blocks(ROOT / "README.md", "python")
    (copy / "example.py").write_text(example, encoding="utf-8")
    assert "E2026" in run("python example.py", copy)


def test_readme_config_is_one_that_the_program_takes() -> None:
    for example in blocks(ROOT / "README.md", "toml"):
        make_config(tomllib.loads(example))


def test_readme_names_every_file_of_a_run(printed: dict[str, str], copy: Path) -> None:
    (folder,) = (copy / "reports" / "demo-pump").iterdir()
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert sorted(f"{p.name}" for p in folder.iterdir() if f"`{p.name}`" not in text) == ["figures"]
    assert "`figures/*.png`" in text


# --- commands, options, exit codes --------------------------------------------------------------


def every_command(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    subcommands: dict[str, Any] = getattr(command, "commands", {})
    if not subcommands:
        yield name, command
    for word, inner in subcommands.items():
        yield from every_command(inner, f"{name} {word}".strip())


COMMANDS = dict(every_command(typer.main.get_command(app), ""))


def section(text: str, heading: str) -> str:
    """Give what stands below a heading, up to the next one."""
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", text, re.M | re.S)
    assert found, f"docs/commands.md has no heading {heading!r}"
    return found.group(1)


@pytest.mark.parametrize("name", COMMANDS)
def test_command_and_its_options_are_documented(name: str) -> None:
    text = section((ROOT / "docs" / "commands.md").read_text(encoding="utf-8"), f"`{name}`")
    for parameter in COMMANDS[name].params:
        is_option = parameter.param_type_name == "option"
        for word in parameter.opts if is_option else [parameter.name.upper().removesuffix("S")]:
            assert f"`{word}" in text, f"docs/commands.md, {name}: {word} is missing"


def test_documents_name_no_option_that_does_not_exist() -> None:
    known = {word for c in COMMANDS.values() for p in c.params for word in p.opts}
    known |= {"--help", "--version"}
    for path in USER_DOCUMENTS:
        used = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", path.read_text(encoding="utf-8")))
        assert used <= known, path.name


@pytest.mark.parametrize("name", ["README.md", "docs/commands.md"])
def test_every_exit_code_is_documented(name: str) -> None:
    faults = [value for value in vars(sensor_ad.errors).values() if isinstance(value, type)]
    codes = {0, sensor_ad.errors.PARTLY_DONE, INTERRUPTED, TERMINATED}
    codes |= {fault.exit_code for fault in faults}
    text = (ROOT / name).read_text(encoding="utf-8")
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)} == codes


# --- configs ------------------------------------------------------------------------------------


def uncommented(text: str) -> str:
    """default.toml with its examples switched on."""
    return re.sub(r'^#(?=[a-z"])', "", text, flags=re.MULTILINE)


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Dotted names of all keys, those of lists and tables of sections left out."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from keys(kind, f"{prefix}{name}.")
        elif name != "folder":
            yield prefix + (field.alias or name)


def has(table: dict[str, Any], key: str) -> bool:
    for part in key.split("."):
        if part not in table:
            return False
        table = table[part]
    return True


def test_default_toml_holds_the_defaults() -> None:
    assert load_config(DEFAULTS) == make_config({}, folder=DEFAULTS.parent)


def test_default_toml_has_every_key() -> None:
    text = DEFAULTS.read_text(encoding="utf-8")
    table = tomllib.loads(uncommented(text))
    assert [key for key in keys(Config) if not has(table, key)] == []
    for model in (Exclusion, TagSettings):
        for key in keys(model):
            assert re.search(rf"^#.*\b{key}\b", text, re.MULTILINE), key


def test_default_toml_writes_out_every_key_that_has_a_default() -> None:
    table = tomllib.loads(DEFAULTS.read_text(encoding="utf-8"))
    unset = {key for key in keys(Config) if not has(table, key)}
    defaults = Config().model_dump(by_alias=True)
    for key in keys(Config):
        value: Any = defaults
        for part in key.split("."):
            value = value[part]
        assert (value is None) == (key in unset), key


def test_examples_in_default_toml_are_valid(tmp_path: Path) -> None:
    text = uncommented(DEFAULTS.read_text(encoding="utf-8"))
    shutil.copy(ROOT / "data" / "tags.csv", tmp_path)
    example = re.search(r"^# (exclude = \[\{.*)$", text, re.MULTILINE)
    assert example
    config = tmp_path / "config.toml"
    config.write_text(text.replace("exclude = []", example.group(1)), encoding="utf-8")
    loaded = load_config(config)
    assert loaded.data.exclude[0].reason == "impeller clogged"
    assert loaded.tags["Volume Flow RateRMS"].role == "set-point"


# --- documents as such --------------------------------------------------------------------------


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    text = re.sub(FENCE, "", path.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), f"{path.name} links to {target}"
        if anchor:
            assert anchor in anchors(there), f"{path.name} links to {target}"


def anchors(path: Path) -> set[str]:
    """Names under which a document's headings can be linked to."""
    text = re.sub(FENCE, "", path.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_architecture_names_every_module() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    package = ROOT / "sensor_ad"
    modules = [p.relative_to(package).as_posix() for p in package.rglob("*.py")]
    assert [m for m in modules if not m.endswith("__init__.py") and f"`{m}`" not in text] == []


def test_architecture_names_no_module_that_does_not_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for name in re.findall(r"`([\w/]+\.py)`", text):
        assert (ROOT / "sensor_ad" / name).is_file() or (ROOT / name).is_file(), name


def test_report_picture_is_small() -> None:
    assert (ROOT / "docs" / "images" / "report.png").stat().st_size < 300_000
