/* A frame as a venue always writes it: the text between its values stands in a pattern, byte for byte.

   What fits is read in one go; what does not (another order, a space, an escape, a number out of range) is read by the
   venue's parser, which alone says what is wrong with a frame. So a pattern may be narrow, never wrong. */

#include "_native.h"
#include <stdint.h>
#include <string.h>

enum { OPS_MOST = 80, FEW = 32, WHOLE_MOST = 18, NUMBER_MOST = 40, NAME_MOST = 80, KNOWN = 1 << 10 };
enum { LITERAL = 1 };

static const int64_t MILLIS_MOST = 9000000000000; /* past the year 2200, and as nanoseconds still 64 bits */

static PyObject *decimal; /* the type */

typedef struct {
    char code;
    const char *text;
    Py_ssize_t length;
    uint64_t last, mask; /* of a literal: what is left of its text after words of eight bytes */
} Op;

typedef struct {
    PyObject_HEAD
    PyObject *pattern;
    Op ops[OPS_MOST];
} Template;

typedef struct {
    const char *at, *end;
    PyObject **values;
    int n;
} Reader;

typedef struct {
    PyObject **items, *few[FEW];
    Py_ssize_t n, room;
} Levels;

typedef struct {
    const char *text;
    Py_ssize_t length;
} Span;

/* ASCII without quotation marks, backslashes and control characters: what JSON writes as it is. */
static char plain[256];

static inline int is_plain(char c) { return plain[(unsigned char)c]; }

static inline int is_digit(char c) { return c >= '0' && c <= '9'; }

static PyObject *text_of(Span span)
{
    if (span.length <= 1)
        return PyUnicode_FromStringAndSize(span.text, span.length);
    PyObject *text = PyUnicode_New(span.length, 127);
    if (text != NULL)
        memcpy(PyUnicode_1BYTE_DATA(text), span.text, (size_t)span.length);
    return text;
}

/* Texts read lately, and their numbers where they were asked for. Worth it for names and Decimals; a level's texts are
   made in less time than they are found. */
typedef struct {
    PyObject *text, *number;
} Known;

static Known known[KNOWN];

static Known *known_of(Span span)
{
    uint64_t mixed = (uint64_t)span.length, word;
    Py_ssize_t left = span.length;
    for (const char *at = span.text; left > 0; at += 8, left -= 8) {
        word = 0;
        memcpy(&word, at, left < 8 ? (size_t)left : 8);
        mixed = (mixed ^ word) * UINT64_C(0x9E3779B97F4A7C15);
        mixed ^= mixed >> 32;
    }
    Known *one = &known[mixed % KNOWN];
    if (one->text != NULL && PyUnicode_GET_LENGTH(one->text) == span.length &&
        memcmp(PyUnicode_1BYTE_DATA(one->text), span.text, (size_t)span.length) == 0)
        return one;
    PyObject *text = text_of(span);
    if (text == NULL)
        return NULL;
    Py_XSETREF(one->text, text);
    Py_CLEAR(one->number);
    return one;
}

static PyObject *known_text(Span span)
{
    Known *one = known_of(span);
    return one == NULL ? NULL : Py_NewRef(one->text);
}

static PyObject *known_number(Span span)
{
    Known *one = known_of(span);
    if (one == NULL)
        return NULL;
    if (one->number == NULL) {
        PyObject *text = Py_NewRef(one->text), *number = PyObject_CallOneArg(decimal, text);
        Py_DECREF(text);
        if (number == NULL)
            return NULL;
        Py_XSETREF(one->number, number);
    }
    return Py_NewRef(one->number);
}

static int read_text(Reader *r, Span *span)
{
    const char *at = r->at;
    while (is_plain(*at)) /* bytes end with a zero, which is not */
        at++;
    *span = (Span){r->at, at - r->at};
    r->at = at;
    return 1;
}

/* Bytes end with a zero, which is no digit. */
static int read_whole(Reader *r, int64_t *number)
{
    const char *from = r->at, *at = from;
    uint64_t found = 0;
    for (; is_digit(*at); at++)
        found = found * 10 + (uint64_t)(*at - '0');
    Py_ssize_t length = at - from;
    r->at = at;
    *number = (int64_t)found;
    return length >= 1 && length <= WHOLE_MOST && (*from != '0' || length == 1);
}

/* As JSON writes one, without sign and exponent. */
static int read_number(Reader *r, Span *span)
{
    const char *from = r->at, *at = from;
    while (is_digit(*at))
        at++;
    if (at == from || (*from == '0' && at - from > 1))
        return 0;
    if (*at == '.') {
        const char *point = at++;
        while (is_digit(*at))
            at++;
        if (at == point + 1)
            return 0;
    }
    *span = (Span){from, at - from};
    r->at = at;
    return span->length <= NUMBER_MOST;
}

static int two_digits(const char *at) { return (at[0] - '0') * 10 + (at[1] - '0'); }

static int64_t days_since_1970(int year, int month, int day)
{
    year -= month <= 2;
    int64_t era = year / 400, of_era = year % 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* 2026-08-09T21:05:48.483587501Z, with up to nine digits of a second or none. */
static int read_iso(Reader *r, int64_t *ns)
{
    static const char form[] = "0000-00-00T00:00:00";
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const char *at = r->at;
    if (r->end - at < (Py_ssize_t)sizeof form)
        return 0;
    for (int i = 0; form[i]; i++)
        if (form[i] == '0' ? !is_digit(at[i]) : at[i] != form[i])
            return 0;
    int year = two_digits(at) * 100 + two_digits(at + 2), month = two_digits(at + 5), day = two_digits(at + 8);
    int hour = two_digits(at + 11), minute = two_digits(at + 14), second = two_digits(at + 17);
    if (year < 1970 || year > 2200 || month < 1 || month > 12 || hour > 23 || minute > 59 || second > 59)
        return 0;
    int leap = month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (day < 1 || day > days[month - 1] + leap)
        return 0;
    int64_t fraction = 0, unit = 1000000000;
    at += sizeof form - 1;
    if (*at == '.') {
        for (at++; at < r->end && is_digit(*at) && unit > 1; at++, unit /= 10)
            fraction = fraction * 10 + (*at - '0');
        if (unit == 1000000000)
            return 0;
    }
    if (at >= r->end || *at != 'Z')
        return 0;
    r->at = at + 1;
    int64_t seconds = days_since_1970(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    *ns = seconds * 1000000000 + fraction * unit;
    return 1;
}

static inline int is_literal(Reader *r, const Op *op)
{
    Py_ssize_t words = op->length & ~(Py_ssize_t)7, left = r->end - r->at - words;
    const char *at = r->at + words;
    uint64_t last;
    if (left < op->length - words || (words && memcmp(r->at, op->text, (size_t)words) != 0))
        return 0;
    if (left >= 8) {
        memcpy(&last, at, 8);
        if ((last & op->mask) != op->last)
            return 0;
    } else if (memcmp(at, op->text + words, (size_t)(op->length - words)) != 0)
        return 0;
    r->at += op->length;
    return 1;
}

/* 1 for taken, 0 where the frame is not of this form, -1 with an exception. Takes over the value. */
static int take(Reader *r, PyObject *value)
{
    if (value == NULL)
        return -1;
    r->values[r->n++] = value;
    return 1;
}

/* ---- Levels: a list of arrays or objects, each with a price and a size. ---- */

static int grow(Levels *levels)
{
    Py_ssize_t room = levels->room * 4;
    PyObject **items = levels->items == levels->few ? NULL : levels->items;
    items = PyMem_Realloc(items, (size_t)room * sizeof(PyObject *));
    if (items == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (levels->items == levels->few)
        memcpy(items, levels->few, sizeof levels->few);
    levels->items = items;
    levels->room = room;
    return 0;
}

static int add_level(Levels *levels, Span price, Span size)
{
    if (levels->n == levels->room && grow(levels) < 0)
        return -1;
    PyObject *level = PyTuple_New(2);
    if (level == NULL)
        return -1;
    PyObject *first = text_of(price), *second = text_of(size);
    PyTuple_SET_ITEM(level, 0, first);
    PyTuple_SET_ITEM(level, 1, second);
    PyObject_GC_UnTrack(level); /* of texts alone: no cycle can begin here */
    if (first == NULL || second == NULL) {
        Py_DECREF(level);
        return -1;
    }
    levels->items[levels->n++] = level;
    return 1;
}

static PyObject *as_tuple(Levels *levels)
{
    PyObject *tuple = PyTuple_New(levels->n);
    if (tuple == NULL)
        return NULL;
    for (Py_ssize_t i = 0; i < levels->n; i++)
        PyTuple_SET_ITEM(tuple, i, levels->items[i]);
    levels->n = 0;
    PyObject_GC_UnTrack(tuple);
    return tuple;
}

static void drop(Levels *levels)
{
    while (levels->n > 0)
        Py_DECREF(levels->items[--levels->n]);
    if (levels->items != levels->few)
        PyMem_Free(levels->items);
}

/* 1618678133.365913 as ns; before the year 2255. */
static int read_seconds(Reader *r, int64_t *ns)
{
    const char *at = r->at;
    if (r->end - at < 17 || at[10] != '.' || *at >= '9')
        return 0;
    int64_t micros = 0;
    for (int i = 0; i < 17; i++)
        if (is_digit(at[i]))
            micros = micros * 10 + (at[i] - '0');
        else if (i != 10)
            return 0;
    r->at = at + 17;
    *ns = micros * 1000;
    return 1;
}

static int read_side(Reader *r, int *side)
{
    static const struct {
        char word[6];
        int length, side;
    } words[] = {{"buy", 3, 0}, {"sell", 4, 1}, {"bid", 3, 0}, {"offer", 5, 1}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (*r->at == *words[i].word && strncmp(r->at, words[i].word, (size_t)words[i].length) == 0) {
            r->at += words[i].length;
            *side = words[i].side;
            return 1;
        }
    return 0;
}

/* Any more texts of an array: ,"0","4" */
static int skip_more(Reader *r)
{
    Span passed;
    while (r->end - r->at > 1 && r->at[0] == ',' && r->at[1] == '"') {
        r->at += 2;
        read_text(r, &passed);
        if (r->at >= r->end || *r->at++ != '"')
            return 0;
    }
    return 1;
}

static int read_element(Reader *r, const Op *op, Span *price, Span *size, int64_t *time, int *side)
{
    int64_t ns;
    for (; op->code != ']'; op++) {
        Span span;
        int fits;
        switch (op->code) {
        case 'p':
            fits = read_text(r, price);
            break;
        case 'q':
            fits = read_text(r, size);
            break;
        case 'P':
            fits = read_number(r, price);
            break;
        case 'Q':
            fits = read_number(r, size);
            break;
        case 't':
            fits = read_seconds(r, &ns);
            if (fits && ns > *time)
                *time = ns;
            break;
        case '*':
            fits = read_text(r, &span);
            break;
        case 'k':
            fits = read_side(r, side);
            break;
        case '~':
            fits = skip_more(r);
            break;
        default:
            fits = is_literal(r, op);
        }
        if (!fits)
            return 0;
    }
    return 1;
}

/* What most venues write: ["price","size"] */
static int is_pair(const Op *op)
{
    static const struct {
        char code;
        const char *text;
        Py_ssize_t length;
    } pair[] = {{LITERAL, "[\"", 2}, {'p', "", 0}, {LITERAL, "\",\"", 3}, {'q', "", 0}, {LITERAL, "\"]", 2}};
    int i = 0;
    for (; i < 5; i++)
        if (op[i].code != pair[i].code || (pair[i].length && op[i].length != pair[i].length) ||
            memcmp(op[i].text, pair[i].text, (size_t)pair[i].length) != 0)
            return 0;
    return op[i].code == ']';
}

static int read_pair(Reader *r, Span *price, Span *size)
{
    if (r->at[0] != '[' || r->at[1] != '"')
        return 0;
    r->at += 2;
    read_text(r, price);
    if (r->at[0] != '"' || r->at[1] != ',' || r->at[2] != '"')
        return 0;
    r->at += 3;
    read_text(r, size);
    if (r->at[0] != '"' || r->at[1] != ']')
        return 0;
    r->at += 2;
    return 1;
}

static int read_levels(Reader *r, const Op *op, Levels sides[2], int64_t *time)
{
    if (r->at >= r->end || *r->at++ != '[')
        return 0;
    if (r->at < r->end && *r->at == ']') {
        r->at++;
        return 1;
    }
    int pairs = is_pair(op);
    for (;;) {
        Span price = {NULL, 0}, size = {NULL, 0};
        int side = 0;
        if (!(pairs ? read_pair(r, &price, &size) : read_element(r, op, &price, &size, time, &side)))
            return 0;
        if (add_level(&sides[side], price, size) < 0)
            return -1;
        if (r->at >= r->end)
            return 0;
        char next = *r->at++;
        if (next == ']')
            return 1;
        if (next != ',')
            return 0;
    }
}

/* ``op`` is the '[' and moves on to its ']'. One tuple of levels, or two where they tell their side; then the latest time. */
static int take_levels(Reader *r, const Op **op)
{
    Levels sides[2];
    for (int i = 0; i < 2; i++) {
        sides[i].items = sides[i].few;
        sides[i].n = 0;
        sides[i].room = FEW;
    }
    int64_t time = -1;
    const Op *first = *op + 1;
    int fits = read_levels(r, first, sides, &time), sided = 0, timed = 0;
    for (*op = first; (*op)->code != ']'; (*op)++) {
        sided |= (*op)->code == 'k';
        timed |= (*op)->code == 't';
    }
    for (int i = 0; fits == 1 && i <= sided; i++)
        fits = take(r, as_tuple(&sides[i]));
    if (fits == 1 && timed)
        fits = take(r, time < 0 ? Py_NewRef(Py_None) : PyLong_FromLongLong(time));
    drop(&sides[0]);
    drop(&sides[1]);
    return fits;
}

/* ---- The whole frame. ---- */

static inline Span until(Reader *r, char stop)
{
    const char *from = r->at, *at = from;
    while (is_plain(*at) && *at != stop)
        at++;
    r->at = at;
    return (Span){from, at - from};
}

static int read_one(Reader *r, const Op **op)
{
    int64_t number;
    Span span;
    int minus = 0; /* or: is true, or an offer */
    switch ((*op)->code) {
    case LITERAL:
        return is_literal(r, *op);
    case '#':
        return read_whole(r, &number);
    case '*':
    case 's':
        span = until(r, (*op)[1].text[0]);
        if ((*op)->code == '*')
            return 1;
        return span.length <= NAME_MOST ? take(r, known_text(span)) : 0;
    case '.':
        r->at = r->end;
        return 1;
    case 'b':
        minus = r->end - r->at >= 4 && memcmp(r->at, "true", 4) == 0;
        if (!minus && (r->end - r->at < 5 || memcmp(r->at, "false", 5) != 0))
            return 0;
        r->at += minus ? 4 : 5;
        return take(r, PyBool_FromLong(minus));
    case 'n':
        return read_number(r, &span) ? take(r, text_of(span)) : 0;
    case 'D':
        return read_number(r, &span) ? take(r, known_number(span)) : 0;
    case 'i':
        minus = r->at < r->end && *r->at == '-';
        r->at += minus;
        /* fall through */
    case 'd':
        return read_whole(r, &number) ? take(r, PyLong_FromLongLong(minus ? -number : number)) : 0;
    case 'm':
        return read_whole(r, &number) && number <= MILLIS_MOST ? take(r, PyLong_FromLongLong(number)) : 0;
    case 'M':
        return read_whole(r, &number) && number <= MILLIS_MOST ? take(r, PyLong_FromLongLong(number * 1000000)) : 0;
    case 'k':
        return read_side(r, &minus) ? take(r, PyBool_FromLong(minus == 0)) : 0;
    case 'z':
        return read_iso(r, &number) ? take(r, PyLong_FromLongLong(number)) : 0;
    default:
        return take_levels(r, op);
    }
}

int read_values(PyObject *template, PyObject *frame, PyObject *values[VALUES_MOST], int *n)
{
    Reader r = {PyBytes_AS_STRING(frame), PyBytes_AS_STRING(frame) + PyBytes_GET_SIZE(frame), values, 0};
    int fits = 1;
    for (const Op *op = ((Template *)template)->ops; fits == 1 && op->code != 0; op++)
        fits = read_one(&r, &op);
    *n = r.n;
    if (fits == 1 && r.at == r.end)
        return 1;
    while (*n > 0)
        Py_DECREF(values[--*n]);
    return fits < 0 ? -1 : 0;
}

PyDoc_STRVAR(read_doc, "read(frame) -> tuple | None\n\nThe values of a frame; None where it is of another form.");

static PyObject *template_read(PyObject *self, PyObject *frame)
{
    PyObject *values[VALUES_MOST];
    int n;
    if (!PyBytes_CheckExact(frame))
        return PyErr_Format(PyExc_TypeError, "read: a frame is bytes");
    int fits = read_values(self, frame, values, &n);
    if (fits != 1)
        return fits < 0 ? NULL : Py_NewRef(Py_None);
    PyObject *found = PyTuple_New(n);
    for (int i = 0; i < n; i++)
        if (found != NULL)
            PyTuple_SET_ITEM(found, i, values[i]);
        else
            Py_DECREF(values[i]);
    return found;
}

static Op literal(const char *text, Py_ssize_t length)
{
    Op op = {.code = LITERAL, .text = text, .length = length};
    memcpy(&op.last, text + (length & ~(Py_ssize_t)7), (size_t)(length & 7));
    memset(&op.mask, 0xff, (size_t)(length & 7));
    return op;
}

/* Directives stand after a '%'; one of levels between %[ and %]. Each but these is followed by some text. */
static int compile(Template *self, const char *at, const char *end)
{
    int n = 0, values = 0, inside = 0;
    while (at < end) {
        if (n + 2 >= OPS_MOST || values + 3 >= VALUES_MOST)
            return 0;
        Op *op = &self->ops[n++];
        if (*at == '%') {
            if (end - at < 2 || strchr(inside ? "pqPQtk*~]" : "bdikmMszDn*#.[", at[1]) == NULL)
                return 0;
            *op = (Op){.code = at[1], .text = at, .length = 2};
            inside = at[1] == '[' || (inside && at[1] != ']');
            values += 3 * (at[1] == '[') + !inside;
            if (strchr("*s", at[1]) != NULL && !inside && (end - at < 3 || at[2] == '%'))
                return 0;
            at += 2;
            continue;
        }
        const char *next = memchr(at, '%', (size_t)(end - at));
        *op = literal(at, (next == NULL ? end : next) - at);
        at += op->length;
    }
    self->ops[n].code = 0;
    return !inside;
}

static PyObject *template_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *pattern;
    if (!PyArg_ParseTuple(args, "S", &pattern))
        return NULL;
    Template *self = (Template *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->pattern = Py_NewRef(pattern);
    const char *at = PyBytes_AS_STRING(pattern);
    if (!compile(self, at, at + PyBytes_GET_SIZE(pattern))) {
        PyErr_Format(PyExc_ValueError, "not a pattern: %R", pattern);
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

static void template_dealloc(Template *self)
{
    Py_XDECREF(self->pattern);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyMethodDef methods[] = {
    {"read", (PyCFunction)template_read, METH_O, read_doc},
    {NULL},
};

static PyTypeObject template_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "topics._native.Template",
    .tp_basicsize = sizeof(Template),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = template_new,
    .tp_dealloc = (destructor)template_dealloc,
    .tp_methods = methods,
};

PyObject *new_template(PyObject *pattern) { return PyObject_CallOneArg((PyObject *)&template_type, pattern); }

int add_template(PyObject *module)
{
    for (int c = ' '; c < 127; c++)
        plain[c] = c != '"' && c != '\\';
    PyObject *numbers = PyImport_ImportModule("decimal");
    if (numbers == NULL)
        return -1;
    decimal = PyObject_GetAttrString(numbers, "Decimal");
    Py_DECREF(numbers);
    return decimal == NULL ? -1 : PyModule_AddType(module, &template_type);
}
