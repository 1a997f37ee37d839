/* Opens, reads and closes whole files, with a clock read after each call: the loop of ioprof.store.plain_reads.

   At 4 KiB per file the interpreter's own work between the calls takes as long as the calls. Here nothing of the
   interpreter runs between them: paths and memory for the contents are ready before, its lock is given up once for
   many files, and it is asked for signals between files whenever RESPONSIVE_NS have passed, or a call was interrupted.

   Whatever does not go as it should (a file that is missing, shorter than it should be, unreadable) is handed back
   with what was done so far, its descriptor included: what becomes of it is decided in one place, in Python. */

#define PY_SSIZE_T_CLEAN
#define _GNU_SOURCE
#include <Python.h>

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define INTERFACE 6 /* see ioprof.store.compiled */
#define MOST_FILES 256 /* prepared at once; a file that fails makes the preparation of those behind it futile */
#define RESPONSIVE_NS 20000000
#define STAMPS 4
#define STAMPS_BYTES (STAMPS * sizeof(double))
#define CACHESTAT 451 /* the same on every architecture */

/* A file that is about to be read. */
typedef struct {
    PyObject *path_owner;
    PyObject *content;
    const char *path;
    char *into;
    size_t size;
} File;

/* What was done of one file, or of the last one of several. */
typedef struct {
    double start_s, opened_s;
    Py_ssize_t got;
    int descriptor;
    int error;       /* errno of the call that failed; 0: none did */
    int is_raised;   /* a signal's handler raised an exception */
    int is_close;    /* the call that failed was close */
} Attempt;

/* What a chunk is read with. */
typedef struct {
    File files[MOST_FILES];
    double stamps[MOST_FILES][STAMPS];
    double asked_s[MOST_FILES];
    int64_t pages[MOST_FILES];
    int64_t took_ns; /* of all whole files so far, other chunks' included */
    int count;
    int done;
    int asked;
    int is_timed;
    int is_asking;
    PyThreadState *lock;
} Chunk;

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Seconds as time.perf_counter makes them: the same rounding, so that stamps of both readers compare. */
static double in_s(int64_t stamp_ns)
{
    return (double)stamp_ns / 1e9;
}

/* Take the lock, let handlers of signals run, and give the lock up again; -1: one of them raised. */
static int signals_handled(Chunk *chunk)
{
    PyEval_RestoreThread(chunk->lock);
    int found = PyErr_CheckSignals();
    chunk->lock = PyEval_SaveThread();
    return found;
}

static int64_t cached_pages(int descriptor)
{
    uint64_t range[2] = {0, 0}, counts[5] = {0};
    return syscall(CACHESTAT, descriptor, range, counts, 0) == 0 ? (int64_t)counts[0] : -1;
}

/* Open, until no signal interrupts it. */
static int opened(Chunk *chunk, const char *path, Attempt *attempt)
{
    for (;;) {
        attempt->descriptor = open(path, O_RDONLY | O_CLOEXEC);
        if (attempt->descriptor >= 0)
            return 0;
        attempt->error = errno;
        if (errno != EINTR)
            return -1;
        if (signals_handled(chunk) < 0) {
            attempt->is_raised = 1;
            return -1;
        }
        attempt->error = 0;
    }
}

/* Read once, until no signal interrupts it. */
static int was_read(Chunk *chunk, const File *file, Attempt *attempt)
{
    for (;;) {
        attempt->got = read(attempt->descriptor, file->into, file->size);
        if (attempt->got >= 0)
            return (size_t)attempt->got == file->size ? 0 : -1;
        attempt->error = errno;
        if (errno != EINTR)
            return -1;
        if (signals_handled(chunk) < 0) {
            attempt->is_raised = 1;
            return -1;
        }
        attempt->error = 0;
    }
}

/* Ask what the page cache holds of a file that was opened at `at`; return how long that took. */
static int64_t asked_ns(Chunk *chunk, int descriptor, int64_t at)
{
    int64_t took_ns;

    chunk->pages[chunk->asked] = cached_pages(descriptor);
    took_ns = now_ns() - at;
    chunk->asked_s[chunk->asked++] = in_s(took_ns);
    return took_ns;
}

/* Read the files of a chunk until one of them makes trouble. */
static void read_chunk(Chunk *chunk, Attempt *attempt)
{
    const int is_timed = chunk->is_timed;
    int64_t start = is_timed ? now_ns() : 0, handled = start;

    for (; chunk->done < chunk->count; chunk->done++) {
        const File *file = &chunk->files[chunk->done];
        double *stamps = chunk->stamps[chunk->done];
        int64_t at = start;

        memset(attempt, 0, sizeof *attempt);
        attempt->descriptor = -1;
        attempt->start_s = in_s(start);
        if (opened(chunk, file->path, attempt) < 0)
            return;
        if (is_timed)
            at = now_ns();
        if (chunk->is_asking) {
            /* No part of the operation: the file's opening begins so much later. */
            int64_t took_ns = asked_ns(chunk, attempt->descriptor, at);
            start += took_ns;
            at += took_ns;
            attempt->start_s = in_s(start);
        }
        attempt->opened_s = in_s(at);
        if (was_read(chunk, file, attempt) < 0)
            return;
        at = is_timed ? now_ns() : 0;
        if (close(attempt->descriptor) < 0) {
            attempt->error = errno;
            attempt->is_close = 1;
            return;
        }
        if (!is_timed)
            continue;
        stamps[0] = attempt->start_s;
        stamps[1] = attempt->opened_s;
        stamps[2] = in_s(at);
        at = now_ns();
        stamps[3] = in_s(at);
        chunk->took_ns += at - start;
        start = at;
        if (start - handled > RESPONSIVE_NS) {
            if (signals_handled(chunk) < 0) {
                attempt->is_raised = 1;
                attempt->descriptor = -1;
                chunk->done++;
                return;
            }
            start = handled = now_ns();
        }
    }
}

/* Return a new reference to what keeps `*path` alive; the text itself where it is ASCII, which needs no copy. */
static PyObject *encoded(PyObject *text, const char **path)
{
    PyObject *owner = NULL;
    Py_ssize_t length;

    if (PyUnicode_Check(text)) {
        *path = PyUnicode_AsUTF8AndSize(text, &length);
        if (*path == NULL)
            PyErr_Clear(); /* bytes that are no text: the converter knows them */
        else if (length == PyUnicode_GetLength(text) && strlen(*path) == (size_t)length) {
            Py_INCREF(text);
            return text;
        }
    }
    if (!PyUnicode_FSConverter(text, &owner))
        return NULL;
    *path = PyBytes_AsString(owner);
    return owner;
}

/* Get a file ready: its path as the kernel wants it, and memory for its content. */
static int prepared(File *file, PyObject *path, PyObject *size_bytes)
{
    Py_ssize_t size = PyNumber_AsSsize_t(size_bytes, PyExc_OverflowError);

    if (size == -1 && PyErr_Occurred())
        return -1;
    if (size < 0) {
        PyErr_Format(PyExc_ValueError, "a size of %zd bytes", size);
        return -1;
    }
    file->size = (size_t)size;
    file->path_owner = encoded(path, &file->path);
    if (file->path_owner == NULL)
        return -1;
    file->content = PyBytes_FromStringAndSize(NULL, size);
    if (file->content == NULL) {
        Py_DECREF(file->path_owner);
        return -1;
    }
    file->into = PyBytes_AsString(file->content);
    return 0;
}

static PyObject *item(PyObject *fast, Py_ssize_t place)
{
    return PyList_Check(fast) ? PyList_GetItem(fast, place) : PyTuple_GetItem(fast, place);
}

static Py_ssize_t length(PyObject *fast)
{
    return PyList_Check(fast) ? PyList_Size(fast) : PyTuple_Size(fast);
}

static int appended(PyObject *list, PyObject *number)
{
    int failed = number == NULL || PyList_Append(list, number) < 0;
    Py_XDECREF(number);
    return failed ? -1 : 0;
}

/* Add what was asked to the lists of cached pages and of seconds. */
static int told_pages(const Chunk *chunk, PyObject *found, PyObject *took)
{
    for (int at = 0; at < chunk->asked; at++)
        if (appended(found, PyLong_FromLongLong(chunk->pages[at])) < 0
            || appended(took, PyFloat_FromDouble(chunk->asked_s[at])) < 0)
            return -1;
    return 0;
}

/* Return start, descriptor, stamp of opening, first part of the content, and error, of the file that made trouble. */
static PyObject *stopped(const Attempt *attempt, const File *file)
{
    PyObject *content, *error = Py_None, *told;

    Py_INCREF(error);
    if (attempt->error) {
        Py_DECREF(error);
        error = PyObject_CallFunction(PyExc_OSError, "is", attempt->error, strerror(attempt->error));
    }
    content = PyBytes_FromStringAndSize(file->into, attempt->got > 0 ? attempt->got : 0);
    if (error == NULL || content == NULL) {
        Py_XDECREF(error);
        Py_XDECREF(content);
        return NULL;
    }
    told = Py_BuildValue("(didNN)", attempt->start_s, attempt->descriptor, attempt->opened_s, content, error);
    return told;
}

/* What `read_files` was given. */
typedef struct {
    PyObject *paths, *sizes, *contents, *found, *took;
    Py_buffer stamps;
    Py_ssize_t at;
} Asked;

/* Read up to MOST_FILES files from `place` on. Returns NULL with an exception, None, or what `stopped` does. */
static PyObject *chunk_read(Asked *asked, Chunk *chunk, Py_ssize_t place)
{
    Attempt attempt;
    PyObject *told = NULL;
    Py_ssize_t left = length(asked->paths) - place;

    chunk->count = chunk->done = chunk->asked = 0;
    while (chunk->count < MOST_FILES && chunk->count < left) {
        Py_ssize_t next = place + chunk->count;
        if (prepared(&chunk->files[chunk->count], item(asked->paths, next), item(asked->sizes, next)) < 0)
            break;
        chunk->count++;
    }
    if (PyErr_Occurred())
        goto release;

    attempt.is_raised = attempt.error = 0;
    chunk->lock = PyEval_SaveThread();
    read_chunk(chunk, &attempt);
    PyEval_RestoreThread(chunk->lock);

    if (chunk->done && chunk->is_timed) {
        memcpy((char *)asked->stamps.buf + asked->at, chunk->stamps, (size_t)chunk->done * STAMPS_BYTES);
        asked->at += (Py_ssize_t)((size_t)chunk->done * STAMPS_BYTES);
    }
    /* From here on an exception may be pending, a handler's: the contents are told all the same. */
    PyObject *kind, *value, *trace;
    PyErr_Fetch(&kind, &value, &trace);
    int failed = chunk->is_asking && told_pages(chunk, asked->found, asked->took) < 0;
    for (int done = 0; !failed && done < chunk->done; done++)
        failed = PyList_Append(asked->contents, chunk->files[done].content) < 0;
    if (kind != NULL)
        PyErr_Restore(kind, value, trace);
    if (failed || attempt.is_raised || PyErr_Occurred()) {
        if (chunk->done < chunk->count && attempt.descriptor >= 0 && !attempt.is_close)
            close(attempt.descriptor);
    } else if (chunk->done == chunk->count) {
        told = Py_None;
        Py_INCREF(told);
    } else if (attempt.is_close) {
        errno = attempt.error;
        PyErr_SetFromErrno(PyExc_OSError);
    } else {
        told = stopped(&attempt, &chunk->files[chunk->done]);
        if (told == NULL && attempt.descriptor >= 0)
            close(attempt.descriptor);
    }

release:
    for (int at = 0; at < chunk->count; at++) {
        Py_DECREF(chunk->files[at].path_owner);
        Py_DECREF(chunk->files[at].content);
    }
    return told;
}

/* Read all files from `place` on, chunk by chunk; returns a new reference to (seconds, None or `stopped`). */
static PyObject *all_read(Asked *asked, Py_ssize_t place)
{
    Chunk *chunk = PyMem_Malloc(sizeof *chunk);
    PyObject *told = Py_None;
    double took_s;

    if (chunk == NULL)
        return PyErr_NoMemory();
    chunk->took_ns = 0;
    chunk->is_timed = asked->stamps.obj != NULL;
    chunk->is_asking = chunk->is_timed && asked->found != Py_None;
    Py_INCREF(told);
    while (told == Py_None && place < length(asked->paths)) {
        Py_DECREF(told);
        told = PyErr_CheckSignals() < 0 ? NULL : chunk_read(asked, chunk, place);
        place += chunk->done;
    }
    took_s = in_s(chunk->took_ns);
    PyMem_Free(chunk);
    return told == NULL ? NULL : Py_BuildValue("(dN)", took_s, told);
}

/* Tell whether there is room for the stamps of all files. */
static int fits(const Asked *asked, Py_ssize_t place)
{
    Py_ssize_t room = (asked->stamps.len - asked->at) / (Py_ssize_t)STAMPS_BYTES;
    return asked->at >= 0 && asked->at <= asked->stamps.len && room >= length(asked->paths) - place;
}

PyDoc_STRVAR(read_files_doc,
"read_files(paths, sizes_bytes, place, contents, stamps, at, found, took, /)\n--\n\n"
"Open, read and close whole files; see `ioprof.store.plain_reads.read_files`, which does the same.");

static PyObject *read_files(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    Asked asked = {0};
    PyObject *paths, *sizes, *stamps, *told = NULL;
    Py_ssize_t place;

    if (!PyArg_ParseTuple(arguments, "OOnO!OnOO:read_files", &paths, &sizes, &place, &PyList_Type, &asked.contents,
                          &stamps, &asked.at, &asked.found, &asked.took))
        return NULL;
    if (asked.found != Py_None && !(PyList_Check(asked.found) && PyList_Check(asked.took))) {
        PyErr_SetString(PyExc_TypeError, "found and took must be lists, or None");
        return NULL;
    }
    asked.paths = PySequence_Fast(paths, "paths must be a sequence");
    asked.sizes = asked.paths ? PySequence_Fast(sizes, "sizes_bytes must be a sequence") : NULL;
    if (asked.sizes == NULL)
        goto release;
    if (length(asked.paths) != length(asked.sizes) || place < 0 || place > length(asked.paths)) {
        PyErr_Format(PyExc_ValueError, "%zd paths and %zd sizes from place %zd on", length(asked.paths),
                     length(asked.sizes), place);
        goto release;
    }
    if (stamps != Py_None && PyObject_GetBuffer(stamps, &asked.stamps, PyBUF_WRITABLE) < 0)
        goto release;
    if (stamps != Py_None && !fits(&asked, place))
        PyErr_SetString(PyExc_ValueError, "no room for the stamps of so many files");
    else
        told = all_read(&asked, place);
    if (stamps != Py_None)
        PyBuffer_Release(&asked.stamps);

release:
    Py_XDECREF(asked.paths);
    Py_XDECREF(asked.sizes);
    return told;
}

static PyMethodDef methods[] = {
    {"read_files", read_files, METH_VARARGS, read_files_doc},
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
    .m_name = "ioprof.store._reads",
    .m_doc = "Opens, reads and closes whole files, with a clock read after each call.",
    .m_size = 0,
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__reads(void)
{
    return PyModuleDef_Init(&module);
}
