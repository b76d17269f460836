"""What the documents point at is there."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")


def test_there_are_pages():
    assert {"README.md", "CHANGELOG.md", "CONTRIBUTING.md"} < {page.name for page in PAGES}
    assert sum(len(LINK.findall(page.read_text())) for page in PAGES) > 50


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    missing = [target for target in LINK.findall(page.read_text()) if not (page.parent / target).exists()]
    assert not missing


def test_no_picture_of_the_documents_is_left_out_of_the_repository():
    pictures = [str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.png")]
    ignored = subprocess.run(["git", "check-ignore", "--", *pictures], cwd=ROOT, capture_output=True, text=True)
    assert pictures
    assert ignored.stdout == ""
