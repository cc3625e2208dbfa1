#define PY_SSIZE_T_CLEAN
#include <Python.h>

enum { FIELDS_MOST = 6 };

typedef struct {
    const char *names[FIELDS_MOST];
    PyTypeObject *type; /* whose places these are */
    Py_ssize_t at[FIELDS_MOST];
} Fields;

static inline PyObject **field(const Fields *of, PyObject *object, int i)
{
    return (PyObject **)((char *)object + of->at[i]);
}

/* _fields.c: whether it has them all, and all are set. */
int has_fields(Fields *of, PyObject *object);

/* Whether it is an int, and it and one more are 64 bits. */
int is_whole(PyObject *number, int64_t *value);

typedef struct {
    PyObject *levels, *order; /* borrowed */
} Side;

/* _levels.c: 1 where all were set, 0 where one is not plainly a level and nothing was changed, -1 with an exception. */
int set_levels(Side bid, PyObject *bids, Side ask, PyObject *asks, Py_ssize_t depth, int *crossed);

/* _template.c: 1 where the frame is of this form, with its ``n`` values (new references), 0 where not, -1 with an exception. */
enum { VALUES_MOST = 24 };
PyObject *new_template(PyObject *pattern);
int read_values(PyObject *template, PyObject *frame, PyObject *values[VALUES_MOST], int *n);

/* Each adds what it has. */
int add_book(PyObject *module);     /* _book.c */
int add_deltas(PyObject *module);   /* _deltas.c */
int add_template(PyObject *module); /* _template.c */
