"""The terminal: headings, paragraphs, commands, and one line that moves.

Colour where the terminal has it and nobody minds (NO_COLOR), box drawing where the
encoding has it; otherwise plain text, of which nothing is rewritten.
"""

from __future__ import annotations

import os
import shutil
import textwrap
from collections.abc import Iterable
from enum import Enum
from typing import TextIO

from demo.checks import Counts

_MAX_WIDTH = 100
_MIN_WIDTH = 78
_INDENT = "  "
_TO_ASCII = str.maketrans("─│┌┐└┘├┤┬┴┼█░", "-|+++++++++#.")


class Style(Enum):
    """Colours, by what they mean."""

    PLAIN = ""
    STRONG = "1"
    QUIET = "2"
    HARDWARE = "32"
    SOFTWARE = "33"
    GOOD = "32;1"
    BAD = "31;1"


class Screen:
    """Writes to a terminal, or to what is none."""

    def __init__(
        self, out: TextIO, *, width: int, colour: bool, live: bool, boxes: bool
    ) -> None:
        self._out = out
        self.width = width
        self._colour = colour
        self._live = live
        self._boxes = boxes
        self._moving = False

    @classmethod
    def of(cls, out: TextIO, plain: bool = False) -> Screen:
        """Make a screen that suits where it writes to."""
        columns = shutil.get_terminal_size((_MAX_WIDTH, 24)).columns
        terminal = out.isatty() and not plain and os.environ.get("TERM") != "dumb"
        return cls(
            out,
            # A line that ends at the last column leaves some terminals in doubt.
            width=max(min(columns - 1, _MAX_WIDTH), _MIN_WIDTH),
            colour=terminal and not os.environ.get("NO_COLOR"),
            live=terminal and columns > _MIN_WIDTH,
            boxes=(out.encoding or "").lower().replace("-", "") == "utf8",
        )

    def paint(self, text: str, style: Style) -> str:
        """Return a text in a style."""
        if not self._colour or style is Style.PLAIN:
            return text
        return f"\x1b[{style.value}m{text}\x1b[0m"

    def line(self, text: str = "") -> None:
        """Write a line; one that moves is left as it is."""
        self._settle()
        self._write(text + "\n")

    def lines(self, texts: Iterable[str], style: Style = Style.PLAIN) -> None:
        """Write lines as they are, indented."""
        for text in texts:
            self.line(self.paint(f"{_INDENT}{text}".rstrip(), style))

    def heading(self, text: str) -> None:
        """Begin an act."""
        rule = "─" * max(self.width - len(text) - 4, 0)
        self.line()
        self.line(
            self.paint("── ", Style.QUIET)
            + self.paint(text, Style.STRONG)
            + self.paint(f" {rule}", Style.QUIET)
        )

    def paragraph(self, text: str, style: Style = Style.PLAIN) -> None:
        """Write a paragraph, wrapped."""
        self.lines(wrapped(" ".join(text.split()), self.width - len(_INDENT)), style)

    def command(self, where: str, command: str) -> None:
        """Show a command as it was typed at a node, line by line."""
        room = self.width - len(_INDENT) - len(where) - len("#  \\")
        lines = textwrap.dedent(command).strip("\n").splitlines()
        if len(lines) == 1:
            lines = " \\\n".join(wrapped(command, room, "    ")).splitlines()
        first, *rest = lines
        self.line(
            f"{_INDENT}{self.paint(f'{where}#', Style.QUIET)} "
            f"{self.paint(first, Style.STRONG)}"
        )
        for text in rest:
            self.line(f"{_INDENT}{' ' * len(where)}  {self.paint(text, Style.STRONG)}")

    def quote(self, text: str, style: Style = Style.PLAIN) -> None:
        """Show what a command has printed; long lines go on further to the right."""
        for printed in text.splitlines():
            room = self.width - 2 * len(_INDENT)
            for piece in wrapped(printed, room, "    "):
                self.line(f"{_INDENT * 2}{self.paint(piece, style)}")

    def moving(self, text: str) -> None:
        """Show a line that the next one takes the place of; only where lines can move."""
        if self._live:
            self._write(f"\r{text}\x1b[K")
            self._moving = True

    def settled(self, text: str) -> None:
        """Write a line in the place of the one that moves."""
        if self._moving:
            self._write(f"\r{text}\x1b[K\n")
            self._moving = False
        else:
            self.line(text)

    def bar(self, counts: Counts, width: int) -> str:
        """Draw hardware's and software's part of the packets."""
        if not counts.total:
            return " " * width
        hardware = round(counts.share * width)
        # Neither is drawn as nothing when it is something.
        hardware = max(hardware, 1) if counts.hardware else 0
        hardware = min(hardware, width - 1) if counts.software else width
        return self.paint("█" * hardware, Style.HARDWARE) + self.paint(
            "░" * (width - hardware), Style.SOFTWARE
        )

    def _settle(self) -> None:
        if self._moving:
            self._write("\n")
            self._moving = False

    def _write(self, text: str) -> None:
        if not self._boxes:
            text = text.translate(_TO_ASCII)
        self._out.write(text)
        self._out.flush()


def wrapped(text: str, width: int, further: str = "") -> list[str]:
    """Break a text into lines; its own indentation stays."""
    return textwrap.wrap(
        text,
        width,
        subsequent_indent=further,
        break_long_words=False,
        break_on_hyphens=False,
    )
