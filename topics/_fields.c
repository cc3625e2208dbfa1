/* The fields of a msgspec struct, found once for its type. */

#include "_native.h"
#include <string.h>
#include <structmember.h>

static Py_ssize_t offset_of(PyTypeObject *type, const char *name)
{
    PyObject *key = PyUnicode_InternFromString(name);
    PyObject *found = key == NULL ? NULL : PyObject_GetAttr((PyObject *)type, key);
    Py_ssize_t offset = 0;
    if (found == NULL)
        PyErr_Clear();
    else if (Py_IS_TYPE(found, &PyMemberDescr_Type) && PyType_IsSubtype(type, PyDescr_TYPE(found))) {
        const PyMemberDef *member = ((PyMemberDescrObject *)found)->d_member;
        offset = member->type == T_OBJECT_EX ? member->offset : 0;
    }
    Py_XDECREF(key);
    Py_XDECREF(found);
    return offset;
}

static int find_fields(Fields *of, PyTypeObject *type)
{
    Py_ssize_t at[FIELDS_MOST] = {0};
    for (int i = 0; i < FIELDS_MOST && of->names[i] != NULL; i++)
        if ((at[i] = offset_of(type, of->names[i])) == 0)
            return 0;
    Py_INCREF(type);
    Py_XSETREF(of->type, type);
    memcpy(of->at, at, sizeof at);
    return 1;
}

int has_fields(Fields *of, PyObject *object)
{
    if (Py_TYPE(object) != of->type && !find_fields(of, Py_TYPE(object)))
        return 0;
    for (int i = 0; i < FIELDS_MOST && of->names[i] != NULL; i++)
        if (*field(of, object, i) == NULL)
            return 0;
    return 1;
}

int is_whole(PyObject *number, int64_t *value)
{
    int over = 1;
    *value = PyLong_CheckExact(number) ? PyLong_AsLongLongAndOverflow(number, &over) : 0;
    return !over && *value < INT64_MAX;
}
