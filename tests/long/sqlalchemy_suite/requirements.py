"""What SQLAlchemy's own suite may ask of the dialect: everything its PostgreSQL dialect has, less what is not there.

`NOT_THERE` is the whole list of exclusions, each with its reason. What neither PostgreSQL nor we have is not named: it
stays closed, as SQLAlchemy has it.
"""
from __future__ import annotations

from typing import Any

from sqlalchemy.testing import exclusions
from sqlalchemy.testing.requirements import SuiteRequirements

# Closed by default, open for PostgreSQL and here.
THERE = """
    aggregate_order_by array_type autocommit boolean_col_expressions check_constraint_reflection comment_reflection
    comment_reflection_full_unicode computed_columns computed_columns_default_persisted
    computed_columns_reflect_persisted computed_columns_stored create_or_replace_view create_table_as
    cross_schema_fk_reflection ctes ctes_with_update_delete ctes_with_values date_historic datetime_historic
    datetime_interval datetime_timezone datetime_timezone_historic default_schema_name_switch delete_from except_
    expression_server_defaults fetch_expression fetch_first fetch_no_order_by fetch_offset_with_options fetch_ties
    fk_constraint_option_reflection_ondelete_noaction fk_constraint_option_reflection_ondelete_restrict
    fk_constraint_option_reflection_onupdate_restrict float_or_double_precision_behaves_generically
    foreign_key_constraint_name_reflection foreign_key_constraint_option_reflection_ondelete
    foreign_key_constraint_option_reflection_onupdate identity_columns identity_columns_standard
    implicit_default_schema index_ddl_if_exists index_reflects_included_columns indexes_with_expressions
    infinity_floats inline_check_constraint_reflection intersect isolation_level json_type
    legacy_unconditional_json_extract mod_operator_as_percent_sign nullsordering order_by_label_with_expression
    percent_schema_names precision_numerics_enotation_small precision_numerics_many_significant_digits
    precision_numerics_retains_significant_digits reflect_indexes_with_expressions reflect_table_options
    reflect_tables_no_columns reflects_pk_names regexp_match regexp_replace repeated_column_foreign_keys savepoints
    schema_create_delete server_defaults skip_autocommit_rollback supports_bitwise_and supports_bitwise_not
    supports_bitwise_or supports_bitwise_shift supports_bitwise_xor supports_distinct_on table_ddl_if_exists
    table_value_constructor timestamp_microseconds tuple_in unicode_ddl unique_constraints_reflect_as_index
    update_from uuid_data_type views window_functions window_range window_range_non_numeric window_range_numeric
""".split()

# PostgreSQL has it and we do not.
NOT_THERE = {
    "temporary_tables": "there are no temporary tables",
    "temp_table_reflection": "there are no temporary tables",
    "temp_table_reflect_indexes": "there are no temporary tables",
    "temp_table_comment_reflection": "there are no temporary tables",
    "temp_table_names": "there are no temporary tables",
    "has_temp_table": "there are no temporary tables",
    "create_temp_table_as": "there are no temporary tables",
    "temporary_views": "there are no temporary views",
    "materialized_views": "there are no materialized views",
    "two_phase_transactions": "there is no PREPARE TRANSACTION",
    "time_timezone": "there is no time with time zone",
    "column_collation_reflection": "all text has one order, by code point; a column's collation is not kept",
    "constraint_comment_reflection": "comments are on tables and columns only",
    "ctes_on_dml": "WITH takes queries, no changes of rows",
}


class Requirements(SuiteRequirements):
    """What stands above, and the isolation levels."""

    def get_isolation_levels(self, _config: Any) -> dict[str, Any]:
        return {"default": "SERIALIZABLE", "supported": ["SERIALIZABLE", "REPEATABLE READ", "AUTOCOMMIT"]}

    def get_order_by_collation(self, _config: Any) -> str:
        return "POSIX"


def _open(_requirements: Requirements) -> Any:
    return exclusions.open()


def _closed(reason: str) -> Any:
    return property(lambda _requirements: exclusions.skip_if(lambda _config: True, reason))


for _name in THERE:
    setattr(Requirements, _name, property(_open))
for _name, _reason in NOT_THERE.items():
    setattr(Requirements, _name, _closed(_reason))
