"""The SQLAlchemy dialect: statements, the ORM, transactions, types and reflection, over a database in a folder."""
from __future__ import annotations

import datetime
import enum
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, registry
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, selectinload

import phantomdb
from phantomdb.core.values import Interval

registry.register("phantomdb", "phantomdb.sqlalchemy", "PhantomDialect")         # the entry point needs an installation


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    made = sa.create_engine(f"phantomdb:///{tmp_path / 'data'}?durability=none")
    yield made
    made.dispose()


@pytest.fixture
def item(engine: sa.Engine) -> sa.Table:
    table = sa.Table("item", sa.MetaData(),
                     sa.Column("id", sa.Integer, primary_key=True),
                     sa.Column("name", sa.String(20), nullable=False, unique=True),
                     sa.Column("price", sa.Numeric(10, 2), sa.CheckConstraint("price >= 0", name="item_price_check")))
    table.metadata.create_all(engine)
    return table


def count(engine: sa.Engine, table: sa.Table) -> Any:
    with engine.connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table))


# -------------------------------------------------------------------- engines

def test_options_of_the_url(tmp_path: Path) -> None:
    engine = sa.create_engine(f"phantomdb:///{tmp_path}?durability=none&retention_s=1.5&create=true&block_bytes=8192"
                              "&partitions=2&isolation=snapshot")
    with engine.connect() as connection:
        options = connection.connection.driver_connection.database.options       # type: ignore[union-attr]
        assert (options.durability, options.retention_s, options.create, options.block_bytes, options.partitions) == (
            "none", 1.5, True, 8192, 2)
        assert connection.get_isolation_level() == "REPEATABLE READ"
    engine.dispose()


@pytest.mark.parametrize("url", [
    "phantomdb:///data?colour=red", "phantomdb:///data?block_bytes=many", "phantomdb:///data?create=maybe",
    "phantomdb:///data?durability=none&durability=commit", "phantomdb://host/data", "phantomdb://user@/data"])
def test_wrong_urls(url: str) -> None:
    with pytest.raises(sa.exc.ArgumentError):
        sa.create_engine(url).connect()


def test_a_database_that_is_open(tmp_path: Path) -> None:
    with phantomdb.open(tmp_path, durability="none") as db:
        engine = sa.create_engine("phantomdb://", connect_args={"database": db})
        with engine.connect() as connection:
            assert connection.scalar(sa.text("SELECT 1")) == 1
        engine.dispose()
        assert not db.store.is_closed


def test_a_closed_connection_is_replaced(tmp_path: Path) -> None:
    engine = sa.create_engine(f"phantomdb:///{tmp_path}?durability=none", pool_pre_ping=True)
    with engine.connect() as connection:
        connection.connection.driver_connection.close()      # type: ignore[union-attr]
        with pytest.raises(sa.exc.DBAPIError) as caught:
            connection.execute(sa.text("SELECT 1"))
        assert caught.value.connection_invalidated
    with engine.connect() as connection:
        connection.connection.driver_connection.close()      # type: ignore[union-attr]
    with engine.connect() as connection:                     # the ping notices
        assert connection.scalar(sa.text("SELECT 1")) == 1
    engine.dispose()


# -------------------------------------------------------------------- statements

def test_insert_select_update_delete(engine: sa.Engine, item: sa.Table) -> None:
    with engine.begin() as connection:
        inserted = connection.execute(item.insert().values(name="a", price=Decimal("1.50")))
        assert inserted.inserted_primary_key == (1,)
        rows = connection.execute(item.insert().returning(item.c.id, item.c.name, sort_by_parameter_order=True),
                                  [{"name": "b", "price": 2}, {"name": "c", "price": None}, {"name": "d", "price": 3}])
        assert rows.all() == [(2, "b"), (3, "c"), (4, "d")]
        assert connection.execute(item.insert(), [{"name": "e", "price": 5}, {"name": "f", "price": 6}]).rowcount == 2
        found = connection.execute(sa.select(item).where(item.c.price > 1, item.c.name.like("%")).order_by(item.c.id))
        assert found.all()[:2] == [(1, "a", Decimal("1.50")), (2, "b", Decimal("2.00"))]
        assert connection.scalars(sa.select(item.c.id).where(item.c.name.in_(["a", "f", "z"])).order_by("id")
                                  ).all() == [1, 6]
        changed = connection.execute(item.update().where(item.c.id < 3).values(price=item.c.price * 2))
        assert changed.rowcount == 2
        assert connection.execute(item.update().where(item.c.id == 1).values(name="A").returning(item.c.price)
                                  ).scalar_one() == Decimal("3.00")
        assert connection.execute(item.delete().where(item.c.id > 4).returning(item.c.name)
                                  ).scalars().all() == ["e", "f"]
        assert connection.execute(item.delete().where(item.c.id == 4)).rowcount == 1
    assert count(engine, item) == 3


def test_on_conflict(engine: sa.Engine, item: sa.Table) -> None:
    insert = postgresql.insert(item)
    with engine.begin() as connection:
        connection.execute(insert.values(name="a", price=1))
        assert connection.execute(insert.values(name="a", price=2).on_conflict_do_nothing()).rowcount == 0
        replaced = insert.on_conflict_do_update(index_elements=["name"], set_={"price": insert.excluded.price})
        connection.execute(replaced, [{"name": "a", "price": 7}, {"name": "b", "price": 8}])
        assert connection.execute(sa.select(item.c.name, item.c.price).order_by("name")).all() == [("a", 7), ("b", 8)]


def test_joins_groups_windows_and_common_tables(engine: sa.Engine, item: sa.Table) -> None:
    with engine.begin() as connection:
        connection.execute(item.insert(), [{"name": name, "price": 1 + 3 * (name == "c")} for name in "abc"])
        cheap = sa.select(item.c.price, sa.func.count().label("n")).group_by(item.c.price).cte("cheap")
        query = (sa.select(item.c.name, cheap.c.n, sa.func.row_number().over(order_by=item.c.name.desc()))
                 .join(cheap, cheap.c.price == item.c.price).order_by(item.c.name).limit(2).offset(1))
        assert connection.execute(query).all() == [("b", 2, 2), ("c", 1, 1)]


def test_sequences(engine: sa.Engine) -> None:
    metadata = sa.MetaData()
    numbers = sa.Sequence("numbers", start=10, increment=5, metadata=metadata)
    table = sa.Table("t", metadata, sa.Column("id", sa.Integer, numbers, primary_key=True), sa.Column("x", sa.Text))
    metadata.create_all(engine)
    with engine.begin() as connection:
        assert connection.execute(table.insert().values(x="a")).inserted_primary_key == (10,)
        assert connection.scalar(numbers) == 15
    metadata.drop_all(engine)
    assert not sa.inspect(engine).has_sequence("numbers")


@pytest.mark.parametrize("statement, kind, sqlstate", [
    ("INSERT INTO item (name) VALUES (NULL)", sa.exc.IntegrityError, "23502"),
    ("INSERT INTO item (name, price) VALUES ('a', -1)", sa.exc.IntegrityError, "23514"),
    ("INSERT INTO item (name) VALUES ('a'), ('a')", sa.exc.IntegrityError, "23505"),
    ("SELECT * FROM nothing", sa.exc.ProgrammingError, "42P01"),
    ("SELECT 1 / 0", sa.exc.DataError, "22012")])
def test_errors(engine: sa.Engine, item: sa.Table, statement: str, kind: Any, sqlstate: str) -> None:
    with engine.connect() as connection, pytest.raises(kind) as caught:
        connection.exec_driver_sql(statement)
    assert caught.value.orig.sqlstate == sqlstate and not caught.value.connection_invalidated


# -------------------------------------------------------------------- transactions

def test_commit_and_rollback(engine: sa.Engine, item: sa.Table) -> None:
    with engine.connect() as connection:
        connection.execute(item.insert().values(name="a"))
        connection.rollback()
        connection.execute(item.insert().values(name="b"))
        connection.commit()
        connection.execute(item.insert().values(name="c"))
    assert count(engine, item) == 1


def test_savepoints(engine: sa.Engine, item: sa.Table) -> None:
    with engine.begin() as connection:
        connection.execute(item.insert().values(name="a"))
        with pytest.raises(sa.exc.IntegrityError), connection.begin_nested():
            connection.execute(item.insert().values(name="a"))
        with connection.begin_nested():
            connection.execute(item.insert().values(name="b"))
    assert count(engine, item) == 2


def test_isolation_levels(engine: sa.Engine, item: sa.Table) -> None:
    assert engine.dialect.default_isolation_level == "SERIALIZABLE"
    with engine.connect() as plain:
        for level in ("SERIALIZABLE", "REPEATABLE READ", "AUTOCOMMIT"):
            with engine.connect().execution_options(isolation_level=level) as connection:
                assert connection.get_isolation_level() == level
                connection.execute(item.insert().values(name=level))
                is_seen = plain.scalar(sa.select(sa.func.count()).where(item.c.name == level))
                plain.rollback()
                assert is_seen == (level == "AUTOCOMMIT")
            with engine.connect() as connection:             # the pool resets it
                assert connection.get_isolation_level() == "SERIALIZABLE"
    with pytest.raises(sa.exc.ArgumentError):
        engine.connect().execution_options(isolation_level="READ COMMITTED")


def test_write_skew_is_refused_where_serializable(engine: sa.Engine, item: sa.Table) -> None:
    with engine.begin() as connection:
        connection.execute(item.insert(), [{"name": "a", "price": 1}, {"name": "b", "price": 1}])
    for level, is_refused in (("SERIALIZABLE", True), ("REPEATABLE READ", False)):
        of_level = engine.execution_options(isolation_level=level)
        with of_level.connect() as one, of_level.connect() as two:
            for connection, other in ((one, "a"), (two, "b")):
                connection.scalar(sa.select(sa.func.sum(item.c.price)))
                connection.execute(item.update().where(item.c.name == other).values(price=item.c.price + 1))
            one.commit()
            if is_refused:
                with pytest.raises(sa.exc.OperationalError) as caught:
                    two.commit()
                assert getattr(caught.value.orig, "sqlstate", None) == "40001"
            else:
                two.commit()


def test_read_only(engine: sa.Engine, item: sa.Table) -> None:
    with engine.connect().execution_options(postgresql_readonly=True) as connection:
        with pytest.raises(sa.exc.InternalError):
            connection.execute(item.insert().values(name="a"))
    with engine.begin() as connection:
        connection.execute(item.insert().values(name="a"))


def test_no_two_phase_commit(engine: sa.Engine) -> None:
    with engine.connect() as connection, pytest.raises(NotImplementedError):
        connection.begin_twophase()


# -------------------------------------------------------------------- types

class Colour(enum.Enum):
    RED = 1
    BLUE = 2


MOMENT = datetime.datetime(2024, 5, 6, 7, 8, 9, 123456)
DOCUMENT = {"a": [1, 2.5, None, True, {"b": "c"}], "d": 10 ** 18}
KEY = uuid.UUID(int=5)


@pytest.mark.parametrize("type_, values", [
    (sa.Integer(), [1, -(2 ** 31), None]), (sa.BigInteger(), [2 ** 62, 1]), (sa.SmallInteger(), [-5]),
    (sa.Numeric(20, 5), [Decimal("12345678901.23400"), None]), (sa.Numeric(8, 2, asdecimal=False), [1.25, None]),
    (sa.Float(), [1.1, -0.5, 3]), (sa.Double(), [1e300]), (sa.Float(asdecimal=True), [Decimal("2.5")]),
    (sa.Text(), ["", "ä'\"%?:x", None]), (sa.String(5), ["abc"]), (sa.Unicode(5), ["äöü"]), (sa.CHAR(3), ["abc"]),
    (sa.Boolean(), [True, False, None]), (sa.Date(), [MOMENT.date(), None]), (sa.Time(), [MOMENT.time()]),
    (sa.DateTime(), [MOMENT]), (sa.DateTime(timezone=True), [MOMENT.replace(tzinfo=datetime.UTC)]),
    (sa.Interval(), [datetime.timedelta(days=-3, microseconds=7), None]),
    (sa.LargeBinary(), [b"\x00\xff", b"", None]), (sa.Uuid(), [KEY, None]), (sa.Uuid(as_uuid=False), [str(KEY)]),
    (sa.JSON(), [DOCUMENT, [], "text", 5, 1.5, False]), (postgresql.JSONB(), [DOCUMENT, [1.0]]),
    (sa.JSON(none_as_null=True), [None]), (sa.JSON(), [None]),
    (sa.ARRAY(sa.Integer), [[1, None, 3], [], None]), (sa.ARRAY(sa.Text), [["a", "b,c"], []]),
    (postgresql.ARRAY(sa.Numeric(5, 2)), [[Decimal("1.50")]]),
    (sa.Enum(Colour), [Colour.RED, None]), (sa.Enum("x", "y", create_constraint=True, name="letters"), ["x"]),
    (sa.PickleType(), [{"a": {1, 2}}])], ids=repr)
def test_values_go_in_and_come_out(engine: sa.Engine, type_: Any, values: list[Any]) -> None:
    table = sa.Table("t", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), sa.Column("x", type_))
    table.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(table.insert(), [{"x": value} for value in values])
        found = connection.scalars(sa.select(table.c.x).order_by(table.c.id)).all()
        returned = connection.scalars(table.insert().returning(table.c.x), [{"x": value} for value in values]).all()
        for value, same in zip(values, found, strict=True):
            assert same == value and type(same) in (type(value), float)
            if value is not None and not isinstance(type_, sa.JSON | sa.PickleType):
                assert connection.scalar(sa.select(sa.func.count()).where(table.c.x == value)) == 2
    assert sorted(map(repr, returned)) == sorted(map(repr, found))


def test_intervals_of_months(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        given = sa.literal_column("INTERVAL '1 month 2 days 3 seconds'", postgresql.INTERVAL())
        assert connection.scalar(sa.select(given)) == datetime.timedelta(days=32, seconds=3)
        assert connection.exec_driver_sql("SELECT INTERVAL '1 month'").scalar() == Interval(months=1)


def test_json_paths(engine: sa.Engine) -> None:
    table = sa.Table("t", sa.MetaData(), sa.Column("x", postgresql.JSONB))
    table.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(table.insert().values(x={"a": {"b": [1, 2.5]}, "c": "d"}))
        query = sa.select(table.c.x["a"], table.c.x["c"].astext, table.c.x[("a", "b", 1)].as_float())
        assert connection.execute(query.where(table.c.x.contains({"c": "d"}))).all() == [({"b": [1, 2.5]}, "d", 2.5)]


def test_json_null_is_none(engine: sa.Engine) -> None:
    table = sa.Table("t", sa.MetaData(), sa.Column("x", sa.JSON))
    table.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(table.insert(), [{"x": None}, {"x": sa.JSON.NULL}])
        connection.execute(table.insert().values(x=sa.null()))
        assert connection.scalars(sa.select(table.c.x)).all() == [None] * 3
        assert connection.scalar(sa.select(sa.func.count()).where(table.c.x.is_(sa.null()))) == 1


def test_a_serializer_of_ones_own(tmp_path: Path) -> None:
    engine = sa.create_engine(f"phantomdb:///{tmp_path}?durability=none", json_serializer=lambda _value: '"same"')
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.cast({"a": 1}, sa.JSON))) == "same"
    engine.dispose()


# -------------------------------------------------------------------- reflection

def test_reflection(engine: sa.Engine) -> None:
    metadata = sa.MetaData()
    sa.Table("parent", metadata,
             sa.Column("id", sa.Integer, sa.Identity(always=True, start=5), primary_key=True),
             sa.Column("name", sa.String(20), nullable=False, server_default="x", comment="what it is called"),
             sa.Column("price", sa.Numeric(10, 2)), sa.Column("tags", sa.ARRAY(sa.Text)),
             sa.Column("twice", sa.Numeric, sa.Computed("price * 2", persisted=True)),
             sa.CheckConstraint("price > 0", name="positive"), sa.UniqueConstraint("name", "price", name="both"),
             sa.Index("by_price", sa.text("price DESC"), "name"),
             sa.Index("by_name", "name", unique=True, postgresql_where=sa.text("price > 5")), comment="the parents")
    sa.Table("child", metadata, sa.Column("a", sa.BigInteger, primary_key=True),
             sa.Column("b", sa.Date, primary_key=True),
             sa.Column("parent", sa.ForeignKey("parent.id", ondelete="CASCADE", name="to_parent")))
    metadata.create_all(engine)
    with engine.begin() as connection:
        for text in ("CREATE VIEW names AS SELECT name FROM parent", "CREATE SEQUENCE numbers", "CREATE SCHEMA other",
                     "CREATE TABLE other.thing (id serial PRIMARY KEY, at timestamptz)"):
            connection.exec_driver_sql(text)
    inspector = sa.inspect(engine)
    assert set(inspector.get_table_names()) == {"child", "parent"}
    assert inspector.get_table_names("other") == ["thing"] and inspector.get_view_names() == ["names"]
    assert set(inspector.get_schema_names()) == {"information_schema", "other", "public"}
    assert "numbers" in inspector.get_sequence_names() and inspector.has_table("child")
    assert not inspector.has_table("uncle") and inspector.has_schema("other")
    columns = {column["name"]: column for column in inspector.get_columns("parent")}
    assert {name: str(column["type"]) for name, column in columns.items()} == {
        "id": "INTEGER", "name": "VARCHAR(20)", "price": "NUMERIC(10, 2)", "tags": "ARRAY", "twice": "NUMERIC"}
    assert columns["id"]["identity"]["always"] is True and columns["id"]["identity"]["start"] == 5
    assert not columns["name"]["nullable"] and "x" in str(columns["name"]["default"])
    assert columns["name"]["comment"] == "what it is called" and columns["twice"]["computed"]["persisted"]
    assert inspector.get_pk_constraint("child")["constrained_columns"] == ["a", "b"]
    key = inspector.get_foreign_keys("child")[0]
    assert (key["name"], key["constrained_columns"],
            key["referred_table"], key["referred_columns"], key["options"]) == (
        "to_parent", ["parent"], "parent", ["id"], {"ondelete": "CASCADE"})
    indexes = {index["name"]: index for index in inspector.get_indexes("parent")}
    assert indexes["by_price"]["column_names"] == ["price", "name"] and not indexes["by_price"]["unique"]
    assert indexes["by_name"]["unique"]
    assert "price > 5" in indexes["by_name"]["dialect_options"]["postgresql_where"]
    assert [(one["name"], one["column_names"]) for one in inspector.get_unique_constraints("parent")] == [
        ("both", ["name", "price"])]
    assert [(one["name"], one["sqltext"]) for one in inspector.get_check_constraints("parent")] == [
        ("positive", "price > 0")]
    assert inspector.get_table_comment("parent")["text"] == "the parents"
    assert "SELECT name FROM parent" in inspector.get_view_definition("names")
    assert [column["name"] for column in inspector.get_columns("names")] == ["name"]
    assert "nextval" in str(inspector.get_columns("thing", "other")[0]["default"])
    with pytest.raises(sa.exc.NoSuchTableError):
        inspector.get_columns("uncle")


def test_a_reflected_table_can_be_made_again(engine: sa.Engine, tmp_path: Path) -> None:
    first = sa.MetaData()
    sa.Table("parent", first, sa.Column("id", sa.Integer, sa.Identity(), primary_key=True),
             sa.Column("name", sa.String(20), server_default="x", unique=True), sa.Column("data", sa.JSON))
    sa.Table("child", first, sa.Column("id", sa.Integer, sa.ForeignKey("parent.id"), primary_key=True))
    first.create_all(engine)
    second = sa.MetaData()
    second.reflect(engine)
    assert set(second.tables) == {"parent", "child"}
    other = sa.create_engine(f"phantomdb:///{tmp_path / 'other'}?durability=none")
    second.create_all(other)
    inspectors = sa.inspect(engine), sa.inspect(other)
    for table in ("parent", "child"):
        for name in ("get_columns", "get_pk_constraint", "get_foreign_keys", "get_indexes", "get_unique_constraints"):
            one, two = (getattr(inspector, name)(table) for inspector in inspectors)
            assert repr(one) == repr(two)
    second.drop_all(other)
    assert sa.inspect(other).get_table_names() == []
    other.dispose()


# -------------------------------------------------------------------- the ORM

class Base(DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "author"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(30), unique=True)
    born: Mapped[datetime.date | None]
    books: Mapped[list[Book]] = relationship(back_populates="author", cascade="all, delete-orphan")


class Book(Base):
    __tablename__ = "book"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    data: Mapped[dict[str, Any]] = mapped_column(sa.JSON, default=dict)
    author_id: Mapped[int] = mapped_column(sa.ForeignKey("author.id"))
    author: Mapped[Author] = relationship(back_populates="books")


def test_orm(engine: sa.Engine) -> None:
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        author = Author(name="Ann", born=datetime.date(1970, 1, 2),
                        books=[Book(title=title, data={"price": 2.5}) for title in ("one", "two", "three")])
        session.add_all([author, Author(name="Bob")])
        session.flush()
        assert author.id == 1 and [book.id for book in author.books] == [1, 2, 3]
        session.commit()
        found = session.scalars(sa.select(Author).options(selectinload(Author.books)).order_by(Author.name)).all()
        assert [(one.name, [book.title for book in one.books]) for one in found] == [
            ("Ann", ["one", "two", "three"]), ("Bob", [])]
        found[0].books[0].data = found[0].books[0].data | {"pages": 5}
        found[0].books.pop()
        session.flush()
        session.rollback()
        assert len(found[0].books) == 3
        found[0].books[0].data = found[0].books[0].data | {"pages": 5}
        found[0].books.pop()
        session.commit()
        assert session.get_one(Book, 1).data == {"price": 2.5, "pages": 5}
        assert session.scalar(sa.select(sa.func.count(Book.id)).join(Book.author).where(Author.name == "Ann")) == 2
        session.add(Author(name="Ann"))
        with pytest.raises(sa.exc.IntegrityError):
            session.flush()
        session.rollback()
        session.execute(sa.update(Author).where(Author.name == "Bob").values(name="Rob"))
        assert session.get_one(Author, 2).name == "Rob"
        session.delete(found[0])
        session.commit()
        assert session.scalar(sa.select(sa.func.count()).select_from(Book)) == 0
