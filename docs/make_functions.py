"""Writes docs/functions.md from the registry of core/query/functions: `python docs/make_functions.py`."""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from phantomdb.core.query.functions import registry
from phantomdb.core.query.functions.registry import FunctionKind, Overload, Pattern
from phantomdb.core.values import Type

HEAD = """# Functions and operators

Made by `python docs/make_functions.py` from the registry in `core/query/functions`;
`tests/unit/test_functions_page.py` fails when it is out of date. Names, arguments and results are PostgreSQL 15's.
Arguments in brackets may be left out. Each function is defined in Python, where the row executor calls it. **DuckDB**
says how the vector executor gets the same value: *own*, by a form of DuckDB's that a test compares with the definition,
or *calls*, by calling the definition for each row, which takes about a microsecond.

Where we are not PostgreSQL:

- Quotients, averages, roots, powers and logarithms of numerics have 16 digits after the point, or as many as the
  arguments where that is more. A numeric without declared digits is written without zeros at its end.
- Numerics are exact. In the vector executor one has 38 digits; where its scale is not known from declarations, literals
  and columns, 16 of them are after the point, of a product 20. A query that needs more is run by the row executor; if
  that is not possible, or would take very long, it raises `numeric_too_wide`.
- A numeric is never NaN or infinite. A date or timestamp is of the years 1 to 9999 and never infinite; a time is before
  24:00:00.
- Regular expressions have PostgreSQL's syntax, but of several matches at one place the first alternative is taken, not
  the longest.
- A match may take until the statement's deadline, without one 10 seconds; then it raises `statement_too_complex`.
  Neither ^ nor $ nor another constraint may be repeated. `\\s` is what Unicode calls white space, and `\\w` also the
  marks that stand on a letter.
- `json` and `jsonb` are one type, which behaves as `jsonb`.

"""

# What the manual's chapters name, to say what is not there.
CHAPTERS: dict[str, str] = {
    "9.2 Comparison": "num_nonnulls num_nulls",
    "9.3 Mathematical": """
        abs cbrt ceil ceiling degrees div exp factorial floor gcd lcm ln log log10 min_scale mod pi power radians
        round scale sign sqrt trim_scale trunc width_bucket random setseed acos acosd asin asind atan atand atan2
        atan2d cos cosd cot cotd sin sind tan tand sinh cosh tanh asinh acosh atanh""",
    "9.4 String": """
        bit_length char_length character_length lower lpad ltrim normalize octet_length overlay position rpad rtrim
        substring trim upper ascii btrim chr concat concat_ws format initcap left length md5 parse_ident
        pg_client_encoding quote_ident quote_literal quote_nullable regexp_count regexp_instr regexp_like
        regexp_match regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table regexp_substr repeat
        replace reverse right split_part starts_with string_to_array string_to_table strpos substr to_ascii to_hex
        translate unistr""",
    "9.5 Binary string": """
        bit_count get_bit get_byte set_bit set_byte sha224 sha256 sha384 sha512 convert convert_from convert_to
        encode decode""",
    "9.8 Formatting": "to_char to_date to_number to_timestamp",
    "9.9 Date and time": """
        age clock_timestamp current_date current_time current_timestamp date_bin date_part date_trunc extract
        isfinite justify_days justify_hours justify_interval localtime localtimestamp make_date make_interval
        make_time make_timestamp make_timestamptz now statement_timestamp timeofday transaction_timestamp pg_sleep
        pg_sleep_for pg_sleep_until overlaps timezone""",
    "9.14 UUID": "gen_random_uuid",
    "9.16 JSON": """
        to_json to_jsonb array_to_json row_to_json json_build_array jsonb_build_array json_build_object
        jsonb_build_object json_object jsonb_object json_array_elements jsonb_array_elements
        json_array_elements_text jsonb_array_elements_text json_array_length jsonb_array_length json_each jsonb_each
        json_each_text jsonb_each_text json_extract_path jsonb_extract_path json_extract_path_text
        jsonb_extract_path_text json_object_keys jsonb_object_keys json_populate_record jsonb_populate_record
        json_populate_recordset jsonb_populate_recordset json_to_record jsonb_to_record json_to_recordset
        jsonb_to_recordset jsonb_set jsonb_set_lax jsonb_insert json_strip_nulls jsonb_strip_nulls jsonb_path_exists
        jsonb_path_match jsonb_path_query jsonb_path_query_array jsonb_path_query_first jsonb_path_exists_tz
        jsonb_path_match_tz jsonb_path_query_tz jsonb_path_query_array_tz jsonb_path_query_first_tz jsonb_pretty
        json_typeof jsonb_typeof""",
    "9.17 Sequences": "nextval setval currval lastval",
    "9.18 Conditional": "coalesce nullif greatest least",
    "9.19 Array": """
        array_append array_cat array_dims array_fill array_length array_lower array_ndims array_position
        array_positions array_prepend array_remove array_replace array_to_string array_upper cardinality trim_array
        unnest""",
    "9.21 Aggregate": """
        any_value array_agg avg bit_and bit_or bit_xor bool_and bool_or count every json_agg jsonb_agg
        json_object_agg jsonb_object_agg max min range_agg range_intersect_agg string_agg sum xmlagg corr covar_pop
        covar_samp regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy
        stddev stddev_pop stddev_samp variance var_pop var_samp mode percentile_cont percentile_disc""",
    "9.22 Window": """
        row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value""",
    "9.25 Set returning": "generate_series generate_subscripts",
    "9.26 System information": """
        current_catalog current_database current_query current_role current_schema current_schemas current_user
        inet_client_addr inet_client_port inet_server_addr inet_server_port pg_backend_pid pg_blocking_pids
        pg_conf_load_time pg_is_other_temp_schema pg_jit_available pg_listening_channels pg_my_temp_schema
        pg_notification_queue_usage pg_postmaster_start_time pg_trigger_depth session_user user version
        has_any_column_privilege has_column_privilege has_database_privilege has_function_privilege
        has_schema_privilege has_sequence_privilege has_table_privilege pg_has_role row_security_active format_type
        pg_get_constraintdef pg_get_expr pg_get_indexdef pg_get_serial_sequence pg_get_viewdef pg_typeof to_regclass
        to_regtype col_description obj_description shobj_description txid_current pg_current_xact_id""",
    "9.27 Administration": "current_setting set_config pg_cancel_backend pg_terminate_backend pg_reload_conf",
}
WHOLE = """Also not there, each as a whole: bit strings (9.6), enumerated types (9.10), geometric types (9.11), network
addresses (9.12), text search (9.13), XML (9.15), ranges (9.20), hypothetical-set aggregates (`rank(...) WITHIN GROUP`
and its like), and of the system administration functions (9.27) all that are not in the table.
"""


def spelled(pattern: Pattern) -> str:
    return str(pattern.value if not isinstance(pattern, Type) else pattern)


def arguments_of(overload: Overload) -> str:
    first_optional = len(overload.arguments) - overload.optional
    parts = [spelled(pattern) if index < first_optional else f"[{spelled(pattern)}]"
             for index, pattern in enumerate(overload.arguments)]
    return ", ".join(parts) + (", ..." if overload.is_variadic else "")


def result_of(overload: Overload) -> str:
    if overload.columns:
        return ", ".join(f"{name} {type_}" for name, type_ in overload.columns)
    return spelled(overload.result) if isinstance(overload.result, Pattern) else "by the arguments"


def together(parts: Iterable[str]) -> str:
    """Each once, in order."""
    return "; ".join(dict.fromkeys(part or "none" for part in parts))


def rows() -> Iterator[str]:
    """One for each name, with all its overloads."""
    for (name, kind), group in groupby(registry.all_overloads(), lambda overload: (overload.name, overload.kind)):
        overloads = list(group)
        how = together("own" if overload.duckdb is not None else "calls" for overload in overloads)
        cells = (f"`{name}`", together(map(arguments_of, overloads)), together(map(result_of, overloads)), str(kind),
                 "" if kind is FunctionKind.TABLE else how, together(overload.summary for overload in overloads))
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def missing() -> Iterator[str]:
    for chapter, names in CHAPTERS.items():
        absent = [f"`{name}`" for name in sorted(names.split()) if not registry.overloads(name)]
        yield f"| {chapter} | {', '.join(absent) or 'all are there'} |"


def page() -> str:
    return "".join((
        HEAD, "| function | arguments | result | kind | DuckDB | |\n|---|---|---|---|---|---|\n", "\n".join(rows()),
        "\n\n## Not there\n\nOf the functions that the manual's chapters name:\n\n| chapter | not there |\n|---|---|\n",
        "\n".join(missing()), "\n\n", WHOLE))


if __name__ == "__main__":
    Path(__file__).with_name("functions.md").write_text(page(), "utf-8")
