#define PY_SSIZE_T_CLEAN
#include <Python.h>

int add_template(PyObject *module); /* _template.c */
