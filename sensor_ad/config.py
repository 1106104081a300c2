"""Settings, one class per stage: a TOML file comes in, checked settings go out.

A key that does not exist is refused with the nearest one that does; all such faults are told at
once. Relative paths start at the folder of the config file; ``${NAME}`` in a path is an environment
variable. Reasons for the defaults stand in ``configs/default.toml``.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

import tomli_w
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from sensor_ad.detector_names import check_detector
from sensor_ad.errors import UsageError
from sensor_ad.tags_file import read_tags_file


def _as_time(value: object) -> object:
    """TOML knows times; a text in ISO form is taken as well."""
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{value!r} is not an ISO time such as 2026-03-01T06:00") from None
    return value


NETWORK_WORDS = ("conv", "linear", "conv2d", "vae", "lstm", "cnn", "tft")
"""The networks by their word; see `sensor_ad.models`."""
OWN_NETWORK = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"
"""A user's own network by its import path: ``package.module:Class``."""

THOUSANDS = ("", ".", ",", "'", "\u2019", " ", "\u00a0", "\u202f")
"""Signs that may stand between thousands."""

Time = Annotated[datetime, BeforeValidator(_as_time)]
Policy = Literal["refuse", "tolerate"]


class _Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False
    )


class Exclusion(_Section):
    """A stretch of history that must not be learnt: a fault, a repair, a test."""

    from_: Time = Field(alias="from", description="Begin, ISO time; naive times are plant time.")
    to: Time = Field(description="End, ISO time; naive times are plant time.")
    reason: str = Field("", description="Why; shown in the report.")

    @model_validator(mode="after")
    def _ordered(self) -> Exclusion:
        from_, to = self.from_, self.to
        if (from_.tzinfo is None) != (to.tzinfo is None):
            raise ValueError("'from' and 'to' must both carry a zone, or both be plant time")
        if from_ >= to:
            raise ValueError(f"'from' ({self.from_}) must be before 'to' ({self.to})")
        return self


class TagSettings(_Section):
    """What the engineer knows about one tag."""

    unit: str = Field("", description="Unit of the values, for the report and to refuse changes.")
    description: str = Field("", description="What the tag measures, for the report.")
    low: float | None = Field(None, description="Lowest physically possible value, plant units.")
    high: float | None = Field(None, description="Highest physically possible value, plant units.")
    role: Literal["measurement", "set-point", "command", "ignore"] = Field(
        "measurement", description="'ignore' keeps the tag out of the model."
    )
    states: tuple[str, ...] = Field(
        (), description="Texts of a digital tag's states, numbered from 0 in this order."
    )
    stepped: bool = Field(
        False, description="Single values hold until the next one; else lines lie between them."
    )


NOT_IN_FILE = ("states", "stepped")
"""What a tags file has no column for."""


class DataSettings(_Section):
    """How exports are read, and which rows count."""

    train: tuple[str, ...] = Field((), description="Exports to train on: files, folders.")
    timezone: str = Field("UTC", description="IANA zone of times that carry none, and of reports.")
    clock: Literal["local", "standard time"] = Field(
        "local", description="'standard time': the plant's clock never changes to summer time."
    )
    profile: str | None = Field(None, description="Profile that `sensor-ad inspect` saved.")
    layout: Literal["wide", "long", "paired", "tag files"] | None = Field(
        None, description="How tables are laid out; found if unset."
    )
    time_column: str | tuple[str, str] | None = Field(
        None, description="The time's column, or those of date and time of day; found if unset."
    )
    time_format: str | None = Field(
        None, description="Format of the times; decided over the whole column if unset."
    )
    tag_column: str | None = Field(None, description="In long tables: names of the tags.")
    value_column: str | None = Field(None, description="In long tables: the values.")
    quality_column: str | None = Field(None, description="In long tables: the quality codes.")
    quality_codes: str | None = Field(
        None, description="Whose quality codes they are; found if unset."
    )
    treat_uncertain_as_bad: bool = Field(
        False, description="Whether values of uncertain quality count as bad."
    )
    texts: dict[str, str] = Field(
        {}, description="Text in the place of a number = 'bad' or 'no data'."
    )
    max_hold_s: float | None = Field(
        None, gt=0, description="How long a single value may stand; learnt per tag if unset."
    )
    separator: str | None = Field(None, description="CSV separator; found if unset.")
    decimal: Literal[".", ","] | None = Field(None, description="Decimal sign; found if unset.")
    thousands: str | None = Field(
        None, description="Sign between thousands; found if unset, empty for none."
    )
    header: bool = Field(True, description="Whether a line names the columns.")
    names: tuple[str, ...] = Field((), description="Names of the columns, instead of the header's.")
    transposed: bool = Field(False, description="Whether tags are lines and times columns.")
    sheet: str | None = Field(None, description="Sheet of a workbook; the only table if unset.")
    encoding: str | None = Field(None, description="Encoding of text files; found if unset.")
    allow_compressed: bool = Field(False, description="Unpack gzip while it is read.")
    label_columns: tuple[str, ...] = Field((), description="Columns that no model may see.")
    ignore_columns: tuple[str, ...] = Field((), description="Columns that are not read at all.")
    start: Time | None = Field(None, description="Time of the first row, if there is no column.")
    period_s: float | None = Field(None, gt=0, description="With start: seconds per row.")
    lookback_rows: int = Field(1_000_000, ge=0, description="How far a row may be out of order.")
    duplicates: Literal["refuse", "last", "mean"] = Field(
        "refuse", description="Rows of the same time with different values."
    )
    exclude: tuple[Exclusion, ...] = Field((), description="Bad history: never trained on.")
    use_when: str = Field("", description="Only rows where this holds count.")
    tags_file: str | None = Field(None, description="CSV with tag,unit,description,low,high,role.")

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str) -> str:
        if value not in available_timezones():
            near = difflib.get_close_matches(value, sorted(available_timezones()), 1, 0.5)
            hint = f"; did you mean {near[0]!r}?" if near else " such as 'Europe/Berlin'"
            raise ValueError(f"{value!r} is not an IANA time zone{hint}")
        return value

    @field_validator("separator")
    @classmethod
    def _separator(cls, value: str | None) -> str | None:
        if value is not None and value not in (",", ";", "\t", "|", " "):
            raise ValueError(f"{value!r} is not one of ',', ';', tab, '|', a blank")
        return value

    @field_validator("thousands")
    @classmethod
    def _thousands(cls, value: str | None) -> str | None:
        if value is not None and value not in THOUSANDS:
            raise ValueError(f"{value!r} is not one of '.', ',', an apostrophe, a blank, nothing")
        return value

    @field_validator("use_when")
    @classmethod
    def _condition(cls, value: str) -> str:
        from sensor_ad.conditions import parse_condition

        if value.strip():
            parse_condition(value)
        return value.strip()

    @model_validator(mode="after")
    def _start_with_period(self) -> DataSettings:
        if (self.start is None) != (self.period_s is None):
            raise ValueError("'start' and 'period_s' stand for a missing time column together")
        return self


class PrepareSettings(_Section):
    """Readings to a regular grid, segments and parts."""

    period_s: float | None = Field(
        None, gt=0, description="Grid period; the export's own if unset."
    )
    window: int = Field(64, ge=8, le=4096, description="Window length L in grid rows.")
    max_hole_s: float | None = Field(
        None, ge=0, description="Longer gaps split segments; an eighth of a window if unset."
    )
    min_observed: float = Field(
        0.3, gt=0, le=1, description="Share of a window that must be observed to score a row."
    )
    few_states: int = Field(8, ge=2, description="At most so many values: a few-state tag.")
    parts: tuple[float, float, float] = Field(
        (0.6, 0.15, 0.25), description="Shares of train, validate and calibrate."
    )

    @field_validator("window")
    @classmethod
    def _power_of_two(cls, value: int) -> int:
        if value & (value - 1):
            lower = 1 << (value.bit_length() - 1)
            raise ValueError(f"{value} is not a power of two; take {lower} or {2 * lower}")
        return value

    @field_validator("parts")
    @classmethod
    def _sum_to_one(cls, value: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(value) <= 0 or abs(sum(value) - 1) > 1e-6:
            raise ValueError(f"{list(value)} must be three shares above 0 that add up to 1")
        return value


class ModelSettings(_Section):
    """Which network, and how large; sizes follow window and tags when unset."""

    name: str = Field(
        "conv",
        description="The network: one of ours by its word, or one's own as 'package.module:Class'.",
        json_schema_extra={
            "pattern": f"^({'|'.join(NETWORK_WORDS)})$|{OWN_NETWORK}",
            "examples": [*NETWORK_WORDS],
        },
    )
    latent: int | None = Field(None, ge=1, description="Size of the bottleneck D.")
    width: int | None = Field(None, ge=4, description="Channels of the hidden layers.")
    layer: str | None = Field(
        None, description="Layer whose outputs are the latents; the network's bottleneck if unset."
    )
    options: dict[str, bool | int | float | str] = Field(
        {}, description="What this network takes beyond; see docs/models.md."
    )

    @field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in NETWORK_WORDS and not re.match(OWN_NETWORK, value):
            near = difflib.get_close_matches(value, NETWORK_WORDS, 1, 0.4)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"{value!r} is not one of {', '.join(NETWORK_WORDS)}, nor the import path "
                f"'package.module:Class' of a network of your own{hint}"
            )
        return value


class TrainingSettings(_Section):
    """The training loop."""

    max_epochs: int = Field(60, ge=1, description="At most so many epochs.")
    patience: int = Field(10, ge=1, description="Epochs without gain before the early stop.")
    batch: int = Field(64, ge=1, description="Windows per step.")
    learning_rate: float = Field(3e-3, gt=0, description="Highest rate of the schedule.")
    weight_decay: float = Field(1e-4, ge=0, description="AdamW's decay.")
    clip_norm: float = Field(1.0, gt=0, description="Largest norm of the gradient.")
    hide_cells: float = Field(0.05, ge=0, lt=1, description="Share of single cells hidden.")
    hide_stretches: float = Field(
        0.1, ge=0, lt=1, description="Chance per tag of a hidden stretch."
    )
    hide_tags: float = Field(0.1, ge=0, lt=1, description="Chance per tag of being hidden whole.")


class ScoringSettings(_Section):
    """Which evidence is gathered."""

    detectors: tuple[str, ...] = Field(
        ("mahalanobis", "isolation_forest", "nearest"),
        description="Detectors on the latents: own ones by name, PyOD's as 'pyod:NAME'.",
    )
    level_shift: bool = Field(
        True, description="Evidence from the readings' levels, and from how much they move."
    )
    patterns: bool = Field(True, description="Evidence from windows unlike every normal one.")
    mask_faulty_sensors: bool = Field(
        True, description="Hide a sensor from the model from when its fault is certain."
    )
    bank_size: int = Field(2048, ge=16, description="Latents kept for 'nearest'.")
    trees: int = Field(100, ge=10, description="Trees of the isolation forest.")

    @field_validator("detectors")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            check_detector(name)
        if len(set(value)) < len(value):
            raise ValueError(f"{list(value)} names a detector twice")
        return value


class LimitSettings(_Section):
    """The alarm budget."""

    events: float = Field(2.0, gt=0, description="At most so many false events …")
    days: float = Field(30.0, gt=0, description="… in so many days of scorable time.")


class EventSettings(_Section):
    """How alarms become events."""

    pause_s: float | None = Field(
        None, ge=0, description="Alarms closer than this are one event; one window if unset."
    )
    fade: float = Field(
        0.33,
        ge=0,
        lt=1,
        description="An alarm fades at so much of its highest excess over the limit.",
    )
    release: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Share of the limit below which the score must fall for an alarm to end.",
    )
    min_length_s: float = Field(0.0, ge=0, description="Shorter events are dropped, and counted.")


class ReportSettings(_Section):
    """What the report shows."""

    tsne: bool = Field(False, description="A t-SNE map of the machine's states; takes seconds.")


class CompareSettings(_Section):
    """What happens when an export differs from what the model was trained on."""

    missing_tag: Policy = Field("refuse", description="A tag of the model is not in the export.")
    extra_tag: Policy = Field("tolerate", description="The export has a tag the model lacks.")
    period: Policy = Field("refuse", description="The export has another sampling period.")
    unit: Policy = Field("refuse", description="The config gives a tag another unit than then.")


class Config(_Section):
    """Everything a command needs to know; one file per asset."""

    asset: str = Field("asset", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="Name.")
    workspace: str = Field("workspace", description="Folder for models, checkpoints and context.")
    reports: str = Field("reports", description="Folder for reports.")
    seed: int = Field(0, ge=0, description="Seed of every random choice.")
    device: str = Field(
        "auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N."
    )
    threads: int = Field(0, ge=0, description="CPU threads; 0 leaves it to the libraries.")
    data: DataSettings = DataSettings()
    tags: dict[str, TagSettings] = Field({}, description="What is known of each tag.")
    prepare: PrepareSettings = PrepareSettings()
    model: ModelSettings = ModelSettings()
    training: TrainingSettings = TrainingSettings()
    scoring: ScoringSettings = ScoringSettings()
    limit: LimitSettings = LimitSettings()
    events: EventSettings = EventSettings()
    report: ReportSettings = ReportSettings()
    compare: CompareSettings = CompareSettings()
    folder: Path = Field(Path(), exclude=True, description="Folder of the file; not a key.")

    def path(self, text: str) -> Path:
        """Resolve a path of the config: environment variables, ``~``, the file's own folder."""
        return (self.folder / Path(_with_environment(text)).expanduser()).resolve()

    @property
    def zone(self) -> ZoneInfo:
        """The plant's time zone."""
        return ZoneInfo(self.data.timezone)


def load_config(path: Path) -> Config:
    """Read and check a config file.

    Raises
    ------
    UsageError
        The file is missing, is not TOML, or has keys or values that are not allowed; all at once.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(_missing(path, error)) from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text; save the config as UTF-8.") from None
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(
            f"{path} is not valid TOML: {error}; correct that place (texts need quotes)."
        ) from None
    return make_config(raw, folder=path.parent, origin=str(path))


def make_config(raw: dict[str, Any], folder: Path = Path(), origin: str = "the config") -> Config:
    """Check settings that come as a plain dict (from TOML, or from Python).

    Raises
    ------
    UsageError
        One message that lists every key and value at fault.
    """
    raw = dict(raw)
    if "folder" in raw:
        raise UsageError(f"{origin}: unknown key 'folder'; remove it.")
    data = raw.get("data")
    tags_file = data.get("tags_file") if isinstance(data, dict) else None
    if isinstance(tags_file, str):
        columns = ["tag", *(key for key in TagSettings.model_fields if key not in NOT_IN_FILE)]
        rows = read_tags_file((folder / _with_environment(tags_file)).resolve(), columns)
        raw["tags"] = {**rows, **raw.get("tags", {})}
    try:
        return Config.model_validate({**raw, "folder": folder.resolve()})
    except ValidationError as error:
        faults = "; ".join(_describe(fault, raw) for fault in error.errors())
        stop = "" if faults.endswith("?") else "."
        raise UsageError(f"{origin}: {faults}{stop} Correct the config and run again.") from None


def to_table(config: Config) -> dict[str, Any]:
    """Give the settings as plain values; unset keys are left out, the tags file is read in."""
    table = config.model_dump(mode="json", by_alias=True, exclude_none=True)
    table["data"].pop("tags_file", None)
    return table


def to_toml(config: Config) -> str:
    """Write the settings as TOML text, for reports."""
    return tomli_w.dumps(to_table(config))


def shipped_config(name: str) -> Path:
    """Path of a config that comes with the program, from a checkout or an installed wheel."""
    here = Path(__file__).parent
    for folder in (here / "configs", here.parent / "configs"):
        if (folder / name).is_file():
            return folder / name
    raise UsageError(f"{name} does not come with this installation of sensor_ad; reinstall it.")


def _with_environment(text: str) -> str:
    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in os.environ:
            raise UsageError(
                f"the path {text!r} needs the environment variable {name}, which is not set; "
                f"set it to the folder meant, or write the path out in the config."
            )
        return os.environ[name]

    return re.sub(r"\$\{(\w+)\}", value, text)


def _missing(path: Path, error: OSError) -> str:
    if not isinstance(error, FileNotFoundError):
        return f"{path} cannot be read ({error.strerror}); name a config file that can."
    names = [p.name for p in path.parent.glob("*.toml")] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, names, 1, 0.4)
    hint = f"did you mean {path.parent / near[0]}?" if near else "name an existing TOML file."
    return f"the config {path} does not exist; {hint}"


def _describe(fault: Any, raw: dict[str, Any]) -> str:
    """One fault of pydantic's as a clause: key, value found, what was expected."""
    location = [str(part) for part in fault["loc"]]
    key = ".".join(location)
    if fault["type"] == "extra_forbidden":
        near = difflib.get_close_matches(location[-1], _keys_beside(location[:-1]), 1, 0.5)
        return f"unknown key '{key}'" + (f" (did you mean '{near[0]}'?)" if near else "")
    message = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "value_error":
        return f"'{key}': {message}"
    return f"'{key}' = {fault['input']!r}: {message[0].lower()}{message[1:]}"


def _keys_beside(location: list[str]) -> list[str]:
    """Name the keys that exist in one section."""
    section: type[BaseModel] = Config
    for part in location:
        if part == "tags" or section is TagSettings:
            section = TagSettings
            continue
        kind = section.model_fields[part].annotation if part in section.model_fields else None
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            section = kind
        elif part == "exclude":
            section = Exclusion
    return [field.alias or name for name, field in section.model_fields.items() if name != "folder"]
