"""information_schema, pg_catalog and the functions beside them, over a catalog that SQL has defined."""
from __future__ import annotations

from typing import Any

import pytest
from sql_tools import sql_database

from definition_tools import Sql

from phantomdb.core.catalog import virtual
from phantomdb.core.catalog.virtual_table import TABLES
from phantomdb.core.catalog.virtual_types import TYPES, format_type, oid_of_name, type_modifier, type_oid
from phantomdb.core.query import context
from phantomdb.core.query.errors import QueryError, UndefinedColumn, UndefinedTable
from phantomdb.core.query.functions.registry import resolve
from phantomdb.core.values import (
    ANY, BIGINT, BOOL, BYTES, DATE, DOUBLE, INT, INTERVAL, JSON, NUMERIC, REAL, SMALLINT, TEXT, TIME, TIMESTAMP,
    TIMESTAMPTZ, UUID_TYPE, Kind, array, char, decimal, varchar,
)

DEFINITIONS = """
    create schema s;
    create table s.customer (id bigint primary key, code varchar(10) unique);
    create table item (id int generated always as identity, price numeric(8,2) default 1.50 check (price > 0), name text
        not null, twice int generated always as (id * 2) stored, n serial, owner bigint references s.customer on delete
        cascade deferrable initially deferred, at timestamptz, tags text[], primary key (name, id));
    create unique index "Odd Name" on item (lower(name) desc, (price + 1), owner nulls first) where price > 5;
    create index old on item (at) with (ttl_s = 60);
    create collection note; create index on note (author.name) with (multi_key);
    create view v as select id, name from item;
    create sequence q increment 2 cycle maxvalue 9;
    comment on table item is 'things'; comment on column item.price is 'in euros'"""


@pytest.fixture
def sql() -> Sql:
    return Sql(DEFINITIONS)


def rows(sql: Sql, name: str, **wanted: Any) -> list[dict[str, Any]]:
    """The rows of a virtual table with these values."""
    schema, _, plain = name.rpartition(".")
    table = virtual.find(schema, plain)
    assert table is not None
    names = [column for column, _ in table.columns]
    made = [dict(zip(names, row, strict=True)) for row in table.rows(virtual.VirtualContext(sql.catalog, "main"))]
    return [row for row in made if all(row[key] == value for key, value in wanted.items())]


def call(sql: Sql, name: str, *arguments: Any) -> Any:
    """A function, called as a statement would."""
    types = [BOOL if isinstance(item, bool) else BIGINT if isinstance(item, int) else TEXT for item in arguments]
    if name in ("pg_get_indexdef", "col_description", "format_type"):
        types[1:2] = [INT] * (len(types) > 1)
    with context.use(context.StatementContext(catalog=sql.catalog, search_path=tuple(sql.path))):
        return resolve(name, types).overload.python(*arguments)


def test_every_table_gives_values_of_its_types(sql: Sql) -> None:
    classes: dict[Kind, type] = {Kind.BOOL: bool, Kind.INT: int, Kind.TEXT: str, Kind.FLOAT: float, Kind.ARRAY: list}
    for name, table in TABLES.items():
        assert table.name == name
        for row in table.rows(virtual.VirtualContext(sql.catalog, "main", settings={"timezone": "UTC"})):
            assert len(row) == len(table.columns)
            for (column, type_), value in zip(table.columns, row, strict=True):
                assert value is None or type(value) is classes[type_.kind], (name, column, value)


def test_find() -> None:
    assert virtual.find("", "pg_class") is virtual.find("pg_catalog", "pg_class") is not None
    assert virtual.find("information_schema", "pg_class") is None
    assert virtual.find("pg_catalog", "tables") is None


def test_object_ids_are_distinct_and_stay(sql: Sql) -> None:
    for table, column in (("pg_class", "oid"), ("pg_constraint", "oid"), ("pg_attrdef", "oid"), ("pg_type", "oid"),
                          ("pg_proc", "oid"), ("pg_namespace", "oid")):
        made = [row[column] for row in rows(sql, table)]
        assert len(set(made)) == len(made), table
    before = {row["conname"]: row["oid"] for row in rows(sql, "pg_constraint")}
    sql.run("alter table item add check (n > 0); alter table item rename to thing")
    after = {row["conname"]: row["oid"] for row in rows(sql, "pg_constraint")}
    assert before.items() <= after.items()


def test_no_schema_has_the_id_of_pg_catalog() -> None:
    """One that had made the join of collations and schemas give a row twice."""
    with sql_database("".join(f"CREATE SCHEMA s{number};" for number in range(15))) as session:
        assert session.execute("SELECT oid FROM pg_namespace GROUP BY oid HAVING count(*) > 1").fetchall() == []
        text = """SELECT attname, (SELECT collname FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
                  WHERE c.oid = a.attcollation) FROM pg_attribute a"""
        session.execute("CREATE TABLE t (a text)")
        assert session.execute(text).fetchall() == [("a", "default")]


def test_information_schema_tables_and_columns(sql: Sql) -> None:
    found = rows(sql, "information_schema.tables")
    assert {(row["table_schema"], row["table_name"], row["table_type"]) for row in found} == {
        ("s", "customer", "BASE TABLE"), ("public", "item", "BASE TABLE"), ("public", "note", "BASE TABLE"),
        ("public", "v", "VIEW")}
    columns = {row["column_name"]: row for row in rows(sql, "information_schema.columns", table_name="item")}
    assert list(columns) == ["id", "price", "name", "twice", "n", "owner", "at", "tags"]
    price, number = columns["price"], columns["n"]
    assert (price["data_type"], price["numeric_precision"], price["numeric_scale"], price["column_default"]) == (
        "numeric", 8, 2, "1.50")
    assert number["column_default"] == "nextval('item_n_seq'::regclass)" and number["is_nullable"] == "NO"
    assert (columns["id"]["is_identity"], columns["id"]["identity_generation"], columns["id"]["column_default"]) == (
        "YES", "ALWAYS", None)
    assert (columns["twice"]["is_generated"], columns["twice"]["generation_expression"]) == ("ALWAYS", "id * 2")
    assert (columns["tags"]["data_type"], columns["tags"]["udt_name"]) == ("ARRAY", "_text")
    code = rows(sql, "information_schema.columns", column_name="code")[0]
    assert (code["data_type"], code["character_maximum_length"]) == ("character varying", 10)
    assert [row["column_name"] for row in rows(sql, "information_schema.columns", table_name="v")] == ["id", "name"]


def test_information_schema_constraints(sql: Sql) -> None:
    kinds = {row["constraint_name"]: row["constraint_type"] for row in rows(sql, "information_schema.table_constraints")
             if "not_null" not in row["constraint_name"]}
    assert kinds == {"customer_pkey": "PRIMARY KEY", "customer_code_key": "UNIQUE", "item_pkey": "PRIMARY KEY",
                     "item_price_check": "CHECK", "item_owner_fkey": "FOREIGN KEY", "note_pkey": "PRIMARY KEY"}
    key = rows(sql, "information_schema.key_column_usage", constraint_name="item_pkey")
    assert [(row["column_name"], row["ordinal_position"]) for row in key] == [("name", 1), ("id", 2)]
    (foreign,) = rows(sql, "information_schema.key_column_usage", constraint_name="item_owner_fkey")
    assert (foreign["column_name"], foreign["position_in_unique_constraint"]) == ("owner", 1)
    (usage,) = rows(sql, "information_schema.constraint_column_usage", constraint_name="item_owner_fkey")
    assert (usage["table_schema"], usage["table_name"], usage["column_name"]) == ("s", "customer", "id")
    (rule,) = rows(sql, "information_schema.referential_constraints")
    assert (rule["unique_constraint_schema"], rule["unique_constraint_name"], rule["delete_rule"]) == (
        "s", "customer_pkey", "CASCADE")
    (check,) = rows(sql, "information_schema.check_constraints", constraint_name="item_price_check")
    assert check["check_clause"] == "(price > 0)"


def test_information_schema_the_rest(sql: Sql) -> None:
    assert [row["schema_name"] for row in rows(sql, "information_schema.schemata")] == [
        "pg_catalog", "information_schema", "public", "s"]
    assert {row["sequence_name"] for row in rows(sql, "information_schema.sequences")} == {"item_id_seq", "item_n_seq",
                                                                                           "q"}
    assert rows(sql, "information_schema.sequences", sequence_name="q")[0]["cycle_option"] == "YES"
    assert rows(sql, "information_schema.views")[0]["view_definition"] == " select id, name from item;"


def test_pg_class_and_attributes(sql: Sql) -> None:
    kinds = {row["relname"]: row["relkind"] for row in rows(sql, "pg_class")}
    assert {name for name, kind in kinds.items() if kind == "r"} == {"customer", "item", "note"}
    assert {name for name, kind in kinds.items() if kind == "i"} == {
        "customer_pkey", "customer_code_key", "item_pkey", "Odd Name", "old", "note_pkey", "note_author_name_idx"}
    assert (kinds["v"], kinds["q"]) == ("v", "S")
    item = sql.table("item").id
    attributes = {row["attname"]: row for row in rows(sql, "pg_attribute", attrelid=item)}
    assert attributes["price"]["atttypmod"] == ((8 << 16) | 2) + 4 and attributes["price"]["atthasdef"]
    assert (attributes["id"]["attidentity"], attributes["id"]["atthasdef"]) == ("a", False)
    assert (attributes["twice"]["attgenerated"], attributes["name"]["attnotnull"]) == ("s", True)
    defaults = {row["adnum"]: row["adbin"] for row in rows(sql, "pg_attrdef", adrelid=item)}
    assert defaults == {2: "1.50", 4: "id * 2", 5: "nextval('item_n_seq'::regclass)"}


def test_pg_index(sql: Sql) -> None:
    (odd_class,) = rows(sql, "pg_class", relname="Odd Name")
    (odd,) = rows(sql, "pg_index", indexrelid=odd_class["oid"])
    assert (odd["indkey"], odd["indoption"], odd["indisunique"], odd["indpred"]) == ([0, 0, 6], [3, 0, 2], True,
                                                                                     "price > 5")
    assert not odd["indisvalid"]                             # it is not built yet
    (primary,) = rows(sql, "pg_index", indrelid=sql.table("item").id, indisprimary=True)
    assert primary["indkey"] == [3, 1] and primary["indisvalid"]


def test_pg_constraint(sql: Sql) -> None:
    (foreign,) = rows(sql, "pg_constraint", contype="f")
    customer = sql.table("customer", "s").id
    assert (foreign["confrelid"], foreign["conkey"], foreign["confkey"], foreign["confdeltype"],
            foreign["condeferred"]) == (
        customer, [6], [1], "c", True)
    assert foreign["conindid"] == rows(sql, "pg_class", relname="customer_pkey")[0]["oid"]
    (check,) = rows(sql, "pg_constraint", contype="c")
    assert check["conkey"] == [2]


def test_pg_views_of_definitions(sql: Sql) -> None:
    assert rows(sql, "pg_indexes", indexname="Odd Name")[0]["indexdef"] == (
        'CREATE UNIQUE INDEX "Odd Name" ON public.item USING btree (lower(name) DESC, (price + 1), owner NULLS FIRST) '
        "WHERE (price > 5)")
    assert rows(sql, "pg_indexes", indexname="note_author_name_idx")[0]["indexdef"].endswith(
        "btree (author.name) WITH (multi_key)")
    assert {row["tablename"] for row in rows(sql, "pg_tables")} == {"customer", "item", "note"}
    assert rows(sql, "pg_stat_user_tables", relname="item")[0]["relid"] == sql.table("item").id
    assert {row["objsubid"]: row["description"] for row in rows(sql, "pg_description")} == {0: "things", 2: "in euros"}
    owned = {row["refobjsubid"]: row["deptype"] for row in rows(sql, "pg_depend", refobjid=sql.table("item").id)}
    assert owned[1] == "i" and owned[5] == "a"


def test_index_definitions_can_be_read_again(sql: Sql) -> None:
    for row in rows(sql, "pg_indexes"):
        if not row["indexname"].endswith(("_pkey", "_key")):
            schema = row["schemaname"]
            before = sql.table(row["tablename"], schema).index(row["indexname"])
            again = Sql(DEFINITIONS)
            again.run(f'drop index {schema}."{row["indexname"]}"; {row["indexdef"]}')
            after = again.table(row["tablename"], schema).index(row["indexname"])
            assert before is not None and after is not None
            assert (before.columns, before.ttl_s, before.is_multi_key, before.is_unique) == (
                after.columns, after.ttl_s, after.is_multi_key, after.is_unique)


@pytest.mark.parametrize("type_", [
    ANY, BIGINT, BOOL, BYTES, DATE, DOUBLE, INT, INTERVAL, JSON, NUMERIC, REAL, SMALLINT, TEXT, TIME, TIMESTAMP,
    TIMESTAMPTZ, UUID_TYPE, char(3), varchar(20), decimal(10, 3), array(INT), array(varchar(5))])
def test_types_have_postgresqls_names(type_: Any) -> None:
    oid = type_oid(type_)
    assert oid in TYPES
    assert format_type(oid, type_modifier(type_)) == (str(type_) if type_ is not ANY else '"any"')


def test_type_names() -> None:
    assert (oid_of_name("int4"), oid_of_name("double precision"), oid_of_name("text[]"), oid_of_name("nix")) == (
        23, 701, 1009, None)
    assert (format_type(None, None), format_type(0, -1), format_type(999_999, -1)) == (None, "-", "???")


# -------------------------------------------------------------------- functions

def test_definitions_as_text(sql: Sql) -> None:
    (odd,) = rows(sql, "pg_class", relname="Odd Name")
    assert call(sql, "pg_get_indexdef", odd["oid"], 1, True) == "lower(name)"
    assert call(sql, "pg_get_indexdef", odd["oid"], 0, True).startswith("CREATE UNIQUE INDEX")
    assert call(sql, "pg_get_indexdef", 1) is None
    shown = {row["conname"]: call(sql, "pg_get_constraintdef", row["oid"], True) for row in rows(sql, "pg_constraint")}
    assert shown == {
        "item_pkey": "PRIMARY KEY (name, id)", "item_price_check": "CHECK ((price > 0))",
        "note_pkey": "PRIMARY KEY (_id)",
        "item_owner_fkey":
            "FOREIGN KEY (owner) REFERENCES s.customer(id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED",
        "customer_pkey": "PRIMARY KEY (id)", "customer_code_key": "UNIQUE (code)"}
    assert call(sql, "pg_get_viewdef", "v") == call(sql, "pg_get_viewdef", sql.view("v").id, True) == (
        " select id, name from item;")
    assert call(sql, "pg_get_expr", "a + 1", 5) == "a + 1"


def test_names_and_ids(sql: Sql) -> None:
    item, customer = sql.table("item").id, sql.table("customer", "s").id
    assert call(sql, "regclass", "item") == call(sql, "to_regclass", "public.item") == item
    assert call(sql, "regclass", customer) == "s.customer"
    assert call(sql, "regclass", str(item)) == item
    assert call(sql, "to_regclass", "customer") is None
    assert call(sql, "to_regclass", '"Odd Name"') == rows(sql, "pg_class", relname="Odd Name")[0]["oid"]
    assert call(sql, "regclass", call(sql, "regclass", "item_pkey")) == "item_pkey"
    assert call(sql, "regclass", "pg_catalog.pg_class") == 1259
    assert call(sql, "regtype", "integer") == 23 and call(sql, "regtype", 1700) == "numeric"
    assert call(sql, "regnamespace", "s") == sql.catalog.schema(1, "s").id          # type: ignore[union-attr]
    with pytest.raises(UndefinedTable):
        call(sql, "regclass", "nix")


def test_comments_sequences_and_visibility(sql: Sql) -> None:
    item = sql.table("item").id
    assert call(sql, "obj_description", item, "pg_class") == "things"
    assert (call(sql, "col_description", item, 2), call(sql, "col_description", item, 1)) == ("in euros", None)
    assert call(sql, "pg_get_serial_sequence", "item", "n") == "public.item_n_seq"
    assert call(sql, "pg_get_serial_sequence", "public.item", "name") is None
    with pytest.raises(UndefinedColumn):
        call(sql, "pg_get_serial_sequence", "item", "nix")
    assert call(sql, "pg_table_is_visible", item) is True
    assert call(sql, "pg_table_is_visible", sql.table("customer", "s").id) is False
    assert call(sql, "pg_table_is_visible", 999) is None
    sql.run("create table s.item (a int)")
    sql.path = ["s", "public"]
    assert call(sql, "pg_table_is_visible", item) is False


def test_rights(sql: Sql) -> None:
    assert call(sql, "has_table_privilege", "item", "select") is True
    assert call(sql, "has_table_privilege", "me", "s.customer", "select") is True
    assert call(sql, "has_schema_privilege", "s", "usage") is True
    assert call(sql, "has_column_privilege", "item", "price", "select") is True
    for name, *arguments in (("has_table_privilege", "nix", "select"), ("has_schema_privilege", "nix", "usage"),
                             ("has_database_privilege", "nix", "connect"),
                             ("has_column_privilege", "item", "nix", "select")):
        with pytest.raises(QueryError):
            call(sql, name, *arguments)


def test_sequences_by_id_and_by_name() -> None:
    from phantomdb.core.query.functions.registry import Resolved

    def first(*types: Any, untyped: list[bool]) -> Resolved:
        return resolve("setval", types, untyped=untyped)

    assert first(TEXT, BIGINT, untyped=[True, False]).arguments == (TEXT, BIGINT)
    assert first(BIGINT, INT, untyped=[False, False]).arguments == (BIGINT, BIGINT)
    assert resolve("nextval", [TEXT], untyped=[True]).arguments == (TEXT,)
    assert resolve("nextval", [BIGINT]).arguments == (BIGINT,)
