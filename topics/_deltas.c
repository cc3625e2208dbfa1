/* A parser in front of a venue's own: a frame that is a change of a book, written as its venue always writes it, becomes a
   BookDelta at once; all others are the parser's. */

#include "_native.h"
#include <stddef.h>
#include <string.h>

enum { PATTERNS_MOST = 4, SYMBOLS_MOST = 4096, PARTS = 7 };

/* What a value is; the parts of a delta in the order of ``part_names``. Other roles are names in the parser's memory. */
enum { INSTRUMENT, BIDS, ASKS, FIRST, SEQUENCE, TIME, RECEIVED, SYMBOL, IS_BID, PRICE, SIZE, ROLES };
static const char *const roles[ROLES] = {"instrument", "bids",    "asks",   "first_sequence", "sequence", "ts_event",
                                         "ts_init",    "symbol", "is_bid", "price",          "size"};

enum { READING_INSTRUMENT, READING_TIME, READING_MEMORY };
static Fields of_reading = {{"instrument", "ts_init", "memory"}, NULL, {0}};

static PyObject *part_names, *nothing; /* (), for a side without levels */

typedef struct {
    PyObject_HEAD
    vectorcallfunc call;
    PyObject *record, *symbol_of, *parse;
    PyObject *symbols; /* by instrument */
    PyObject *templates[PATTERNS_MOST];
    PyObject *names[VALUES_MOST]; /* of those that are no role of ours */
    int role[VALUES_MOST], values;
} Deltas;

/* Borrowed; NULL where the instrument has none at this venue. */
static PyObject *symbol_of(Deltas *self, PyObject *instrument)
{
    PyObject *known = PyDict_GetItemWithError(self->symbols, instrument);
    if (known != NULL)
        return known;
    PyObject *symbol = PyErr_Occurred() ? NULL : PyObject_CallOneArg(self->symbol_of, instrument);
    if (PyDict_GET_SIZE(self->symbols) >= SYMBOLS_MOST)
        PyDict_Clear(self->symbols);
    if (symbol != NULL && PyUnicode_CheckExact(symbol) && PyDict_SetItem(self->symbols, instrument, symbol) == 0)
        known = symbol;
    Py_XDECREF(symbol);
    PyErr_Clear(); /* the parser says what is wrong */
    return known;
}

/* Whether what is remembered under this name begins with the value, and a space. */
static int is_remembered(PyObject *memory, PyObject *name, PyObject *value)
{
    PyObject *kept = PyDict_CheckExact(memory) ? PyDict_GetItem(memory, name) : NULL;
    if (kept == NULL || !PyUnicode_CheckExact(kept) || !PyUnicode_IS_COMPACT_ASCII(kept))
        return 0;
    if (!PyUnicode_CheckExact(value) || !PyUnicode_IS_COMPACT_ASCII(value))
        return 0;
    const char *text = (const char *)PyUnicode_1BYTE_DATA(kept);
    Py_ssize_t n = PyUnicode_GET_LENGTH(value);
    return PyUnicode_GET_LENGTH(kept) > n && text[n] == ' ' && memcmp(text, PyUnicode_1BYTE_DATA(value), (size_t)n) == 0;
}

/* Without the collector: of texts alone, and of what it does not look at. */
static PyObject *tuple_of(Py_ssize_t n, PyObject *first, PyObject *second)
{
    PyObject *tuple = PyTuple_New(n);
    if (tuple == NULL)
        return NULL;
    PyTuple_SET_ITEM(tuple, 0, Py_NewRef(first));
    if (n == 2)
        PyTuple_SET_ITEM(tuple, 1, Py_NewRef(second));
    PyObject_GC_UnTrack(tuple);
    return tuple;
}

static PyObject *side_of(PyObject *price, PyObject *size)
{
    PyObject *level = tuple_of(2, price, size), *side = level == NULL ? NULL : tuple_of(1, level, NULL);
    Py_XDECREF(level);
    return side;
}

/* What each value is, borrowed; 0 where it is not of the book that is kept. Of several times the last that is told. */
static int sort_out(Deltas *self, PyObject **values, PyObject *memory, PyObject *part[ROLES])
{
    int64_t number;
    for (int i = 0; i < self->values; i++) {
        int role = self->role[i];
        if (role == ROLES) {
            if (!is_remembered(memory, self->names[i], values[i]))
                return 0;
        } else if (role != TIME || part[TIME] == NULL || (is_whole(values[i], &number) && number != 0))
            part[role] = values[i];
    }
    return 1;
}

/* A tuple of one delta; NULL without an exception where the parser is to read it. */
static PyObject *delta_of(Deltas *self, PyObject **values, PyObject *reading)
{
    PyObject *part[ROLES] = {NULL}, *side = NULL;
    int64_t number;
    if (!sort_out(self, values, *field(&of_reading, reading, READING_MEMORY), part))
        return NULL;
    part[INSTRUMENT] = *field(&of_reading, reading, READING_INSTRUMENT);
    part[RECEIVED] = *field(&of_reading, reading, READING_TIME);
    if (part[FIRST] == NULL)
        part[FIRST] = part[SEQUENCE];
    PyObject *symbol = symbol_of(self, part[INSTRUMENT]);
    if (symbol == NULL || !PyUnicode_CheckExact(part[SYMBOL]) || PyUnicode_Compare(part[SYMBOL], symbol) != 0)
        return NULL;
    if (!is_whole(part[SEQUENCE], &number) || number <= 1)
        return NULL;
    if (part[IS_BID] != NULL) {
        if ((side = side_of(part[PRICE], part[SIZE])) == NULL)
            return NULL;
        part[BIDS] = part[IS_BID] == Py_True ? side : nothing;
        part[ASKS] = part[IS_BID] == Py_True ? nothing : side;
    }
    PyObject *delta = PyObject_Vectorcall(self->record, part, 0, part_names);
    PyObject *found = delta == NULL ? NULL : tuple_of(1, delta, NULL);
    Py_XDECREF(delta);
    Py_XDECREF(side);
    return found;
}

static PyObject *deltas_call(Deltas *self, PyObject *const *args, size_t flags, PyObject *names)
{
    PyObject *values[VALUES_MOST], *found = NULL;
    Py_ssize_t count = PyVectorcall_NARGS(flags);
    int fits = count == 2 && names == NULL && PyBytes_CheckExact(args[0]) && has_fields(&of_reading, args[1]), n;
    for (int i = 0; fits && found == NULL && i < PATTERNS_MOST && self->templates[i] != NULL; i++) {
        int read = read_values(self->templates[i], args[0], values, &n);
        if (read == 1 && n == self->values)
            found = delta_of(self, values, args[1]);
        while (read == 1 && n > 0)
            Py_DECREF(values[--n]);
        if (found == NULL && PyErr_Occurred())
            return NULL;
    }
    return found != NULL ? found : PyObject_Vectorcall(self->parse, args, (size_t)count, names);
}

/* 0 where a delta cannot be made of values that are called so. */
static int name_values(Deltas *self, PyObject *names)
{
    int has[ROLES + 1] = {0};
    self->values = (int)PyTuple_GET_SIZE(names);
    for (int i = 0; i < self->values; i++) {
        if (!PyUnicode_CheckExact(PyTuple_GET_ITEM(names, i)))
            return 0;
        self->names[i] = Py_NewRef(PyTuple_GET_ITEM(names, i));
        int role = 0;
        while (role < ROLES && PyUnicode_CompareWithASCIIString(self->names[i], roles[role]) != 0)
            role++;
        self->role[i] = role;
        has[role] = 1;
    }
    int sides = has[BIDS] && has[ASKS] && !has[IS_BID], one = has[IS_BID] && has[PRICE] && has[SIZE];
    return has[SYMBOL] && has[SEQUENCE] && has[TIME] && (sides || one);
}

static PyObject *deltas_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *record, *patterns, *names, *symbol_of, *parse;
    if (!PyArg_ParseTuple(args, "OO!O!OO", &record, &PyTuple_Type, &patterns, &PyTuple_Type, &names, &symbol_of, &parse))
        return NULL;
    Deltas *self = (Deltas *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->call = (vectorcallfunc)deltas_call;
    self->record = Py_NewRef(record);
    self->symbol_of = Py_NewRef(symbol_of);
    self->parse = Py_NewRef(parse);
    self->symbols = PyDict_New();
    Py_ssize_t n = PyTuple_GET_SIZE(patterns);
    int fits = self->symbols != NULL && n <= PATTERNS_MOST && PyTuple_GET_SIZE(names) <= VALUES_MOST && name_values(self, names);
    for (Py_ssize_t i = 0; fits && i < n; i++)
        fits = (self->templates[i] = new_template(PyTuple_GET_ITEM(patterns, i))) != NULL;
    if (!fits) {
        if (!PyErr_Occurred())
            PyErr_Format(PyExc_ValueError, "no delta can be made of %R", names);
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

static void deltas_dealloc(Deltas *self)
{
    Py_XDECREF(self->record);
    Py_XDECREF(self->symbol_of);
    Py_XDECREF(self->parse);
    Py_XDECREF(self->symbols);
    for (int i = 0; i < PATTERNS_MOST; i++)
        Py_XDECREF(self->templates[i]);
    for (int i = 0; i < VALUES_MOST; i++)
        Py_XDECREF(self->names[i]);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyTypeObject deltas_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "topics._native.Deltas",
    .tp_basicsize = sizeof(Deltas),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_vectorcall_offset = offsetof(Deltas, call),
    .tp_call = PyVectorcall_Call,
    .tp_new = deltas_new,
    .tp_dealloc = (destructor)deltas_dealloc,
};

int add_deltas(PyObject *module)
{
    part_names = PyTuple_New(PARTS);
    nothing = PyTuple_New(0);
    for (int i = 0; part_names != NULL && i < PARTS; i++) {
        PyObject *name = PyUnicode_InternFromString(roles[i]);
        if (name == NULL)
            return -1;
        PyTuple_SET_ITEM(part_names, i, name);
    }
    return part_names == NULL || nothing == NULL ? -1 : PyModule_AddType(module, &deltas_type);
}
