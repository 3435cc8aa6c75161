"""The shape of the tree: what no linter sees. `pytest -rP tests/test_tidy.py` also lists the longest functions."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

REPOSITORY: Final = Path(__file__).resolve().parents[1]
SOURCE: Final = REPOSITORY / "src" / "pinyon"
FILE_LINES_MAX: Final = 600
"""Well above the largest file that is still about one thing; at this size a file has become several."""


def tracked_files(*patterns: str) -> list[Path]:
    """Files of the checkout, those too that git does not ignore and does not have yet."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns]
    names = subprocess.check_output(command, cwd=REPOSITORY, text=True).split("\0")
    return [REPOSITORY / name for name in sorted({name for name in names if name}) if (REPOSITORY / name).is_file()]


PYTHON_FILES: Final = tracked_files("*.py")
SOURCE_FILES: Final = [path for path in PYTHON_FILES if path.is_relative_to(SOURCE)]
MARKDOWN_FILES: Final = tracked_files("*.md")


def named(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def headings(path: Path) -> set[str]:
    """The anchors of a page, as code hosts make them from its headings."""
    titles = re.findall(r"^#+ +(.+?) *$", without_code(path.read_text()), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", MARKDOWN_FILES, ids=named)
def test_links_of_a_page_lead_somewhere(page):
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in headings(target)):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "AGENTS.md", "CONTRIBUTING.md"])
def test_files_that_a_page_names_exist(page):
    """Paths in backticks, `pinyon/…` ones from `src`."""
    names = re.findall(r"`((?:src/|tests/|docs/|benchmarks/|examples/|requirements/|pinyon/)[\w./-]*)`", read(page))
    missing = [name for name in names if not ((REPOSITORY / name).exists() or (SOURCE.parent / name).exists())]
    assert not missing


def read(name: str) -> str:
    return (REPOSITORY / name).read_text()


def test_the_architecture_names_every_package():
    packages = [path.parent.relative_to(SOURCE).as_posix() for path in SOURCE_FILES if path.name == "__init__.py"]
    page = read("ARCHITECTURE.md")
    assert [name for name in packages if name != "." and f"`{name}/`" not in page] == []


def test_the_architecture_gives_a_reason_for_every_dependency():
    requirements = tomllib.loads(read("pyproject.toml"))["project"]["dependencies"]
    names = [re.split(r"[^\w-]", requirement)[0] for requirement in requirements]
    section = read("ARCHITECTURE.md").partition("## Dependencies")[2]
    assert [name for name in names if f"| {name} |" not in section] == []


@pytest.mark.parametrize("path", PYTHON_FILES, ids=named)
def test_a_file_is_about_one_thing(path):
    assert len(path.read_text().splitlines()) <= FILE_LINES_MAX


# ---------------------------------------------------------------------------------------------------------------------
# Who touches files. Ruff bans the functions of `os`; it cannot see the methods of `Path`.

TOUCHES_FILES: Final = {"storage/local.py", "storage/lock.py", "storage/machine.py"}
READS_ITS_FILE: Final = {"settings.py"}
# Without `replace`, which strings and a Storage have too.
PATH_METHODS: Final = {
    "chmod", "exists", "glob", "hardlink_to", "is_dir", "is_file", "iterdir", "mkdir", "open", "read_bytes",
    "read_text", "rename", "resolve", "rglob", "rmdir", "stat", "symlink_to", "touch", "unlink",
    "write_bytes", "write_text",
}  # fmt: skip


def imports_path(tree: ast.Module) -> bool:
    return any(isinstance(node, ast.ImportFrom | ast.Import) and "pathlib" in ast.dump(node) for node in ast.walk(tree))


def file_calls(path: Path) -> Iterator[str]:
    """Calls of `open`, and in a module that knows `Path`, of its methods that reach the disk."""
    tree = ast.parse(path.read_text())
    knows_path = imports_path(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id == "open":
            yield f"{named(path)}:{node.lineno}: open()"
        if knows_path and isinstance(node.func, ast.Attribute) and node.func.attr in PATH_METHODS:
            yield f"{named(path)}:{node.lineno}: .{node.func.attr}()"


def test_only_storage_touches_files():
    allowed = {SOURCE / name for name in TOUCHES_FILES | READS_ITS_FILE}
    others = [path for path in SOURCE_FILES if path not in allowed and (SOURCE / "testing") not in path.parents]
    assert [call for path in others for call in file_calls(path)] == []


def test_file_calls_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.test_tidy.REPOSITORY", tmp_path)
    (tmp_path / "a.py").write_text("from pathlib import Path\nPath('x').read_text()\nopen('y')\n'z'.upper()\n")
    assert list(file_calls(tmp_path / "a.py")) == ["a.py:2: .read_text()", "a.py:3: open()"]


def test_the_configuration_file_is_all_that_settings_read():
    assert [call.rpartition(" ")[2] for call in file_calls(SOURCE / "settings.py")] == [".read_bytes()"]


# ---------------------------------------------------------------------------------------------------------------------
# Words. History belongs to git; the names of folders that say nothing attract what belongs nowhere.

HISTORY: Final = re.compile(r"#.*\b(phase \d|formerly|for now|hack|FIXME|XXX)\b|\bTODO\b(?! ?\(#\d+\))", re.IGNORECASE)
EMPTY_NAMES: Final = {"utils", "util", "common", "helpers", "helper", "core", "base", "misc"}


@pytest.mark.parametrize("path", SOURCE_FILES, ids=named)
def test_comments_tell_no_history_and_a_todo_has_an_issue(path):
    lines = enumerate(path.read_text().splitlines(), start=1)
    assert [f"{number}: {line.strip()}" for number, line in lines if HISTORY.search(line)] == []


def test_names_of_modules_say_what_is_in_them():
    assert [named(path) for path in SOURCE_FILES if EMPTY_NAMES & {path.stem, path.parent.name}] == []


def test_every_lock_has_hashes_and_names_no_registry():
    for lock in tracked_files("requirements/*.lock"):
        text = lock.read_text()
        pins = re.findall(r"^[a-z][\w.-]*(?:\[\w+\])?==", text, flags=re.MULTILINE)
        assert pins
        assert len(re.findall(r"^    --hash=sha256:[0-9a-f]{64}", text, flags=re.MULTILINE)) >= len(pins)
        assert "://" not in text


def test_every_change_has_a_fragment_of_a_known_kind():
    kinds = {kind["directory"] for kind in tomllib.loads(read("pyproject.toml"))["tool"]["towncrier"]["type"]}
    for fragment in tracked_files("changes/*.md"):
        match = re.fullmatch(r"(?:\d+|\+[\w-]+)\.(\w+)\.md", fragment.name)
        assert fragment.name == "README.md" or (match and match[1] in kinds), fragment.name


def test_sizes_are_printed_for_the_reviewer():
    """A long function asks a question; it fails nothing."""
    functions = [
        ((node.end_lineno or 0) - node.lineno + 1, f"{named(path)}:{node.lineno} {node.name}")
        for path in SOURCE_FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert functions
    for lines, where in sorted(functions, reverse=True)[:10]:
        print(f"{lines:5} lines  {where}")
