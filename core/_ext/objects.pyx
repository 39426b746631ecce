"""Python objects to scalar bytes (scalars.pyx) and back.

Strict: a value must be of the type of its kind already, and bool is no int. Subclasses are taken for what they extend
and come back as that, but a datetime is no date.
"""
from cpython.bytes cimport (PyBytes_AS_STRING, PyBytes_Check, PyBytes_CheckExact, PyBytes_FromStringAndSize,
                            PyBytes_GET_SIZE)
from cpython.datetime cimport (PyDate_Check, PyDateTime_Check, PyTime_Check, date_new, datetime_new, import_datetime,
                               time_new)
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_Check
from cpython.long cimport PyLong_Check
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint64_t
from libc.stddef cimport size_t
from libc.string cimport strlen

from .scalars cimport (Buffer, Civil, DAY_MICROSECONDS, MAX_DAYS, MIN_DAYS, MIN_SPAN_MICROSECONDS, Span, UUID_BYTES,
                       VALUE_BOOL, VALUE_BYTES, VALUE_CODE, VALUE_DATE, VALUE_DECIMAL, VALUE_FLOAT, VALUE_INT,
                       VALUE_INTERVAL, VALUE_NULL, VALUE_OBJECT_ID, VALUE_TEXT, VALUE_TIME, VALUE_TIMESTAMP,
                       VALUE_TIMESTAMPTZ, VALUE_UUID, buffer_append, buffer_free, buffer_init, civil_from_days,
                       days_from_civil, fits_32, float_append, float_get, int_append, int_get, moment_get,
                       number_parse, number_text, span_append, span_get)
from .status cimport CORRUPTION, NO_MEMORY, NO_OFFSET, fail, raise_status

import datetime as _datetime
import decimal as _decimal
import uuid as _uuid

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    object PyUnicode_DecodeUTF8(const char *p, Py_ssize_t size, const char *errors)
    bint PyUnicode_Check(object value) noexcept
    bint PyUnicode_CheckExact(object value) noexcept
    bint PyDict_CheckExact(object value) noexcept
    bint PyList_CheckExact(object value) noexcept
    bint PyBool_Check(object value) noexcept
    long long PyLong_AsLongLongAndOverflow(object value, int *overflow) except? -1
    char *PyOS_double_to_string(double value, char format, int precision, int flags, int *kind) except NULL
    double PyOS_string_to_double(const char *text, char **end, PyObject *overflow_error) except? -1.0
    void PyMem_Free(void *p) noexcept
    int PyObject_GenericSetAttr(object owner, object name, object value) except -1

cdef extern from "datetime.h":
    PyObject *PyDateTime_DATE_GET_TZINFO(object value) noexcept         # borrowed
    PyObject *PyDateTime_TIME_GET_TZINFO(object value) noexcept
    int PyDateTime_GET_YEAR(object value) noexcept
    int PyDateTime_GET_MONTH(object value) noexcept
    int PyDateTime_GET_DAY(object value) noexcept
    int PyDateTime_DATE_GET_HOUR(object value) noexcept
    int PyDateTime_DATE_GET_MINUTE(object value) noexcept
    int PyDateTime_DATE_GET_SECOND(object value) noexcept
    int PyDateTime_DATE_GET_MICROSECOND(object value) noexcept
    int PyDateTime_TIME_GET_HOUR(object value) noexcept
    int PyDateTime_TIME_GET_MINUTE(object value) noexcept
    int PyDateTime_TIME_GET_SECOND(object value) noexcept
    int PyDateTime_TIME_GET_MICROSECOND(object value) noexcept
    int PyDateTime_DELTA_GET_DAYS(object value) noexcept
    int PyDateTime_DELTA_GET_SECONDS(object value) noexcept
    int PyDateTime_DELTA_GET_MICROSECONDS(object value) noexcept

import_datetime()

cdef enum:
    STACK_BYTES = 256

cdef tuple KIND_NAMES = ("None", "bool", "int", "float", "decimal.Decimal", "str", "bytes", "datetime.date",
                         "datetime.time", "datetime.datetime without a zone", "datetime.datetime with a zone",
                         "Interval", "uuid.UUID")
cdef object _Decimal = _decimal.Decimal
cdef object _UUID = _uuid.UUID
cdef object _unknown_safety = _uuid.SafeUUID.unknown
cdef object _new = object.__new__
cdef object _Interval = None                     # core/values.py sets these
cdef object _json_null = None
cdef object _load_document_classes = None
cdef dict _writers = {}                          # class -> function: value -> (kind, payload)
cdef dict _readers = {}                          # kind -> function: payload -> value
cdef object _utc = _datetime.timezone.utc


def register_values(interval_class, json_null):
    """Gives the class of intervals, a named tuple of months, days and microseconds, and the object that is JSON's null
    where NULL is None."""
    global _Interval, _json_null
    _Interval, _json_null = interval_class, json_null


def register_document_loader(loader):
    """Gives the function that imports what calls register_document_classes."""
    global _load_document_classes
    _load_document_classes = loader


def register_document_classes(writers, readers):
    """Gives the classes of object ids and other values that stand in documents only. `writers`: for each class a
    function from a value to its kind and payload; `readers`: for each kind a function from payload to value. The
    payload of a decimal is its text, else it is the bytes of docs/formats.md."""
    _writers.update(writers)
    _readers.update(readers)


cdef object registered_value(object value):
    cdef object writer = _writers.get(type(value))
    if writer is None:
        for class_ in type(value).__mro__:
            writer = _writers.get(class_)
            if writer is not None:
                break
        else:
            return None
    return writer(value)


cdef object registered_to_python(int kind, object payload):
    cdef object reader = _readers.get(kind)
    if reader is None and _load_document_classes is not None:
        _load_document_classes()
        reader = _readers.get(kind)
    if reader is None:
        raise TypeError(f"no class of values of kind {kind} has been registered")
    return reader(payload)


cdef object json_null():
    return _json_null


cdef const char *text_utf8(object value, Py_ssize_t *size) except NULL:
    return PyUnicode_AsUTF8AndSize(value, size)


cdef int wrong_type(int kind, object value) except -1:
    raise TypeError(f"a value must be {KIND_NAMES[kind]}, not {type(value).__name__} ({value!r:.80})")


cdef int out_of_range(object value) except -1:
    raise OverflowError(f"out of range: {value!r:.80}")


cdef int scalar_kind(object value) noexcept:
    cdef int overflow = 0
    if value is None:
        return VALUE_NULL
    if PyDict_CheckExact(value) or PyList_CheckExact(value):
        return -1
    if PyUnicode_Check(value):
        return VALUE_TEXT if PyUnicode_CheckExact(value) or type(value) not in _writers else -1
    if PyBool_Check(value):
        return VALUE_BOOL
    if PyLong_Check(value):
        PyLong_AsLongLongAndOverflow(value, &overflow)
        return VALUE_DECIMAL if overflow else VALUE_INT
    if PyFloat_Check(value):
        return VALUE_FLOAT
    if PyBytes_Check(value):
        return VALUE_BYTES if PyBytes_CheckExact(value) or type(value) not in _writers else -1
    if PyDateTime_Check(value):
        return VALUE_TIMESTAMP if PyDateTime_DATE_GET_TZINFO(value) == <PyObject *> None else VALUE_TIMESTAMPTZ
    if PyDate_Check(value):
        return VALUE_DATE
    if isinstance(value, _Decimal):
        return VALUE_DECIMAL
    if isinstance(value, _UUID):
        return VALUE_UUID
    if PyTime_Check(value):
        return VALUE_TIME
    if _Interval is not None and isinstance(value, _Interval):
        return VALUE_INTERVAL
    return -1


# -------------------------------------------------------------------- into bytes

cdef int put_int(object value, Buffer *out) except -1:
    cdef int overflow = 0
    cdef int64_t number = PyLong_AsLongLongAndOverflow(value, &overflow)
    if overflow:
        raise OverflowError("an int needs more than 64 bits")
    return checked(int_append(out, number))


cdef inline int checked(int status) except -1:
    return raise_status(status) if status < 0 else 0


cdef int put_decimal(object value, Buffer *out) except -1:
    cdef Py_ssize_t size
    cdef str text = str(value)
    cdef const char *p = PyUnicode_AsUTF8AndSize(text, &size)
    return checked(number_parse(p, size, out))


cdef int put_datetime(object value, Buffer *out, bint has_zone) except -1:
    cdef int64_t days = days_from_civil(PyDateTime_GET_YEAR(value), PyDateTime_GET_MONTH(value),
                                        PyDateTime_GET_DAY(value))
    cdef int64_t moment = days * DAY_MICROSECONDS + PyDateTime_DATE_GET_MICROSECOND(value) + <int64_t> 1000000 * (
        PyDateTime_DATE_GET_HOUR(value) * 3600 + PyDateTime_DATE_GET_MINUTE(value) * 60
        + PyDateTime_DATE_GET_SECOND(value))
    cdef object offset
    if has_zone and <object> PyDateTime_DATE_GET_TZINFO(value) is not _utc:
        offset = value.utcoffset()
        if offset is None:
            return wrong_type(VALUE_TIMESTAMPTZ, value)
        moment -= (PyDateTime_DELTA_GET_DAYS(offset) * DAY_MICROSECONDS + PyDateTime_DELTA_GET_MICROSECONDS(offset)
                   + <int64_t> 1000000 * PyDateTime_DELTA_GET_SECONDS(offset))
        if not MIN_DAYS * DAY_MICROSECONDS <= moment < (MAX_DAYS + 1) * DAY_MICROSECONDS:
            return out_of_range(value)
    return checked(int_append(out, moment))


cdef int put_interval(object value, Buffer *out) except -1:
    cdef Span span
    if _Interval is None or not isinstance(value, _Interval):
        return wrong_type(VALUE_INTERVAL, value)
    span.months, span.days, span.microseconds = (<tuple> value)[0], (<tuple> value)[1], (<tuple> value)[2]
    if not fits_32(span.months) or not fits_32(span.days) or span.microseconds < MIN_SPAN_MICROSECONDS:
        return out_of_range(value)
    return checked(span_append(out, &span))


cdef int scalar_append(int kind, object value, Buffer *out) except -1:
    cdef Py_ssize_t size
    cdef const char *p
    cdef bytes plain
    if kind == VALUE_INT:
        if not PyLong_Check(value) or PyBool_Check(value):
            return wrong_type(kind, value)
        return put_int(value, out)
    if kind == VALUE_TEXT:
        if not PyUnicode_Check(value):
            return wrong_type(kind, value)
        p = PyUnicode_AsUTF8AndSize(value, &size)
        return checked(buffer_append(out, p, size))
    if kind == VALUE_FLOAT:
        if not PyFloat_Check(value):
            return wrong_type(kind, value)
        return checked(float_append(out, PyFloat_AS_DOUBLE(value)))
    if kind == VALUE_BOOL:
        if not PyBool_Check(value):
            return wrong_type(kind, value)
        return checked(int_append(out, value is True))
    if kind == VALUE_DECIMAL:
        if not isinstance(value, _Decimal):
            return wrong_type(kind, value)
        return put_decimal(value, out)
    if kind == VALUE_BYTES:
        if not PyBytes_Check(value):
            return wrong_type(kind, value)
        return checked(buffer_append(out, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value)))
    if kind == VALUE_DATE:
        if not PyDate_Check(value) or PyDateTime_Check(value):
            return wrong_type(kind, value)
        return checked(int_append(out, days_from_civil(PyDateTime_GET_YEAR(value), PyDateTime_GET_MONTH(value),
                                                       PyDateTime_GET_DAY(value))))
    if kind == VALUE_TIME:
        if not PyTime_Check(value) or PyDateTime_TIME_GET_TZINFO(value) != <PyObject *> None:
            return wrong_type(kind, value)
        return checked(int_append(out, PyDateTime_TIME_GET_MICROSECOND(value) + <int64_t> 1000000 * (
            PyDateTime_TIME_GET_HOUR(value) * 3600 + PyDateTime_TIME_GET_MINUTE(value) * 60
            + PyDateTime_TIME_GET_SECOND(value))))
    if kind == VALUE_TIMESTAMP or kind == VALUE_TIMESTAMPTZ:
        if (not PyDateTime_Check(value)
                or (PyDateTime_DATE_GET_TZINFO(value) == <PyObject *> None) != (kind == VALUE_TIMESTAMP)):
            return wrong_type(kind, value)
        return put_datetime(value, out, kind == VALUE_TIMESTAMPTZ)
    if kind == VALUE_INTERVAL:
        return put_interval(value, out)
    if kind == VALUE_UUID:
        if not isinstance(value, _UUID):
            return wrong_type(kind, value)
        plain = value.bytes
        return checked(buffer_append(out, PyBytes_AS_STRING(plain), PyBytes_GET_SIZE(plain)))
    raise ValueError(f"no kind of a stored value: {kind}")


cdef int float_text(double value, Buffer *out) noexcept with gil:
    cdef char *text
    cdef int status
    try:
        text = PyOS_double_to_string(value, <char> 114, 0, 2, NULL)     # "r", with ".0" where it looks like an integer
    except MemoryError:
        return fail(NO_MEMORY, "no memory for a number", NULL, <uint64_t> NO_OFFSET)
    status = buffer_append(out, text, strlen(text))
    PyMem_Free(text)
    return status


cdef int float_parse(const char *text, size_t size, double *out) noexcept with gil:
    cdef bytes copy
    try:
        copy = text[:size]                                  # with a zero behind it
        out[0] = PyOS_string_to_double(PyBytes_AS_STRING(copy), NULL, NULL)
    except (MemoryError, OverflowError, ValueError):
        return fail(CORRUPTION, "a number has no float", NULL, <uint64_t> NO_OFFSET)
    return 0


# -------------------------------------------------------------------- out of bytes

cdef object damaged(str what):
    cdef bytes message = what.encode()
    raise_status(fail(CORRUPTION, message, NULL, <uint64_t> NO_OFFSET))


cdef object get_text(const char *p, size_t size):
    try:
        return PyUnicode_DecodeUTF8(p, size, NULL)
    except UnicodeDecodeError:
        return damaged("a text is no UTF-8")


cdef object get_decimal(const char *p, size_t size):
    cdef char storage[STACK_BYTES]
    cdef Buffer text
    buffer_init(&text, storage, STACK_BYTES)
    try:
        checked(number_text(p, size, &text))
        return _Decimal(PyUnicode_DecodeUTF8(text.data, text.size, NULL))
    except ArithmeticError:
        return damaged("a decimal has an impossible exponent")
    finally:
        buffer_free(&text)


cdef object get_uuid(const char *p, size_t size):
    cdef object value
    if size != UUID_BYTES:
        return damaged("a uuid has a wrong size")
    value = _new(_UUID)                                     # without the checks of its constructor, ten times as fast
    PyObject_GenericSetAttr(value, "int", int.from_bytes(PyBytes_FromStringAndSize(p, UUID_BYTES), "big"))
    PyObject_GenericSetAttr(value, "is_safe", _unknown_safety)
    return value


cdef object get_moment(int kind, const char *p, size_t size):
    cdef Civil civil
    cdef int64_t value, days, second
    checked(moment_get(kind, p, size, &value))
    if kind == VALUE_DATE:
        civil_from_days(value, &civil)
        return date_new(civil.year, civil.month, civil.day)
    days = value // DAY_MICROSECONDS - (value % DAY_MICROSECONDS < 0)
    value -= days * DAY_MICROSECONDS
    second = value // 1000000
    if kind == VALUE_TIME:
        return time_new(<int> (second // 3600), <int> (second // 60 % 60), <int> (second % 60),
                        <int> (value % 1000000), None)
    civil_from_days(days, &civil)
    return datetime_new(civil.year, civil.month, civil.day, <int> (second // 3600), <int> (second // 60 % 60),
                        <int> (second % 60), <int> (value % 1000000), None if kind == VALUE_TIMESTAMP else _utc)


cdef object scalar_to_python(int kind, const char *p, size_t size):
    cdef int64_t number
    cdef double real
    cdef Span span
    if kind == VALUE_INT:
        checked(int_get(p, size, &number))
        return number
    if kind == VALUE_TEXT:
        return get_text(p, size)
    if kind == VALUE_FLOAT:
        checked(float_get(p, size, &real))
        return real
    if kind == VALUE_BOOL:
        checked(int_get(p, size, &number))
        if number != 0 and number != 1:
            return damaged("a bool is neither true nor false")
        return number == 1
    if kind == VALUE_DECIMAL:
        return get_decimal(p, size)
    if kind == VALUE_BYTES:
        return PyBytes_FromStringAndSize(p, size)
    if VALUE_DATE <= kind <= VALUE_TIMESTAMPTZ:
        return get_moment(kind, p, size)
    if kind == VALUE_INTERVAL:
        checked(span_get(p, size, &span))
        if _Interval is None:
            raise TypeError("no class of intervals has been registered")
        return _Interval(span.months, span.days, span.microseconds)
    if kind == VALUE_UUID:
        return get_uuid(p, size)
    if VALUE_OBJECT_ID <= kind <= VALUE_CODE:
        return registered_to_python(kind, PyBytes_FromStringAndSize(p, size))
    return damaged("a value of an unknown kind")
