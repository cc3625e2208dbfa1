/* What every frame of a market goes through, compiled: reading it (_template.c, _deltas.c), its book (_book.c, _levels.c), and
   here the text that a venue computes a checksum over.

   Each function does what its Python twin does, or nothing at all: it knows the plain case, says False or None where
   something else comes, and then the twin decides, errors included. Nothing is changed before everything was read.
   The twins: topics/book.py, pipelines/synchronizer.py, the parsers of the venues, their checksum.py. */

#include "_native.h"
#include <string.h>

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
    if (module != NULL && (add_book(module) < 0 || add_template(module) < 0 || add_deltas(module) < 0))
        Py_CLEAR(module);
    return module;
}
