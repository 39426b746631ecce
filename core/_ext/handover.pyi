"""Handover: what was cached of tables that a compaction replaced gets cached of the tables it made."""
from phantomdb.core._ext.table import TableHandle

def hand_over(replaced: TableHandle, made: list[TableHandle]) -> None:
    """Caches of the tables `made` (ascending, disjoint) what is cached of `replaced`, which new readers no longer
    see. Advice: where a block cannot be read it stops in silence, and whoever needs that block gets the error."""
