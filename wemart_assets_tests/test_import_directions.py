"""Which folder of the package imports which: always in one direction, also in imports inside functions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
PACKAGE = PROJECT / "wemart_assets"

# What each folder, and each module beside them, may import of the package. An entry with a dot is only that part.
MAY_IMPORT: dict[str, set[str]] = {
    "clock": set(),
    "progress": set(),
    "text": set(),
    "simulator": set(),
    "lake": set(),
    "partitions": {"lake"},
    "dagster_runs": {"lake"},
    "dot_env": {"lake"},
    "init_folder": {"lake"},
    "sql": {"lake", "text"},
    "setting_values": {"lake"},
    "settings": {"lake", "setting_values"},
    "history": {"settings"},
    "sources": {"lake", "setting_values"},
    "marts": {"lake", "setting_values", "sources.contracts"},
    "catalog": {"lake", "marts", "sources.contract", "sources.contracts"},
    "automation": {"catalog", "lake", "partitions", "settings", "sources", "text"},
    "new_table": {"catalog", "lake"},
    "graph_svg": set(),
    "pages": {"catalog", "graph_svg", "lake", "setting_values", "settings", "sources"},
    "report": {"catalog", "clock", "lake", "settings", "sql"},
    "spark_sql": {"catalog", "lake", "settings"},
    "sql_command": {"catalog", "lake", "settings", "sql", "text"},
    "check_source": {"catalog", "clock", "lake", "settings", "sources", "text"},
    "export_command": {"catalog", "lake", "progress", "settings", "sql", "sql_command", "text"},
    "doctor": {"catalog", "dagster_runs", "definitions", "lake", "settings", "sources"},
    "definitions": {"automation", "catalog", "clock", "lake", "partitions", "report", "settings", "sources"},
    "cli": {
        *("automation", "catalog", "check_source", "clock", "dagster_runs", "definitions", "doctor", "dot_env"),
        *("export_command", "init_folder", "lake"),
        *("new_table", "pages", "progress", "report", "settings", "simulator", "sources", "spark_sql", "sql_command"),
        "text",
    },
}


def imports(file: Path, package: Path) -> Iterator[tuple[int, str]]:
    """The line and full name of each module that the file imports, and of each name from it that may be a module."""
    parents = (package.name, *file.relative_to(package).parent.parts)
    for node in ast.walk(ast.parse(file.read_text(), str(file))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = parents[: len(parents) + 1 - node.level] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def violations(package: Path) -> list[str]:
    """The imports that `MAY_IMPORT` does not allow, by file and line."""
    found = []
    for file in sorted(package.rglob("*.py")):
        part = file.relative_to(package).parts[0].removesuffix(".py")
        if part not in MAY_IMPORT and part != "__init__":
            found.append(f"{file.relative_to(package.parent)}: add '{part}' to MAY_IMPORT, and what it may import")
            continue
        allowed = {part, *MAY_IMPORT.get(part, ())}
        for line, name in imports(file, package):
            top, _, module = name.partition(".")
            of_package = top == package.name and module
            if of_package and not any(f"{module}.".startswith(f"{prefix}.") for prefix in allowed):
                may = ", ".join(sorted(allowed - {part})) or "nothing of the package"
                found.append(f"{file.relative_to(package.parent)}:{line} imports {module}; {part} may import {may}")
            elif top in (f"{package.name}_tests", "benchmarks"):
                found.append(f"{file.relative_to(package.parent)}:{line} imports {top}, which is not installed")
    return found


def test_the_package_imports_in_one_direction_only() -> None:
    assert violations(PACKAGE) == []


def test_what_may_be_imported_has_no_circle_and_nothing_that_is_gone() -> None:
    graph = {part: {name.partition(".")[0] for name in allowed} for part, allowed in MAY_IMPORT.items()}
    order = list(TopologicalSorter(graph).static_order())
    parts = {file.stem for file in PACKAGE.iterdir() if file.suffix == ".py" or (file / "__init__.py").exists()}
    assert set(order) == parts - {"__init__"}


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("lake/x.py", "\nimport wemart_assets.sources.mapping", "2 imports sources.mapping; lake may import nothing"),
        ("lake/x.py", "from wemart_assets import settings", "1 imports settings; lake may"),
        ("lake/x.py", "from ..marts import sessions", "1 imports marts.sessions; lake may"),
        ("sources/a/x.py", "def f():\n    from ...settings import S", "2 imports settings.S; sources may import lake,"),
        ("marts/a/x.py", "from wemart_assets.sources.landing import L", "1 imports sources.landing.L; marts may"),
        ("settings.py", "if True:\n    from .marts.a import b", "2 imports marts.a.b; settings may"),
        ("clock.py", "import wemart_assets_tests.engines", "1 imports wemart_assets_tests, which is not installed"),
        ("extra/x.py", "", " add 'extra' to MAY_IMPORT, and what it may import"),
    ],
)
def test_a_wrong_import_is_named_by_file_and_line(tmp_path: Path, path: str, text: str, message: str) -> None:
    file = tmp_path / "wemart_assets" / path
    file.parent.mkdir(parents=True)
    file.write_text(text)
    [found] = violations(tmp_path / "wemart_assets")
    assert found.startswith(f"wemart_assets/{path}:{message}")


def test_what_is_allowed_is_no_violation(tmp_path: Path) -> None:
    file = tmp_path / "wemart_assets" / "marts" / "sessions" / "x.py"
    file.parent.mkdir(parents=True)
    file.write_text(
        "import ibis\nimport wemart_assets\nfrom . import y\nfrom ...sources.contracts.core import events\n"
    )
    assert violations(tmp_path / "wemart_assets") == []
