/* Lines of strace; see strace.h. */
#include "sim/strace.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "sim/mem.h"

#define PAGE_MASK (VM_SIM_PAGE_SIZE - 1)

struct task {              /* a pid or tid of the trace */
    uint32_t tid, process; /* process: tid of its first thread */
    char *unfinished;      /* text up to the cut; NULL: none */
};

struct vm_sim_strace {
    struct task *task;
    size_t tasks, cap;
    char name[256]; /* of the item's file */
    char *joined;   /* the line that was put together; NULL: none */
};

struct vm_sim_strace *vm_sim_strace_new(void) { return vm_sim_zalloc(sizeof(struct vm_sim_strace)); }

void vm_sim_strace_free(struct vm_sim_strace *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->tasks; i++)
        free(s->task[i].unfinished);
    free(s->task);
    free(s->joined);
    free(s);
}

static struct task *task_of(struct vm_sim_strace *s, uint32_t tid)
{
    for (size_t i = s->tasks; i-- > 0;)
        if (s->task[i].tid == tid)
            return &s->task[i];
    vm_sim_grow(&s->task, &s->cap, s->tasks + 1, sizeof *s->task);
    s->task[s->tasks] = (struct task){.tid = tid, .process = tid};
    return &s->task[s->tasks++];
}

static const char *skip_spaces(const char *p)
{
    while (*p == ' ' || *p == '\t')
        p++;
    return p;
}

/* "[pid 12] ", "12 " and a time of -t, -r or -ttt; the pid is 1 when there is none. */
static const char *skip_prefix(const char *p, uint32_t *pid)
{
    char *end;

    *pid = 1;
    if (strncmp(p, "[pid ", 5) == 0) {
        *pid = (uint32_t)strtoul(p + 5, &end, 10);
        p = *end == ']' ? skip_spaces(end + 1) : p;
    } else if (isdigit((unsigned char)*p)) {
        uint32_t n = (uint32_t)strtoul(p, &end, 10);
        if (*end == ' ') {
            *pid = n;
            p = skip_spaces(end);
        }
    }
    if (isdigit((unsigned char)*p)) {
        p += strspn(p, "0123456789:.");
        p = skip_spaces(p);
    }
    return p;
}

bool vm_sim_strace_looks(const char *line)
{
    uint32_t pid;
    const char *p = skip_prefix(line, &pid), *name = p;

    if (strncmp(p, "+++ ", 4) == 0 || strncmp(p, "--- SIG", 7) == 0 || strncmp(p, "<... ", 5) == 0)
        return true;
    while (isalnum((unsigned char)*p) || *p == '_')
        p++;
    return p > name && *p == '(' && (strstr(p, ") ") || strstr(p, "<unfinished ...>"));
}

/* ---- Arguments ---- */

/* The start of argument n (from 0), or NULL.  Commas in brackets and strings do not count. */
static const char *argument(const char *p, unsigned n)
{
    unsigned depth = 0;

    if (*p++ != '(')
        return NULL;
    for (p = skip_spaces(p); n > 0; p++) {
        if (*p == '"') {
            for (p++; *p && *p != '"'; p++)
                if (*p == '\\' && p[1])
                    p++;
        }
        if (!*p)
            return NULL;
        if (strchr("([{<", *p))
            depth++;
        else if (strchr(")]}>", *p) && depth-- == 0)
            return NULL;
        else if (*p == ',' && depth == 0)
            n--;
    }
    return skip_spaces(p);
}

static bool number(const char *p, uint64_t *n)
{
    char *end;

    if (p && strncmp(p, "NULL", 4) == 0) {
        *n = 0;
        return true;
    }
    if (!p || !isdigit((unsigned char)*p))
        return false;
    *n = strtoull(p, &end, 0);
    return true;
}

/* Is it among the flags, joined with |, that the argument consists of up to its comma or bracket? */
static bool flag(const char *p, const char *name)
{
    size_t length = strlen(name);

    if (!p)
        return false;
    while (*p && *p != ',' && *p != ')' && *p != '}') {
        size_t n = strcspn(p, "|,)} ");
        if (n == length && memcmp(p, name, n) == 0)
            return true;
        p += n;
        p += *p == '|';
        if (*p == ' ')
            return false;
    }
    return false;
}

static uint8_t perms_of(const char *p)
{
    return (flag(p, "PROT_READ") ? VM_SIM_R : 0) | (flag(p, "PROT_WRITE") ? VM_SIM_W : 0)
           | (flag(p, "PROT_EXEC") ? VM_SIM_X : 0);
}

/* The text between two marks, cut to what fits. */
static const char *text_between(struct vm_sim_strace *s, const char *p, char first, char last)
{
    const char *from = p ? strchr(p, first) : NULL, *to = from ? strchr(from + 1, last) : NULL;

    if (!to)
        return NULL;
    size_t n = vm_min((size_t)(to - from - 1), sizeof s->name - 1);
    memcpy(s->name, from + 1, n);
    s->name[n] = '\0';
    return s->name;
}

/* The file of a descriptor: "3</lib/libc.so.6>" of -y, or "fd 3". */
static const char *file_of(struct vm_sim_strace *s, const char *p)
{
    size_t digits = strspn(p, "0123456789");

    if (p[digits] == '<' && text_between(s, p, '<', '>'))
        return s->name;
    memcpy(s->name, "fd ", 3);
    digits = vm_min(digits, 10);
    memcpy(s->name + 3, p, digits);
    s->name[3 + digits] = '\0';
    return s->name;
}

/* The last " = " of the line, behind the call's bracket. */
static const char *result_of(const char *p)
{
    const char *found = NULL;

    for (p = strstr(p, " = "); p; p = strstr(p + 1, " = "))
        found = p + 3;
    return found ? skip_spaces(found) : NULL;
}

/* ---- Calls ---- */

static uint64_t pages(uint64_t bytes) { return (bytes + PAGE_MASK) & ~PAGE_MASK; }

static const char *mmap_item(struct vm_sim_strace *s, const char *args, uint64_t result, struct vm_sim_item *item)
{
    const char *flags = argument(args, 3), *fd = argument(args, 4);
    uint64_t bytes;

    if (!number(argument(args, 1), &bytes) || !flags || !fd)
        return "mmap without its arguments";
    item->kind = VM_SIM_ITEM_MMAP;
    item->address = result;
    item->bytes = pages(bytes);
    item->perms = perms_of(argument(args, 2));
    item->shared = flag(flags, "MAP_SHARED") || flag(flags, "MAP_SHARED_VALIDATE");
    item->name = flag(flags, "MAP_ANONYMOUS") || flag(flags, "MAP_ANON") || !isdigit((unsigned char)*fd)
                     ? NULL
                     : file_of(s, fd);
    return NULL;
}

static const char *range_item(enum vm_sim_item_kind kind, const char *args, struct vm_sim_item *item)
{
    item->kind = kind;
    if (!number(argument(args, 0), &item->address) || !number(argument(args, 1), &item->bytes))
        return "no address and length";
    item->bytes = pages(item->bytes);
    item->perms = perms_of(argument(args, 2));
    return NULL;
}

static const char *mremap_items(const char *args, uint64_t result, struct vm_sim_item *item, size_t *n)
{
    uint64_t bytes;
    const char *wrong = range_item(VM_SIM_ITEM_MUNMAP, args, item);

    if (wrong || !number(argument(args, 2), &bytes))
        return "mremap without its arguments";
    item[1] = (struct vm_sim_item){.kind = VM_SIM_ITEM_MMAP,
                                   .pid = item->pid,
                                   .address = result,
                                   .bytes = pages(bytes),
                                   .perms = VM_SIM_R | VM_SIM_W};
    uint64_t from = item->address, old = item->bytes;
    *n = 2;
    if (result == from) { /* in place: only the difference is new, or goes */
        if (pages(bytes) > old) {
            item[0] = item[1];
            item[0].address += old;
            item[0].bytes -= old;
        } else {
            item[0].address += pages(bytes);
            item[0].bytes -= pages(bytes);
        }
        *n = item[0].bytes ? 1 : 0;
    }
    return NULL;
}

static bool name_is(const char *name, size_t length, const char *names)
{
    for (const char *p = names; *p; p += strcspn(p, " "), p += *p == ' ')
        if (strcspn(p, " ") == length && memcmp(p, name, length) == 0)
            return true;
    return false;
}

static const char *call_items(struct vm_sim_strace *s, uint32_t tid, const char *name, const char *args,
                              struct vm_sim_item *item, size_t *n)
{
    size_t length = (size_t)(args - name);
    uint64_t result = 0;
    struct task *task = task_of(s, tid);

    *n = 1;
    item->pid = task->process;
    if (name_is(name, length, "exit_group")) {
        item->kind = VM_SIM_ITEM_EXIT;
        return NULL;
    }
    if (!name_is(name, length,
                 "brk mmap mmap2 munmap mremap mprotect pkey_mprotect fork vfork clone clone3 execve execveat")) {
        *n = 0;
        return NULL;
    }
    const char *text = result_of(args);
    if (!text)
        return "a call without a result";
    if (*text == '-' || *text == '?' || !number(text, &result)) { /* it failed, or was never seen to return */
        *n = 0;
        return *text == '-' || *text == '?' ? NULL : "the result is no number";
    }
    if (name_is(name, length, "brk")) {
        item->kind = VM_SIM_ITEM_BRK;
        item->address = result;
    } else if (name_is(name, length, "mmap mmap2")) {
        return mmap_item(s, args, result, item);
    } else if (name_is(name, length, "munmap")) {
        return range_item(VM_SIM_ITEM_MUNMAP, args, item);
    } else if (name_is(name, length, "mremap")) {
        return mremap_items(args, result, item, n);
    } else if (name_is(name, length, "mprotect pkey_mprotect")) {
        return range_item(VM_SIM_ITEM_MPROTECT, args, item);
    } else if (name_is(name, length, "execve execveat")) {
        item->kind = VM_SIM_ITEM_EXEC;
        item->name = text_between(s, args, '"', '"');
    } else if (strstr(args, "CLONE_THREAD")) {
        uint32_t process = task->process;
        task_of(s, (uint32_t)result)->process = process;
        *n = 0;
    } else {
        item->kind = VM_SIM_ITEM_FORK;
        item->child = (uint32_t)result;
    }
    return NULL;
}

/* "+++ exited with 0 +++", "+++ killed by SIGKILL +++": of a process, or of one of its threads. */
static void ended(struct vm_sim_strace *s, uint32_t tid, struct vm_sim_item *item, size_t *n)
{
    struct task *task = task_of(s, tid);

    item->kind = VM_SIM_ITEM_EXIT;
    item->pid = tid;
    *n = task->process == tid;
}

const char *vm_sim_strace_line(struct vm_sim_strace *s, const char *line, struct vm_sim_item *item, size_t *n,
                               const char **at)
{
    uint32_t tid;
    const char *p = skip_prefix(line, &tid), *cut;

    *n = 0;
    *at = p;
    memset(item, 0, VM_SIM_STRACE_ITEMS * sizeof *item);
    if (!*p || strncmp(p, "--- ", 4) == 0 || strncmp(p, "strace: ", 8) == 0)
        return NULL;
    if (strncmp(p, "+++ ", 4) == 0) {
        ended(s, tid, item, n);
        return NULL;
    }
    struct task *task = task_of(s, tid);
    if ((cut = strstr(p, "<unfinished ...>"))) {
        free(task->unfinished);
        task->unfinished = vm_sim_strdup(p);
        task->unfinished[cut - p] = '\0';
        return NULL;
    }
    if (strncmp(p, "<... ", 5) == 0) {
        const char *rest = strstr(p, " resumed>");
        if (!rest)
            return "'<...' without 'resumed>'";
        if (!task->unfinished) /* it began before the recording did */
            return NULL;
        rest += strlen(" resumed>");
        size_t first = strlen(task->unfinished);
        free(s->joined);
        s->joined = vm_sim_zalloc(first + strlen(rest) + 1);
        memcpy(s->joined, task->unfinished, first);
        strcpy(s->joined + first, rest);
        free(task->unfinished);
        task->unfinished = NULL;
        p = s->joined;
    }
    const char *name = p;
    while (isalnum((unsigned char)*p) || *p == '_')
        p++;
    if (p == name || *p != '(')
        return "no system call";
    return call_items(s, tid, name, p, item, n);
}
