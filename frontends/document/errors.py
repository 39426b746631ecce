"""Errors of documents: each is PyMongo's exception and ours at once, with MongoDB's number and name.

PyMongo's programs test `error.code`, so that is MongoDB's number here; `phantom_code` is our own stable code.
`code_name` is MongoDB's name of the number, `details` what a server would have answered.
"""
from __future__ import annotations

from typing import Any, ClassVar

from pymongo import errors as _pymongo

from phantomdb.core.errors import PhantomError


class DocumentError(PhantomError, _pymongo.OperationFailure):
    """Base of all errors that a document call, not the storage, is the reason of."""

    number: ClassVar[int] = 8
    code_name: ClassVar[str] = "UnknownError"
    phantom_code: ClassVar[str] = "document_error"
    advice = "the call cannot be carried out"

    def __init__(self, message: str | None = None, details: dict[str, Any] | None = None) -> None:
        text = message or self.advice
        _pymongo.OperationFailure.__init__(self, text, self.number, details or {
            "ok": 0.0, "errmsg": text, "code": self.number, "codeName": self.code_name})
        self.path = self.offset = self.errno = None

    @property
    def code(self) -> int:                                  # type: ignore[override]
        """MongoDB's number."""
        return self.number


class WriteFailure(DocumentError, _pymongo.WriteError):
    """Base of errors that PyMongo calls write errors."""


class BadValue(WriteFailure):
    number, code_name, phantom_code = 2, "BadValue", "document_bad_value"


class FailedToParse(WriteFailure):
    number, code_name, phantom_code = 9, "FailedToParse", "document_failed_to_parse"


class TypeMismatch(WriteFailure):
    number, code_name, phantom_code = 14, "TypeMismatch", "document_type_mismatch"


class PathNotViable(WriteFailure):
    """A path leads through a value that has no fields."""

    number, code_name, phantom_code = 28, "PathNotViable", "document_path_not_viable"


class ConflictingUpdateOperators(WriteFailure):
    number, code_name, phantom_code = 40, "ConflictingUpdateOperators", "document_conflicting_update"


class DollarPrefixedFieldName(WriteFailure):
    number, code_name, phantom_code = 52, "DollarPrefixedFieldName", "document_dollar_name"


class InvalidIdField(WriteFailure):
    number, code_name, phantom_code = 53, "InvalidIdField", "document_invalid_id"


class EmptyFieldName(WriteFailure):
    number, code_name, phantom_code = 56, "EmptyFieldName", "document_empty_name"


class ImmutableField(WriteFailure):
    number, code_name, phantom_code = 66, "ImmutableField", "document_immutable_field"


class InvalidOptions(DocumentError):
    number, code_name, phantom_code = 72, "InvalidOptions", "document_invalid_options"


class DocumentValidationFailure(WriteFailure):
    number, code_name, phantom_code = 121, "DocumentValidationFailure", "document_validation"
    advice = "Document failed validation"


class CommandNotSupported(WriteFailure):
    """Something MongoDB has and PhantomDB has not; the text names it."""

    number, code_name, phantom_code = 115, "CommandNotSupported", "document_not_supported"


class Overflow(WriteFailure):
    number, code_name, phantom_code = 15, "Overflow", "document_overflow"


class ExceededMemoryLimit(DocumentError):
    number, code_name, phantom_code = 146, "ExceededMemoryLimit", "document_memory_limit"


class ConversionFailure(WriteFailure):
    number, code_name, phantom_code = 241, "ConversionFailure", "document_conversion"


class InvalidPipelineOperator(WriteFailure):
    number, code_name, phantom_code = 168, "InvalidPipelineOperator", "document_unknown_operator"


class InvalidRegex(WriteFailure):
    """A regular expression that Python's `re` cannot read."""

    number, code_name, phantom_code = 51091, "Location51091", "document_invalid_regex"


class ExpressionError(WriteFailure):
    """An expression or stage got what it cannot take. MongoDB gives each such place a number of its own."""

    code_name, phantom_code = "Location", "document_expression"

    def __init__(self, number: int, message: str) -> None:
        self.number = number                                # type: ignore[misc]
        self.code_name = f"Location{number}"                # type: ignore[misc]
        super().__init__(message)


class DuplicateKey(WriteFailure, _pymongo.DuplicateKeyError):
    number, code_name, phantom_code = 11000, "DuplicateKey", "document_duplicate_key"
    advice = "E11000 duplicate key error"
