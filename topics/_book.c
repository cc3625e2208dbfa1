/* A book and what its synchronizer knows of it, changed by a delta. Both are msgspec structs: their fields are read and set
   where they lie. The Python twins: topics/book.py, pipelines/synchronizer.py. */

#include "_native.h"

enum { BID_LEVELS, BID_ORDER, ASK_LEVELS, ASK_ORDER, DEPTH, SEQUENCE };
enum { BIDS, ASKS, LAST, FIRST, TIME };
enum { BOOK, BRIDGED, TS_EVENT, MOVED_AT, UPDATES };

static Fields of_book = {{"bid_levels", "bid_order", "ask_levels", "ask_order", "depth", "sequence"}, NULL, {0}};
static Fields of_levels = {{"bids", "asks", "sequence"}, NULL, {0}}; /* of a delta or a snapshot */
static Fields of_delta = {{"bids", "asks", "sequence", "first_sequence", "ts_event"}, NULL, {0}};
static Fields of_state = {{"book", "bridged", "ts_event", "moved_at", "updates"}, NULL, {0}};

static inline void set_field(const Fields *of, PyObject *object, int i, PyObject *value)
{
    Py_XSETREF(*field(of, object, i), value);
}

/* ``of`` are the fields of the change. As set_levels. */
static int change(PyObject *book, const Fields *of, PyObject *delta, int *crossed)
{
    int64_t depth;
    if (!is_whole(*field(&of_book, book, DEPTH), &depth) || depth < 0)
        return 0;
    Side bid = {*field(&of_book, book, BID_LEVELS), *field(&of_book, book, BID_ORDER)};
    Side ask = {*field(&of_book, book, ASK_LEVELS), *field(&of_book, book, ASK_ORDER)};
    int done = set_levels(bid, *field(of, delta, BIDS), ask, *field(of, delta, ASKS), depth, crossed);
    if (done == 1)
        set_field(&of_book, book, SEQUENCE, Py_NewRef(*field(of, delta, LAST)));
    return done;
}

static PyObject *told(int done, int crossed)
{
    if (done < 0)
        return NULL;
    return Py_NewRef(!done ? Py_None : crossed ? Py_True : Py_False);
}

PyDoc_STRVAR(apply_doc,
             "apply(book, delta) -> bool | None\n\n"
             "Set every level, and tell whether the sides cross now. None, and nothing is changed, where one is not\n"
             "plainly a level.");

static PyObject *apply(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (count != 2)
        return PyErr_Format(PyExc_TypeError, "apply: a book and a change");
    int crossed = 0, done = 0;
    if (has_fields(&of_book, args[0]) && has_fields(&of_levels, args[1]))
        done = change(args[0], &of_levels, args[1], &crossed);
    return told(done, crossed);
}

static int continues(PyObject *delta, PyObject *book)
{
    int64_t first, last, known;
    if (!is_whole(*field(&of_delta, delta, FIRST), &first) || !is_whole(*field(&of_delta, delta, LAST), &last))
        return 0;
    return last == 0 || (is_whole(*field(&of_book, book, SEQUENCE), &known) && first == known + 1);
}

PyDoc_STRVAR(follow_doc,
             "follow(state, delta, now) -> bool | None\n\n"
             "Where the delta is the next of a live book: apply it, count it, and tell whether the sides cross now. None,\n"
             "and nothing is changed, where that is to be judged.");

static PyObject *follow(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (count != 3)
        return PyErr_Format(PyExc_TypeError, "follow: a state, a delta and a time");
    PyObject *state = args[0], *delta = args[1];
    if (!has_fields(&of_state, state) || !has_fields(&of_delta, delta))
        Py_RETURN_NONE;
    PyObject *book = *field(&of_state, state, BOOK);
    int64_t updates;
    if (book == Py_None || !has_fields(&of_book, book) || !continues(delta, book) ||
        !is_whole(*field(&of_state, state, UPDATES), &updates))
        Py_RETURN_NONE;
    PyObject *counted = PyLong_FromLongLong(updates + 1);
    if (counted == NULL)
        return NULL;
    Py_INCREF(book);
    int crossed = 0, done = change(book, &of_delta, delta, &crossed);
    Py_DECREF(book);
    if (done == 1) {
        set_field(&of_state, state, BRIDGED, Py_NewRef(Py_True));
        set_field(&of_state, state, TS_EVENT, Py_NewRef(*field(&of_delta, delta, TIME)));
        set_field(&of_state, state, MOVED_AT, Py_NewRef(args[2]));
        set_field(&of_state, state, UPDATES, Py_NewRef(counted));
    }
    Py_DECREF(counted);
    return told(done, crossed);
}

static PyMethodDef functions[] = {
    {"apply", (PyCFunction)(void (*)(void))apply, METH_FASTCALL, apply_doc},
    {"follow", (PyCFunction)(void (*)(void))follow, METH_FASTCALL, follow_doc},
    {NULL},
};

int add_book(PyObject *module) { return PyModule_AddFunctions(module, functions); }
