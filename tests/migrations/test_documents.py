"""The pages that are about the migrations say what the migrations say."""

from __future__ import annotations

import importlib.util
import re

from tests.support.cluster import REPOSITORY, Database

DBA = REPOSITORY / "docs" / "howto" / "dba.md"
PICTURE = REPOSITORY / "docs" / "reference" / "entity-relationships.md"


async def test_the_picture_is_that_of_the_catalogue(empty_database: Database) -> None:
    path = REPOSITORY / "tools" / "entity_relationships.py"
    spec = importlib.util.spec_from_file_location("entity_relationships", path)
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    page = await tool.render(empty_database.url)
    assert page == PICTURE.read_text(encoding="utf-8"), "run: python tools/entity_relationships.py"


def test_the_page_for_the_dba_lists_every_migration_with_its_own_words() -> None:
    page = DBA.read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\d{14}_\w+)` \|", page, re.MULTILINE)
    files = sorted((REPOSITORY / "supabase" / "migrations").glob("*.sql"))
    assert listed == [file.stem for file in files], "run: python tools/dba_page.py"
    for file in files:
        purpose = re.search(r"-- Purpose: *(.+)", file.read_text(encoding="utf-8"))
        assert purpose is not None
        assert purpose[1].replace("|", "\\|") in page, f"{file.name}: run python tools/dba_page.py"
