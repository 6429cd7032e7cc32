"""The map in CONTRIBUTING.md: every module with the first line of its docstring.

python scripts/layout.py           prints it
python scripts/layout.py --write   writes it between the two marks in CONTRIBUTING.md
python scripts/layout.py --check   fails if what stands there is another
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "CONTRIBUTING.md"
BEGIN, END = "<!-- layout: python scripts/layout.py --write -->\n```\n", "```\n<!-- end of layout -->\n"
FOLDERS = ("src/lmzip", "benchmarks", "docs/reference_decoder")
FIRST = {"__init__.py": 0, "__main__.py": 1}


def first_line(path: Path) -> str:
    """Of a module's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").partition("\n")[0]


def rows(folder: Path, depth: int) -> list[str]:
    """A line for each module, files before folders."""
    lines = []
    for path in sorted(folder.glob("*.py"), key=lambda path: (FIRST.get(path.name, 2), path.name)):
        if path.name != "__init__.py":
            lines.append(f"{'  ' * depth}{path.name:<{28 - 2 * depth}} {first_line(path)}")
    for path in sorted(path for path in folder.iterdir() if (path / "__init__.py").exists()):
        lines.append(f"{'  ' * depth}{path.name + '/':<{28 - 2 * depth}} {first_line(path / '__init__.py')}")
        lines += rows(path, depth + 1)
    return lines


def layout() -> str:
    """The map."""
    lines = []
    for name in FOLDERS:
        start = ROOT / name / "__init__.py"
        about = first_line(start) if start.exists() else ""
        lines += [f"{name + '/':<28} {about}".rstrip(), *rows(ROOT / name, 1)]
    return "".join(line.rstrip() + "\n" for line in lines)


def main() -> None:
    """Print, write or check."""
    text = DOCUMENT.read_text("utf-8")
    begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    if sys.argv[1:] == ["--write"]:
        DOCUMENT.write_text(text[:begin] + layout() + text[end:], "utf-8")
    elif sys.argv[1:] == ["--check"]:
        if text[begin:end] != layout():
            sys.exit("the layout in CONTRIBUTING.md is another: python scripts/layout.py --write")
    else:
        print(layout(), end="")


if __name__ == "__main__":
    main()
