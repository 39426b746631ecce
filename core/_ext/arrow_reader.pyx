"""Rows of a scan as Arrow record batches, through the Arrow PyCapsule interface.

    Scan: rows in its buffer --> key columns, record fields --> columns of a batch --> capsules

A whole batch is made without the GIL and without a Python object for a row. Batches do not depend on scan or reader,
and pyarrow is not needed: who imports them takes two C structs.
"""
cimport cython
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_New
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stddef cimport size_t
from libc.stdlib cimport calloc, free, malloc

from .arrow_column cimport (ArrowArray, ArrowSchema, Batch, ColumnType, batch_bytes, batch_new, batch_release,
                            batch_trim, column_null, column_type, export_batch, export_schema, live_batches)
from .key_tuple cimport KeyCodec, key_read
from .record cimport FIELD_MISSING, FIELD_NULL, FIELD_VALUE, Record, RecordCodec, record_get, record_open, value_append
from .scalars cimport Buffer, VALUE_BYTES, buffer_free, buffer_init
from .scan cimport Row, Scan
from .status cimport CORRUPTION, NO_OFFSET, fail, raise_status
from .transaction cimport TransactionScan

cdef enum Source:
    SOURCE_KEY = 0
    SOURCE_RECORD = 1
    SOURCE_ROW_KEY = 2

cdef enum:
    BATCH_TEXT_BYTES = 67108864      # a batch ends when its texts take so much; offsets would allow 2 GiB
    MAX_BATCH_ROWS = 1 << 24

FROM_KEY = SOURCE_KEY
FROM_RECORD = SOURCE_RECORD
FROM_ROW_KEY = SOURCE_ROW_KEY

cdef struct Output:                  # what the loop over rows knows of a column
    int source
    uint32_t position
    ColumnType *type
    bint has_default                 # else a NULL
    const char *default_value
    size_t default_size

cdef struct Field:                   # a column of the key of the current row
    int state
    size_t start                     # in the buffer of key values
    size_t size


def live_batch_count():
    """Batches in memory, whoever holds them. For tests."""
    return live_batches()


cdef inline int checked(int status) except -1:
    return raise_status(status) if status < 0 else 0


@cython.final
cdef class ArrowColumn:
    """An output column: where it comes from and of which type it is."""

    cdef readonly str name
    cdef bytes encoded_name
    cdef ColumnType type
    cdef ArrowColumn element
    cdef int source
    cdef uint32_t position
    cdef Buffer default_value
    cdef bint has_default

    def __cinit__(self, str name not None, int source, uint32_t position, int kind, int bits=64, int precision=38,
                  int scale=0, ArrowColumn element=None, default=None):
        buffer_init(&self.default_value, NULL, 0)
        if not SOURCE_KEY <= source <= SOURCE_ROW_KEY:
            raise ValueError(f"no source of a column: {source}")
        if source == SOURCE_ROW_KEY and kind != VALUE_BYTES:
            raise ValueError("the row key is bytes")
        self.name, self.encoded_name = name, name.encode()
        self.element, self.source, self.position = element, source, position
        checked(column_type(&self.type, kind, bits, precision, scale, NULL if element is None else &element.type))
        if default is not None:
            value_append(kind, default, &self.default_value)
            self.has_default = True

    def __dealloc__(self):
        buffer_free(&self.default_value)

    @property
    def needed_scale(self):
        """After InvalidArgument: the scale a decimal of this column, or in its arrays, asked for, or 0."""
        return max(self.type.needed_scale, 0 if self.element is None else self.element.needed_scale)


# -------------------------------------------------------------------- capsules

cdef void free_schema_capsule(object capsule) noexcept:
    cdef ArrowSchema *schema = <ArrowSchema *> PyCapsule_GetPointer(capsule, "arrow_schema")
    if schema.release != NULL:
        schema.release(schema)
    free(schema)


cdef void free_array_capsule(object capsule) noexcept:
    cdef ArrowArray *array = <ArrowArray *> PyCapsule_GetPointer(capsule, "arrow_array")
    if array.release != NULL:
        array.release(array)
    free(array)


@cython.final
cdef class _Shape:
    """The columns of a reader in C, kept by all its batches."""

    cdef tuple columns
    cdef uint32_t count
    cdef Output *outputs
    cdef ColumnType **types
    cdef const char **names

    def __cinit__(self, columns):
        cdef ArrowColumn column
        cdef uint32_t i
        self.columns = tuple(columns)
        self.count = len(self.columns)
        self.outputs = <Output *> calloc(self.count + 1, sizeof(Output))
        self.types = <ColumnType **> calloc(self.count + 1, sizeof(ColumnType *))
        self.names = <const char **> calloc(self.count + 1, sizeof(char *))
        if self.outputs == NULL or self.types == NULL or self.names == NULL:
            raise MemoryError()
        for i in range(self.count):
            column = self.columns[i]
            self.types[i], self.names[i] = &column.type, column.encoded_name
            self.outputs[i].source, self.outputs[i].position = column.source, column.position
            self.outputs[i].type = &column.type
            self.outputs[i].has_default = column.has_default
            self.outputs[i].default_value = column.default_value.data
            self.outputs[i].default_size = column.default_value.size

    def __dealloc__(self):
        free(self.outputs)
        free(self.types)
        free(self.names)

    cdef object schema_capsule(self):
        cdef ArrowSchema *schema = <ArrowSchema *> calloc(1, sizeof(ArrowSchema))
        cdef object capsule
        if schema == NULL:
            raise MemoryError()
        capsule = PyCapsule_New(schema, "arrow_schema", free_schema_capsule)
        if export_schema("+s", "", self.types, self.names, self.count, schema) < 0:
            raise MemoryError()
        return capsule


@cython.final
cdef class ArrowBatch:
    """Rows as a struct array: pyarrow.record_batch(batch) and its like take it, without a copy."""

    cdef _Shape shape
    cdef Batch *batch

    def __init__(self):
        raise TypeError("an ArrowBatch is made by an ArrowReader")

    def __dealloc__(self):
        if self.batch != NULL:
            batch_release(self.batch)

    def __len__(self):
        return self.batch.length

    def __arrow_c_schema__(self):
        return self.shape.schema_capsule()

    def __arrow_c_array__(self, requested_schema=None):
        cdef ArrowArray *array = <ArrowArray *> calloc(1, sizeof(ArrowArray))
        cdef object capsule
        if array == NULL:
            raise MemoryError()
        capsule = PyCapsule_New(array, "arrow_array", free_array_capsule)
        if export_batch(self.batch, self.shape.types, array) < 0:
            raise MemoryError()
        return self.shape.schema_capsule(), capsule


# -------------------------------------------------------------------- reading

@cython.final
cdef class ArrowReader:
    """Batches of the rows of a scan."""

    cdef Scan scan
    cdef KeyCodec key
    cdef RecordCodec record
    cdef _Shape shape
    cdef size_t prefix_length
    cdef int64_t batch_rows
    cdef uint32_t key_count          # columns of the key to read: up to the last one that is wanted
    cdef bint reads_record
    cdef Field *fields               # [key_count]
    cdef Buffer key_values
    cdef Buffer ends

    def __cinit__(self, scan, size_t prefix_length, KeyCodec key, RecordCodec record, columns,
                  int64_t batch_rows=65536):
        cdef ArrowColumn column
        buffer_init(&self.key_values, NULL, 0)
        buffer_init(&self.ends, NULL, 0)
        if not 1 <= batch_rows <= MAX_BATCH_ROWS:
            raise ValueError(f"a batch has 1 to {MAX_BATCH_ROWS} rows")
        self.key, self.record = key, record
        self.prefix_length, self.batch_rows = prefix_length, batch_rows
        self.shape = _Shape(columns)
        for column in self.shape.columns:
            if column.source == SOURCE_KEY:
                if key is None or column.position >= key.count:
                    raise ValueError(f"column {column.name}: the key has no position {column.position}")
                require_kind(column, key.column_array[column.position].kind)
                self.key_count = max(self.key_count, column.position + 1)
            elif column.source == SOURCE_RECORD:
                if record is None or column.position >= record.count:
                    raise ValueError(f"column {column.name}: the record has no position {column.position}")
                require_kind(column, record.kind_array[column.position])
                self.reads_record = True
        self.fields = <Field *> malloc((self.key_count + 1) * sizeof(Field))
        if self.fields == NULL:
            raise MemoryError()
        self.scan = (<TransactionScan> scan).read_all() if isinstance(scan, TransactionScan) else scan
        if self.scan is None:
            raise TypeError("a reader needs a scan")

    def __dealloc__(self):
        free(self.fields)
        buffer_free(&self.key_values)
        buffer_free(&self.ends)

    def __iter__(self):
        return self

    def __arrow_c_schema__(self):
        return self.shape.schema_capsule()

    def close(self):
        """Gives back what the scan holds."""
        self.scan.close()

    def __next__(self):
        cdef ArrowBatch result
        cdef Batch *batch
        cdef Scan scan = self.scan
        cdef int status
        if scan.is_filling:
            raise ValueError("the scan is being read by another thread")
        if scan.row_next == scan.row_count and scan.state:
            raise StopIteration
        if scan.owner is not None:
            scan.owner.check_open()
        batch = batch_new(self.shape.types, self.shape.count, self.batch_rows)
        if batch == NULL:
            raise MemoryError()
        scan.is_filling = True
        with nogil:
            status = self.fill(batch, scan)
            batch_trim(batch)
        scan.is_filling = False
        if status < 0 or batch.length == 0:
            batch_release(batch)
            scan.close()
            checked(status)
            raise StopIteration
        result = ArrowBatch.__new__(ArrowBatch)
        result.shape, result.batch = self.shape, batch
        return result

    cdef int fill(self, Batch *batch, Scan scan) noexcept nogil:
        cdef Row *row
        cdef int status
        while batch.length < self.batch_rows and batch_bytes(batch) < BATCH_TEXT_BYTES:
            if scan.row_next == scan.row_count:
                if scan.state:
                    return 0
                status = scan.gather()
                if status <= 0:
                    return status
            while scan.row_next < scan.row_count and batch.length < self.batch_rows:
                row = &scan.rows[scan.row_next]
                status = self.append_row(batch, scan.buffer + row.key_offset, row.key_size,
                                         scan.buffer + row.value_offset, row.value_size)
                if status < 0:
                    return status
                scan.row_next += 1
        return 0

    cdef int read_key(self, const char *p, const char *end) noexcept nogil:
        cdef Field *field
        cdef uint32_t i
        self.key_values.size = 0
        for i in range(self.key_count):
            field = &self.fields[i]
            field.start = self.key_values.size
            field.state = key_read(&self.key.column_array[i], &p, end, &self.key_values, &self.ends)
            if field.state < 0:
                return field.state
            field.size = self.key_values.size - field.start
        return 0

    cdef int append_row(self, Batch *batch, const char *key, size_t key_size, const char *value,
                        size_t value_size) noexcept nogil:
        cdef Output *output
        cdef Record record
        cdef const char *p
        cdef size_t size
        cdef uint32_t i
        cdef int state, status = 0
        if key_size < self.prefix_length:
            return fail(CORRUPTION, "a key is shorter than its prefix", NULL, <uint64_t> NO_OFFSET)
        key += self.prefix_length
        key_size -= self.prefix_length
        if self.key_count:
            status = self.read_key(key, key + key_size)
        if status == 0 and self.reads_record:
            status = record_open(value, value_size, &record)
        if status < 0:
            return status
        for i in range(self.shape.count):
            output = &self.shape.outputs[i]
            if output.source == SOURCE_RECORD:
                state = record_get(&record, output.position, &p, &size)
                if state == FIELD_MISSING:
                    p, size = output.default_value, output.default_size
                    state = FIELD_VALUE if output.has_default else FIELD_NULL
            elif output.source == SOURCE_KEY:
                state = self.fields[output.position].state
                p, size = self.key_values.data + self.fields[output.position].start, self.fields[output.position].size
            else:
                p, size, state = key, key_size, FIELD_VALUE
            if state == FIELD_VALUE:
                status = output.type.append(&batch.columns[i], output.type, p, size)
            elif state == FIELD_NULL:
                status = column_null(&batch.columns[i], output.type)
            else:
                status = state
            if status < 0:
                return status
        batch.length += 1
        return 0


cdef int require_kind(ArrowColumn column, int kind) except -1:
    if column.type.kind != kind:
        raise ValueError(f"column {column.name} is of kind {column.type.kind}, what it reads of {kind}")
    return 0
