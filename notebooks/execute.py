"""Execute notebooks and store their outputs: `python notebooks/execute.py notebooks/*.ipynb`, or `make notebooks`."""

import re
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

# The frames of a progress bar, and what moves the cursor between them.
BAR = re.compile(r"[^\n]*━[^\n]*\n?|\x1b\[[0-9;?]*[A-Za-z]")


def execute(path: Path) -> nbformat.NotebookNode:
    """The notebook with new outputs; what it writes goes to a temporary folder."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        # Times and versions would change with every execution.
        client = NotebookClient(
            notebook, timeout=1200, record_timing=False, resources={"metadata": {"path": folder}}, kernel_name="python3"
        )
        client.execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not _bar(output)]
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def _bar(output: nbformat.NotebookNode) -> bool:
    """Whether an output is a progress bar and nothing else, which has no place in a file."""
    text = output.get("text") or output.get("data", {}).get("text/plain", "")
    return "━" in text and not BAR.sub("", text).strip()


if __name__ == "__main__":
    for name in sys.argv[1:]:
        start = time.monotonic()
        nbformat.write(execute(Path(name)), name)
        print(f"{name}: {time.monotonic() - start:.0f} s", flush=True)
