/* Walks over the members of a tar archive that are what nearly all of them are: plain files with names that fit their
   headers. Whatever is not stops the walk, and Python goes on from there: see `ioprof.formats.ustar`. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <string.h>

#define INTERFACE 1 /* see ioprof.formats.ustar */
#define BLOCK 512

enum { NAME = 0, NAME_BYTES = 100, SIZE = 124, SIZE_BYTES = 12, SUM = 148, SUM_BYTES = 8, KIND = 156, PREFIX = 345 };

/* Where in a view something lies. */
struct range {
    Py_ssize_t start, stop;
};

/* Return an octal number among blanks and zeros; -1 where there is something else. */
static int64_t octal(const unsigned char *field, int bytes)
{
    int64_t number = 0;
    int at = 0;

    while (at < bytes && (field[at] == ' ' || field[at] == 0))
        at++;
    for (; at < bytes && field[at] >= '0' && field[at] <= '7'; at++)
        number = number * 8 + field[at] - '0';
    for (; at < bytes; at++)
        if (field[at] != ' ' && field[at] != 0)
            return -1;
    return number;
}

/* Return whether a header's checksum is right: the sum of its bytes, with blanks in the checksum's own place. */
static int is_whole(const unsigned char *header)
{
    uint32_t sum = SUM_BYTES * ' ';

    for (int at = 0; at < BLOCK; at++)
        sum += header[at];
    for (int at = SUM; at < SUM + SUM_BYTES; at++)
        sum -= header[at];
    return octal(header + SUM, SUM_BYTES) == (int64_t)sum;
}

static int is_plain(const unsigned char *header)
{
    unsigned char kind = header[KIND];
    return (kind == '0' || kind == 0 || kind == '7') && header[PREFIX] == 0 && !(header[SIZE] & 0x80);
}

static int is_safe(const char *name, Py_ssize_t bytes)
{
    if (bytes && name[0] == '/')
        return 0;
    for (Py_ssize_t at = 1; at < bytes; at++)
        if (name[at] == '.' && name[at - 1] == '.')
            return 0;
    return 1;
}

/* Return how much of a name the members of one sample share: up to the first dot of its last part. */
static Py_ssize_t key_bytes(const char *name, Py_ssize_t bytes)
{
    Py_ssize_t at = bytes;

    while (at > 0 && name[at - 1] != '/')
        at--;
    while (at < bytes && name[at] != '.')
        at++;
    return at;
}

static int append_slice(PyObject *list, PyObject *view, struct range range)
{
    PyObject *start = PyLong_FromSsize_t(range.start), *stop = PyLong_FromSsize_t(range.stop);
    PyObject *slice = start != NULL && stop != NULL ? PySlice_New(start, stop, NULL) : NULL;
    PyObject *part = slice != NULL ? PyObject_GetItem(view, slice) : NULL;
    int failed = part == NULL || PyList_Append(list, part) < 0;

    Py_XDECREF(start);
    Py_XDECREF(stop);
    Py_XDECREF(slice);
    Py_XDECREF(part);
    return failed ? -1 : 0;
}

PyDoc_STRVAR(plain_samples_doc,
"plain_samples(view, at, last_key, label, /)\n--\n\n"
"Return the samples of the plain members that lie whole in a view; see `ioprof.formats.ustar`.");

static PyObject *plain_samples(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *view, *result = NULL, *samples = NULL;
    const char *last_key, *label, *key;
    Py_ssize_t at, last_key_bytes, label_bytes, key_length;
    Py_buffer buffer;

    if (!PyArg_ParseTuple(arguments, "Onz#y#:plain_samples", &view, &at, &last_key, &last_key_bytes, &label,
                          &label_bytes))
        return NULL;
    if (PyObject_GetBuffer(view, &buffer, PyBUF_SIMPLE) < 0)
        return NULL;
    key = last_key;
    key_length = last_key_bytes;
    if (at < 0 || (samples = PyList_New(0)) == NULL)
        goto release;
    while (at <= buffer.len - BLOCK) {
        const unsigned char *header = (const unsigned char *)buffer.buf + at;
        const char *name = (const char *)header + NAME, *end = memchr(name, 0, NAME_BYTES);
        Py_ssize_t name_bytes = end != NULL ? end - name : NAME_BYTES, own_key = key_bytes(name, name_bytes);
        int64_t size = octal(header + SIZE, SIZE_BYTES);
        Py_ssize_t whole;

        if (!is_plain(header) || size < 0 || size > buffer.len || !is_whole(header) || !is_safe(name, name_bytes))
            break;
        whole = BLOCK + (((Py_ssize_t)size + BLOCK - 1) & ~(Py_ssize_t)(BLOCK - 1));
        if (whole > buffer.len - at)
            break;
        if (!(name_bytes - own_key - 1 == label_bytes && memcmp(name + own_key + 1, label, label_bytes) == 0)
            && !(key != NULL && own_key == key_length && memcmp(name, key, own_key) == 0)) {
            if (size == 0)
                break;
            if (append_slice(samples, view, (struct range){at + BLOCK, at + BLOCK + (Py_ssize_t)size}) < 0)
                goto release;
            key = name;
            key_length = own_key;
        }
        at += whole;
    }
    result = Py_BuildValue("Ony#", samples, at, key, key_length);

release:
    Py_XDECREF(samples);
    PyBuffer_Release(&buffer);
    if (result == NULL && !PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "the walk begins before the view");
    return result;
}

static PyMethodDef methods[] = {
    {"plain_samples", plain_samples, METH_VARARGS, plain_samples_doc},
    {NULL, NULL, 0, NULL},
};

static int set_up(PyObject *module)
{
    return PyModule_AddIntConstant(module, "INTERFACE", INTERFACE);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, set_up},
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "ioprof.formats._ustar",
    .m_doc = "A walk over tar archives; see ioprof.formats.ustar.",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__ustar(void);

PyMODINIT_FUNC PyInit__ustar(void)
{
    return PyModuleDef_Init(&definition);
}
