"""The documents, and the code and commands in them."""

import re
from pathlib import Path
from typing import NamedTuple

from hyperlaw.cli import app

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
# Those that show code.
SHOWN = [page for page in PAGES if re.search(r"^```(python|shell)$", page.read_text(), re.MULTILINE)]
VERBS = [command.name or command.callback.__name__ for command in app.registered_commands]
_BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]+) -->\n)?^```(?P<language>python|shell)\n(?P<code>.*?)^```"
    r"|^    (?P<line>hyperlaw .*?)$",
    re.DOTALL | re.MULTILINE,
)
_COMMAND = re.compile(r"^(?: {4})?((?:[A-Z_]+=\S+ )?(?:hyperlaw|make|pip|python[0-9.]*) [^\n]+)$", re.MULTILINE)


class Block(NamedTuple):
    """A block of code: its language, and why it is not run where it is not."""

    language: str
    code: str
    reason: str | None


def name(page: Path) -> str:
    """Path of a page in the repository."""
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[Block]:
    """The code of a page, in order; a command that is set in by itself is a block of the shell."""
    return [
        Block(found["language"] or "shell", found["code"] or found["line"], found["reason"])
        for found in _BLOCK.finditer(page.read_text())
    ]


def slow(page: Path) -> bool:
    """Whether a page says that its code takes long."""
    return "<!-- slow: " in page.read_text()


def commands(page: Path) -> list[str]:
    """Commands of a page: lines of the shell's blocks, and lines that are set in."""
    text = page.read_text()
    shell = re.findall(r"^```shell\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    inset = re.findall(r"^ {4}\S.*$", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
    return _COMMAND.findall("\n".join([*shell, *inset]))
