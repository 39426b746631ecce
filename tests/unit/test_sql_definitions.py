"""CREATE, ALTER, DROP, COMMENT and TRUNCATE: what they make of the catalog, and what they refuse, with SQLSTATE."""
from __future__ import annotations

import pytest

from definition_tools import Sql

from phantomdb.core.catalog.objects import Action, IndexColumn, Table
from phantomdb.core.catalog.work import (
    BuildIndex, DropRange, FillColumn, RewriteRows, ValidateCheck, ValidateForeignKey, ValidateNotNull,
)
from phantomdb.core.query import plan
from phantomdb.core.query.errors import QueryError
from phantomdb.core.values import ANY, BIGINT, INT, JSON, SMALLINT, TEXT, TIMESTAMPTZ, array, varchar
from phantomdb.frontends.sql.definitions import Clear, Restart
from phantomdb.frontends.sql.frontend import SqlSession


def state_of(sql: Sql, text: str) -> str:
    """The SQLSTATE of the error."""
    with pytest.raises(QueryError) as caught:
        sql.run(text)
    return caught.value.sqlstate


@pytest.fixture
def sql() -> Sql:
    return Sql("""CREATE TABLE customer (id bigint PRIMARY KEY, name text NOT NULL);
        CREATE TABLE item (a int, b text, c timestamptz, doc jsonb);
        CREATE COLLECTION note""")


# -------------------------------------------------------------------- CREATE TABLE

def test_columns_and_their_types() -> None:
    sql = Sql("""create table "My Table" (id int, "Big Name" varchar(10) collate "C", t timestamp with time zone,
    e int[],
              d double precision not null, n numeric(5,2) null)""")
    made = sql.table("My Table")
    assert [column.name for column in made.columns] == ["id", "Big Name", "t", "e", "d", "n"]
    assert [column.type for column in made.columns][:4] == [INT, varchar(10), TIMESTAMPTZ, array(INT)]
    assert [column.is_nullable for column in made.columns] == [True, True, True, True, False, True]


def test_tag_and_if_not_exists(sql: Sql) -> None:
    assert sql.run("CREATE TABLE x (a int)").tag == "CREATE TABLE"
    again = sql.run("CREATE TABLE IF NOT EXISTS x (b text)")
    assert (again.steps, again.notices) == ([], ['relation "x" already exists, skipping'])
    assert state_of(sql, "CREATE TABLE x (b text)") == "42P07"
    assert state_of(sql, "CREATE TABLE y (a int, a int)") == "42701"


def test_defaults_keep_their_text() -> None:
    sql = Sql("create table t (a int not null default 3 +  4, b text default 'it''s', c timestamptz default now(), d "
              "bigint default -1, e int default case when true then null else 1 end)")
    a, b, c, d, e = sql.table("t").columns
    assert [column.default and column.default.text for column in (a, b, c, d, e)] == [
        "3 +  4", "'it''s'", "now()", "-1", "case when true then null else 1 end"]
    assert d.default is not None and d.default.bound.type == BIGINT


def test_keys_and_names() -> None:
    sql = Sql("""create table t (a int constraint pk primary key, b int unique, c int, constraint u unique (c, b),
              unique nulls not distinct (c) deferrable initially deferred)""")
    made = sql.table("t")
    assert (made.primary_key, made.primary_key_name) == ((1,), "pk")
    by_name = {index.name: index for index in made.indexes}
    assert set(by_name) == {"t_b_key", "u", "t_c_key"}
    assert not by_name["t_c_key"].nulls_distinct and by_name["t_c_key"].is_deferred
    assert all(index.is_constraint and index.is_unique and index.state == "public" for index in made.indexes)
    assert made.column_by_id(1).is_nullable is False


def test_primary_key_across_lines() -> None:
    assert Sql("create table t (a int, primary\n   key (a))").table("t").primary_key == (1,)


def test_foreign_keys(sql: Sql) -> None:
    sql.run("""create table o (id int primary key, parent int references o, c bigint references customer (id) on delete
            cascade on update set null deferrable initially deferred, d bigint, constraint fk foreign key (d) references
            public.customer match simple on delete set default)""")
    parent, c, fk = sql.table("o").foreign_keys
    assert parent.target == sql.table("o").id
    assert (c.target, c.on_delete, c.on_update, c.is_deferred) == (
        sql.table("customer").id, Action.CASCADE, Action.SET_NULL, True)
    assert (fk.name, fk.columns, fk.on_delete, fk.is_deferrable) == ("fk", (4,), Action.SET_DEFAULT, False)
    assert state_of(sql, "create table p (a int references nix)") == "42P01"
    assert state_of(sql, "create table p (a bigint references customer (name))") == "42830"
    assert state_of(sql, "create table p (a int, b int, foreign key (a, b) references customer match full)") == "0A000"
    assert state_of(sql,
                    "create table p (a int, foreign key (a) references customer on delete set null (a))") == "0A000"


def test_checks() -> None:
    sql = Sql("create table t (a int check (a > 0), b int, constraint ordered check (a < b), check (b <> 3))")
    assert [(check.name, check.condition.text) for check in sql.table("t").checks] == [
        ("t_a_check", "a > 0"), ("ordered", "a < b"), ("t_b_check", "b <> 3")]
    assert sql.table("t").checks[1].condition.bound == plan.Call(
        sql.table("t").checks[1].condition.bound.type, "<", (plan.Column(INT, 1), plan.Column(INT, 2)))


def test_generated_identity_serial() -> None:
    sql = Sql("""create table t (a int, f int generated always as (a * 2) stored,
    i smallint generated always as identity
              (start with 5 increment by 2 sequence name counter), j bigint generated by default as identity,
    s bigserial)""")
    _, f, i, j, s = sql.table("t").columns
    assert f.generated is not None and f.generated.text == "a * 2"
    assert (i.identity, i.type, j.identity, s.identity, s.type) == ("always", SMALLINT, "by default", "", BIGINT)
    assert (sql.sequence("counter").start, sql.sequence("counter").increment) == (5, 2)
    assert sql.sequence("t_s_seq").owner == (sql.table("t").id, s.id) and not s.is_nullable


@pytest.mark.parametrize(("column", "state"), [
    ("a int default (select 1)", "0A000"), ("a int default sum(1)", "42803"), ("a int default b", "0A000"),
    ("a int default row_number() over ()", "42P20"), ("a int default $1", "42P02"), ("a int default 'x'", "22P02"),
    ("a int default true", "42804"), ("a int default", "42601"), ("a int default 1, 2", "42601"),
    ("a int default generate_series(1, 2)", "0A000"), ("a int default nix()", "42883"),
    ("a int check (a)", "42804"), ("a int check (exists (select 1))", "0A000"), ("a int check (nix > 1)", "42703"),
    ("a int check (max(a) > 1)", "42803"), ("a int check (a > 0) no inherit", "0A000"), ("a int check ()", "42601"),
    ("a timestamptz generated always as (now()) stored", "42P16"), ("a int generated always as (b + 1)", "42601"),
    ("a int generated always as (b + 1) virtual", "0A000"), ("a int generated always as ((select 1)) stored", "0A000"),
    ("a int generated by default as (b) stored", "42601"), ("a bool generated always as (b + 1) stored", "42804"),
    ("a date generated always as (t::date) stored", "42P16"), ("a text generated always as identity", "22023"),
    ("a int null not null", "42601"), ("a serial null", "42601"), ("a int default 1 default 2", "42601"),
    ("a serial default 2", "42601"), ("a int generated always as identity default 2", "42601"),
    ("a int collate \"de_DE\"", "0A000"), ("a nix", "42704"), ("a varchar(0)", "22023"), ("a", "42601"), ("a int b",
                                                                                                          "42601"),
    ("a int,", "42601"), ("select int", "42601"), ("a int storage plain", "0A000"), ("a int primary key primary key",
                                                                                     "42P16"),
    ("a int primary key using index tablespace x", "0A000"), ("a int check (true) deferrable", "42601"),
    ("a int unique not deferrable initially deferred", "42601"), ("a int, unique (a) include (b)", "0A000"),
    ("a int, exclude using gist (a with =)", "0A000"), ("a int, primary key (nix)", "42703"),
    ("a int, primary key (a) deferrable", "42P16"), ("a int, unique (a, a)", "42701"),
    ("a int, check (a > 0) not valid", "0A000")])
def test_columns_that_are_refused(column: str, state: str) -> None:
    assert state_of(Sql(), f"create table t (b int, t timestamptz, {column})") == state


@pytest.mark.parametrize("text", [
    "create temp table t (a int)", "create temporary view v as select 1", "create unlogged table t (a int)",
    "create table t (a int) with (fillfactor = 70)", "create table t (a int) partition by range (a)",
    "create table t () inherits (item)", "create table t (a int) tablespace x", "create table t (a int) on commit drop",
    "create table t of x", "create materialized view v as select 1", "create extension x",
    "create type e as enum ('a')",
    "create function f() returns int as 'x'", "create trigger x", "create role x", "drop type x",
    "alter type x rename to y",
    "create view v as select 1 with check option", "create view v with (security_barrier) as select 1",
    "create schema authorization x", "create schema x authorization y", "create database x owner y",
    "drop database x with (force)", "comment on index x is 'a'", "alter database main rename to x",
    "create table t as execute x", "create recursive view v (a) as select 1"])
def test_what_is_not_supported_says_so(sql: Sql, text: str) -> None:
    before = sql.catalog
    assert state_of(sql, text) == "0A000"
    assert sql.catalog is before


@pytest.mark.parametrize("text", [
    "create", "create nix x", "create table", "create table t", "create table t (", "create table t (a int) x",
    "create or replace table t (a int)", "create unique table t (a int)", "drop", "drop table", "drop table item item",
    "alter table item", "alter table item add", "alter table item drop b, ", "alter table item rename a to x, drop b",
    "alter table item alter a set", "truncate", "truncate item x", "comment on table item",
    "comment on table item is 3",
    "create index on item", "create index on item ()", "create index if not exists on item (a)", "create view v as",
    "create view v as insert into item values (1)", "create sequence s cache", "alter sequence s",
    "drop table item cascade x",
    "create schema if not s", "alter table item add column x"])
def test_syntax_errors(sql: Sql, text: str) -> None:
    sql.run("create sequence s")
    before = sql.catalog
    assert state_of(sql, text) == "42601"
    assert sql.catalog is before


def test_position_of_an_error_in_the_whole_text() -> None:
    with pytest.raises(QueryError) as caught:
        Sql().run("create table x (a int); create table y (a nix)")
    assert caught.value.position == "create table x (a int); create table y (a nix)".index("nix") + 1


def test_qualified_names() -> None:
    sql = Sql("create schema s; create table s.t (a int primary key); create table s.u (a int references s.t)")
    assert sql.table("u", "s").foreign_keys[0].target == sql.table("t", "s").id
    assert state_of(sql, "create table nix.t (a int)") == "3F000"
    assert state_of(sql, "create table main.s.t (a int)") == "0A000"


# -------------------------------------------------------------------- AS and LIKE

def test_create_table_as(sql: Sql) -> None:
    made = sql.run("create table t (x) as select id, name, 'z' as z from customer where id > 3")
    assert made.tag == "SELECT"
    table = sql.table("t")
    assert [(column.name, column.type) for column in table.columns] == [("x", BIGINT), ("name", TEXT), ("z", TEXT)]
    (insert,) = sql.others
    assert insert.table == table.id and [item.target for item in insert.assignments] == [1, 2, 3]
    assert sql.run("create table e as select 1 as a with no data").tag == "CREATE TABLE AS"
    assert sql.others == [] and sql.table("e").columns[0].type == INT
    assert sql.run("create table if not exists e as select 2 as b").steps == []
    assert sql.run("create table w as with q as (select 1 as a) select * from q with data").tag == "SELECT"
    assert state_of(sql, "create table f (a, b) as select 1") == "42P10"
    assert state_of(sql, "create table f as select 1 as a, 2 as a") == "42701"
    assert state_of(sql, "create table f as select $1 as a") == "42P02"


def test_like() -> None:
    sql = Sql("""create table p (id int primary key); create table s (a int generated always as identity,
    b int default 7
        check (b > 1), c int generated always as (b + 1) stored, d int references p, unique (b), primary key (a));
        comment on column s.b is 'bee'; create index on s ((b + 1)) where b > 5;
        create table plain (z int, like s); create table whole (z int, like s including all);
        create table some_of (like s including all excluding indexes excluding comments, y int)""")
    plain, whole, some = sql.table("plain"), sql.table("whole"), sql.table("some_of")
    assert [column.name for column in plain.columns] == ["z", "a", "b", "c", "d"]
    assert all(column.default is None and column.generated is None and not column.identity for column in plain.columns)
    assert plain.has_hidden_key and not plain.checks and not plain.columns[1].is_nullable
    assert whole.primary_key == (2,) and whole.columns[1].identity == "always" and whole.columns[2].comment == "bee"
    assert whole.columns[1].sequence not in (None, sql.table("s").columns[0].sequence)
    assert not whole.foreign_keys
    generated = whole.columns[3].generated
    assert generated is not None and generated.bound == plan.Call(INT, "+", (plan.Column(INT, 3), plan.Literal(INT, 1)))
    key, index = whole.indexes
    assert key.columns[0].column == 3 and index.predicate is not None and index.state == "public"
    assert some.has_hidden_key and some.checks and not some.indexes and not some.columns[1].comment
    assert state_of(sql, "create table x (like nix)") == "42P01"


def test_collections(sql: Sql) -> None:
    note = sql.table("note")
    assert note.is_flexible and [column.type for column in note.columns] == [ANY, JSON]
    assert sql.run("create collection if not exists note").notices
    assert sql.run("create collection v with (validator = '{\"type\": \"object\"}')").tag == "CREATE COLLECTION"
    assert sql.table("v").validator == '{"type": "object"}'
    sql.run("alter collection v set (validator = '{}')")
    assert sql.table("v").validator == "{}"
    sql.run("alter table v reset (validator)")
    assert sql.table("v").validator == ""
    assert state_of(sql, "alter table v set (validator = '[]')") == "22023"
    assert state_of(sql, "alter table v add column a int") == "42809"
    assert state_of(sql, "create collection w with (nix = 1)") == "22023"
    assert state_of(sql, "drop collection item") == "42809"
    sql.run("drop collection v")


# -------------------------------------------------------------------- CREATE INDEX

def index_parts(sql: Sql, text: str, table: str = "item") -> tuple[IndexColumn, ...]:
    sql.run(text)
    return sql.table(table).indexes[-1].columns


def test_index_columns_and_order(sql: Sql) -> None:
    parts = index_parts(sql,
                        "create index i on only item using btree (a desc, b collate \"C\" asc nulls first, (c), a desc "
                             "nulls last)")
    assert [(part.column, part.is_descending, part.nulls_first) for part in parts] == [
        (1, True, True), (2, False, True), (3, False, False), (1, True, False)]
    made = sql.table("item").indexes[0]
    assert made.name == "i" and sql.work == [BuildIndex(sql.table("item").id, made.id)]


def test_index_expressions_and_names(sql: Sql) -> None:
    lower, plus, text = index_parts(sql, "create unique index concurrently on item (lower(b), (a + 1), (doc ->> 'k')) "
                                         "nulls not distinct where a > 3 and b is not null")
    assert [part.expression and part.expression.text for part in (lower, plus, text)] == ["lower(b)", "a + 1",
                                                                                          "doc ->> 'k'"]
    made = sql.table("item").indexes[0]
    assert made.is_unique and not made.nulls_distinct and made.name == "item_lower_expr_expr1_idx"
    assert made.predicate is not None and made.predicate.text == "a > 3 and b is not null"


def test_index_paths(sql: Sql) -> None:
    assert index_parts(sql, "create index on item (doc.a.\"B\")") == (IndexColumn(4, path=("a", "B")),)
    assert sql.table("item").indexes[-1].name == "item_doc_a_B_idx"
    assert index_parts(sql, "create index on note (author.name desc, _id)", "note") == (
        IndexColumn(2, path=("author", "name"), is_descending=True, nulls_first=True), IndexColumn(1))
    assert sql.table("note").indexes[-1].name == "note_author_name__id_idx"
    assert state_of(sql, "create index on item (b.x)") == "42809"


def test_index_options(sql: Sql) -> None:
    sql.run("create index t on item (c) with (ttl_s = 3600.5); create index m on note (tags) with (multi_key)")
    assert sql.table("item").indexes[0].ttl_s == 3600.5
    assert sql.table("note").indexes[0].is_multi_key
    sql.run("create index n on note (tags) with (multi_key = false)")
    assert not sql.table("note").indexes[1].is_multi_key
    assert sql.run("create index if not exists n on note (nix)").notices == ['relation "n" already exists, skipping']


@pytest.mark.parametrize(("text", "state"), [
    ("on item (random())", "42P16"), ("on item ((c::date))", "42P16"), ("on item ((now()))", "42P16"),
    ("on item ((select 1))", "0A000"), ("on item (count(a))", "42803"), ("on item (nix)", "42703"), ("on nix (a)",
                                                                                                     "42P01"),
    ("on item (a) where random() > 1", "42P16"), ("on item (a) where (select true)", "0A000"), ("on item (a) where a",
                                                                                                "42804"),
    ("on item (a) with (fillfactor = 70)", "0A000"), ("on item (a) with (nix = 1)", "22023"),
    ("on item (a) with (ttl_s = 3)", "42P16"), ("on item using gin (doc)", "0A000"),
    ("on item (a) include (nix)", "42703"), ("on item (a) include ()", "42601"),
    ("on item using nix (a)", "42704"), ("on item (b text_pattern_ops)", "0A000"), ("on item (a) tablespace x",
                                                                                    "0A000"),
    ("on item (b collate \"de_DE\")", "0A000"), ("on item (a) where $1", "42P02"), ("item on item (a)", "42P07")])
def test_indexes_that_are_refused(sql: Sql, text: str, state: str) -> None:
    assert state_of(sql, "create index " + text) == state


def test_index_of_a_view_is_refused(sql: Sql) -> None:
    assert state_of(sql, "create view v as select 1 as a; create index on v (a)") == "42809"


# -------------------------------------------------------------------- ALTER TABLE

def test_add_column(sql: Sql) -> None:
    sql.run("alter table item add n int not null default 5, add column if not exists a text, add column v double "
            "precision default random(), add s serial, add t timestamptz default now()")
    n, v, s, t = sql.table("item").columns[4:]
    assert (n.missing, n.is_nullable, v.missing) == (5, False, None)
    assert t.missing is not None and s.sequence is not None
    item = sql.table("item").id
    assert [work for work in sql.work if isinstance(work, FillColumn)] == [FillColumn(item, v.id), FillColumn(item,
                                                                                                              s.id)]


def test_add_column_that_is_there(sql: Sql) -> None:
    made = sql.run("alter table item add column if not exists a int unique check (a > 0)")
    assert made.notices == ['column "a" of relation "item" already exists, skipping']
    assert not sql.table("item").indexes and not sql.table("item").checks
    assert state_of(sql, "alter table item add a int") == "42701"


def test_add_column_with_constraints(sql: Sql) -> None:
    sql.run("alter table item add owner bigint references customer on delete cascade unique check (owner > 3)")
    made = sql.table("item")
    assert [key.name for key in made.foreign_keys] == ["item_owner_fkey"]
    assert [type(work) for work in sql.work] == [BuildIndex, ValidateForeignKey, ValidateCheck]


def test_actions_are_done_in_postgresqls_order(sql: Sql) -> None:
    sql.run("alter table item add constraint positive check (z > 0), drop column a, add z int, add primary key (z)")
    made = sql.table("item")
    assert [column.name for column in made.columns] == ["b", "c", "doc", "z"]
    assert made.primary_key == (5,) and made.checks[0].name == "positive"
    assert [type(work) for work in sql.work] == [RewriteRows, ValidateCheck]


def test_drop_and_alter_column(sql: Sql) -> None:
    sql.run("alter table item alter column a set default 1 + 1, alter b set not null, alter c set default now()")
    a, b, _, _ = sql.table("item").columns
    assert a.default is not None and a.default.text == "1 + 1" and a.missing is None and not b.is_nullable
    assert sql.work == [ValidateNotNull(sql.table("item").id, b.id)]
    sql.run("alter table item alter a drop default, alter b drop not null")
    assert sql.table("item").columns[0].default is None and sql.table("item").columns[1].is_nullable
    assert sql.run("alter table item drop column if exists nix").notices == [
        'column "nix" of relation "item" does not exist, skipping']
    sql.run("create view v as select a from item")
    assert state_of(sql, "alter table item drop a") == "2BP01"
    sql.run("alter table item drop a cascade")
    assert sql.names.find("v") is None


def test_constraints_added_dropped_renamed(sql: Sql) -> None:
    sql.run("alter table item add constraint u unique (a), add check (a > 1), add foreign key (a) references customer")
    sql.run("alter table item rename constraint u to v; alter table item validate constraint v")
    assert sql.table("item").indexes[0].name == "v"
    sql.run("alter table item drop constraint v, drop constraint if exists nix, drop constraint item_a_fkey restrict")
    assert not sql.table("item").indexes and not sql.table("item").foreign_keys
    assert state_of(sql, "alter table item drop constraint nix") == "42704"
    assert state_of(sql, "alter table item validate constraint nix") == "42704"
    assert state_of(sql, "alter table item add constraint item_a_check check (a > 0)") == "42710"


def test_renames(sql: Sql) -> None:
    sql.run("alter table item rename to thing; alter table thing rename column a to z; alter table thing rename b to y")
    assert [column.name for column in sql.table("thing").columns] == ["z", "y", "c", "doc"]
    sql.run("create view v as select 1 as a; alter view v rename to w; alter table w rename to x; create sequence q; "
            "alter sequence q rename to r; create index i on thing (z); alter index i rename to j; create schema s; "
            "alter schema s rename to t")
    assert sql.view("x") and sql.sequence("r") and sql.table("thing").indexes[0].name == "j"
    assert state_of(sql, "alter view thing rename to v") == "42809"
    assert state_of(sql, "alter table thing rename to customer") == "42P07"
    assert state_of(sql, "alter table thing rename z to y") == "42701"


def test_alter_if_exists(sql: Sql) -> None:
    for text in ("alter table if exists nix add a int", "alter index if exists nix rename to x",
                 "alter sequence if exists nix cycle", "alter table if exists nix.t rename to x",
                 "alter view if exists nix rename to x"):
        made = sql.run(text)
        assert made.steps == [] and made.notices[0].endswith("does not exist, skipping")
    assert state_of(sql, "alter table nix add a int") == "42P01"
    assert state_of(sql, "alter index nix rename to x") == "42704"


@pytest.mark.parametrize(("action", "state"), [
    ("alter a type serial", "42704"), ("alter nix type bigint", "42703"), ("set schema x", "0A000"),
    ("owner to x", "0A000"), ("alter a add generated always as identity", "0A000"), ("alter a set statistics 3",
                                                                                     "0A000"),
    ("enable trigger x", "0A000"), ("inherit x", "0A000"), ("alter constraint x deferrable", "0A000"),
    ("add constraint f foreign key (a) references customer not valid", "0A000"), ("alter a set default b", "0A000"),
    ("alter nix set default 1", "42703"), ("alter a set default 'x'", "22P02"), ("drop nix", "42703"),
    ("add constraint u unique using index i", "0A000"), ("rename constraint nix to x", "42704"), ("rename nix to x",
                                                                                                  "42703")])
def test_alterations_that_are_refused(sql: Sql, action: str, state: str) -> None:
    assert state_of(sql, "alter table item " + action) == state


# -------------------------------------------------------------------- sequences

def test_sequences(sql: Sql) -> None:
    sql.run("create sequence if not exists q as smallint increment by -2 minvalue -10 no maxvalue start with -1 cache "
            "5 cycle owned by item.a")
    made = sql.sequence("q")
    assert (made.increment, made.minimum, made.maximum, made.start, made.cache, made.is_cyclic) == (-2, -10, -1, -1, 5,
                                                                                                    True)
    assert made.owner == (sql.table("item").id, 1)
    sql.run("alter sequence q no cycle increment 1 maxvalue 50 start 7 restart with 9 owned by none")
    made = sql.sequence("q")
    assert (made.increment, made.minimum, made.maximum, made.start, made.is_cyclic, made.owner) == (1, -10, 50, 7,
                                                                                                    False, None)
    assert sql.others == [Restart(made.id, 9)]
    sql.run("alter sequence q restart")
    assert sql.others == [Restart(made.id, None)]
    assert sql.run("create sequence if not exists q").notices


@pytest.mark.parametrize(("text", "state"), [
    ("create sequence q increment 0", "22023"), ("create sequence q minvalue 1 minvalue 2", "42601"),
    ("create sequence q as text", "22023"), ("create sequence q as smallint maxvalue 40000", "22023"),
    ("create sequence q owned by nix.a", "42P01"), ("create sequence q owned by item.nix", "42703"),
    ("create sequence item", "42P07"), ("create sequence q restart", "42601"), ("alter sequence item cycle", "42809"),
    ("alter sequence nix cycle", "42P01"), ("create sequence q start with 1.5", "42601")])
def test_sequences_that_are_refused(sql: Sql, text: str, state: str) -> None:
    assert state_of(sql, text) == state


# -------------------------------------------------------------------- views

def test_views(sql: Sql) -> None:
    sql.run("create view v (x) as select a, b from item where a > 3 ")
    made = sql.view("v")
    assert (made.column_names, made.column_types) == (("x", "b"), (INT, TEXT))
    assert made.text == "select a, b from item where a > 3" and made.depends_on == (sql.table("item").id,)
    sql.run("create view over as select x from v")
    assert sql.view("over").depends_on == tuple(sorted((sql.table("item").id, made.id)))
    assert state_of(sql, "create view v as select 1 as a") == "42P07"
    assert state_of(sql, "create view w (a, b) as select 1") == "42P10"
    assert state_of(sql, "create view w as select $1") == "42P02"
    assert state_of(sql, "create or replace view item as select 1 as a") == "42809"


def test_a_replaced_view_takes_those_over_it_along(sql: Sql) -> None:
    sql.run("create schema s; create view s.v as select a from item; create view s.w as select a + 1 as a from s.v; "
            "create or replace view s.v as select a * 100 as a, b from item")
    found = sql.names.find("w", "s")
    assert found is not None and sql.work == []
    assert "'*'" in repr(found) and "'+'" in repr(found)
    assert state_of(sql, "create or replace view s.v as select b as a from item") == "42P16"
    assert state_of(sql, "create or replace view s.v as select a from s.w") == "42P16"


# -------------------------------------------------------------------- DROP, COMMENT, TRUNCATE

def test_drop_several(sql: Sql) -> None:
    sql.run("create table o (c bigint references customer)")
    assert state_of(sql, "drop table customer") == "2BP01"
    sql.run("drop table o, customer restrict")
    made = sql.run("drop table if exists nix, nix.t, item cascade")
    assert made.notices == ['table "nix" does not exist, skipping', 'schema "nix" does not exist, skipping']
    assert [type(work) for work in sql.work] == [DropRange]
    assert state_of(sql, "drop table nix") == "42P01"


def test_drop_of_the_wrong_kind(sql: Sql) -> None:
    sql.run("create view v as select 1 as a; create sequence q; create index i on item (a)")
    for text in ("drop table v", "drop view item", "drop sequence v", "drop table q", "drop index item", "drop view q"):
        assert state_of(sql, text) == "42809"
    assert state_of(sql, "drop index customer_pkey") == "2BP01"
    sql.run("drop view v; drop sequence q; drop index concurrently if exists i, nix")
    assert not sql.table("item").indexes


def test_schemas_and_databases(sql: Sql) -> None:
    sql.run("create schema s; create table s.t (a int)")
    assert sql.run("create schema if not exists s").notices == ['schema "s" already exists, skipping']
    assert state_of(sql, "create schema s") == "42P06"
    assert state_of(sql, "create schema pg_mine") == "42939"
    assert state_of(sql, "drop schema s") == "2BP01"
    assert state_of(sql, "drop schema nix") == "3F000"
    assert sql.run("drop schema if exists nix, s cascade").notices == ['schema "nix" does not exist, skipping']
    assert sql.catalog.schema(1, "s") is None
    sql.run("create database d")
    assert sql.run("create database if not exists d").notices
    assert state_of(sql, "create database d") == "42710"
    assert state_of(sql, "drop database main") == "2BP01"
    sql.run("drop database d; drop database if exists d")
    assert sql.catalog.database("d") is None


def test_comments(sql: Sql) -> None:
    sql.run("comment on table item is 'it''s'; comment on column public.item.b is 'bee'; "
            "comment on collection note is 'n'")
    assert (sql.table("item").comment, sql.table("item").columns[1].comment) == ("it's", "bee")
    sql.run("comment on table item is null; comment on column item.b is ''")
    assert (sql.table("item").comment, sql.table("item").columns[1].comment) == ("", "")
    assert state_of(sql, "comment on column item.nix is 'x'") == "42703"
    assert state_of(sql, "comment on column item is 'x'") == "42809"


def test_truncate(sql: Sql) -> None:
    sql.run("create table o (id serial primary key, c bigint references customer); create table p (o int references o)")
    ids = {name: sql.table(name).id for name in ("customer", "o", "p", "item")}
    assert sql.run("truncate item").tag == "TRUNCATE TABLE"
    assert sql.others == [Clear((ids["item"],))]
    assert state_of(sql, "truncate customer") == "0A000"
    assert state_of(sql, "truncate table customer, only o") == "0A000"
    sql.run("truncate customer, o, public.p continue identity restrict")
    assert sql.others == [Clear((ids["customer"], ids["o"], ids["p"]))]
    made = sql.run("truncate table customer restart identity cascade")
    assert made.notices == ['truncate cascades to table "o"', 'truncate cascades to table "p"']
    assert sql.others == [Clear((ids["customer"], ids["o"], ids["p"])), Restart(sql.sequence("o_id_seq").id, None)]
    assert state_of(sql, "truncate nix") == "42P01"


def test_every_object_survives_as_a_value(sql: Sql) -> None:
    """The objects are what the store can keep."""
    from phantomdb.core.catalog.codec import decode, encode
    sql.run("""create table t (a int generated always as identity, b int default 7 check (b between 1 and 9),
    c text unique,
        d timestamptz default now()); create index on t (lower(c)) where b in (1, 2); create view v as
        with q as (select a, count(*) over (partition by b) from t) select * from q order by 1 limit 3""")
    for item in sql.catalog.objects.values():
        assert decode(encode(item), type(item)) == item
    assert any(isinstance(item, Table) for item in sql.catalog.objects.values())


# -------------------------------------------------------------------- with rows

def test_the_steps_are_done() -> None:
    from sql_tools import sql_database
    with sql_database() as session:
        def values(query: str) -> list[tuple[object, ...]]:
            return [tuple(row) for row in session.execute(query)]

        session.execute("alter table item add n int not null default 7, add s serial; create table copy as select id, "
                        "n, s from item where id < 3; create view v as select id from copy")
        assert values("select n, s from item order by id") == [(7, 1), (7, 2), (7, 3)]
        assert values("select * from copy order by id") == [(1, 7, 1), (2, 7, 2)]
        assert values("select relname from pg_class where relkind in ('r', 'v') order by relname") == [
            ("copy",), ("item",), ("v",)]
        session.execute("truncate item, copy restart identity; insert into item (id) values (9)")
        assert values("select s from item") == [(1,)]
        assert values("select * from v") == []
        session.execute("alter sequence item_s_seq restart with 40; insert into item (id) values (10)")
        assert values("select s from item where id = 10") == [(40,)]
        assert state_of_session(session, "alter table item add check (n > 7)") == "23514"
        assert values("select count(*) from item") == [(2,)]


def state_of_session(session: SqlSession, text: str) -> str:
    with pytest.raises(QueryError) as caught:
        session.execute(text)
    return caught.value.sqlstate
