/* What every frame of a market goes through, compiled: reading it, setting a book's levels, a checksum's text.

   Each function does what its Python twin does, or nothing at all: it knows the plain case, says False or None where
   something else comes, and then the twin decides, errors included. Nothing is changed before everything was read.
   The twins: topics/book.py, the parsers of the venues, their checksum.py. */

#include "_native.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const double POWERS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

enum { DIGITS = 15, FRACTION_MOST = 22, SIZE_MOST = 40, MANY = 4, FEW = 64 };

/* ---- A side of a book: a list of levels (price, size) and a list of their keys, both upwards to the best. ---- */

typedef struct {
    double key;
    PyObject *level; /* borrowed; NULL: remove */
    Py_ssize_t at;
} Change;

/* A whole number below 2**53 divided by an exact power of ten is rounded once, as float() rounds. */
static int plain_price(PyObject *text, double *price)
{
    if (!PyUnicode_CheckExact(text) || !PyUnicode_IS_COMPACT_ASCII(text))
        return 0;
    const unsigned char *at = PyUnicode_1BYTE_DATA(text), *end = at + PyUnicode_GET_LENGTH(text);
    uint64_t number = 0;
    int digits = 0, fraction = 0, point = 0;
    for (; at < end; at++) {
        unsigned digit = (unsigned)*at - '0';
        if (digit <= 9) {
            number = number * 10 + digit;
            fraction += point;
            if (number != 0 && ++digits > DIGITS)
                return 0;
        } else if (*at == '.' && !point)
            point = 1;
        else
            return 0;
    }
    if (number == 0 || fraction > FRACTION_MOST)
        return 0;
    *price = (double)number / POWERS[fraction];
    return 1;
}

/* Whether it is zero; -1 where it is not plainly a size: then it may be too large, too small or no number. */
static int plain_zero(PyObject *text)
{
    if (!PyUnicode_CheckExact(text) || !PyUnicode_IS_COMPACT_ASCII(text))
        return -1;
    const unsigned char *at = PyUnicode_1BYTE_DATA(text), *end = at + PyUnicode_GET_LENGTH(text);
    int digits = 0, whole = 0, point = 0, zero = 1;
    if (end - at > SIZE_MOST)
        return -1;
    for (; at < end; at++) {
        unsigned digit = (unsigned)*at - '0';
        if (digit <= 9) {
            digits++;
            whole += !point;
            if (digit)
                zero = 0;
        } else if (*at == '.' && !point)
            point = 1;
        else
            return -1;
    }
    return digits && whole <= DIGITS ? zero : -1;
}

static int plain_changes(PyObject *levels, Py_ssize_t n, double sign, Change *changes)
{
    PyObject **items = PySequence_Fast_ITEMS(levels);
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *level = items[i];
        if (!PyTuple_CheckExact(level) || PyTuple_GET_SIZE(level) != 2)
            return 0;
        double price;
        int zero = plain_zero(PyTuple_GET_ITEM(level, 1));
        if (zero < 0 || !plain_price(PyTuple_GET_ITEM(level, 0), &price))
            return 0;
        changes[i] = (Change){price * sign, zero ? NULL : level, i};
    }
    return 1;
}

static inline double key_of(PyObject *number)
{
    return PyFloat_CheckExact(number) ? PyFloat_AS_DOUBLE(number) : PyFloat_AsDouble(number);
}

#define KEY(list, i) key_of(PyList_GET_ITEM(list, i))

/* The first place whose key is not below; sought from the best end, where most changes are. */
static Py_ssize_t place_of(PyObject *order, double key)
{
    Py_ssize_t n = PyList_GET_SIZE(order), low = 0, high = n;
    for (Py_ssize_t step = 1; step <= n; step *= 2) {
        if (KEY(order, n - step) < key) {
            low = n - step + 1;
            break;
        }
        high = n - step;
    }
    while (low < high) {
        Py_ssize_t middle = (low + high) / 2;
        if (KEY(order, middle) < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* As list.pop does. */
static void remove_at(PyObject *list, Py_ssize_t at)
{
    PyObject **items = ((PyListObject *)list)->ob_item, *gone = items[at];
    Py_ssize_t n = PyList_GET_SIZE(list);
    memmove(items + at, items + at + 1, (size_t)(n - at - 1) * sizeof *items);
    Py_SET_SIZE(list, n - 1);
    Py_DECREF(gone);
}

static int set_one(PyObject *levels, PyObject *order, const Change *change)
{
    Py_ssize_t at = place_of(order, change->key);
    if (at < PyList_GET_SIZE(order) && KEY(order, at) == change->key) {
        if (change->level != NULL)
            return PyList_SetItem(levels, at, Py_NewRef(change->level));
        remove_at(order, at);
        remove_at(levels, at);
        return 0;
    }
    if (change->level == NULL)
        return 0;
    PyObject *key = PyFloat_FromDouble(change->key);
    if (key == NULL)
        return -1;
    int failed = PyList_Insert(order, at, key);
    Py_DECREF(key);
    return failed ? -1 : PyList_Insert(levels, at, change->level);
}

static int by_key(const void *one, const void *other)
{
    const Change *a = one, *b = other;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return a->at < b->at ? -1 : 1;
}

/* By key, and of one key the last. Venues write from best to worst: then they need but be turned around. */
static Py_ssize_t in_order(Change *changes, Py_ssize_t n)
{
    int up = 1, down = 1;
    for (Py_ssize_t i = 1; i < n && (up || down); i++) {
        up = up && changes[i - 1].key < changes[i].key;
        down = down && changes[i - 1].key > changes[i].key;
    }
    if (up)
        return n;
    if (down) {
        for (Py_ssize_t i = 0, j = n - 1; i < j; i++, j--) {
            Change kept = changes[i];
            changes[i] = changes[j];
            changes[j] = kept;
        }
        return n;
    }
    qsort(changes, (size_t)n, sizeof(Change), by_key);
    Py_ssize_t kept = 0;
    for (Py_ssize_t i = 0; i < n; i++)
        if (i + 1 == n || changes[i + 1].key != changes[i].key)
            changes[kept++] = changes[i];
    return kept;
}

/* Many at once: both lists are written anew. */
static int set_many(PyObject *levels, PyObject *order, Change *changes, Py_ssize_t n)
{
    Py_ssize_t known = PyList_GET_SIZE(order), i = 0, made = 0;
    n = in_order(changes, n);
    PyObject *new_order = PyList_New(known + n), *new_levels = PyList_New(known + n);
    int failed = new_order == NULL || new_levels == NULL;
    for (Py_ssize_t c = 0; !failed && (i < known || c < n);) {
        if (c == n || (i < known && KEY(order, i) < changes[c].key)) {
            PyList_SET_ITEM(new_order, made, Py_NewRef(PyList_GET_ITEM(order, i)));
            PyList_SET_ITEM(new_levels, made, Py_NewRef(PyList_GET_ITEM(levels, i)));
            made++, i++;
            continue;
        }
        i += i < known && KEY(order, i) == changes[c].key;
        if (changes[c].level != NULL) {
            PyObject *key = PyFloat_FromDouble(changes[c].key);
            failed = key == NULL;
            if (!failed) {
                PyList_SET_ITEM(new_order, made, key);
                PyList_SET_ITEM(new_levels, made, Py_NewRef(changes[c].level));
                made++;
            }
        }
        c++;
    }
    if (!failed) {
        Py_SET_SIZE(new_order, made);
        Py_SET_SIZE(new_levels, made);
        failed = PyList_SetSlice(order, 0, known, new_order) < 0 || PyList_SetSlice(levels, 0, known, new_levels) < 0;
    }
    Py_XDECREF(new_order);
    Py_XDECREF(new_levels);
    return failed ? -1 : 0;
}

static int set_side(PyObject *levels, PyObject *order, Change *changes, Py_ssize_t n, Py_ssize_t depth)
{
    if (n * MANY > PyList_GET_SIZE(order)) {
        if (set_many(levels, order, changes, n) < 0)
            return -1;
    } else {
        for (Py_ssize_t i = 0; i < n; i++)
            if (set_one(levels, order, &changes[i]) < 0)
                return -1;
    }
    Py_ssize_t over = PyList_GET_SIZE(order) - depth;
    if (depth == 0 || over <= 0)
        return 0;
    return PyList_SetSlice(order, 0, over, NULL) < 0 || PyList_SetSlice(levels, 0, over, NULL) < 0 ? -1 : 0;
}

static int is_sequence(PyObject *levels) { return PyTuple_CheckExact(levels) || PyList_CheckExact(levels); }

static int is_side(PyObject *levels, PyObject *order)
{
    return PyList_CheckExact(levels) && PyList_CheckExact(order) && PyList_GET_SIZE(levels) == PyList_GET_SIZE(order);
}

PyDoc_STRVAR(change_doc,
             "change(bid_levels, bid_order, bids, ask_levels, ask_order, asks, depth) -> bool | None\n\n"
             "Set every level of both sides, and tell whether they cross now. None, and nothing is changed, where one is\n"
             "not plainly a level.");

static PyObject *change(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (count != 7 || !is_side(args[0], args[1]) || !is_side(args[3], args[4])) {
        PyErr_SetString(PyExc_TypeError, "change: two sides, their changes, and a depth");
        return NULL;
    }
    PyObject *bids = args[2], *asks = args[5];
    Py_ssize_t depth = PyLong_AsSsize_t(args[6]);
    if (depth == -1 && PyErr_Occurred())
        return NULL;
    if (!is_sequence(bids) || !is_sequence(asks) || depth < 0)
        Py_RETURN_NONE;
    Py_ssize_t n = PySequence_Fast_GET_SIZE(bids), m = PySequence_Fast_GET_SIZE(asks);
    Change few[FEW], *changes = n + m > FEW ? PyMem_New(Change, n + m) : few;
    if (changes == NULL)
        return PyErr_NoMemory();
    int plain = plain_changes(bids, n, 1.0, changes) && plain_changes(asks, m, -1.0, changes + n);
    int failed = plain && ((n && set_side(args[0], args[1], changes, n, depth) < 0) ||
                           (m && set_side(args[3], args[4], changes + n, m, depth) < 0));
    if (changes != few)
        PyMem_Free(changes);
    if (failed || !plain)
        return failed ? NULL : Py_NewRef(Py_None);
    n = PyList_GET_SIZE(args[1]), m = PyList_GET_SIZE(args[4]);
    return PyBool_FromLong(n && m && KEY(args[1], n - 1) >= -KEY(args[4], m - 1));
}

/* ---- Checksums: the text that a venue computes its CRC32 over. ---- */

enum { TEXT_MOST = 8192, NUMBER_MOST = 60 };

/* The level's price and size; 0 where they are not texts of a usual length. */
static int texts_of(PyObject *level, const char *text[2], Py_ssize_t length[2])
{
    if (!PyTuple_CheckExact(level) || PyTuple_GET_SIZE(level) != 2)
        return 0;
    for (int i = 0; i < 2; i++) {
        PyObject *part = PyTuple_GET_ITEM(level, i);
        if (!PyUnicode_CheckExact(part) || !PyUnicode_IS_COMPACT_ASCII(part))
            return 0;
        text[i] = (const char *)PyUnicode_1BYTE_DATA(part);
        length[i] = PyUnicode_GET_LENGTH(part);
        if (length[i] > NUMBER_MOST)
            return 0;
    }
    return 1;
}

static char *digits_to(char *out, const char *text, Py_ssize_t n)
{
    Py_ssize_t i = 0;
    while (i < n && (text[i] == '0' || text[i] == '.'))
        i++;
    for (; i < n; i++)
        if (text[i] != '.')
            *out++ = text[i];
    return out;
}

PyDoc_STRVAR(digits_doc, "digits(levels, most) -> bytes | None\n\n"
                         "Of the best levels, prices and sizes without points and without the zeros before them.");

static PyObject *digits(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    Py_ssize_t most = count == 2 && PyList_CheckExact(args[0]) ? PyLong_AsSsize_t(args[1]) : -1;
    if (most < 0 || most * 2 * NUMBER_MOST > TEXT_MOST)
        return PyErr_Format(PyExc_TypeError, "digits: levels, and how many");
    char text[TEXT_MOST], *at = text;
    Py_ssize_t n = PyList_GET_SIZE(args[0]);
    for (Py_ssize_t i = n - 1; i >= 0 && i >= n - most; i--) {
        const char *part[2];
        Py_ssize_t length[2];
        if (!texts_of(PyList_GET_ITEM(args[0], i), part, length))
            Py_RETURN_NONE;
        at = digits_to(at, part[0], length[0]);
        at = digits_to(at, part[1], length[1]);
    }
    return PyBytes_FromStringAndSize(text, at - text);
}

PyDoc_STRVAR(turns_doc, "turns(bid_levels, ask_levels, most) -> bytes | None\n\n"
                        "The best levels of both sides in turn, as price:size:price:size.");

static PyObject *turns(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    int fits = count == 3 && PyList_CheckExact(args[0]) && PyList_CheckExact(args[1]);
    Py_ssize_t most = fits ? PyLong_AsSsize_t(args[2]) : -1;
    if (most < 0 || most * 4 * (NUMBER_MOST + 1) > TEXT_MOST)
        return PyErr_Format(PyExc_TypeError, "turns: levels of bids and asks, and how many");
    char text[TEXT_MOST], *at = text;
    for (Py_ssize_t turn = 1; turn <= most; turn++)
        for (int side = 0; side < 2; side++) {
            const char *part[2];
            Py_ssize_t length[2], n = PyList_GET_SIZE(args[side]);
            if (turn > n)
                continue;
            if (!texts_of(PyList_GET_ITEM(args[side], n - turn), part, length))
                Py_RETURN_NONE;
            for (int i = 0; i < 2; i++) {
                if (at != text)
                    *at++ = ':';
                memcpy(at, part[i], (size_t)length[i]);
                at += length[i];
            }
        }
    return PyBytes_FromStringAndSize(text, at - text);
}

static PyMethodDef functions[] = {
    {"change", (PyCFunction)(void (*)(void))change, METH_FASTCALL, change_doc},
    {"digits", (PyCFunction)(void (*)(void))digits, METH_FASTCALL, digits_doc},
    {"turns", (PyCFunction)(void (*)(void))turns, METH_FASTCALL, turns_doc},
    {NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "topics._native",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__native(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (module != NULL && add_template(module) < 0)
        Py_CLEAR(module);
    return module;
}
