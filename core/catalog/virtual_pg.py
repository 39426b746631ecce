"""pg_catalog: the tables that say what there is. Columns as in PostgreSQL 15, chapter "System Catalogs"."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from phantomdb.core.catalog import virtual_objects as o
from phantomdb.core.catalog.catalog import Catalog
from phantomdb.core.catalog.objects import Action, Column, Index, IndexState, Sequence, Table, View
from phantomdb.core.catalog.virtual_table import Row, VirtualContext, empty, table
from phantomdb.core.catalog.virtual_types import TYPES, TypeRow, type_modifier, type_oid
from phantomdb.core.values import Kind, Type

_ACTIONS = {Action.NO_ACTION: "a", Action.RESTRICT: "r", Action.CASCADE: "c", Action.SET_NULL: "n",
            Action.SET_DEFAULT: "d"}
_DESCENDING, _NULLS_FIRST = 1, 2         # bits of indoption


@table("pg_catalog.pg_namespace", "oid oid, nspname name, nspowner oid=10, nspacl text[]")
def _namespaces(context: VirtualContext) -> Iterator[Row]:
    yield {"oid": o.PG_CATALOG, "nspname": "pg_catalog"}
    yield {"oid": o.INFORMATION_SCHEMA, "nspname": "information_schema"}
    for schema in o.schemas(context.catalog, context.database):
        yield {"oid": schema.id, "nspname": schema.name}


@table("pg_catalog.pg_database", """oid oid, datname name, datdba oid=10, encoding int=6, datlocprovider char=c,
    datistemplate bool=f, datallowconn bool=t, datconnlimit int=-1, datfrozenxid bigint=0, datminmxid bigint=1,
    dattablespace oid=1663, datcollate text=C, datctype text=C, daticulocale text, datcollversion text, datacl
    text[]""")
def _databases(context: VirtualContext) -> Iterator[Row]:
    for database in context.catalog.databases():
        yield {"oid": database.id, "datname": database.name}


@table("pg_catalog.pg_roles", """oid oid=10, rolname name, rolsuper bool=t, rolinherit bool=t, rolcreaterole bool=t,
    rolcreatedb bool=t, rolcanlogin bool=t, rolreplication bool=f, rolconnlimit int=-1, rolpassword text=********,
    rolvaliduntil timestamptz, rolbypassrls bool=t, rolconfig text[]""")
def _roles(context: VirtualContext) -> Iterator[Row]:
    yield {"rolname": context.user}


@table("pg_catalog.pg_user", """usename name, usesysid oid=10, usecreatedb bool=t, usesuper bool=t, userepl bool=f,
    usebypassrls bool=t, passwd text=********, valuntil timestamptz, useconfig text[]""")
def _users(context: VirtualContext) -> Iterator[Row]:
    yield {"usename": context.user}


@table("pg_catalog.pg_am", "oid oid, amname name, amhandler text=-, amtype char=i")
def _access_methods(_context: VirtualContext) -> Iterator[Row]:
    yield {"oid": o.HEAP, "amname": "heap", "amhandler": "heap_tableam_handler", "amtype": "t"}
    yield {"oid": o.BTREE, "amname": "btree", "amhandler": "bthandler"}


@table("pg_catalog.pg_collation", """oid oid, collname name, collnamespace oid=2000000011, collowner oid=10,
    collprovider char=c, collisdeterministic bool=t, collencoding int=-1, collcollate text=C, collctype text=C,
    colliculocale text, collicurules text, collversion text""")
def _collations(_context: VirtualContext) -> Iterator[Row]:
    yield {"oid": o.COLLATION_DEFAULT, "collname": "default", "collprovider": "d"}
    yield {"oid": o.COLLATION_C, "collname": "C"}


@table("pg_catalog.pg_tablespace", "oid oid, spcname name, spcowner oid=10, spcacl text[], spcoptions text[]")
def _tablespaces(_context: VirtualContext) -> Iterator[Row]:
    yield {"oid": 1663, "spcname": "pg_default"}


@table("pg_catalog.pg_type", """oid oid, typname name, typnamespace oid=2000000011, typowner oid=10, typlen smallint,
    typbyval bool=f, typtype char=b, typcategory char, typispreferred bool=f, typisdefined bool=t, typdelim char=,
    typrelid oid=0, typsubscript text=-, typelem oid=0, typarray oid=0, typinput text=-, typoutput text=-, typreceive
    text=-, typsend text=-, typmodin text=-, typmodout text=-, typanalyze text=-, typalign char=i, typstorage char=p,
    typnotnull bool=f, typbasetype oid=0, typtypmod int=-1, typndims int=0, typcollation oid=0, typdefaultbin text,
    typdefault text, typacl text[]""")
def _types(_context: VirtualContext) -> Iterator[Row]:
    for row in TYPES.values():
        yield {"oid": row.oid, "typname": row.name, "typlen": row.length, "typcategory": row.category, "typdelim": ",",
               "typtype": "p" if row.category in "PX" else "b", "typelem": row.element, "typarray": row.array,
               "typbyval": 0 < row.length <= 8, "typinput": _function(row, "in"), "typoutput": _function(row, "out"),
               "typispreferred": row.name in ("bool", "text", "float8", "timestamptz", "interval", "oid"),
               "typstorage": "x" if row.length < 0 else "p",
               "typcollation": o.COLLATION_DEFAULT if row.category == "S" else 0}


def _function(row: TypeRow, suffix: str) -> str:
    return f"array_{suffix}" if row.element else f"{row.name}{suffix}"


# -------------------------------------------------------------------- relations

@table("pg_catalog.pg_class", """oid oid, relname name, relnamespace oid, reltype oid=0, reloftype oid=0, relowner
    oid=10, relam oid=0, relfilenode oid=0, reltablespace oid=0, relpages int=0, reltuples real=-1, relallvisible
    int=0, reltoastrelid oid=0, relhasindex bool=f, relisshared bool=f, relpersistence char=p, relkind char, relnatts
    smallint=0, relchecks smallint=0, relhasrules bool=f, relhastriggers bool=f, relhassubclass bool=f, relrowsecurity
    bool=f, relforcerowsecurity bool=f, relispopulated bool=t, relreplident char=d, relispartition bool=f, relrewrite
    oid=0, relfrozenxid bigint=0, relminmxid bigint=0, relacl text[], reloptions text[], relpartbound text""")
def _classes(context: VirtualContext) -> Iterator[Row]:
    for schema, item in o.relations(context.catalog, context.database):
        row: dict[str, Any] = {"oid": item.id, "relname": item.name, "relnamespace": schema.id, "relfilenode": item.id}
        if isinstance(item, View):
            yield row | {"relkind": "v", "relnatts": len(item.column_names), "relhasrules": True, "relfilenode": 0}
        elif isinstance(item, Sequence):
            yield row | {"relkind": "S", "relnatts": 3}
        else:
            yield row | {"relkind": "r", "relnatts": len(item.columns), "relam": o.HEAP, "relchecks": len(item.checks),
                         "relhasindex": any(True for _ in o.indexes_of(item)),
                         "relhastriggers": bool(item.foreign_keys or context.catalog.referencing(item.id))}
            for oid, index in o.indexes_of(item):
                count = len(item.primary_key) if index is None else len(index.columns) + len(index.included)
                yield {"oid": oid, "relname": item.primary_key_name if index is None else index.name, "relkind": "i",
                       "relnamespace": schema.id, "relfilenode": oid, "relam": o.BTREE, "relnatts": count,
                       "relreplident": "n"}


@table("pg_catalog.pg_attribute", """attrelid oid, attname name, atttypid oid, attstattarget int=-1, attlen
    smallint=-1, attnum smallint, attndims int=0, attcacheoff int=-1, atttypmod int=-1, attbyval bool=f, attalign
    char=i, attstorage char=p, attcompression char=, attnotnull bool=f, atthasdef bool=f, atthasmissing bool=f,
    attidentity char=, attgenerated char=, attisdropped bool=f, attislocal bool=t, attinhcount int=0, attcollation
    oid=0, attacl text[], attoptions text[], attfdwoptions text[], attmissingval text""")
def _attributes(context: VirtualContext) -> Iterator[Row]:
    for _, item in o.relations(context.catalog, context.database):
        if isinstance(item, View):
            for number, (name, type_) in enumerate(zip(item.column_names, item.column_types, strict=True), 1):
                yield _attribute(item.id, number, name, type_)
        elif isinstance(item, Sequence):
            for number, (name, oid) in enumerate((("last_value", 20), ("log_cnt", 20), ("is_called", 16)), 1):
                yield {"attrelid": item.id, "attnum": number, "attname": name, "atttypid": oid, "attnotnull": True}
        else:
            for column in item.columns:
                yield _attribute(item.id, column.id, column.name, column.type) | _properties(context.catalog, column)
            for oid, index in o.indexes_of(item):
                yield from _index_attributes(item, oid, index)


def _attribute(relation: int, number: int, name: str, type_: Type) -> dict[str, Any]:
    oid = type_oid(type_)
    row = TYPES[oid]
    return {"attrelid": relation, "attnum": number, "attname": name, "atttypid": oid, "attlen": row.length,
            "atttypmod": type_modifier(type_), "attndims": int(type_.kind is Kind.ARRAY),
            "attbyval": 0 < row.length <= 8,
            "attstorage": "x" if row.length < 0 else "p",
            "attcollation": o.COLLATION_DEFAULT if type_.kind is Kind.TEXT else 0}


def _properties(catalog: Catalog, column: Column) -> dict[str, Any]:
    return {"attnotnull": not column.is_nullable, "atthasmissing": column.missing is not None,
            "atthasdef": column.generated is not None or o.default_of(catalog, column) is not None,
            "attidentity": column.identity[:1].replace("b", "d"), "attgenerated": "s" if column.generated else ""}


def _index_attributes(of: Table, oid: int, index: Index | None) -> Iterator[Row]:
    if index is None:
        for number, column in enumerate(map(of.column_by_id, of.primary_key), 1):
            yield _attribute(oid, number, column.name, column.type)
        return
    for number, part in enumerate(index.columns, 1):
        if part.expression is not None:
            yield _attribute(oid, number, "expr", part.expression.bound.type)
        else:
            column = of.column_by_id(part.column or 0)
            type_ = Type(Kind.ANY) if part.path else column.type
            yield _attribute(oid, number, str(part.path[-1]) if part.path else column.name, type_)
    for number, column in enumerate(map(of.column_by_id, index.included), len(index.columns) + 1):
        yield _attribute(oid, number, column.name, column.type)


@table("pg_catalog.pg_attrdef", "oid oid, adrelid oid, adnum smallint, adbin text")
def _defaults(context: VirtualContext) -> Iterator[Row]:
    for _, item in o.tables(context.catalog, context.database):
        for column in item.columns:
            text = column.generated.text if column.generated else o.default_of(context.catalog, column)
            if text is not None:
                yield {"oid": o.default_oid(item, column), "adrelid": item.id, "adnum": column.id, "adbin": text}


@table("pg_catalog.pg_index", """indexrelid oid, indrelid oid, indnatts smallint, indnkeyatts smallint, indisunique
    bool=f, indnullsnotdistinct bool=f, indisprimary bool=f, indisexclusion bool=f, indimmediate bool=t,
    indisclustered bool=f, indisvalid bool=t, indcheckxmin bool=f, indisready bool=t, indislive bool=t, indisreplident
    bool=f, indkey smallint[], indcollation oid[], indclass oid[], indoption smallint[], indexprs text, indpred
    text""")
def _indexes(context: VirtualContext) -> Iterator[Row]:
    for _, item in o.tables(context.catalog, context.database):
        for oid, index in o.indexes_of(item):
            if index is None:
                keys, options = list(item.primary_key), [0] * len(item.primary_key)
                more: dict[str, Any] = {"indisunique": True, "indisprimary": True}
            else:
                keys = [0 if part.path or part.column is None else part.column for part in index.columns]
                options = [_DESCENDING * part.is_descending + _NULLS_FIRST * part.nulls_first for part in index.columns]
                computed = [o.index_part(item, part) for part in index.columns if part.path or part.column is None]
                more = {"indisunique": index.is_unique, "indnullsnotdistinct": not index.nulls_distinct,
                        "indimmediate": not index.is_deferrable, "indisvalid": index.state is IndexState.PUBLIC,
                        "indexprs": ", ".join(computed) or None, "indpred": index.predicate and index.predicate.text}
            count, included = len(keys), [] if index is None else list(index.included)
            yield {"indexrelid": oid, "indrelid": item.id, "indnatts": count + len(included), "indnkeyatts": count,
                   "indkey": keys + included,
                   "indoption": options, "indcollation": [0] * count, "indclass": [0] * count} | more


@table("pg_catalog.pg_constraint", """oid oid, conname name, connamespace oid, contype char, condeferrable bool,
    condeferred bool, convalidated bool=t, conrelid oid, contypid oid=0, conindid oid=0, conparentid oid=0, confrelid
    oid=0, confupdtype char= , confdeltype char= , confmatchtype char= , conislocal bool=t, coninhcount int=0,
    connoinherit bool=t, conkey smallint[], confkey smallint[], conpfeqop oid[], conppeqop oid[], conffeqop oid[],
    confdelsetcols smallint[], conexclop oid[], conbin text""")
def _constraints(context: VirtualContext) -> Iterator[Row]:
    for schema, item in o.tables(context.catalog, context.database):
        for constraint in o.constraints_of(context.catalog, item):
            row: dict[str, Any] = {
                "oid": constraint.oid, "conname": constraint.name, "connamespace": schema.id,
                "contype": constraint.kind,
                "condeferrable": constraint.is_deferrable, "condeferred": constraint.is_deferred, "conrelid": item.id,
                "conindid": constraint.index, "conkey": list(constraint.columns)}
            if constraint.check is not None:
                row |= {"conbin": constraint.check.condition.text, "connoinherit": False}
            if (key := constraint.key) is not None:
                row |= {"confrelid": key.target, "confkey": list(key.target_columns), "confmatchtype": "s",
                        "confupdtype": _ACTIONS[key.on_update], "confdeltype": _ACTIONS[key.on_delete]}
            yield row


@table("pg_catalog.pg_sequence", """seqrelid oid, seqtypid oid=20, seqstart bigint, seqincrement bigint, seqmax
    bigint, seqmin bigint, seqcache bigint, seqcycle bool""")
def _sequences(context: VirtualContext) -> Iterator[Row]:
    for _, item in o.relations(context.catalog, context.database):
        if isinstance(item, Sequence):
            yield {"seqrelid": item.id, "seqstart": item.start, "seqincrement": item.increment, "seqmax": item.maximum,
                   "seqmin": item.minimum, "seqcache": item.cache, "seqcycle": item.is_cyclic}


@table("pg_catalog.pg_description", "objoid oid, classoid oid=1259, objsubid int=0, description text")
def _descriptions(context: VirtualContext) -> Iterator[Row]:
    for _, item in o.tables(context.catalog, context.database):
        if item.comment:
            yield {"objoid": item.id, "description": item.comment}
        for column in item.columns:
            if column.comment:
                yield {"objoid": item.id, "objsubid": column.id, "description": column.comment}


@table("pg_catalog.pg_depend", """classid oid=1259, objid oid, objsubid int=0, refclassid oid=1259, refobjid oid,
    refobjsubid int=0, deptype char=n""")
def _dependencies(context: VirtualContext) -> Iterator[Row]:
    """The sequences that columns own, and what views are made of."""
    for _, item in o.relations(context.catalog, context.database):
        if isinstance(item, Sequence) and item.owner is not None:
            owner = context.catalog.table(item.owner[0])
            is_identity = any(column.sequence == item.id and column.identity for column in owner.columns)
            yield {"objid": item.id, "refobjid": owner.id, "refobjsubid": item.owner[1],
                   "deptype": "i" if is_identity else "a"}
        elif isinstance(item, View):
            for used in item.depends_on:
                yield {"objid": item.id, "refobjid": used}


@table("pg_catalog.pg_proc", """oid oid, proname name, pronamespace oid=2000000011, proowner oid=10, prolang oid=12,
    procost real=1, prorows real=0, provariadic oid=0, prosupport text=-, prokind char, prosecdef bool=f, proleakproof
    bool=f, proisstrict bool, proretset bool, provolatile char, proparallel char=s, pronargs smallint, pronargdefaults
    smallint, prorettype oid, proargtypes oid[], proallargtypes oid[], proargmodes text[], proargnames text[],
    proargdefaults text, protrftypes oid[], prosrc text, probin text, prosqlbody text, proconfig text[], proacl
    text[]""")
def _functions(_context: VirtualContext) -> Iterator[Row]:
    from phantomdb.core.query.functions.registry import FunctionKind, all_overloads
    for overload in all_overloads():
        if not overload.name.isidentifier():                 # an operator
            continue
        result = type_oid(overload.result) if isinstance(overload.result, Type) else type_oid(Type(Kind.ANY))
        arguments = [type_oid(item if isinstance(item, Type) else Type(Kind.ANY)) for item in overload.arguments]
        yield {"oid": o.hashed_oid(overload.name, *arguments), "proname": overload.name, "prosrc": overload.name,
               "prokind": {FunctionKind.AGGREGATE: "a", FunctionKind.WINDOW: "w"}.get(overload.kind, "f"),
               "proisstrict": overload.is_strict, "proretset": overload.kind is FunctionKind.TABLE,
               "provolatile": overload.volatility.value[0], "pronargs": len(arguments),
               "pronargdefaults": overload.optional, "prorettype": result, "proargtypes": arguments,
               "provariadic": arguments[-1] if overload.is_variadic else 0}


# -------------------------------------------------------------------- what is never there

for _name, _definition in {
    "pg_enum": "oid oid, enumtypid oid, enumsortorder real, enumlabel name",
    "pg_range": "rngtypid oid, rngsubtype oid, rngmultitypid oid, rngcollation oid, rngsubopc oid",
    "pg_inherits": "inhrelid oid, inhparent oid, inhseqno int, inhdetachpending bool",
    "pg_partitioned_table": "partrelid oid, partstrat char, partnatts smallint, partdefid oid, partattrs smallint[]",
    "pg_policy": """oid oid, polname name, polrelid oid, polcmd char, polpermissive bool, polroles oid[], polqual
        text, polwithcheck text""",
    "pg_trigger": """oid oid, tgrelid oid, tgparentid oid, tgname name, tgfoid oid, tgtype smallint, tgenabled char,
        tgisinternal bool, tgconstrrelid oid, tgconstrindid oid, tgconstraint oid, tgdeferrable bool, tginitdeferred
        bool, tgnargs smallint, tgattr smallint[], tgargs text, tgqual text, tgoldtable name, tgnewtable name""",
    "pg_rewrite": "oid oid, rulename name, ev_class oid, ev_type char, ev_enabled char, is_instead bool",
    "pg_statistic_ext": """oid oid, stxrelid oid, stxname name, stxnamespace oid, stxowner oid, stxstattarget int,
        stxkeys smallint[], stxkind text[], stxexprs text""",
    "pg_publication": """oid oid, pubname name, pubowner oid, puballtables bool, pubinsert bool, pubupdate bool,
        pubdelete bool, pubtruncate bool, pubviaroot bool""",
    "pg_publication_rel": "oid oid, prpubid oid, prrelid oid, prqual text, prattrs smallint[]",
    "pg_publication_namespace": "oid oid, pnpubid oid, pnnspid oid",
    "pg_foreign_table": "ftrelid oid, ftserver oid, ftoptions text[]",
    "pg_foreign_server": "oid oid, srvname name, srvowner oid, srvfdw oid, srvtype text, srvversion text",
    "pg_auth_members": "roleid oid, member oid, grantor oid, admin_option bool",
    "pg_shdescription": "objoid oid, classoid oid, description text",
    "pg_extension": "oid oid, extname name, extowner oid, extnamespace oid, extrelocatable bool, extversion text",
    "pg_opclass": """oid oid, opcmethod oid, opcname name, opcnamespace oid, opcowner oid, opcfamily oid, opcintype
        oid, opcdefault bool, opckeytype oid""",
    "pg_event_trigger": "oid oid, evtname name, evtevent name, evtowner oid, evtfoid oid, evtenabled char",
}.items():
    empty(f"pg_catalog.{_name}", _definition)
