"""Derives from foreign keys how tables can be embedded in each other. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import permutations

from local_stack.rest.schema_cache import Cardinality, Relationship, Table

Name = tuple[str, str]


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A foreign key; ``columns`` are pairs (own column, referenced column)."""

    name: str
    schema: str
    table: str
    foreign_schema: str
    foreign_table: str
    columns: tuple[tuple[str, str], ...]


def derive_relationships(
    foreign_keys: Iterable[ForeignKey],
    uniques: Mapping[Name, set[frozenset[str]]],
    tables: Mapping[Name, Table],
) -> dict[Name, tuple[Relationship, ...]]:
    """List each table's relationships, both ways, many-to-many included.

    A foreign key on unique columns is one-to-one. Keys that cross schemas are left out.
    """
    found: dict[Name, list[Relationship]] = defaultdict(list)
    by_table: dict[Name, list[ForeignKey]] = defaultdict(list)
    for key in foreign_keys:
        if key.schema != key.foreign_schema:
            continue
        near: Name = (key.schema, key.table)
        by_table[near].append(key)
        unique = frozenset(own for own, _ in key.columns) in uniques.get(near, set())
        forward: Cardinality = "one-to-one" if unique else "many-to-one"
        backward: Cardinality = "one-to-one" if unique else "one-to-many"
        found[near].append(
            Relationship(key.table, key.foreign_table, key.name, key.columns, forward)
        )
        swapped = tuple((far, own) for own, far in key.columns)
        found[key.foreign_schema, key.foreign_table].append(
            Relationship(key.foreign_table, key.table, key.name, swapped, backward)
        )
    for name, keys in by_table.items():
        for owner, relationship in _many_to_many(keys, tables.get(name)):
            found[owner].append(relationship)
    return {name: tuple(relationships) for name, relationships in found.items()}


def _many_to_many(
    keys: list[ForeignKey], junction: Table | None
) -> Iterable[tuple[Name, Relationship]]:
    if junction is None:
        return
    primary = set(junction.primary_key)
    for one, two in permutations(keys, 2):
        columns = {own for own, _ in one.columns} | {own for own, _ in two.columns}
        if not columns <= primary:
            continue
        text = f"{junction.name} using {_described(one)} and {_described(two)}"
        yield (
            (one.foreign_schema, one.foreign_table),
            Relationship(
                one.foreign_table,
                two.foreign_table,
                one.name,
                (),
                "many-to-many",
                junction.name,
                text,
            ),
        )


def _described(key: ForeignKey) -> str:
    return f"{key.name}({', '.join(own for own, _ in key.columns)})"
