/* A book's levels, set. A side is a list of levels (price, size) and a list of their keys, both upwards to the best; the
   Python twin is in topics/book.py. */

#include "_native.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const double POWERS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

enum { DIGITS = 15, FRACTION_MOST = 22, SIZE_MOST = 40, MANY = 4, FEW = 64 };

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

static int is_side(Side side)
{
    return PyList_CheckExact(side.levels) && PyList_CheckExact(side.order) &&
           PyList_GET_SIZE(side.levels) == PyList_GET_SIZE(side.order);
}

static int is_crossed(PyObject *bids, PyObject *asks)
{
    Py_ssize_t n = PyList_GET_SIZE(bids), m = PyList_GET_SIZE(asks);
    return n && m && KEY(bids, n - 1) >= -KEY(asks, m - 1);
}

int set_levels(Side bid, PyObject *bids, Side ask, PyObject *asks, Py_ssize_t depth, int *crossed)
{
    if (!is_side(bid) || !is_side(ask) || !is_sequence(bids) || !is_sequence(asks))
        return 0;
    Py_ssize_t n = PySequence_Fast_GET_SIZE(bids), m = PySequence_Fast_GET_SIZE(asks);
    Change few[FEW], *changes = n + m > FEW ? PyMem_New(Change, n + m) : few;
    if (changes == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    int plain = plain_changes(bids, n, 1.0, changes) && plain_changes(asks, m, -1.0, changes + n);
    int failed = plain && ((n && set_side(bid.levels, bid.order, changes, n, depth) < 0) ||
                           (m && set_side(ask.levels, ask.order, changes + n, m, depth) < 0));
    if (changes != few)
        PyMem_Free(changes);
    *crossed = plain && !failed && is_crossed(bid.order, ask.order);
    return failed ? -1 : plain;
}
