"""A filter as a tree of C nodes, tested on encoded documents without the GIL and without Python objects.

    (operator, steps, operands ...)      steps: the names of a path; none inside an $elemMatch on values
    and or nor not                       of nodes
    eq lt lte gt gte in                  values as documents; "in": in their order
    exists type mod size bits            as MongoDB has them
    regex                                of a text, by a Python function
    values, objects                      $elemMatch with operators, with a filter
    whole                                a Python function of the whole document: $expr, $jsonSchema

A path goes through arrays: a step is looked for in each element that is an object, and a number also names an element.
Where the path ends in an array, its elements are tested one by one and then the array itself; not so for size, values
and objects. A field that is not there is tested once, as missing. Through elements that are no objects a path leads
nowhere. frontends/document/filters.py makes the trees.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.math cimport ldexp
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stddef cimport size_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp

from .document cimport (Container, MAX_DOCUMENT_DEPTH, container_find, container_open, container_piece,
                        document_to_bson)
from .document_order cimport document_class, document_compare
from .keys cimport Input, input_close, input_open
from .scalars cimport (Buffer, DECIMAL_NAN, DECIMAL_NEGATIVE, Number, VALUE_ARRAY, VALUE_BINARY, VALUE_BYTES,
                       VALUE_DECIMAL, VALUE_FLOAT, VALUE_INT, VALUE_JSON, VALUE_NULL, VALUE_TEXT, VALUE_UUID,
                       buffer_free, buffer_init, fits_32, float_get, int_get, is_scalar, number_get)
from .status cimport CORRUPTION, NO_OFFSET, fail, raise_status

cdef extern from "Python.h":
    object PyUnicode_DecodeUTF8(const char *p, Py_ssize_t size, const char *errors)
    void PyErr_SetObject(object class_, object value) noexcept

cdef enum:
    MAX_FILTER_DEPTH = 200
    STACK_DIGITS = 64
    CLASS_NULL = 0x10                # document_order.pyx
    CLASS_NUMBER = 0x20
    CLASS_MIN_KEY = 0x08
    CLASS_MAX_KEY = 0xF0

cdef enum Operator:
    OPERATOR_AND
    OPERATOR_OR
    OPERATOR_NOR
    OPERATOR_NOT
    OPERATOR_EQ
    OPERATOR_LT
    OPERATOR_LTE
    OPERATOR_GT
    OPERATOR_GTE
    OPERATOR_IN
    OPERATOR_EXISTS
    OPERATOR_TYPE
    OPERATOR_MOD
    OPERATOR_REGEX
    OPERATOR_BITS
    OPERATOR_SIZE                    # from here on an array at the end of a path is one value
    OPERATOR_VALUES
    OPERATOR_OBJECTS
    OPERATOR_WHOLE

cdef dict OPERATORS = {
    "and": OPERATOR_AND, "or": OPERATOR_OR, "nor": OPERATOR_NOR, "not": OPERATOR_NOT, "eq": OPERATOR_EQ,
    "lt": OPERATOR_LT, "lte": OPERATOR_LTE, "gt": OPERATOR_GT, "gte": OPERATOR_GTE, "in": OPERATOR_IN,
    "exists": OPERATOR_EXISTS, "type": OPERATOR_TYPE, "mod": OPERATOR_MOD, "regex": OPERATOR_REGEX,
    "bits": OPERATOR_BITS, "size": OPERATOR_SIZE, "values": OPERATOR_VALUES, "objects": OPERATOR_OBJECTS,
    "whole": OPERATOR_WHOLE}
cdef dict BITS = {"all set": 0, "any set": 1, "all clear": 2, "any clear": 3}


cdef int node_size(int operator) noexcept:
    """Of the tuple a node is made from."""
    if operator == OPERATOR_NOT or operator == OPERATOR_EXISTS or operator == OPERATOR_WHOLE:
        return 2
    return 4 if operator == OPERATOR_MOD or operator == OPERATOR_REGEX or operator == OPERATOR_BITS else 3


cdef inline int damaged() noexcept nogil:
    return fail(CORRUPTION, "a document is damaged", NULL, <uint64_t> NO_OFFSET)


cdef int matcher_checked(int status) except -1:
    if status == MATCHER_RAISED:
        return -1
    return raise_status(status) if status < 0 else status


# -------------------------------------------------------------------- one value

cdef bint is_nan(const char *p, size_t size) noexcept nogil:
    cdef double real
    if <uint8_t> p[0] == VALUE_FLOAT:
        return float_get(p + 1, size - 1, &real) == 0 and real != real
    return <uint8_t> p[0] == VALUE_DECIMAL and size == 2 and <uint8_t> p[1] == DECIMAL_NAN


cdef int test_order(const Node *node, const char *p, size_t size) noexcept nogil:
    cdef char null[1]
    cdef int order = 0, class_, status
    if p == NULL:                                           # missing counts as null
        null[0] = VALUE_NULL
        p, size = null, 1
    class_ = document_class(<uint8_t> p[0])
    if class_ != node.value_class:
        if class_ < 0:
            return damaged()
        if node.operator == OPERATOR_EQ or (node.value_class != CLASS_MIN_KEY and node.value_class != CLASS_MAX_KEY):
            return 0
        order = class_ - node.value_class
    elif size != node.value.size or memcmp(p, node.value.data, size) != 0:
        status = document_compare(p, size, node.value.data, node.value.size, &order)
        if status < 0:
            return status
        if class_ == CLASS_NUMBER and order and (node.is_nan or is_nan(p, size)):
            return 0
    if node.operator == OPERATOR_EQ:
        return order == 0
    if node.operator == OPERATOR_LT:
        return order < 0
    if node.operator == OPERATOR_LTE:
        return order <= 0
    return order > 0 if node.operator == OPERATOR_GT else order >= 0


cdef int test_in(const Node *node, const char *p, size_t size) noexcept nogil:
    cdef char null[1]
    cdef uint32_t low = 0, high = node.operand_count, middle
    cdef int order, status
    if p == NULL:
        null[0] = VALUE_NULL
        p, size = null, 1
    while low < high:
        middle = (low + high) // 2
        status = document_compare(p, size, node.operands[middle].data, node.operands[middle].size, &order)
        if status < 0:
            return status
        if order == 0:
            return 1
        if order < 0:
            high = middle
        else:
            low = middle + 1
    return 0


cdef int type_number(const char *p, size_t size) noexcept nogil:
    """MongoDB's number of a type; 20 and 21 for minKey and maxKey."""
    cdef int *numbers = [10, 8, 16, 1, 19, 2, 5, 9, 2, 9, 9, 2, 5, 3, 4, 0, 7, 11, 20, 21, 17, 5, 13]
    cdef int kind = <uint8_t> p[0]
    cdef int64_t number
    if not is_scalar(kind):
        return 3 if kind & 15 == VALUE_JSON else 4
    if kind == VALUE_INT and int_get(p + 1, size - 1, &number) == 0 and not fits_32(number):
        return 18
    return numbers[kind]


cdef int whole_number(const char *p, size_t size, bint is_exact, int64_t *out) noexcept nogil:
    """1: a number within 64 bits, its fraction cut off; 0: no such number, or not a whole one where `is_exact`."""
    cdef char storage[STACK_DIGITS]
    cdef Buffer digits
    cdef Number number
    cdef double real
    cdef size_t i
    cdef int64_t value = 0, count
    cdef int kind = <uint8_t> p[0], status
    if kind == VALUE_INT:
        status = int_get(p + 1, size - 1, out)
        return 1 if status == 0 else status
    if kind == VALUE_FLOAT:
        status = float_get(p + 1, size - 1, &real)
        if status < 0:
            return status
        if not -ldexp(1.0, 63) <= real < ldexp(1.0, 63):
            return 0
        out[0] = <int64_t> real
        return <double> out[0] == real if is_exact else 1
    if kind != VALUE_DECIMAL:
        return 0
    buffer_init(&digits, storage, STACK_DIGITS)
    status = number_get(p + 1, size - 1, &number, &digits)
    if status == 0 and number.form <= DECIMAL_NEGATIVE:
        count = <int64_t> number.digit_count + number.exponent
        if count <= 18 or (number.digit_count == 1 and digits.data[0] == 48):
            status = 1
            for i in range(number.digit_count):
                if <int64_t> i < count:
                    value = value * 10 + (digits.data[i] - 48)
                elif is_exact and digits.data[i] != 48:
                    status = 0
            for i in range(number.digit_count, <size_t> count if count > 0 else 0):
                value *= 10
            out[0] = -value if number.form == DECIMAL_NEGATIVE else value
    buffer_free(&digits)
    return status


cdef int test_bits(const Node *node, const char *p, size_t size) noexcept nogil:
    cdef int64_t number
    cdef uint32_t i, position
    cdef int kind = <uint8_t> p[0], status
    cdef bint is_bytes = kind == VALUE_BYTES or kind == VALUE_BINARY or kind == VALUE_UUID, is_set
    cdef bint wants_set = node.first < 2, is_any = node.first % 2 == 1
    if is_bytes:
        p += 2 if kind == VALUE_BINARY else 1
        size -= 2 if kind == VALUE_BINARY else 1
    else:
        status = whole_number(p, size, True, &number)
        if status <= 0:
            return status
    for i in range(node.position_count):
        position = node.positions[i]
        if is_bytes:
            is_set = position // 8 < size and (<uint8_t> p[position // 8] >> (position % 8)) & 1
        else:
            is_set = (number >> (position if position < 63 else 63)) & 1
        if (is_set == wants_set) == is_any:
            return is_any
    return not is_any


cdef int call_with_text(PyObject *function, const char *p, size_t size) noexcept with gil:
    try:
        return bool((<object> function)(PyUnicode_DecodeUTF8(p, size, NULL)))
    except BaseException as error:
        PyErr_SetObject(type(error), error)
        return MATCHER_RAISED


cdef int call_with_document(PyObject *function, const Subject *subject) noexcept with gil:
    cdef dict members
    try:
        members = document_to_bson(subject.data, subject.size)
        if subject.id != NULL:
            members = {"_id": document_to_bson(subject.id, subject.id_size), **members}
        return bool((<object> function)(members))
    except BaseException as error:
        PyErr_SetObject(type(error), error)
        return MATCHER_RAISED


cdef int test_elements(const Node *node, const char *p, size_t size, int depth, int64_t *position) noexcept nogil:
    """$elemMatch."""
    cdef Container container
    cdef Subject inner
    cdef const char *piece
    cdef size_t piece_size
    cdef uint64_t i
    cdef int status = container_open(p, size, &container)
    if status < 0:
        return status
    inner.id, inner.id_size = NULL, 0
    for i in range(container.piece_count):
        status = container_piece(&container, i, &piece, &piece_size)
        if status == 0 and piece_size == 0:
            status = damaged()
        if status < 0:
            return status
        if node.operator == OPERATOR_OBJECTS and is_scalar(<uint8_t> piece[0]):
            continue
        inner.data, inner.size = piece, piece_size
        status = test(node.children[0], &inner, depth + 1)
        if status:
            position[0] = i
            return status
    return 0


cdef int test_value(const Node *node, const char *p, size_t size, int depth, int64_t *position) noexcept nogil:
    """`p` is NULL where the field is missing."""
    cdef Container container
    cdef int64_t number
    cdef int status
    if p != NULL and size == 0:
        return damaged()
    if node.operator <= OPERATOR_GTE:
        return test_order(node, p, size)
    if node.operator == OPERATOR_IN:
        return test_in(node, p, size)
    if p == NULL:
        return 0
    if node.operator == OPERATOR_EXISTS:
        return 1
    if node.operator == OPERATOR_TYPE:
        return (node.mask >> type_number(p, size)) & 1
    if node.operator == OPERATOR_REGEX:
        if <uint8_t> p[0] == VALUE_TEXT:
            return call_with_text(node.function, p + 1, size - 1)
        return size == node.value.size and memcmp(p, node.value.data, size) == 0
    if node.operator == OPERATOR_MOD:
        status = whole_number(p, size, False, &number)
        if status <= 0:
            return status
        return (0 if node.first == -1 else number % node.first) == node.second
    if node.operator == OPERATOR_BITS:
        return test_bits(node, p, size)
    if is_scalar(<uint8_t> p[0]) or <uint8_t> p[0] & 15 != VALUE_ARRAY:
        return 0
    if node.operator == OPERATOR_SIZE:
        status = container_open(p, size, &container)
        return status if status < 0 else <int64_t> container.piece_count == node.first
    return test_elements(node, p, size, depth, position)


# -------------------------------------------------------------------- paths

cdef int test_leaf(const Node *node, const char *p, size_t size, int depth, int64_t *position) noexcept nogil:
    """What a path leads to: where it is an array, its elements and then itself."""
    cdef Container container
    cdef const char *piece
    cdef size_t piece_size
    cdef uint64_t i
    cdef int status
    if (node.operator >= OPERATOR_SIZE or size == 0 or is_scalar(<uint8_t> p[0]) or <uint8_t> p[0] & 15 != VALUE_ARRAY):
        return test_value(node, p, size, depth, position)
    status = container_open(p, size, &container)
    if status < 0:
        return status
    for i in range(container.piece_count):
        status = container_piece(&container, i, &piece, &piece_size)
        if status == 0:
            status = test_value(node, piece, piece_size, depth, position)
        if status:
            position[0] = i
            return status
    return test_value(node, p, size, depth, position)


cdef int walk_array(const Node *node, uint32_t step, const Container *array, int depth,
                    int64_t *position) noexcept nogil:
    """The rest of a path, from `step` on, in an array."""
    cdef Container inner
    cdef const char *piece
    cdef size_t piece_size
    cdef uint64_t i
    cdef int status = 0
    if depth > MAX_DOCUMENT_DEPTH * 2:
        return damaged()
    for i in range(array.piece_count):
        status = container_piece(array, i, &piece, &piece_size)
        if status == 0 and piece_size == 0:
            status = damaged()
        if status == 0 and not is_scalar(<uint8_t> piece[0]):
            status = container_open(piece, piece_size, &inner)
            if status == 0 and inner.kind == VALUE_JSON:
                status = walk(node, step, &inner, NULL, depth + 1, position)
        if status == 0 and <int64_t> i == node.steps[step].index:
            if step + 1 == node.step_count:
                status = test_value(node, piece, piece_size, depth, position)
            elif not is_scalar(<uint8_t> piece[0]):
                status = (walk(node, step + 1, &inner, NULL, depth + 1, position) if inner.kind == VALUE_JSON
                          else walk_array(node, step + 1, &inner, depth + 1, position))
        if status:
            position[0] = i
            return status
    return 0


cdef int walk(const Node *node, uint32_t step, const Container *start, const Subject *subject, int depth,
              int64_t *position) noexcept nogil:
    """A path, from `step` on, in an object; of an array its elements are the members. `subject` where it is the whole
    document, whose _id may be kept apart."""
    cdef Container container = start[0]
    cdef const Step *name
    cdef const char *p
    cdef size_t size
    cdef int status
    if depth > MAX_DOCUMENT_DEPTH * 2:
        return damaged()
    while True:
        name = &node.steps[step]
        if (subject != NULL and subject.id != NULL and name.name_size == 3 and memcmp(name.name, b"_id", 3) == 0):
            p, size, status = subject.id, subject.id_size, 1
        elif container.kind == VALUE_JSON:
            status = container_find(&container, name.name, name.name_size, &p, &size)
        elif 0 <= name.index < <int64_t> container.piece_count:
            status = container_piece(&container, name.index, &p, &size)
            status = status if status < 0 else 1
        else:
            status = 0
        subject = NULL
        if status < 0:
            return status
        if status == 0:
            return test_value(node, NULL, 0, depth, position)
        step += 1
        if step == node.step_count:
            return test_leaf(node, p, size, depth, position)
        if size == 0:
            return damaged()
        if is_scalar(<uint8_t> p[0]):
            return test_value(node, NULL, 0, depth, position)
        status = container_open(p, size, &container)
        if status < 0:
            return status
        if container.kind == VALUE_ARRAY:
            return walk_array(node, step, &container, depth, position)


cdef int test(const Node *node, Subject *subject, int depth) noexcept nogil:
    cdef Container container
    cdef uint32_t i
    cdef int status
    if node.operator == OPERATOR_AND:
        for i in range(node.child_count):
            status = test(node.children[i], subject, depth)
            if status != 1:
                return status
        return 1
    if node.operator == OPERATOR_OR or node.operator == OPERATOR_NOR:
        for i in range(node.child_count):
            status = test(node.children[i], subject, depth)
            if status < 0:
                return status
            if status:
                return node.operator == OPERATOR_OR
        return node.operator == OPERATOR_NOR
    if node.operator == OPERATOR_NOT:
        status = test(node.children[0], subject, depth)
        return status if status < 0 else not status
    if node.operator == OPERATOR_WHOLE:
        return call_with_document(node.function, subject)
    if node.step_count == 0:
        return test_value(node, subject.data, subject.size, depth, &subject.position)
    status = container_open(subject.data, subject.size, &container)
    if status < 0:
        return status
    return walk(node, 0, &container, subject, depth, &subject.position)


cdef int matcher_test(const Node *node, Subject *subject) noexcept nogil:
    subject.position = -1
    return test(node, subject, 0)


# -------------------------------------------------------------------- what Python calls

cdef class Matcher:
    """A filter, made from a tree; see the head of this file."""

    def __cinit__(self, tree):
        self.allocated, self.kept = [], []
        self.root = self.build(tree, 0)

    def __dealloc__(self):
        for address in self.allocated or ():
            free(<void *> <size_t> address)

    cdef void *allocate(self, size_t size) except NULL:
        cdef void *memory = calloc(1, size or 1)
        if memory == NULL:
            raise MemoryError()
        self.allocated.append(<size_t> memory)
        return memory

    cdef Node *build(self, tuple tree, int depth) except NULL:
        cdef Node *node = <Node *> self.allocate(sizeof(Node))
        cdef tuple steps, operands
        cdef uint32_t i
        if depth > MAX_FILTER_DEPTH:
            raise ValueError(f"a filter is nested more than {MAX_FILTER_DEPTH} deep")
        if len(tree) == 0:
            raise ValueError("a node of a filter has no operator")
        node.operator = OPERATORS[tree[0]]
        if node.operator >= OPERATOR_NOT and len(tree) != node_size(node.operator):
            raise ValueError(f"a node {tree[0]} of a filter has {len(tree)} parts")
        if node.operator <= OPERATOR_NOT:
            operands = tree[1:]
        elif node.operator == OPERATOR_WHOLE:
            self.kept.append(tree[1])
            node.function = <PyObject *> tree[1]
            return node
        else:
            steps = tree[1]
            node.step_count = len(steps)
            node.steps = <Step *> self.allocate(node.step_count * sizeof(Step))
            for i in range(node.step_count):
                self.set_step(&node.steps[i], steps[i])
            operands = tree[2:] if node.operator >= OPERATOR_VALUES else ()
        node.child_count = len(operands)
        node.children = <Node **> self.allocate(node.child_count * sizeof(Node *))
        for i in range(node.child_count):
            node.children[i] = self.build(operands[i], depth + 1)
        if OPERATOR_EQ <= node.operator <= OPERATOR_GTE:
            self.set_value(&node.value, tree[2])
            node.value_class = document_class(<uint8_t> node.value.data[0])
            node.is_nan = is_nan(node.value.data, node.value.size)
        elif node.operator == OPERATOR_IN:
            operands = tree[2]
            node.operand_count = len(operands)
            node.operands = <Operand *> self.allocate(node.operand_count * sizeof(Operand))
            for i in range(node.operand_count):
                self.set_value(&node.operands[i], operands[i])
        elif node.operator == OPERATOR_TYPE:
            node.mask = tree[2]
        elif node.operator == OPERATOR_MOD:
            node.first, node.second = tree[2], tree[3]
        elif node.operator == OPERATOR_SIZE:
            node.first = tree[2]
        elif node.operator == OPERATOR_BITS:
            operands = tree[3]
            node.first = BITS[tree[2]]
            node.position_count = len(operands)
            node.positions = <uint32_t *> self.allocate(node.position_count * sizeof(uint32_t))
            for i in range(node.position_count):
                node.positions[i] = operands[i]
        elif node.operator == OPERATOR_REGEX:
            self.kept.append(tree[2])
            node.function = <PyObject *> tree[2]
            self.set_value(&node.value, tree[3])
        return node

    cdef int set_value(self, Operand *operand, bytes value) except -1:
        self.kept.append(value)
        operand.data, operand.size = PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value)
        if operand.size == 0 or document_class(<uint8_t> operand.data[0]) < 0:
            raise ValueError("a value of a filter is no document")
        return 0

    cdef int set_step(self, Step *step, str name) except -1:
        cdef bytes text = name.encode()
        self.kept.append(text)
        step.name, step.name_size = PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text)
        step.index = -1
        if text.isdigit() and len(text) < 10 and (len(text) == 1 or text[0] != 48):
            step.index = int(text)
        return 0

    def matches(self, document, identity=None):
        """Whether an encoded object matches. `identity`: its field _id, encoded, where it is kept apart."""
        return self.find(document, identity) is not None

    def find(self, document, identity=None):
        """None: it does not match. Else the position, in the outermost array that the filter went through, of the
        element that matched; -1 where it went through none."""
        cdef Input given, apart
        cdef Subject subject
        cdef int status
        subject.id, subject.id_size = NULL, 0
        input_open(&given, document, "a document")
        try:
            subject.data, subject.size = given.data, given.size
            if identity is None:
                status = matcher_test(self.root, &subject)
            else:
                input_open(&apart, identity, "an _id")
                subject.id, subject.id_size = apart.data, apart.size
                status = matcher_test(self.root, &subject)
                input_close(&apart)
            matcher_checked(status)
            return subject.position if status else None
        finally:
            input_close(&given)

    def select(self, list documents not None):
        """The positions of those that match in a list of encoded objects (bytes), in one go without the GIL."""
        cdef Py_ssize_t count = len(documents), i, found = 0
        cdef Operand *operands = <Operand *> malloc((count + 1) * sizeof(Operand))
        cdef Subject subject
        cdef bytes data
        cdef list kept = list(documents)
        cdef int status = 0
        if operands == NULL:
            raise MemoryError()
        subject.id, subject.id_size = NULL, 0
        try:
            for i in range(count):
                data = kept[i]
                operands[i].data, operands[i].size = PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data)
            with nogil:
                for i in range(count):
                    subject.data, subject.size = operands[i].data, operands[i].size
                    status = matcher_test(self.root, &subject)
                    if status < 0:
                        break
                    operands[found].size = i                # of one that was read
                    found += status
            matcher_checked(status)
            return [operands[i].size for i in range(found)]
        finally:
            free(operands)
