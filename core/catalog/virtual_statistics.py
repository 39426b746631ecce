"""pg_catalog: the views that show definitions in words, settings, and what goes on."""
from __future__ import annotations

from collections.abc import Iterator

from phantomdb.core.catalog import virtual_objects as o
from phantomdb.core.catalog.objects import Sequence, View
from phantomdb.core.catalog.virtual_table import Row, VirtualContext, empty, table


@table("pg_catalog.pg_tables", """schemaname name, tablename name, tableowner name, tablespace name, hasindexes bool,
    hasrules bool=f, hastriggers bool, rowsecurity bool=f""")
def _tables(context: VirtualContext) -> Iterator[Row]:
    for schema, item in o.tables(context.catalog, context.database):
        yield {"schemaname": schema.name, "tablename": item.name, "tableowner": context.user,
               "hasindexes": any(True for _ in o.indexes_of(item)),
               "hastriggers": bool(item.foreign_keys or context.catalog.referencing(item.id))}


@table("pg_catalog.pg_views", "schemaname name, viewname name, viewowner name, definition text")
def _views(context: VirtualContext) -> Iterator[Row]:
    for schema, item in o.relations(context.catalog, context.database):
        if isinstance(item, View):
            yield {"schemaname": schema.name, "viewname": item.name, "viewowner": context.user,
                   "definition": o.view_definition(item)}


@table("pg_catalog.pg_indexes", "schemaname name, tablename name, indexname name, tablespace name, indexdef text")
def _indexes(context: VirtualContext) -> Iterator[Row]:
    for schema, item in o.tables(context.catalog, context.database):
        for _, index in o.indexes_of(item):
            yield {"schemaname": schema.name, "tablename": item.name,
                   "indexname": item.primary_key_name if index is None else index.name,
                   "indexdef": o.index_definition(context.catalog, item, index)}


@table("pg_catalog.pg_sequences", """schemaname name, sequencename name, sequenceowner name, data_type text=bigint,
    start_value bigint, min_value bigint, max_value bigint, increment_by bigint, cycle bool, cache_size bigint,
    last_value bigint""")
def _sequences(context: VirtualContext) -> Iterator[Row]:
    for schema, item in o.relations(context.catalog, context.database):
        if isinstance(item, Sequence):
            yield {"schemaname": schema.name, "sequencename": item.name, "sequenceowner": context.user,
                   "start_value": item.start, "min_value": item.minimum, "max_value": item.maximum,
                   "increment_by": item.increment, "cycle": item.is_cyclic, "cache_size": item.cache}


@table("pg_catalog.pg_settings", """name text, setting text, unit text, category text=Session, short_desc text=,
    extra_desc text, context text=user, vartype text=string, source text=session, min_val text, max_val text, enumvals
    text[], boot_val text, reset_val text, sourcefile text, sourceline int, pending_restart bool=f""")
def _settings(context: VirtualContext) -> Iterator[Row]:
    for name, value in sorted(context.settings.items()):
        yield {"name": name, "setting": value, "boot_val": value, "reset_val": value}


@table("pg_catalog.pg_stat_user_tables", """relid oid, schemaname name, relname name, seq_scan bigint, seq_tup_read
    bigint, idx_scan bigint, idx_tup_fetch bigint, n_tup_ins bigint, n_tup_upd bigint, n_tup_del bigint, n_tup_hot_upd
    bigint, n_live_tup bigint, n_dead_tup bigint, n_mod_since_analyze bigint, n_ins_since_vacuum bigint, last_vacuum
    timestamptz, last_autovacuum timestamptz, last_analyze timestamptz, last_autoanalyze timestamptz, vacuum_count
    bigint, autovacuum_count bigint, analyze_count bigint, autoanalyze_count bigint""")
def _table_statistics(context: VirtualContext) -> Iterator[Row]:
    """The tables; what is not counted here is NULL."""
    for schema, item in o.tables(context.catalog, context.database):
        yield {"relid": item.id, "schemaname": schema.name, "relname": item.name}


@table("pg_catalog.pg_stat_user_indexes", """relid oid, indexrelid oid, schemaname name, relname name, indexrelname
    name, idx_scan bigint, idx_tup_read bigint, idx_tup_fetch bigint""")
def _index_statistics(context: VirtualContext) -> Iterator[Row]:
    for schema, item in o.tables(context.catalog, context.database):
        for oid, index in o.indexes_of(item):
            yield {"relid": item.id, "indexrelid": oid, "schemaname": schema.name, "relname": item.name,
                   "indexrelname": item.primary_key_name if index is None else index.name}


empty("pg_catalog.pg_matviews", """schemaname name, matviewname name, matviewowner name, tablespace name, hasindexes
    bool, ispopulated bool, definition text""")
