#define PY_SSIZE_T_CLEAN
#include <Python.h>

typedef struct {
    PyObject *levels, *order; /* borrowed */
} Side;

/* _levels.c: 1 where all were set, 0 where one is not plainly a level and nothing was changed, -1 with an exception. */
int set_levels(Side bid, PyObject *bids, Side ask, PyObject *asks, Py_ssize_t depth, int *crossed);

/* Each adds what it has. */
int add_book(PyObject *module);     /* _book.c */
int add_template(PyObject *module); /* _template.c */
