/* What every batch changes, and every object read: the numbers of ioprof.trace.tally, side by side.

   What runs once a batch finds the CPU's caches full of the batch's data. In Python each number is an object of its own,
   somewhere else in memory, and so is the code that changes it: a batch's bookkeeping waited for some hundreds of cache
   lines. Here it is a few. The class does what the one in Python does, to the same bytes of the mapping. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#define INTERFACE 1 /* see ioprof.store.compiled */
#define GOLDEN UINT64_C(0x9E3779B97F4A7C15) /* see ioprof.trace.sampling */
#define SPARSEST (1 << 16)
#define STAMPS 4
#define MARK_WORDS 8
#define WORD ((long long)sizeof(int64_t))
#define LAYOUT_FIELDS 9
#define PACKED_WORDS 21
#define NOT_KNOWN (-1)
#define NO_ROOM (-1)
#define FAILED (-2)

typedef long long Number;

/* Where things are in the mapping, in words; in the order of ioprof.trace.tally.Layout. */
typedef struct {
    Number reads, marks, marks_at, stamps_at, objects_at, sizes_at, totals_at, unasked_at, steady;
} Layout;

typedef struct {
    PyObject_HEAD
    Py_buffer mapping;
    PyObject *singles;
    int64_t *words;
    Layout layout;
    Number worker, page_bytes, timed_one_in;
    Number start, marks_used, reads_used, singles_used, pending, in_room;
    Number asked_reads, asked_bytes, asked_page_bytes;
    Number phase, epoch, batch, start_ns, fetched_ns;
    Number start_bytes, start_failed, start_storage_ns, start_prep_ns;
    Number storage_ns, prep_ns, operations, worker_time_ns, batches;
    Number tapped_bytes, tapped_page_bytes, touched_page_bytes, failed_samples;
    Number begun, is_ordinary, account_every, ordinary_epoch, steady_from, next_io_ns;
    Number ask_every, is_answered;
    double ask_budget, ask_cost_s, made_s;
} Tally;

static Number now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (Number)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Read integers from a tuple; -1 with an exception where they are too few, or none. */
static int numbers_of(PyObject *tuple, Number *into, Py_ssize_t count)
{
    if (PyTuple_Size(tuple) != count) {
        PyErr_Format(PyExc_ValueError, "a layout of %zd numbers instead of %zd", PyTuple_Size(tuple), count);
        return -1;
    }
    for (Py_ssize_t place = 0; place < count; place++)
        into[place] = PyLong_AsLongLong(PyTuple_GetItem(tuple, place));
    return PyErr_Occurred() ? -1 : 0;
}

static PyObject *tally_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(keywords))
{
    PyObject *mapping, *singles, *layout;
    Number worker, page_bytes, timed_one_in;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Tally *self;

    if (!PyArg_ParseTuple(arguments, "OOO!LLL:Tally", &mapping, &singles, &PyTuple_Type, &layout, &worker, &page_bytes,
                          &timed_one_in))
        return NULL;
    self = (Tally *)allocate(type, 0);
    if (self == NULL)
        return NULL;
    Py_INCREF(singles);
    self->singles = singles;
    self->worker = worker;
    self->page_bytes = page_bytes;
    self->timed_one_in = timed_one_in;
    self->account_every = self->ask_every = self->is_answered = 1;
    self->ordinary_epoch = self->batch = self->fetched_ns = -1;
    if (numbers_of(layout, (Number *)&self->layout, LAYOUT_FIELDS) < 0
        || PyObject_GetBuffer(mapping, &self->mapping, PyBUF_WRITABLE) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    self->words = self->mapping.buf;
    return (PyObject *)self;
}

static void tally_dealloc(Tally *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);

    PyBuffer_Release(&self->mapping);
    Py_XDECREF(self->singles);
    release(self);
    Py_DECREF(type);
}

/* Write the numbers of a list as words, and add them up, also in whole pages; -1 with an exception. */
static int words_put(int64_t *into, PyObject *numbers, Number page_bytes, Number *sum, Number *pages)
{
    for (Py_ssize_t place = 0; place < PyList_Size(numbers); place++) {
        Number number = PyLong_AsLongLong(PyList_GetItem(numbers, place));
        if (number == -1 && PyErr_Occurred())
            return -1;
        into[place] = number;
        *sum += number;
        *pages += (number + page_bytes - 1) / page_bytes * page_bytes;
    }
    return 0;
}

/* Return a new reference to the list of a sequence; the sequence itself where it is one. */
static PyObject *listed(PyObject *sequence)
{
    if (!PyList_Check(sequence))
        return PySequence_List(sequence);
    Py_INCREF(sequence);
    return sequence;
}

/* Name reads to come; return the place of their first stamps in bytes, -1 for no room, -2 with an exception. */
static Number named(Tally *self, PyObject *given_objects, PyObject *given_sizes)
{
    const Layout *layout = &self->layout;
    PyObject *objects = NULL, *sizes = NULL;
    Number sum = 0, pages = 0, first = self->reads_used + self->pending, ignored = 0, place = FAILED;
    int64_t *here = self->words + self->start + first;

    objects = listed(given_objects);
    sizes = objects ? listed(given_sizes) : NULL;
    if (sizes == NULL)
        goto release;
    if (PyList_Size(objects) != PyList_Size(sizes)) {
        PyErr_Format(PyExc_ValueError, "%zd objects and %zd sizes", PyList_Size(objects), PyList_Size(sizes));
        goto release;
    }
    if (first + PyList_Size(objects) > layout->reads) {
        place = NO_ROOM;
        goto release;
    }
    if (words_put(here + layout->objects_at, objects, self->page_bytes, &ignored, &ignored) < 0
        || words_put(here + layout->sizes_at, sizes, self->page_bytes, &sum, &pages) < 0)
        goto release;
    self->in_room = 1;
    self->asked_reads = PyList_Size(objects);
    self->asked_bytes = sum;
    self->asked_page_bytes = pages;
    place = (self->start + layout->stamps_at + first * STAMPS) * WORD;

release:
    Py_XDECREF(objects);
    Py_XDECREF(sizes);
    return place;
}

PyDoc_STRVAR(room_for_doc,
"room_for(objects, sizes_bytes, /)\n--\n\nName reads to come; see `ioprof.trace.tally`.");

static PyObject *room_for(Tally *self, PyObject *const *arguments, Py_ssize_t count)
{
    Number place;

    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "room_for takes objects and sizes");
        return NULL;
    }
    place = named(self, arguments[0], arguments[1]);
    return place == FAILED ? NULL : PyLong_FromLongLong(place);
}

static void count_all_read(Tally *self, double seconds)
{
    self->pending += self->asked_reads;
    self->storage_ns += llrint(seconds * 1e9);
    self->tapped_bytes += self->asked_bytes;
    self->tapped_page_bytes += self->asked_page_bytes;
    self->touched_page_bytes += self->asked_page_bytes;
    self->in_room = 0;
}

PyDoc_STRVAR(all_read_doc,
"all_read(took_s, /)\n--\n\nAll that was named is read; see `ioprof.trace.tally`.");

static PyObject *all_read(Tally *self, PyObject *took_s)
{
    double seconds = PyFloat_AsDouble(took_s);

    if (seconds == -1.0 && PyErr_Occurred())
        return NULL;
    count_all_read(self, seconds);
    Py_INCREF(Py_None);
    return Py_None;
}

PyDoc_STRVAR(read_whole_doc,
"read_whole(read_files, mapping, paths, sizes_bytes, objects, contents, /)\n--\n\n"
"Read objects that all come whole, as nearly always; see `ioprof.trace.tally`.");

static PyObject *read_whole(Tally *self, PyObject *const *arguments, Py_ssize_t count)
{
    PyObject *took, *stopped;
    Number first;
    double took_s;

    if (count != 6) {
        PyErr_Format(PyExc_TypeError, "read_whole takes 6 arguments, not %zd", count);
        return NULL;
    }
    first = named(self, arguments[4], arguments[3]);
    if (first == FAILED)
        return NULL;
    if (first == NO_ROOM)
        return Py_BuildValue("(LdO)", first, 0.0, Py_None);
    took = PyObject_CallFunction(arguments[0], "OOiOOLOO", arguments[2], arguments[3], 0, arguments[5], arguments[1],
                                 first, Py_None, Py_None);
    if (took == NULL)
        return NULL;
    if (!PyArg_ParseTuple(took, "dO", &took_s, &stopped)) {
        Py_DECREF(took);
        return NULL;
    }
    if (stopped != Py_None) {
        PyObject *told = Py_BuildValue("(LdO)", first, took_s, stopped);
        Py_DECREF(took);
        return told;
    }
    Py_DECREF(took);
    count_all_read(self, took_s);
    Py_INCREF(Py_None);
    return Py_None;
}

/* Follow what asking and batches cost, and tell whether a batch is asked about. */
static int is_asked(Tally *self, Number number)
{
    double allowed_s = self->ask_budget * self->made_s;

    while (self->ask_cost_s > allowed_s * (double)self->ask_every && self->ask_every < SPARSEST)
        self->ask_every *= 2;
    while (self->ask_every > 1 && self->ask_cost_s <= allowed_s * (double)self->ask_every / 2)
        self->ask_every /= 2;
    if (self->ask_budget <= 0 || !self->is_answered)
        return 0;
    return self->ask_every == 1 || (uint64_t)number * GOLDEN < (UINT64_C(1) << 63) / (uint64_t)(self->ask_every / 2);
}

PyDoc_STRVAR(asks_doc, "asks(number, /)\n--\n\nSay whether a batch is asked about; see `ioprof.trace.tally`.");

static PyObject *asks(Tally *self, PyObject *number)
{
    Number batch = PyLong_AsLongLong(number);
    return batch == -1 && PyErr_Occurred() ? NULL : PyBool_FromLong(is_asked(self, batch));
}

PyDoc_STRVAR(snapshot_doc, "snapshot()\n--\n\nNote the sums as a batch begins; see `ioprof.trace.tally`.");

static PyObject *snapshot(Tally *self, PyObject *Py_UNUSED(nothing))
{
    self->start_bytes = self->tapped_bytes;
    self->start_failed = self->failed_samples;
    self->start_storage_ns = self->storage_ns;
    self->start_prep_ns = self->prep_ns;
    Py_INCREF(Py_None);
    return Py_None;
}

/* Begin a batch, unless more is to be done for it than for most. */
static int begun_as_most(Tally *self, Number epoch, Number number)
{
    Number at_ns;

    if (epoch != self->ordinary_epoch || number < self->steady_from || is_asked(self, number))
        return 0;
    at_ns = now_ns();
    if (at_ns >= self->next_io_ns)
        return 0;
    Py_XDECREF(snapshot(self, NULL));
    self->is_ordinary = 1;
    self->phase = self->layout.steady;
    self->epoch = epoch;
    self->batch = number;
    self->start_ns = at_ns;
    return 1;
}

static int two_numbers(PyObject *const *arguments, Py_ssize_t count, Number *first, Number *second)
{
    if (count != 2) {
        PyErr_Format(PyExc_TypeError, "2 arguments, not %zd", count);
        return -1;
    }
    *first = PyLong_AsLongLong(arguments[0]);
    *second = PyLong_AsLongLong(arguments[1]);
    return PyErr_Occurred() ? -1 : 0;
}

PyDoc_STRVAR(begin_doc, "begin(epoch, number, /)\n--\n\nCount a batch, and begin it; see `ioprof.trace.tally`.");

static PyObject *begin(Tally *self, PyObject *const *arguments, Py_ssize_t count)
{
    Number epoch, number, place;

    if (two_numbers(arguments, count, &epoch, &number) < 0)
        return NULL;
    place = self->begun++;
    self->is_ordinary = 0;
    if (place % self->account_every == 0 || place % self->timed_one_in == 1)
        return PyBool_FromLong(0);
    return PyBool_FromLong(begun_as_most(self, epoch, number));
}

PyDoc_STRVAR(begin_counted_doc,
"begin_counted(epoch, number, /)\n--\n\nBegin a batch that was counted; see `ioprof.trace.tally`.");

static PyObject *begin_counted(Tally *self, PyObject *const *arguments, Py_ssize_t count)
{
    Number epoch, number;

    if (two_numbers(arguments, count, &epoch, &number) < 0)
        return NULL;
    return PyBool_FromLong(begun_as_most(self, epoch, number));
}

PyDoc_STRVAR(fetched_doc, "fetched()\n--\n\nThe last sample is there; see `ioprof.trace.tally`.");

static PyObject *fetched(Tally *self, PyObject *Py_UNUSED(nothing))
{
    self->fetched_ns = now_ns();
    Py_INCREF(Py_None);
    return Py_None;
}

/* Write the mark of the pending reads and of some singles, for which there is room. */
static void mark_put(Tally *self, Number singles)
{
    int64_t *mark = self->words + self->start + self->layout.marks_at + self->marks_used * MARK_WORDS;

    mark[1] = self->epoch;
    mark[2] = self->batch;
    mark[3] = self->start_ns;
    mark[4] = self->reads_used;
    mark[5] = self->pending;
    mark[6] = self->singles_used;
    mark[7] = singles;
    /* The first word comes last: until it stands, a reader finds the end of the half here. */
    __atomic_store_n(&mark[0], self->phase + 1, __ATOMIC_RELEASE);
    self->marks_used++;
    self->reads_used += self->pending;
    self->operations += self->pending * (STAMPS - 1) + singles;
    self->singles_used += singles;
    self->pending = 0;
}

PyDoc_STRVAR(mark_doc, "mark(singles, /)\n--\n\nMake what was recorded count; see `ioprof.trace.tally`.");

static PyObject *mark(Tally *self, PyObject *singles)
{
    Number count = PyLong_AsLongLong(singles);

    if (count == -1 && PyErr_Occurred())
        return NULL;
    if (self->marks_used >= self->layout.marks) {
        PyErr_SetString(PyExc_ValueError, "no room for another mark");
        return NULL;
    }
    mark_put(self, count);
    Py_INCREF(Py_None);
    return Py_None;
}

static void made(Tally *self, Number made_ns)
{
    self->worker_time_ns += made_ns;
    self->batches++;
    self->words[self->layout.totals_at] = self->worker_time_ns;
    self->words[self->layout.totals_at + 1] = self->batches;
}

PyDoc_STRVAR(add_batch_doc, "add_batch(made_ns, /)\n--\n\nAdd a batch to the totals; see `ioprof.trace.tally`.");

static PyObject *add_batch(Tally *self, PyObject *made_ns)
{
    Number took_ns = PyLong_AsLongLong(made_ns);

    if (took_ns == -1 && PyErr_Occurred())
        return NULL;
    made(self, took_ns);
    Py_INCREF(Py_None);
    return Py_None;
}

PyDoc_STRVAR(end_doc, "end(samples, is_joined, /)\n--\n\nEnd a batch as most are ended; see `ioprof.trace.tally`.");

static PyObject *end(Tally *self, PyObject *const *arguments, Py_ssize_t count)
{
    Number samples, is_joined, end_ns, made_ns;
    int64_t packed[PACKED_WORDS];

    if (two_numbers(arguments, count, &samples, &is_joined) < 0)
        return NULL;
    if (!self->is_ordinary || self->marks_used >= self->layout.marks || PyObject_Size(self->singles) != 0) {
        if (PyErr_Occurred())
            return NULL;
        Py_INCREF(Py_None);
        return Py_None;
    }
    end_ns = is_joined ? now_ns() : self->fetched_ns;
    made_ns = end_ns - self->start_ns;
    if (self->pending)
        mark_put(self, 0);
    made(self, made_ns);
    self->made_s += ((double)made_ns / 1e9 - self->made_s) / 4;
    if (self->ask_budget > 0)
        self->words[self->layout.unasked_at]++;
    for (int word = 0; word < PACKED_WORDS; word++)
        packed[word] = NOT_KNOWN;
    packed[0] = self->worker;
    packed[1] = self->batch;
    packed[2] = samples;
    packed[3] = self->tapped_bytes - self->start_bytes;
    packed[4] = self->failed_samples - self->start_failed;
    packed[5] = self->start_ns;
    packed[6] = self->fetched_ns;
    packed[7] = end_ns;
    packed[8] = self->storage_ns - self->start_storage_ns;
    packed[9] = self->prep_ns - self->start_prep_ns;
    return PyBytes_FromStringAndSize((const char *)packed, sizeof packed);
}

static PyMethodDef tally_methods[] = {
    {"add_batch", (PyCFunction)add_batch, METH_O, add_batch_doc},
    {"all_read", (PyCFunction)all_read, METH_O, all_read_doc},
    {"asks", (PyCFunction)asks, METH_O, asks_doc},
    {"begin", (PyCFunction)(void (*)(void))begin, METH_FASTCALL, begin_doc},
    {"begin_counted", (PyCFunction)(void (*)(void))begin_counted, METH_FASTCALL, begin_counted_doc},
    {"end", (PyCFunction)(void (*)(void))end, METH_FASTCALL, end_doc},
    {"fetched", (PyCFunction)fetched, METH_NOARGS, fetched_doc},
    {"read_whole", (PyCFunction)(void (*)(void))read_whole, METH_FASTCALL, read_whole_doc},
    {"mark", (PyCFunction)mark, METH_O, mark_doc},
    {"room_for", (PyCFunction)(void (*)(void))room_for, METH_FASTCALL, room_for_doc},
    {"snapshot", (PyCFunction)snapshot, METH_NOARGS, snapshot_doc},
    {NULL, NULL, 0, NULL},
};

#define NUMBER(name) {#name, T_LONGLONG, offsetof(Tally, name), 0, NULL}

static PyMemberDef tally_members[] = {
    NUMBER(start), NUMBER(marks_used), NUMBER(reads_used), NUMBER(singles_used), NUMBER(pending), NUMBER(in_room),
    NUMBER(phase), NUMBER(epoch), NUMBER(batch), NUMBER(start_ns), NUMBER(fetched_ns),
    NUMBER(start_bytes), NUMBER(start_failed), NUMBER(start_storage_ns), NUMBER(start_prep_ns),
    NUMBER(storage_ns), NUMBER(prep_ns), NUMBER(operations), NUMBER(worker_time_ns), NUMBER(batches),
    NUMBER(tapped_bytes), NUMBER(tapped_page_bytes), NUMBER(touched_page_bytes), NUMBER(failed_samples),
    NUMBER(begun), NUMBER(is_ordinary), NUMBER(account_every), NUMBER(ordinary_epoch), NUMBER(steady_from), NUMBER(next_io_ns),
    NUMBER(ask_every), NUMBER(is_answered),
    {"ask_budget", T_DOUBLE, offsetof(Tally, ask_budget), 0, NULL},
    {"ask_cost_s", T_DOUBLE, offsetof(Tally, ask_cost_s), 0, NULL},
    {"made_s", T_DOUBLE, offsetof(Tally, made_s), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot tally_slots[] = {
    {Py_tp_new, tally_new},
    {Py_tp_dealloc, tally_dealloc},
    {Py_tp_methods, tally_methods},
    {Py_tp_members, tally_members},
    {Py_tp_doc, (void *)"What every batch changes; see `ioprof.trace.tally`."},
    {0, NULL},
};

static PyType_Spec tally_spec = {
    .name = "ioprof.trace._tally.Tally",
    .basicsize = sizeof(Tally),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = tally_slots,
};

static int started(PyObject *module)
{
    PyObject *type = PyType_FromSpec(&tally_spec);

    if (type == NULL || PyModule_AddObjectRef(module, "Tally", type) < 0) {
        Py_XDECREF(type);
        return -1;
    }
    Py_DECREF(type);
    return PyModule_AddIntConstant(module, "INTERFACE", INTERFACE);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, started},
    {0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "ioprof.trace._tally",
    .m_doc = "What every batch changes, and every object read.",
    .m_size = 0,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__tally(void)
{
    return PyModuleDef_Init(&module);
}
