"""What is counted and noted while an export is read, and the account made of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sensor_ad.records import RowAccount

QUOTED_CHARACTERS = 40
"""A cell is shown up to this length in a message."""
SHOWN = 5
"""Different texts or codes that are shown in a note; the first ones, or the most frequent."""


def quoted(text: str) -> str:
    """Show what stands in a cell: quoted, on one line, cut when long."""
    shown = text if len(text) <= QUOTED_CHARACTERS else text[:QUOTED_CHARACTERS] + "…"
    return repr(shown)


@dataclass
class Tally:
    """Counts of one reading; changed by the stages as the rows pass."""

    rows_in: int = 0
    kept: int = 0
    sorted: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    first_dropped: dict[str, str] = field(default_factory=dict)
    """Reason -> where the first line dropped for it stands; for damage of the file, not of rows."""
    not_numbers: Counter[str] = field(default_factory=Counter)
    """Tag -> cells that hold something, but no number."""
    unknown: dict[str, Counter[str]] = field(default_factory=dict)
    """Tag -> texts that nobody knows, and their cells."""
    absurd: Counter[str] = field(default_factory=Counter)
    """Tag -> cells beyond every physical value."""
    codes: dict[str, Counter[str]] = field(default_factory=dict)
    """System -> quality codes it does not know, the first few, and their cells; "" for others."""
    firsts: dict[tuple[str, str], str] = field(default_factory=dict)
    """(kind of fault, tag or system of codes) -> the first such cell and where it stands."""
    notes: list[str] = field(default_factory=list)

    def note(self, sentence: str) -> None:
        """Say a sentence once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def drop(self, reason: str, where: str, rows: int = 1) -> None:
        """Count lines that are dropped; the first of each reason is remembered."""
        self.dropped[reason] += rows
        self.first_dropped.setdefault(reason, where)

    def strange_codes(self, system: str, codes: Iterable[str], where: str) -> None:
        """Count cells with quality codes that a system does not know.

        Parameters
        ----------
        codes
            In the order of their cells.
        where
            The first of these stands.
        """
        known = self.codes.setdefault(system, Counter())
        self.firsts.setdefault(("code", system), where)
        for code in codes:
            known[code if code in known or len(known) < SHOWN else ""] += 1

    def take(self, other: Tally) -> None:
        """Take the lines that another counted as dropped, and its notes; not its rows."""
        self.dropped.update(other.dropped)
        for reason, where in other.first_dropped.items():
            self.first_dropped.setdefault(reason, where)
        for sentence in other.notes:
            self.note(sentence)

    def account(self, tags: Sequence[str]) -> RowAccount:
        """Return where the rows went; what is said of tags comes in their order."""
        lines = [
            f"{count} line{'s' * (count > 1)} dropped as {reason} (first: "
            f"{self.first_dropped[reason]})"
            for reason, count in sorted(self.dropped.items())
            if reason in self.first_dropped
        ]
        cells = [
            f"tag {tag}: {_cells(count)} not {'a number' if count == 1 else 'numbers'} "
            f"(first: {self.firsts['not a number', tag]}): treated as missing"
            for tag in tags
            if (count := self.not_numbers[tag])
        ] + [
            f"tag {tag}: {_cells(count)} beyond ±1e300 "
            f"(first: {self.firsts['absurd', tag]}): treated as missing"
            for tag in tags
            if (count := self.absurd[tag])
        ]
        cells += [
            f"tag {tag}: unknown text{'s' * (len(texts) > 1)} "
            f"{_counted(texts.most_common(SHOWN))}: "
            "say by data.texts what is meant"
            for tag in tags
            if (texts := self.unknown.get(tag))
        ]
        cells += [
            f"{_codes(codes)} none of {system} (first: {self.firsts['code', system]}): taken as bad"
            for system, codes in self.codes.items()
        ]
        return RowAccount(
            rows_in=self.rows_in,
            kept=self.kept,
            dropped=dict(sorted(self.dropped.items())),
            sorted=self.sorted,
            notes=tuple(self.notes + lines + cells),
        )


def _cells(count: int) -> str:
    return "1 cell is" if count == 1 else f"{count} cells are"


def _counted(texts: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{quoted(text)} ({count})" for text, count in texts)


def _codes(codes: Counter[str]) -> str:
    """Name quality codes, the first ones with their number of cells, as a subject with its verb."""
    named = [(code, count) for code, count in codes.items() if code]
    others = f" and others ({codes['']})" if codes[""] else ""
    plural = len(named) > 1
    return f"quality code{'s' * plural} {_counted(named)}{others} {'are' if plural else 'is'}"
