/* Readers of recorded programs; see trace.h.

   The binary form is "VMTRACE1" and records.  A reference: one byte,
     bit 7: 1    bits 5..2: bytes (0: in a byte that follows; n: n)    bits 1..0: access
   and the distance from the last address of this kind of access, zigzag, 7 bits a byte, lowest first.  Everything else:
   the kind in one byte (enum vm_sim_item_kind; RECORD_PID: references are this process's from now on; RECORD_END: the
   file is whole), then its fields as such numbers, and a name as length and bytes. */
#include "sim/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim/mem.h"
#include "sim/strace.h"

#define BUFFER ((size_t)1 << 20) /* and the longest line */
#define MAGIC "VMTRACE1"
#define MAGIC_BYTES 8
#define RECORD_PID 0x40
#define RECORD_END 0x41
#define RECORD_REF 0x80
#define NAME_MAX_BYTES 4096

struct vm_sim_trace {
    char *path;
    int fd;
    enum vm_sim_trace_format format;
    uint64_t size, position; /* bytes read from the file */
    char *buffer;
    size_t from, to; /* the part of it that was not taken yet */
    bool end;        /* nothing more to be read */
    uint64_t line;
    struct vm_sim_strace *strace;
    struct vm_sim_item queue[VM_SIM_STRACE_ITEMS];
    size_t queued, taken;
    uint32_t pid;                   /* binary */
    uint64_t last[VM_SIM_ACCESSES]; /* binary */
    char name[NAME_MAX_BYTES + 1];
    struct vm_sim_ref ref[VM_SIM_TRACE_BATCH];
};

/* -EINVAL, which callers and analysers see, and the message with the place. */
#define complain(t, message, ...) (say_wrong(t, message, __VA_ARGS__), -EINVAL)

static void say_wrong(const struct vm_sim_trace *t, struct vm_sim_message *message, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void say_wrong(const struct vm_sim_trace *t, struct vm_sim_message *message, const char *format, ...)
{
    char what[160];
    va_list ap;

    va_start(ap, format);
    vsnprintf(what, sizeof what, format, ap);
    va_end(ap);
    if (t->format == VM_SIM_TRACE_BINARY)
        snprintf(message->text, sizeof message->text, "%.80s: byte %" PRIu64 ": %s", t->path,
                 t->position - (t->to - t->from), what);
    else
        snprintf(message->text, sizeof message->text, "%.80s:%" PRIu64 ": %s", t->path, t->line, what);
}

/* ---- Bytes ---- */

/* Reads more behind what is left; false at the end.  -errno in *error. */
static bool fill(struct vm_sim_trace *t, int *error)
{
    ssize_t got;

    if (t->end)
        return false;
    memmove(t->buffer, t->buffer + t->from, t->to - t->from);
    t->to -= t->from;
    t->from = 0;
    if (t->to == BUFFER)
        return false;
    do
        got = read(t->fd, t->buffer + t->to, BUFFER - t->to);
    while (got < 0 && errno == EINTR);
    if (got <= 0) {
        *error = got < 0 ? -errno : 0;
        t->end = true;
        return false;
    }
    t->to += (size_t)got;
    t->position += (uint64_t)got;
    return true;
}

/* The next line, ended by NUL in place of its newline: 1; 0 at the end. */
static int next_line(struct vm_sim_trace *t, char **line, struct vm_sim_message *message)
{
    size_t seen = 0;
    char *newline;
    int error = 0;

    while (!(newline = memchr(t->buffer + t->from + seen, '\n', t->to - t->from - seen))) {
        seen = t->to - t->from;
        if (fill(t, &error))
            continue;
        t->line++;
        if (error < 0) {
            snprintf(message->text, sizeof message->text, "%.80s: %s", t->path, strerror(-error));
            return error;
        }
        if (t->to - t->from == BUFFER)
            return complain(t, message, "the line is longer than %zu bytes", BUFFER);
        if (t->to > t->from)
            return complain(t, message, "truncated: the last line has no end");
        return 0;
    }
    t->line++;
    *newline = '\0';
    *line = t->buffer + t->from;
    t->from = (size_t)(newline + 1 - t->buffer);
    return 1;
}

/* ---- lackey: " S 1ffefff938,8", "I  04001a90,3" ---- */

static const signed char hex_value[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

/* The kind of a line: I, L, S, M; 0: of valgrind itself, or empty; -1: something else. */
static int lackey_kind(const char *p)
{
    if (p[0] == 'I' && p[1] == ' ' && p[2] == ' ')
        return 'I';
    if (p[0] == ' ' && (p[1] == 'L' || p[1] == 'S' || p[1] == 'M') && p[2] == ' ')
        return p[1];
    if (p[0] == '\0' || ((p[0] == '=' || p[0] == '-') && p[1] == p[0]))
        return 0;
    return -1;
}

/* How many references (a modification is two), or -EINVAL. */
static int lackey_line(struct vm_sim_trace *t, const char *p, struct vm_sim_ref *ref, struct vm_sim_message *message)
{
    static const char *const expected = "expected 'I  ADDRESS,BYTES', ' L ...', ' S ...' or ' M ...'";
    int kind = lackey_kind(p), digits = 0;
    uint64_t address = 0;
    unsigned bytes = 0;

    if (kind <= 0)
        return kind == 0 ? 0 : complain(t, message, "%s", expected);
    for (p += 3; hex_value[(unsigned char)*p]; p++, digits++)
        address = address << 4 | (uint64_t)(hex_value[(unsigned char)*p] - 1);
    if (digits == 0 || digits > 16 || *p++ != ',')
        return complain(t, message, "%s", expected);
    for (digits = 0; *p >= '0' && *p <= '9' && digits < 6; p++, digits++)
        bytes = bytes * 10 + (unsigned)(*p - '0');
    if (digits == 0 || *p || bytes == 0)
        return complain(t, message, "%s", digits ? "a reference of no size, or text behind it" : expected);
    ref[0] = (struct vm_sim_ref){.offset = address, .bytes = (uint8_t)vm_min(bytes, 255)};
    ref[0].access = kind == 'I' ? VM_SIM_FETCH : kind == 'S' ? VM_SIM_WRITE : VM_SIM_READ;
    if (kind != 'M')
        return 1;
    ref[1] = ref[0];
    ref[1].access = VM_SIM_WRITE;
    return 2;
}

static int lackey_next(struct vm_sim_trace *t, struct vm_sim_item *item, struct vm_sim_message *message)
{
    char *line = NULL;
    size_t n = 0;

    while (n + 2 <= VM_SIM_TRACE_BATCH) {
        int more = next_line(t, &line, message);
        if (more < 0)
            return more;
        if (more == 0)
            break;
        if ((more = lackey_line(t, line, t->ref + n, message)) < 0)
            return more;
        n += (size_t)more;
    }
    *item = (struct vm_sim_item){.kind = VM_SIM_ITEM_REFS, .pid = 1, .ref = t->ref, .n = n};
    return n > 0;
}

/* ---- libvmalloc's events as text: "m ADDRESS BYTES", "f ADDRESS" ---- */

static int events_next(struct vm_sim_trace *t, struct vm_sim_item *item, struct vm_sim_message *message)
{
    char *line = NULL, kind, rest;
    int more;

    do
        if ((more = next_line(t, &line, message)) <= 0)
            return more;
    while (*line == '\0' || *line == '#');
    *item = (struct vm_sim_item){.pid = 1};
    int fields = sscanf(line, "%c %" SCNi64 " %" SCNi64 " %c", &kind, (int64_t *)&item->address,
                        (int64_t *)&item->bytes, &rest);
    if (fields == 3 && kind == 'm')
        item->kind = VM_SIM_ITEM_MALLOC;
    else if (fields == 2 && kind == 'f')
        item->kind = VM_SIM_ITEM_FREE;
    else
        return complain(t, message, "expected 'm ADDRESS BYTES' or 'f ADDRESS'");
    return 1;
}

/* ---- strace ---- */

static int strace_next(struct vm_sim_trace *t, struct vm_sim_item *item, struct vm_sim_message *message)
{
    char *line = NULL;
    const char *at, *wrong;

    while (t->taken == t->queued) {
        int more = next_line(t, &line, message);
        if (more <= 0)
            return more;
        t->taken = 0;
        if ((wrong = vm_sim_strace_line(t->strace, line, t->queue, &t->queued, &at)))
            return complain(t, message, "%s: '%.60s'", wrong, at);
    }
    *item = t->queue[t->taken++];
    return 1;
}

/* ---- Binary ---- */

/* At least `n` bytes in the buffer? */
static bool need(struct vm_sim_trace *t, size_t n)
{
    int error = 0;

    while (t->to - t->from < n)
        if (!fill(t, &error))
            return false;
    return true;
}

static bool take_number(struct vm_sim_trace *t, uint64_t *n)
{
    unsigned shift = 0;
    uint8_t byte;

    *n = 0;
    do {
        if (shift > 63 || (t->from == t->to && !need(t, 1)))
            return false;
        byte = (uint8_t)t->buffer[t->from++];
        *n |= (uint64_t)(byte & 127) << shift;
        shift += 7;
    } while (byte & 128);
    return true;
}

static bool take_ref(struct vm_sim_trace *t, uint8_t tag, struct vm_sim_ref *ref)
{
    uint64_t zigzag;

    *ref = (struct vm_sim_ref){.access = tag & 3, .bytes = tag >> 2 & 15};
    if (ref->access >= VM_SIM_ACCESSES)
        return false;
    if (ref->bytes == 0) {
        if (!need(t, 1))
            return false;
        ref->bytes = (uint8_t)t->buffer[t->from++];
    }
    if (!take_number(t, &zigzag))
        return false;
    ref->offset = t->last[ref->access] += zigzag >> 1 ^ -(zigzag & 1);
    return true;
}

static bool take_item(struct vm_sim_trace *t, struct vm_sim_item *item)
{
    uint64_t n[6];

    for (size_t i = 0; i < 6; i++)
        if (!take_number(t, &n[i]))
            return false;
    item->pid = (uint32_t)n[0];
    item->child = (uint32_t)n[1];
    item->address = n[2];
    item->bytes = n[3];
    item->perms = n[4] & 7;
    item->shared = n[4] >> 3 & 1;
    if (n[5] > NAME_MAX_BYTES || !need(t, n[5]))
        return false;
    memcpy(t->name, t->buffer + t->from, n[5]);
    t->name[n[5]] = '\0';
    t->from += n[5];
    item->name = n[4] >> 4 & 1 ? t->name : NULL;
    return true;
}

static int binary_next(struct vm_sim_trace *t, struct vm_sim_item *item, struct vm_sim_message *message)
{
    static const char *const truncated = "truncated or damaged";
    size_t n = 0;

    *item = (struct vm_sim_item){.kind = VM_SIM_ITEM_REFS, .pid = t->pid, .ref = t->ref};
    while (n < VM_SIM_TRACE_BATCH) {
        if (!need(t, 1))
            return complain(t, message, "%s", truncated);
        uint8_t tag = (uint8_t)t->buffer[t->from];
        if (!(tag & RECORD_REF) && n > 0) /* first the references before it */
            break;
        if (tag == RECORD_END)
            return 0;
        t->from++;
        uint64_t pid;
        if (tag & RECORD_REF) {
            if (!take_ref(t, tag, &t->ref[n++]))
                return complain(t, message, "%s", truncated);
        } else if (tag == RECORD_PID) {
            if (!take_number(t, &pid))
                return complain(t, message, "%s", truncated);
            item->pid = t->pid = (uint32_t)pid;
        } else {
            item->kind = (enum vm_sim_item_kind)tag;
            if (tag == VM_SIM_ITEM_REFS || tag > VM_SIM_ITEM_EXIT || !take_item(t, item))
                return complain(t, message, "%s", truncated);
            return 1;
        }
    }
    item->n = n;
    return 1;
}

struct vm_sim_trace_writer {
    FILE *out;
    uint32_t pid;
    uint64_t last[VM_SIM_ACCESSES];
};

struct vm_sim_trace_writer *vm_sim_trace_writer_new(FILE *out)
{
    struct vm_sim_trace_writer *w = vm_sim_zalloc(sizeof *w);

    w->out = out;
    fwrite(MAGIC, 1, MAGIC_BYTES, out);
    return w;
}

static void put_number(FILE *out, uint64_t n)
{
    for (; n > 127; n >>= 7)
        putc_unlocked((int)(n & 127) | 128, out);
    putc_unlocked((int)n, out);
}

static void put_ref(struct vm_sim_trace_writer *w, const struct vm_sim_ref *ref)
{
    uint64_t distance = ref->offset - w->last[ref->access];
    unsigned bytes = ref->bytes < 16 ? ref->bytes : 0;

    w->last[ref->access] = ref->offset;
    putc_unlocked((int)(RECORD_REF | bytes << 2 | ref->access), w->out);
    if (!bytes)
        putc_unlocked(ref->bytes, w->out);
    put_number(w->out, distance << 1 ^ -(distance >> 63));
}

void vm_sim_trace_write(struct vm_sim_trace_writer *w, const struct vm_sim_item *item)
{
    if (item->kind == VM_SIM_ITEM_REFS) {
        if (item->pid != w->pid) {
            putc_unlocked(RECORD_PID, w->out);
            put_number(w->out, item->pid);
            w->pid = item->pid;
        }
        for (size_t i = 0; i < item->n; i++)
            put_ref(w, &item->ref[i]);
        return;
    }
    size_t length = item->name ? vm_min(strlen(item->name), (size_t)NAME_MAX_BYTES) : 0;
    putc_unlocked((int)item->kind, w->out);
    put_number(w->out, item->pid);
    put_number(w->out, item->child);
    put_number(w->out, item->address);
    put_number(w->out, item->bytes);
    put_number(w->out, item->perms | (uint64_t)item->shared << 3 | (uint64_t)(item->name != NULL) << 4);
    put_number(w->out, length);
    fwrite(item->name ? item->name : "", 1, length, w->out);
}

int vm_sim_trace_writer_end(struct vm_sim_trace_writer *w)
{
    putc_unlocked(RECORD_END, w->out);
    int error = fflush(w->out) != 0 || ferror(w->out) ? -EIO : 0;
    free(w);
    return error;
}

/* ---- All of them ---- */

static const char *const format_name[] = {
    [VM_SIM_TRACE_AUTO] = "auto",     [VM_SIM_TRACE_LACKEY] = "lackey", [VM_SIM_TRACE_EVENTS] = "events",
    [VM_SIM_TRACE_STRACE] = "strace", [VM_SIM_TRACE_BINARY] = "binary",
};

int vm_sim_trace_format_of(const char *name)
{
    for (size_t i = 0; i < sizeof format_name / sizeof *format_name; i++)
        if (strcmp(name, format_name[i]) == 0)
            return (int)i;
    return -EINVAL;
}

static enum vm_sim_trace_format format_of_line(const char *line)
{
    if (lackey_kind(line) > 0)
        return VM_SIM_TRACE_LACKEY;
    if ((line[0] == 'm' || line[0] == 'f') && line[1] == ' ')
        return VM_SIM_TRACE_EVENTS;
    return vm_sim_strace_looks(line) ? VM_SIM_TRACE_STRACE : VM_SIM_TRACE_AUTO;
}

/* By the first line that says something; its length is that of the buffer at most. */
static enum vm_sim_trace_format recognise(struct vm_sim_trace *t)
{
    size_t from = t->from;

    if (need(t, MAGIC_BYTES) && memcmp(t->buffer + t->from, MAGIC, MAGIC_BYTES) == 0)
        return VM_SIM_TRACE_BINARY;
    need(t, vm_min(BUFFER, (size_t)65536));
    while (from < t->to) {
        char *start = t->buffer + from, *newline = memchr(start, '\n', t->to - from);
        char line[1024];
        size_t length = newline ? (size_t)(newline - start) : t->to - from;
        snprintf(line, sizeof line, "%.*s", (int)vm_min(length, sizeof line - 1), start);
        bool says_nothing = lackey_kind(line) == 0 || line[0] == '#';
        if (!says_nothing)
            return format_of_line(line);
        from += length + 1;
    }
    return VM_SIM_TRACE_AUTO;
}

struct vm_sim_trace *vm_sim_trace_open(const char *path, enum vm_sim_trace_format format,
                                       struct vm_sim_message *message)
{
    struct vm_sim_trace *t = vm_sim_zalloc(sizeof *t);
    struct stat st;

    t->path = vm_sim_strdup(path);
    t->pid = 1;
    t->buffer = vm_sim_zalloc(BUFFER);
    t->fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (t->fd < 0 || fstat(t->fd, &st) != 0 || (S_ISDIR(st.st_mode) && (errno = EISDIR))) {
        snprintf(message->text, sizeof message->text, "%.180s: %s", path, strerror(errno));
        vm_sim_trace_close(t);
        return NULL;
    }
    t->size = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
    t->format = format != VM_SIM_TRACE_AUTO ? format : recognise(t);
    t->line = t->format == VM_SIM_TRACE_AUTO;
    if (t->format == VM_SIM_TRACE_AUTO
        || (t->format == VM_SIM_TRACE_BINARY
            && (!need(t, MAGIC_BYTES) || memcmp(t->buffer + t->from, MAGIC, MAGIC_BYTES) != 0))) {
        say_wrong(t, message,
                  t->format == VM_SIM_TRACE_AUTO ? "no trace that is known (lackey, strace, events, binary)"
                                                 : "no binary trace");
        vm_sim_trace_close(t);
        return NULL;
    }
    if (t->format == VM_SIM_TRACE_BINARY)
        t->from += MAGIC_BYTES;
    if (t->format == VM_SIM_TRACE_STRACE)
        t->strace = vm_sim_strace_new();
    return t;
}

void vm_sim_trace_close(struct vm_sim_trace *t)
{
    if (!t)
        return;
    if (t->fd > STDERR_FILENO)
        close(t->fd);
    vm_sim_strace_free(t->strace);
    free(t->buffer);
    free(t->path);
    free(t);
}

int vm_sim_trace_next(struct vm_sim_trace *t, struct vm_sim_item *item, struct vm_sim_message *message)
{
    switch (t->format) {
    case VM_SIM_TRACE_LACKEY: return lackey_next(t, item, message);
    case VM_SIM_TRACE_EVENTS: return events_next(t, item, message);
    case VM_SIM_TRACE_STRACE: return strace_next(t, item, message);
    default: return binary_next(t, item, message);
    }
}

uint64_t vm_sim_trace_position(const struct vm_sim_trace *t) { return t->position - (t->to - t->from); }
uint64_t vm_sim_trace_size(const struct vm_sim_trace *t) { return t->size; }
enum vm_sim_trace_format vm_sim_trace_format(const struct vm_sim_trace *t) { return t->format; }
