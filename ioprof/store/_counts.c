/* What is done with the operations of a batch once they are recorded, where numbers are many and Python is slow. Each
   function has a twin in Python that does the same. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <math.h>
#include <stdint.h>
#include <string.h>

#define INTERFACE 1 /* see ioprof.store.compiled */

/* Write integers as 64-bit words from an offset on; -1 with an exception where they do not fit, or are none. */
static int words_put(const Py_buffer *buffer, Py_ssize_t at, PyObject *numbers)
{
    PyObject *list = PySequence_List(numbers);
    int failed = -1;

    if (list == NULL)
        return -1;
    if (at < 0 || at > buffer->len || PyList_Size(list) > (buffer->len - at) / (Py_ssize_t)sizeof(int64_t)) {
        PyErr_SetString(PyExc_ValueError, "no room for so many words");
        goto release;
    }
    for (Py_ssize_t place = 0; place < PyList_Size(list); place++) {
        int64_t word = PyLong_AsLongLong(PyList_GetItem(list, place));
        if (word == -1 && PyErr_Occurred())
            goto release;
        memcpy((char *)buffer->buf + at + place * (Py_ssize_t)sizeof word, &word, sizeof word);
    }
    failed = 0;

release:
    Py_DECREF(list);
    return failed;
}

PyDoc_STRVAR(put_words_doc,
"put_words(mapping, at, numbers, then_at, others, /)\n--\n\n"
"Write integers as 64-bit words to two places; see `ioprof.trace.words`.");

static PyObject *put_words(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *mapping, *numbers, *others;
    Py_ssize_t at, then_at;
    Py_buffer buffer;
    int failed;

    if (!PyArg_ParseTuple(arguments, "OnOnO:put_words", &mapping, &at, &numbers, &then_at, &others))
        return NULL;
    if (PyObject_GetBuffer(mapping, &buffer, PyBUF_WRITABLE) < 0)
        return NULL;
    failed = words_put(&buffer, at, numbers) < 0 || words_put(&buffer, then_at, others) < 0;
    PyBuffer_Release(&buffer);
    if (failed)
        return NULL;
    Py_INCREF(Py_None);
    return Py_None;
}

#define SOME_MISSING 1
#define ALL_CACHED 2
#define HIT_SHIFT 60

/* What `count_pages` adds up. */
typedef struct {
    int64_t counted, pages, cached, hit_bytes, unanswered;
} PageSums;

/* Count one object of which so many pages were cached, and return the word that is recorded as its size. */
static int64_t counted(PageSums *sums, int64_t size_bytes, int64_t cached, int64_t page_bytes)
{
    int64_t pages = (size_bytes + page_bytes - 1) / page_bytes, hit = ALL_CACHED;

    if (cached < 0) {
        sums->unanswered++;
        return size_bytes;
    }
    sums->counted++;
    sums->pages += pages;
    if (cached >= pages) {
        sums->cached += pages;
        sums->hit_bytes += size_bytes;
    } else {
        hit = SOME_MISSING;
        sums->cached += cached;
        sums->hit_bytes += (int64_t)((__int128)size_bytes * cached / pages);
    }
    return size_bytes | (hit << HIT_SHIFT);
}

PyDoc_STRVAR(count_pages_doc,
"count_pages(sizes_bytes, found, page_bytes, /)\n--\n\n"
"Count the cached pages of whole objects; see `ioprof.store.page_counts`.");

static PyObject *count_pages(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *given[2], *sizes = NULL, *found = NULL, *words = NULL, *told = NULL;
    PageSums sums = {0};
    long long page_bytes;

    if (!PyArg_ParseTuple(arguments, "OOL:count_pages", &given[0], &given[1], &page_bytes))
        return NULL;
    sizes = PySequence_List(given[0]);
    found = sizes ? PySequence_List(given[1]) : NULL;
    if (found == NULL)
        goto release;
    if (PyList_Size(sizes) != PyList_Size(found) || page_bytes <= 0) {
        PyErr_Format(PyExc_ValueError, "%zd sizes and %zd answers", PyList_Size(sizes), PyList_Size(found));
        goto release;
    }
    words = PyList_New(PyList_Size(sizes));
    for (Py_ssize_t place = 0; words != NULL && place < PyList_Size(sizes); place++) {
        int64_t size_bytes = PyLong_AsLongLong(PyList_GetItem(sizes, place)), cached = PyLong_AsLongLong(PyList_GetItem(found, place));
        PyObject *word = PyErr_Occurred() ? NULL : PyLong_FromLongLong(counted(&sums, size_bytes, cached, page_bytes));
        if (word == NULL || PyList_SetItem(words, place, word) < 0)
            Py_CLEAR(words);
    }
    if (words != NULL)
        told = Py_BuildValue("(NLLLLL)", words, (long long)sums.counted, (long long)sums.pages, (long long)sums.cached,
                             (long long)sums.hit_bytes, (long long)sums.unanswered);

release:
    Py_XDECREF(sizes);
    Py_XDECREF(found);
    return told;
}

#define STAMPS 4
#define STAMPS_BYTES (STAMPS * sizeof(double))
#define PARTS (STAMPS - 1)
#define MANTISSA_BITS 52
#define EXPONENT_BIAS 1023

/* Return the bucket of a duration: exponent and highest bits of the mantissa, as ioprof.trace.histogram has it. */
static int64_t bucket_of(double duration_ns, int sub_bits, int64_t buckets)
{
    int64_t bits, bucket;

    if (duration_ns < 1.0)
        duration_ns = 1.0;
    memcpy(&bits, &duration_ns, sizeof bits);
    bucket = (bits >> (MANTISSA_BITS - sub_bits)) - ((int64_t)EXPONENT_BIAS << sub_bits);
    return bucket < buckets ? bucket : buckets - 1;
}

PyDoc_STRVAR(count_durations_doc,
"count_durations(stamps, counted, sub_bits, /)\n--\n\n"
"Count how long open, read and close took; see `ioprof.trace.durations`.");

static PyObject *count_durations(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *given[2], *told = NULL;
    Py_buffer stamps, counted;
    long long total[PARTS] = {0}, shortest[PARTS], longest[PARTS];
    int sub_bits;

    if (!PyArg_ParseTuple(arguments, "OOi:count_durations", &given[0], &given[1], &sub_bits))
        return NULL;
    if (PyObject_GetBuffer(given[0], &stamps, PyBUF_SIMPLE) < 0)
        return NULL;
    if (PyObject_GetBuffer(given[1], &counted, PyBUF_WRITABLE) < 0) {
        PyBuffer_Release(&stamps);
        return NULL;
    }
    const double *at = stamps.buf;
    int64_t *counts = counted.buf, buckets = counted.len / (Py_ssize_t)sizeof(int64_t) / PARTS;
    Py_ssize_t reads = stamps.len / (Py_ssize_t)STAMPS_BYTES;
    if (reads == 0 || buckets == 0 || sub_bits < 0 || sub_bits > MANTISSA_BITS) {
        PyErr_SetString(PyExc_ValueError, "no stamps, no buckets, or no such bits");
        goto release;
    }
    for (Py_ssize_t read = 0; read < reads; read++, at += STAMPS)
        for (int part = 0; part < PARTS; part++) {
            double duration_ns = rint((at[part + 1] - at[part]) * 1e9);
            long long whole_ns = (long long)duration_ns;
            total[part] += whole_ns;
            if (read == 0 || whole_ns < shortest[part])
                shortest[part] = whole_ns;
            if (read == 0 || whole_ns > longest[part])
                longest[part] = whole_ns;
            counts[part * buckets + bucket_of(duration_ns, sub_bits, buckets)]++;
        }
    told = Py_BuildValue("((LLL)(LLL)(LLL))", total[0], total[1], total[2], shortest[0], shortest[1], shortest[2],
                         longest[0], longest[1], longest[2]);

release:
    PyBuffer_Release(&counted);
    PyBuffer_Release(&stamps);
    return told;
}

static PyMethodDef methods[] = {
    {"count_durations", count_durations, METH_VARARGS, count_durations_doc},
    {"count_pages", count_pages, METH_VARARGS, count_pages_doc},
    {"put_words", put_words, METH_VARARGS, put_words_doc},
    {NULL, NULL, 0, NULL},
};

static int started(PyObject *module)
{
    return PyModule_AddIntConstant(module, "INTERFACE", INTERFACE);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, started},
    {0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "ioprof.store._counts",
    .m_doc = "Counts and writes the numbers of many operations.",
    .m_size = 0,
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__counts(void)
{
    return PyModuleDef_Init(&module);
}
