/* Python's own file calls, timed: what stands in for functions of os, for open, and for methods of io.FileIO.

   Each stand-in calls the original with what it was given, and hands on what came of it. Everything here runs under
   the interpreter's lock; a thread gives it up inside the original only. `ioprof.capture.python_taps` does the same in
   Python. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define INTERFACE 1 /* see ioprof.capture.taps */

/* Kinds, as ioprof.trace.kinds numbers them, and what ioprof.trace.place_word keeps above them. */
enum { LIST = 1, STAT = 2, OPEN = 3, READ = 4, CLOSE = 5 };
enum { NOTE_SHIFT = 8, UNNAMED_ERROR = 1002 };
#define PLAIN_OPEN (OPEN + (INT64_C(1) << NOTE_SHIFT))
#define DIRECT_OPEN (OPEN + (INT64_C(2) << NOTE_SHIFT))

enum { ROW_WORDS = 6, ROWS = 2048, PAGE_MASK = 4095 };

/* Words of the totals, as ioprof.capture.totals names them. */
enum { TAPPED, TOUCHED, EXCLUDED, OPERATIONS, TOTALS };

/* What a descriptor is: not known, a file whose reads count, anything else. */
enum { UNKNOWN, COUNTED, OTHER };
enum { DESCRIPTORS = 1 << 16, KERNEL_DEVICES = 16 };

static unsigned char descriptor_is[DESCRIPTORS];
static dev_t kernel_devices[KERNEL_DEVICES];
static int kernel_devices_known;

static int64_t *totals;        /* where bytes are added up; NULL: nothing is counted */
static Py_buffer totals_buffer;
static PyObject *on_full;      /* called when the rows are full; NULL: no rows are kept */
static int64_t rows[ROWS][ROW_WORDS];
static int rows_used;
static __thread int own_calls; /* inside ioprof's own work */
static __thread int opening;   /* inside open(), whose opener is no second opening */

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Keep one operation; no exception is set. */
static void keep(int64_t kind, int64_t start_ns, int64_t end_ns, int64_t size_bytes, int error)
{
    int64_t row[ROW_WORDS] = {kind, start_ns, end_ns, size_bytes, -1, error};

    totals[OPERATIONS]++;
    if (on_full == NULL)
        return;
    if (rows_used == ROWS) {
        PyObject *callback = on_full, *done;
        Py_INCREF(callback);
        own_calls++;
        done = PyObject_CallObject(callback, NULL);
        own_calls--;
        if (done == NULL)
            PyErr_WriteUnraisable(callback);
        Py_XDECREF(done);
        Py_DECREF(callback);
        if (on_full == NULL)
            return;
        if (rows_used == ROWS) /* nobody took them: the oldest go */
            rows_used = 0;
    }
    memcpy(rows[rows_used++], row, sizeof row);
}

/* What came of a call: its exception is set aside while the call is counted. */
typedef struct {
    PyObject *type, *value, *traceback;
    int error; /* 0: it succeeded; -1: it failed, but not by the operating system's word */
} Outcome;

static Outcome set_aside(PyObject *result)
{
    Outcome outcome = {NULL, NULL, NULL, 0};
    PyObject *number;

    if (result != NULL)
        return outcome;
    outcome.error = PyErr_ExceptionMatches(PyExc_OSError) ? UNNAMED_ERROR : -1;
    PyErr_Fetch(&outcome.type, &outcome.value, &outcome.traceback);
    PyErr_NormalizeException(&outcome.type, &outcome.value, &outcome.traceback);
    if (outcome.error > 0 && (number = PyObject_GetAttrString(outcome.value, "errno")) != NULL) {
        if (PyLong_Check(number) && PyLong_AsLong(number) > 0)
            outcome.error = (int)PyLong_AsLong(number);
        Py_DECREF(number);
    }
    PyErr_Clear();
    return outcome;
}

/* Set the exception again, and hand on the result. */
static PyObject *put_back(const Outcome *outcome, PyObject *result)
{
    if (result == NULL)
        PyErr_Restore(outcome->type, outcome->value, outcome->traceback);
    return result;
}

/* Whether a text begins or ends so. */
static int has_tail(PyObject *text, const char *part, int at_end)
{
    PyObject *wanted = PyUnicode_FromString(part);
    Py_ssize_t found = wanted == NULL ? -1 : PyUnicode_Tailmatch(text, wanted, 0, PY_SSIZE_T_MAX, at_end ? 1 : -1);

    Py_XDECREF(wanted);
    if (found < 0)
        PyErr_Clear();
    return found > 0;
}

/* Whether a path leads to files that the kernel makes up. */
static int is_kernels(PyObject *path)
{
    PyObject *text = NULL;
    int found = 0;

    if (path == NULL || PyLong_Check(path))
        return 0;
    if (PyUnicode_Check(path)) {
        text = path;
        Py_INCREF(text);
    } else {
        text = PyOS_FSPath(path);
        if (text == NULL)
            PyErr_Clear();
    }
    if (text != NULL && PyUnicode_Check(text) && PyUnicode_GetLength(text) > 4 && PyUnicode_ReadChar(text, 0) == '/') {
        Py_UCS4 second = PyUnicode_ReadChar(text, 1);
        if (second == 'p' || second == 's' || second == 'd')
            found = has_tail(text, "/proc/", 0) || has_tail(text, "/sys/", 0) || has_tail(text, "/dev/", 0);
        if (found && second == 'd')
            found = !has_tail(text, "/dev/shm/", 0);
    }
    Py_XDECREF(text);
    return found;
}

/* Whether a file holds a program: the interpreter reads its modules so, and nobody has opened them through us. */
static int is_program(PyObject *file)
{
    PyObject *name = PyObject_GetAttrString(file, "name");
    int found = 0;

    if (name == NULL)
        PyErr_Clear();
    else if (PyUnicode_Check(name))
        found = has_tail(name, ".py", 1) || has_tail(name, ".pyc", 1);
    Py_XDECREF(name);
    return found;
}

/* The descriptor of a file; -1 where it is closed. */
static int descriptor_of(PyObject *file)
{
    int fd = PyObject_AsFileDescriptor(file);

    if (fd < 0)
        PyErr_Clear();
    return fd;
}

static void set_descriptor(int fd, int is)
{
    if (fd >= 0 && fd < DESCRIPTORS)
        descriptor_is[fd] = (unsigned char)is;
}

/* What a descriptor is; asked of the kernel once. */
static int ask_descriptor(int fd, PyObject *file)
{
    struct stat facts;
    int is = OTHER;

    if (fd >= 0 && fd < DESCRIPTORS && descriptor_is[fd] != UNKNOWN)
        return descriptor_is[fd];
    if (fd >= 0 && fstat(fd, &facts) == 0 && (S_ISREG(facts.st_mode) || S_ISBLK(facts.st_mode))) {
        is = COUNTED;
        for (int place = 0; place < kernel_devices_known; place++)
            if (kernel_devices[place] == facts.st_dev)
                is = OTHER;
        if (is == COUNTED && file != NULL && is_program(file))
            is = OTHER;
    }
    set_descriptor(fd, is);
    return is;
}

/* Count a read that came back with bytes, with their number, or with an error. */
static void count_read(int fd, PyObject *file, int64_t offset, int64_t start_ns, int64_t end_ns, PyObject *result,
                       int error)
{
    int64_t size_bytes = 0;

    if (error < 0)
        return;
    if (result != NULL && PyBytes_Check(result))
        size_bytes = PyBytes_Size(result);
    else if (result != NULL && PyLong_Check(result))
        size_bytes = PyLong_AsLongLong(result);
    if (own_calls || ask_descriptor(fd, file) != COUNTED) {
        totals[EXCLUDED] += size_bytes;
        return;
    }
    totals[TAPPED] += size_bytes;
    totals[TOUCHED] += (size_bytes + PAGE_MASK) & ~(int64_t)PAGE_MASK;
    keep(READ + (offset < 0 ? 0 : (offset + 1) << NOTE_SHIFT), start_ns, end_ns, size_bytes, error);
}

/* An argument by its place or its name, borrowed; NULL where it was not given. */
static PyObject *argument(PyObject *arguments, PyObject *named, Py_ssize_t place, const char *name)
{
    if (place < PyTuple_Size(arguments))
        return PyTuple_GetItem(arguments, place);
    return named == NULL || name == NULL ? NULL : PyDict_GetItemString(named, name);
}

/* An integer argument; -1 where there is none. */
static int64_t number(PyObject *given)
{
    int64_t value;

    if (given == NULL || !PyLong_Check(given))
        return -1;
    value = PyLong_AsLongLong(given);
    if (value == -1)
        PyErr_Clear();
    return value;
}

/* The stand-ins. They share a shape: the original alone where nothing is counted, else between two looks at the clock. */

enum {
    OS_OPEN, OS_READ, OS_PREAD, OS_PREADV, OS_READV, OS_CLOSE, OS_STAT, OS_LSTAT, OS_FSTAT, OS_LISTDIR,
    OS_SENDFILE, OS_COPY_FILE_RANGE, OS_SPLICE, IO_OPEN,
    FILE_READ, FILE_READALL, FILE_READINTO, FILE_CLOSE, STAND_INS
};

static PyObject *originals[STAND_INS];

static PyObject *read_of(int which, int fd_at, const char *fd_name, int offset_at, PyObject *arguments, PyObject *named)
{
    PyObject *result;
    Outcome outcome;
    int64_t start_ns, end_ns;

    if (totals == NULL)
        return PyObject_Call(originals[which], arguments, named);
    start_ns = now_ns();
    result = PyObject_Call(originals[which], arguments, named);
    end_ns = now_ns();
    outcome = set_aside(result);
    if (totals != NULL)
        count_read((int)number(argument(arguments, named, fd_at, fd_name)), NULL,
                   offset_at < 0 ? -1 : number(argument(arguments, named, offset_at, NULL)), start_ns, end_ns, result,
                   outcome.error);
    return put_back(&outcome, result);
}

#define READS(name, which, fd_at, fd_name, offset_at) \
    static PyObject *name(PyObject *Py_UNUSED(self), PyObject *arguments, PyObject *named) \
    { \
        return read_of(which, fd_at, fd_name, offset_at, arguments, named); \
    }

READS(os_read, OS_READ, 0, NULL, -1)
READS(os_pread, OS_PREAD, 0, NULL, 2)
READS(os_preadv, OS_PREADV, 0, NULL, 2)
READS(os_readv, OS_READV, 0, NULL, -1)
READS(os_sendfile, OS_SENDFILE, 1, "in_fd", -1)
READS(os_copy_file_range, OS_COPY_FILE_RANGE, 0, "src", -1)
READS(os_splice, OS_SPLICE, 0, "src", -1)

/* A call by name that brings no bytes. */
static PyObject *name_of(int which, int kind, PyObject *arguments, PyObject *named)
{
    PyObject *result;
    Outcome outcome;
    int64_t start_ns, end_ns;

    if (totals == NULL || own_calls)
        return PyObject_Call(originals[which], arguments, named);
    start_ns = now_ns();
    result = PyObject_Call(originals[which], arguments, named);
    end_ns = now_ns();
    outcome = set_aside(result);
    if (totals != NULL && outcome.error >= 0 && !is_kernels(argument(arguments, named, 0, "path")))
        keep(kind, start_ns, end_ns, 0, outcome.error);
    return put_back(&outcome, result);
}

#define NAMES(name, which, kind) \
    static PyObject *name(PyObject *Py_UNUSED(self), PyObject *arguments, PyObject *named) \
    { \
        return name_of(which, kind, arguments, named); \
    }

NAMES(os_stat, OS_STAT, STAT)
NAMES(os_lstat, OS_LSTAT, STAT)
NAMES(os_fstat, OS_FSTAT, STAT)
NAMES(os_listdir, OS_LISTDIR, LIST)

/* Count an opening; `fd` is -1 where it failed, `writes` says that nothing can be read through it. */
static void count_open(PyObject *path, int fd, int writes, int64_t kind, int64_t start_ns, int64_t end_ns, int error)
{
    int kernels;

    if (own_calls || writes) {
        set_descriptor(fd, OTHER);
        return;
    }
    kernels = is_kernels(path);
    set_descriptor(fd, kernels ? UNKNOWN : COUNTED);
    if (!kernels)
        keep(kind, start_ns, end_ns, 0, error);
}

static PyObject *os_open(PyObject *Py_UNUSED(self), PyObject *arguments, PyObject *named)
{
    PyObject *result;
    Outcome outcome;
    int64_t start_ns, end_ns, flags;

    if (totals == NULL || opening)
        return PyObject_Call(originals[OS_OPEN], arguments, named);
    start_ns = now_ns();
    result = PyObject_Call(originals[OS_OPEN], arguments, named);
    end_ns = now_ns();
    outcome = set_aside(result);
    flags = number(argument(arguments, named, 1, "flags"));
    if (totals != NULL && outcome.error >= 0)
        count_open(argument(arguments, named, 0, "path"), (int)number(result), (flags & O_ACCMODE) == O_WRONLY,
                   flags & O_DIRECT ? DIRECT_OPEN : PLAIN_OPEN, start_ns, end_ns, outcome.error);
    return put_back(&outcome, result);
}

/* Whether a file that is opened so is written and not read. */
static int only_writes(PyObject *mode)
{
    if (mode == NULL || !PyUnicode_Check(mode))
        return 0;
    for (Py_ssize_t place = 0, length = PyUnicode_GetLength(mode); place < length; place++)
        switch (PyUnicode_ReadChar(mode, place)) {
        case 'w': case 'a': case 'x':
            return PyUnicode_FindChar(mode, '+', 0, length, 1) < 0;
        }
    return 0;
}

static PyObject *io_open(PyObject *Py_UNUSED(self), PyObject *arguments, PyObject *named)
{
    PyObject *result, *file;
    Outcome outcome;
    int64_t start_ns, end_ns;

    if (totals == NULL)
        return PyObject_Call(originals[IO_OPEN], arguments, named);
    start_ns = now_ns();
    opening++;
    result = PyObject_Call(originals[IO_OPEN], arguments, named);
    opening--;
    end_ns = now_ns();
    outcome = set_aside(result);
    file = argument(arguments, named, 0, "file");
    /* A descriptor that is open already is not opened. */
    if (totals != NULL && outcome.error >= 0 && file != NULL && !PyLong_Check(file))
        count_open(file, result == NULL ? -1 : descriptor_of(result), only_writes(argument(arguments, named, 1, "mode")),
                   PLAIN_OPEN, start_ns, end_ns, outcome.error);
    return put_back(&outcome, result);
}

/* Forget a descriptor before it is closed: once it is, another thread may have been given its number. */
static int forget_descriptor(int fd)
{
    int was = fd >= 0 && fd < DESCRIPTORS ? descriptor_is[fd] : UNKNOWN;

    set_descriptor(fd, UNKNOWN);
    return was;
}

/* Count a closing of what counts; `was` says what the descriptor has been. Hands on the result. */
static PyObject *count_close(int was, int64_t start_ns, PyObject *result)
{
    int64_t end_ns = now_ns();
    Outcome outcome = set_aside(result);

    if (totals != NULL && was == COUNTED && !own_calls && outcome.error >= 0)
        keep(CLOSE, start_ns, end_ns, 0, outcome.error);
    return put_back(&outcome, result);
}

static PyObject *os_close(PyObject *Py_UNUSED(self), PyObject *arguments, PyObject *named)
{
    int64_t start_ns;
    int was;

    if (totals == NULL)
        return PyObject_Call(originals[OS_CLOSE], arguments, named);
    was = forget_descriptor((int)number(argument(arguments, named, 0, "fd")));
    start_ns = now_ns();
    return count_close(was, start_ns, PyObject_Call(originals[OS_CLOSE], arguments, named));
}

/* Count what a method of a file has read, and hand it on; None is what a file that would block gives. */
static PyObject *count_method(PyObject *self, int64_t start_ns, PyObject *result)
{
    int64_t end_ns = now_ns();
    Outcome outcome = set_aside(result);

    if (totals != NULL && result != Py_None)
        count_read(descriptor_of(self), self, -1, start_ns, end_ns, result, outcome.error);
    return put_back(&outcome, result);
}

static PyObject *file_read(PyObject *self, PyObject *arguments)
{
    PyObject *size = PyTuple_Size(arguments) > 0 ? PyTuple_GetItem(arguments, 0) : NULL;
    int64_t start_ns;

    if (PyTuple_Size(arguments) > 1) {
        PyErr_Format(PyExc_TypeError, "read expected at most 1 argument, got %zd", PyTuple_Size(arguments));
        return NULL;
    }
    start_ns = now_ns();
    return count_method(self, start_ns, PyObject_CallFunctionObjArgs(originals[FILE_READ], self, size, NULL));
}

static PyObject *file_readall(PyObject *self, PyObject *Py_UNUSED(none))
{
    int64_t start_ns = now_ns();

    return count_method(self, start_ns, PyObject_CallFunctionObjArgs(originals[FILE_READALL], self, NULL));
}

static PyObject *file_readinto(PyObject *self, PyObject *buffer)
{
    int64_t start_ns = now_ns();

    return count_method(self, start_ns, PyObject_CallFunctionObjArgs(originals[FILE_READINTO], self, buffer, NULL));
}

static PyObject *file_close(PyObject *self, PyObject *Py_UNUSED(none))
{
    PyObject *closes;
    int64_t start_ns;
    int fd, was = UNKNOWN;

    if (totals == NULL)
        return PyObject_CallFunctionObjArgs(originals[FILE_CLOSE], self, NULL);
    fd = descriptor_of(self);
    if (fd >= 0) {
        closes = PyObject_GetAttrString(self, "closefd");
        if (closes == NULL)
            PyErr_Clear();
        else if (closes == Py_True)
            was = forget_descriptor(fd);
        Py_XDECREF(closes);
    }
    start_ns = now_ns();
    return count_close(was, start_ns, PyObject_CallFunctionObjArgs(originals[FILE_CLOSE], self, NULL));
}

#define BY_NAME(function) (PyCFunction)(void (*)(void)) function, METH_VARARGS | METH_KEYWORDS

static PyMethodDef stand_ins[STAND_INS] = {
    [OS_OPEN] = {"open", BY_NAME(os_open), NULL},
    [OS_READ] = {"read", BY_NAME(os_read), NULL},
    [OS_PREAD] = {"pread", BY_NAME(os_pread), NULL},
    [OS_PREADV] = {"preadv", BY_NAME(os_preadv), NULL},
    [OS_READV] = {"readv", BY_NAME(os_readv), NULL},
    [OS_CLOSE] = {"close", BY_NAME(os_close), NULL},
    [OS_STAT] = {"stat", BY_NAME(os_stat), NULL},
    [OS_LSTAT] = {"lstat", BY_NAME(os_lstat), NULL},
    [OS_FSTAT] = {"fstat", BY_NAME(os_fstat), NULL},
    [OS_LISTDIR] = {"listdir", BY_NAME(os_listdir), NULL},
    [OS_SENDFILE] = {"sendfile", BY_NAME(os_sendfile), NULL},
    [OS_COPY_FILE_RANGE] = {"copy_file_range", BY_NAME(os_copy_file_range), NULL},
    [OS_SPLICE] = {"splice", BY_NAME(os_splice), NULL},
    [IO_OPEN] = {"open", BY_NAME(io_open), NULL},
    [FILE_READ] = {"read", file_read, METH_VARARGS, NULL},
    [FILE_READALL] = {"readall", file_readall, METH_NOARGS, NULL},
    [FILE_READINTO] = {"readinto", file_readinto, METH_O, NULL},
    [FILE_CLOSE] = {"close", file_close, METH_NOARGS, NULL},
};

static const char *const names[STAND_INS] = {
    "os.open", "os.read", "os.pread", "os.preadv", "os.readv", "os.close", "os.stat", "os.lstat", "os.fstat",
    "os.listdir", "os.sendfile", "os.copy_file_range", "os.splice", "io.open",
    "FileIO.read", "FileIO.readall", "FileIO.readinto", "FileIO.close",
};

PyDoc_STRVAR(stand_in_doc,
"stand_in(name, original, owner, doc, /)\n--\n\n"
"Return what stands in for a call of Python; see `ioprof.capture.taps.Taps`.");

static PyObject *stand_in(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    const char *name, *doc;
    PyObject *original, *owner, *module_name, *made;
    int which = 0;

    if (!PyArg_ParseTuple(arguments, "sOOs:stand_in", &name, &original, &owner, &doc))
        return NULL;
    while (which < STAND_INS && strcmp(names[which], name) != 0)
        which++;
    if (which == STAND_INS) {
        PyErr_Format(PyExc_ValueError, "%s: nothing stands in for it", name);
        return NULL;
    }
    Py_INCREF(original);
    Py_XDECREF(originals[which]);
    originals[which] = original;
    if (stand_ins[which].ml_doc == NULL)
        stand_ins[which].ml_doc = strdup(doc); /* as long as the process: as long as what has it */
    if (PyType_Check(owner))
        return PyDescr_NewMethod((PyTypeObject *)owner, &stand_ins[which]);
    module_name = PyObject_GetAttrString(owner, "__name__");
    if (module_name == NULL)
        return NULL;
    made = PyCFunction_NewEx(&stand_ins[which], owner, module_name);
    Py_DECREF(module_name);
    return made;
}

PyDoc_STRVAR(bind_doc,
"bind(totals, on_full, /)\n--\n\n"
"Say where bytes are added up and who takes the operations; see `ioprof.capture.taps.Taps`.");

static PyObject *bind(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *given, *callback;
    Py_buffer buffer;

    if (!PyArg_ParseTuple(arguments, "OO:bind", &given, &callback))
        return NULL;
    if (given != Py_None) {
        if (PyObject_GetBuffer(given, &buffer, PyBUF_WRITABLE) < 0)
            return NULL;
        if (buffer.len < TOTALS * (Py_ssize_t)sizeof(int64_t)) {
            PyBuffer_Release(&buffer);
            PyErr_SetString(PyExc_ValueError, "no room for the totals");
            return NULL;
        }
    }
    if (totals != NULL)
        PyBuffer_Release(&totals_buffer);
    totals = NULL;
    rows_used = 0;
    if (given != Py_None) {
        totals_buffer = buffer;
        totals = buffer.buf;
    }
    Py_XDECREF(on_full);
    on_full = callback == Py_None ? NULL : callback;
    Py_XINCREF(on_full);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(take_doc, "take()\n--\n\nReturn the operations kept since the last time, and forget them.");

static PyObject *take(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    PyObject *taken = PyBytes_FromStringAndSize((const char *)rows, (Py_ssize_t)rows_used * (Py_ssize_t)sizeof rows[0]);

    if (taken != NULL)
        rows_used = 0;
    return taken;
}

PyDoc_STRVAR(note_doc,
"note(kind, start_ns, end_ns, size_bytes, error, counts, /)\n--\n\n"
"Keep an operation that was timed elsewhere; see `ioprof.capture.taps.Taps`.");

static PyObject *note(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    long long kind, start_ns, end_ns, size_bytes;
    int error, counts;

    if (!PyArg_ParseTuple(arguments, "LLLLip:note", &kind, &start_ns, &end_ns, &size_bytes, &error, &counts))
        return NULL;
    if (totals != NULL && own_calls) {
        totals[EXCLUDED] += counts ? size_bytes : 0;
    } else if (totals != NULL) {
        if (counts) {
            totals[TAPPED] += size_bytes;
            totals[TOUCHED] += (size_bytes + PAGE_MASK) & ~(int64_t)PAGE_MASK;
        }
        keep(kind, start_ns, end_ns, size_bytes, error);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(enter_own_doc, "enter_own()\n--\n\nWhat this thread does from now on is ioprof's own.");

static PyObject *enter_own(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    own_calls++;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(leave_own_doc, "leave_own()\n--\n\nEnd what `enter_own` began.");

static PyObject *leave_own(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    own_calls--;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(set_kernel_devices_doc,
"set_kernel_devices(devices, /)\n--\n\nSay on which devices files lie that the kernel makes up.");

static PyObject *set_kernel_devices(PyObject *Py_UNUSED(module), PyObject *given)
{
    PyObject *list = PySequence_List(given);
    int known = 0;

    if (list == NULL)
        return NULL;
    for (Py_ssize_t place = 0; place < PyList_Size(list) && known < KERNEL_DEVICES; place++) {
        unsigned long long device = PyLong_AsUnsignedLongLong(PyList_GetItem(list, place));
        if (PyErr_Occurred()) {
            Py_DECREF(list);
            return NULL;
        }
        kernel_devices[known++] = (dev_t)device;
    }
    kernel_devices_known = known;
    Py_DECREF(list);
    memset(descriptor_is, UNKNOWN, sizeof descriptor_is);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"bind", bind, METH_VARARGS, bind_doc},
    {"enter_own", enter_own, METH_NOARGS, enter_own_doc},
    {"leave_own", leave_own, METH_NOARGS, leave_own_doc},
    {"note", note, METH_VARARGS, note_doc},
    {"set_kernel_devices", set_kernel_devices, METH_O, set_kernel_devices_doc},
    {"stand_in", stand_in, METH_VARARGS, stand_in_doc},
    {"take", take, METH_NOARGS, take_doc},
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
    .m_name = "ioprof.capture._taps",
    .m_doc = "Times Python's own file calls.",
    .m_size = 0,
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__taps(void)
{
    return PyModuleDef_Init(&module);
}
