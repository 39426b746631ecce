"""Errors of statements: each with its own code and the SQLSTATE (PostgreSQL, appendix A) that clients test.

`position`: where in the statement, in characters from 1; None where no place is known. `table`, `column` and
`constraint` name what the error is about; `detail` is a second sentence with the values at fault.
"""
from __future__ import annotations

from typing import ClassVar

from phantomdb.core.errors import PhantomError


MESSAGE_CHARACTERS_MAX = 1000


class QueryError(PhantomError):
    """Base of all errors that a statement, not the storage, is the reason of."""

    code: ClassVar[str] = "query_error"
    sqlstate: ClassVar[str] = "42000"
    advice = "the statement cannot be run"

    def __init__(self, message: str | None = None, *, position: int | None = None, table: str | None = None,
                 column: str | None = None, constraint: str | None = None, detail: str | None = None) -> None:
        if message is not None and len(message) > MESSAGE_CHARACTERS_MAX:
            message = message[:MESSAGE_CHARACTERS_MAX] + "..."           # it may quote a value or a name of any length
        super().__init__(message)
        self.position, self.table, self.column, self.constraint = position, table, column, constraint
        self.detail = detail


class FeatureNotSupported(QueryError):
    code, sqlstate, advice = "feature_not_supported", "0A000", "this feature is not there; docs/status.md lists what is"


# ---- the text

class SyntaxFailure(QueryError):
    code, sqlstate, advice = "syntax_error", "42601", "syntax error"


class UndefinedTable(QueryError):
    code, sqlstate = "undefined_table", "42P01"


class UndefinedColumn(QueryError):
    code, sqlstate = "undefined_column", "42703"


class UndefinedFunction(QueryError):
    code, sqlstate = "undefined_function", "42883"


class UndefinedObject(QueryError):
    """A type, index, constraint, sequence, schema, setting or prepared statement that is not there."""

    code, sqlstate = "undefined_object", "42704"


class UndefinedSchema(QueryError):
    code, sqlstate = "undefined_schema", "3F000"


class UndefinedParameter(QueryError):
    code, sqlstate = "undefined_parameter", "42P02"


class DuplicateSchema(QueryError):
    code, sqlstate = "duplicate_schema", "42P06"


class DuplicateTable(QueryError):
    code, sqlstate = "duplicate_table", "42P07"


class DuplicateColumn(QueryError):
    code, sqlstate = "duplicate_column", "42701"


class DuplicateObject(QueryError):
    code, sqlstate = "duplicate_object", "42710"


class DuplicateAlias(QueryError):
    code, sqlstate = "duplicate_alias", "42712"


class AmbiguousColumn(QueryError):
    code, sqlstate = "ambiguous_column", "42702"


class GroupingError(QueryError):
    code, sqlstate = "grouping_error", "42803"


class WindowingError(QueryError):
    code, sqlstate = "windowing_error", "42P20"


class DatatypeMismatch(QueryError):
    code, sqlstate = "datatype_mismatch", "42804"


class IndeterminateDatatype(QueryError):
    code, sqlstate = "indeterminate_datatype", "42P18"


class CannotCoerce(QueryError):
    code, sqlstate = "cannot_coerce", "42846"


class WrongObjectType(QueryError):
    code, sqlstate = "wrong_object_type", "42809"


class InvalidDefinition(QueryError):
    """A table, index or constraint that cannot be as it is written."""

    code, sqlstate = "invalid_definition", "42P16"


class InvalidForeignKey(QueryError):
    """The columns it refers to are no key, or not as many as its own."""

    code, sqlstate = "invalid_foreign_key", "42830"


class ReservedName(QueryError):
    code, sqlstate = "reserved_name", "42939"


class InvalidColumnReference(QueryError):
    code, sqlstate = "invalid_column_reference", "42P10"


class DependentObjects(QueryError):
    code, sqlstate = "dependent_objects", "2BP01"
    advice = "other objects depend on it; drop them first, or use CASCADE"


class GeneratedColumn(QueryError):
    code, sqlstate = "generated_always", "428C9"


class StatementTooComplex(QueryError):
    code, sqlstate, advice = "statement_too_complex", "54001", "the statement is nested too deeply"


class ProgramLimitExceeded(QueryError):
    code, sqlstate = "program_limit_exceeded", "54000"


# ---- the values

class NumericValueOutOfRange(QueryError):
    code, sqlstate = "numeric_value_out_of_range", "22003"


class NumericTooWide(NumericValueOutOfRange):
    """A numeric that the vector executor has no room for. The row executor has."""

    code = "numeric_too_wide"


class SequenceLimit(QueryError):
    """A sequence that is not cyclic has given out its last value."""

    code, sqlstate = "sequence_limit", "2200H"


class DivisionByZero(QueryError):
    code, sqlstate, advice = "division_by_zero", "22012", "division by zero"


class InvalidLogarithmArgument(QueryError):
    code, sqlstate = "invalid_logarithm_argument", "2201E"


class InvalidPowerArgument(QueryError):
    code, sqlstate = "invalid_power_argument", "2201F"


class InvalidWidthBucketArgument(QueryError):
    code, sqlstate = "invalid_width_bucket_argument", "2201G"


class InvalidArgumentForNtile(QueryError):
    code, sqlstate, advice = "invalid_argument_for_ntile", "22014", "argument of ntile must be greater than zero"


class InvalidArgumentForNthValue(QueryError):
    code, sqlstate = "invalid_argument_for_nth_value", "22016"
    advice = "argument of nth_value must be greater than zero"


class SubstringError(QueryError):
    code, sqlstate, advice = "substring_error", "22011", "negative substring length not allowed"


class InvalidEscapeSequence(QueryError):
    code, sqlstate = "invalid_escape_sequence", "22025"


class CharacterNotInRepertoire(QueryError):
    code, sqlstate = "character_not_in_repertoire", "22021"


class NullValueNotAllowed(QueryError):
    code, sqlstate = "null_value_not_allowed", "22004"


class ArraySubscriptError(QueryError):
    code, sqlstate = "array_subscript_error", "2202E"


class InvalidTextRepresentation(QueryError):
    code, sqlstate = "invalid_text_representation", "22P02"


class InvalidDatetime(QueryError):
    code, sqlstate = "invalid_datetime", "22007"


class DatetimeOutOfRange(QueryError):
    code, sqlstate = "datetime_out_of_range", "22008"


class StringTooLong(QueryError):
    code, sqlstate = "string_too_long", "22001"


class InvalidParameterValue(QueryError):
    code, sqlstate = "invalid_parameter_value", "22023"


class InvalidRegularExpression(QueryError):
    code, sqlstate = "invalid_regular_expression", "2201B"


class BadFileFormat(QueryError):
    """A file of COPY cannot be read as what it is said to be."""

    code, sqlstate = "bad_copy_file_format", "22P04"


class InvalidJson(QueryError):
    code, sqlstate = "invalid_json", "22032"


class CardinalityViolation(QueryError):
    code, sqlstate = "cardinality_violation", "21000"


# ---- the constraints

class IntegrityViolation(QueryError):
    code, sqlstate = "integrity_violation", "23000"


class NotNullViolation(IntegrityViolation):
    code, sqlstate = "not_null_violation", "23502"


class ForeignKeyViolation(IntegrityViolation):
    code, sqlstate = "foreign_key_violation", "23503"


class UniqueViolation(IntegrityViolation):
    code, sqlstate = "unique_violation", "23505"


class CheckViolation(IntegrityViolation):
    code, sqlstate = "check_violation", "23514"


# ---- the session

class StatementCancelled(QueryError):
    code, sqlstate, advice = "statement_cancelled", "57014", "the statement was cancelled"


class StatementTimeout(StatementCancelled):
    code, advice = "statement_timeout", "the statement took longer than statement_timeout"


class LockNotAvailable(QueryError):
    code, sqlstate, advice = "lock_not_available", "55P03", "another transaction has locked it"


class OutOfQueryMemory(QueryError):
    code, sqlstate, advice = "out_of_query_memory", "53200", "over query_memory_bytes, with the temporary space used up"


class TransactionAborted(QueryError):
    code, sqlstate = "transaction_aborted", "25P02"
    advice = "an earlier statement of the transaction failed; ROLLBACK, or ROLLBACK TO a savepoint"


class InvalidTransactionState(QueryError):
    code, sqlstate = "invalid_transaction_state", "25000"


class NoActiveTransaction(InvalidTransactionState):
    code, sqlstate = "no_active_transaction", "25P01"


class ReadOnlyTransaction(InvalidTransactionState):
    code, sqlstate, advice = "read_only_transaction", "25006", "this transaction may only read"


class InvalidSavepoint(QueryError):
    code, sqlstate = "invalid_savepoint", "3B001"
