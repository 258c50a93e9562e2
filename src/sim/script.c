/* The script language; see script.h. */
#include "sim/script.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "sim/exec.h"
#include "sim/log.h"
#include "sim/mem.h"
#include "sim/report.h"
#include "sim/segments.h"

#define WORDS_MAX 64
#define LINE_MAX_BYTES 4096
#define COUNT_MAX ((uint64_t)1 << 32)

enum thing_kind { THING_MEMORY, THING_FRAMES, THING_VMALLOC };

struct thing { /* what a script gave a name to */
    struct thing *next;
    char *name;
    enum thing_kind kind;
    uint64_t at, bytes;
    vm_sim_pfn frame;
    unsigned order;
    struct vm_sim_varea *area;
};

struct object { /* of a cache, the one allocated last in front */
    struct object *next;
    struct vm_sim_cache *cache;
    struct vm_sim_object object;
};

struct script {
    struct vm_sim_machine **m;
    struct vm_sim_config config;
    const char *const *set;
    const char *file;
    FILE *out;
    uint64_t line;
    char *word[WORDS_MAX + 1]; /* NULL behind the last */
    unsigned column[WORDS_MAX + 1], words;
    struct thing *things;
    struct object *objects;
    struct vm_sim_log log;
    struct vm_sim_message *message;
};

/* ---- Errors, and what the machine refuses ---- */

/* -EINVAL, which callers and analysers see, and the message with the word's place. */
#define wrong(s, word, ...) (say_wrong(s, word, __VA_ARGS__), -EINVAL)

static void say_wrong(struct script *s, unsigned word, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void say_wrong(struct script *s, unsigned word, const char *format, ...)
{
    char what[140];
    va_list ap;

    va_start(ap, format);
    vsnprintf(what, sizeof what, format, ap);
    va_end(ap);
    snprintf(s->message->text, sizeof s->message->text, "%.80s:%" PRIu64 ":%u: %s", s->file, s->line,
             s->column[word < s->words ? word : s->words], what);
}

static int refused(struct script *s, int error)
{
    const char *why = error == -EFAULT ? "fault" : error == -ESRCH ? "the process is no more" : strerror(-error);

    if (error == 0)
        return 0;
    fprintf(s->out, "line %" PRIu64 ": %s", s->line, s->word[0]);
    for (unsigned i = 1; i < s->words; i++)
        fprintf(s->out, " %s", s->word[i]);
    fprintf(s->out, ": %s\n", why);
    return 0;
}

/* ---- Words ---- */

static int split(struct script *s, char *line)
{
    char *p = line;

    s->words = 0;
    line[strcspn(line, "\n")] = '\0';
    for (;;) {
        p += strspn(p, " \t\r");
        s->column[s->words] = (unsigned)(p - line) + 1;
        s->word[s->words] = NULL;
        if (*p == '\0' || *p == '#')
            return 0;
        if (s->words == WORDS_MAX)
            return wrong(s, s->words, "more than %d words", WORDS_MAX);
        s->word[s->words++] = p;
        p += strcspn(p, " \t\r");
        if (*p)
            *p++ = '\0';
    }
}

static int size(struct script *s, unsigned word, uint64_t *bytes)
{
    if (word >= s->words)
        return wrong(s, word, "a size or number is missing");
    if (vm_sim_parse_bytes(s->word[word], bytes) != 0)
        return wrong(s, word, "'%.60s' is no size or number", s->word[word]);
    return 0;
}

static bool is(const struct script *s, unsigned word, const char *text)
{
    return word < s->words && strcmp(s->word[word], text) == 0;
}

static int no_more(struct script *s, unsigned word)
{
    return word < s->words ? wrong(s, word, "'%.60s' is too much here", s->word[word]) : 0;
}

static int need_machine(struct script *s)
{
    if (*s->m)
        return 0;
    for (const char *const *set = s->set; set && *set; set++)
        if (vm_sim_config_set(&s->config, *set, s->message) != 0)
            return -EINVAL;
    return (*s->m = vm_sim_machine_new(&s->config, s->message)) ? 0 : -EINVAL;
}

static bool is_paged(const struct vm_sim_machine *m) { return m->kernel != NULL; }

static int need_paging(struct script *s)
{
    int error = need_machine(s);

    if (!error && !is_paged(*s->m))
        return wrong(s, 0, "'%.60s' needs a machine with paging", s->word[0]);
    return error;
}

static int process(struct script *s, unsigned word, struct vm_sim_process **p)
{
    int error = need_machine(s);

    if (error)
        return error;
    if (word >= s->words)
        return wrong(s, word, "a process is missing");
    if (!(*p = vm_sim_process_by_name(*s->m, s->word[word])))
        return wrong(s, word, "there is no process '%.60s'", s->word[word]);
    return 0;
}

/* A process that still has memory: 0; 1: it has ended, which is told. */
static int living(struct script *s, unsigned word, struct vm_sim_process **p)
{
    int error = process(s, word, p);

    if (!error && (*p)->exited)
        return refused(s, -ESRCH) ? -EINVAL : 1;
    return error;
}

/* ---- Names ---- */

static struct thing *find(const struct script *s, const char *name, size_t length)
{
    for (struct thing *t = s->things; t; t = t->next)
        if (strlen(t->name) == length && memcmp(t->name, name, length) == 0)
            return t;
    return NULL;
}

static struct thing *enter(struct script *s, const char *name, enum thing_kind kind)
{
    struct thing *t = find(s, name, strlen(name));

    if (!t) {
        t = vm_sim_zalloc(sizeof *t);
        t->name = vm_sim_strdup(name);
        t->next = s->things;
        s->things = t;
    }
    t->kind = kind;
    return t;
}

static void forget(struct script *s, struct thing *t)
{
    struct thing **at = &s->things;

    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
    free(t->name);
    free(t);
}

static int named(struct script *s, unsigned word, enum thing_kind kind, struct thing **t)
{
    if (word >= s->words)
        return wrong(s, word, "a name is missing");
    *t = find(s, s->word[word], strlen(s->word[word]));
    if (!*t || (*t)->kind != kind)
        return wrong(s, word, "'%.60s' is not a name of this kind", s->word[word]);
    return 0;
}

static int new_name(struct script *s, unsigned word)
{
    const char *n = s->words > word ? s->word[word] : "";

    if (!*n || strpbrk(n, "+:") || (*n >= '0' && *n <= '9'))
        return wrong(s, word, *n ? "'%.60s' is no name" : "a name is missing%s", n);
    return 0;
}

/* WHERE */
static int where(struct script *s, unsigned word, const struct vm_sim_process *p, struct vm_sim_logical *at)
{
    const char *text = word < s->words ? s->word[word] : "";
    const char *colon = strchr(text, ':'), *plus = strchr(text, '+');
    uint64_t n;

    *at = (struct vm_sim_logical){0};
    if (!*text)
        return wrong(s, word, "an address is missing");
    if (colon) {
        char selector[64];
        snprintf(selector, sizeof selector, "%.*s", (int)(colon - text), text);
        if (vm_sim_parse_bytes(colon + 1, &at->offset) != 0)
            return wrong(s, word, "'%.60s' is no offset", colon + 1);
        if (vm_sim_parse_bytes(selector, &n) == 0 && n <= UINT16_MAX) {
            at->selector = (uint16_t)n;
            return 0;
        }
        for (const struct vm_sim_segment *g = p->segments; g; g = g->next)
            if (strcmp(g->name, selector) == 0) {
                at->selector = vm_sim_segment_selector(p, g);
                return 0;
            }
        return wrong(s, word, "'%.60s' is no selector and no segment", selector);
    }
    if (vm_sim_parse_bytes(text, &at->offset) == 0)
        return 0;
    size_t length = plus ? (size_t)(plus - text) : strlen(text);
    const struct thing *t = find(s, text, length);
    if (!t || t->kind != THING_MEMORY)
        return wrong(s, word, "'%.*s' is no address and names no memory", (int)vm_min(length, (size_t)60), text);
    at->offset = t->at;
    if (plus && vm_sim_parse_bytes(plus + 1, &n) != 0)
        return wrong(s, word, "'%.60s' is no offset", plus + 1);
    at->offset += plus ? n : 0;
    return 0;
}

/* ---- Machines and processes ---- */

/* What belongs to the machine that ends. */
static void release(struct script *s)
{
    if (*s->m && (*s->m)->events.ctx == &s->log)
        vm_sim_machine_listen(*s->m, NULL, NULL, 0);
    while (s->things)
        forget(s, s->things);
    for (struct object *o = s->objects, *next; o; o = next) {
        next = o->next;
        free(o);
    }
    s->objects = NULL;
}

static int do_machine(struct script *s)
{
    if (s->words < 2)
        return wrong(s, 1, "a preset or KEY=VALUE is missing");
    if (*s->m) { /* a new one */
        release(s);
        vm_sim_machine_free(*s->m);
        *s->m = NULL;
        vm_sim_config_preset(&s->config, "x86_64");
    }
    for (unsigned i = 1; i < s->words; i++) {
        struct vm_sim_message why;
        if (!strchr(s->word[i], '=') && vm_sim_config_preset(&s->config, s->word[i]) != 0)
            return wrong(s, i, "there is no preset '%.60s'", s->word[i]);
        if (strchr(s->word[i], '=') && vm_sim_config_set(&s->config, s->word[i], &why) != 0)
            return wrong(s, i, "%.120s", why.text);
    }
    return 0;
}

static int do_process(struct script *s)
{
    int error = new_name(s, 1), nice = 0;

    if (error || (error = need_machine(s)))
        return error;
    if (is(s, 2, "nice")) {
        char *end = "x";
        nice = s->words > 3 ? (int)strtol(s->word[3], &end, 10) : 0;
        if (*end || nice < -20 || nice > 19)
            return wrong(s, 3, "nice goes from -20 to 19");
    }
    if ((error = no_more(s, is(s, 2, "nice") ? 4 : 2)))
        return error;
    struct vm_sim_process *p = vm_sim_process_new(*s->m, s->word[1]);
    if (!p)
        return refused(s, -ENOMEM);
    p->nice = nice;
    return 0;
}

static int do_fork(struct script *s)
{
    struct vm_sim_process *p, *child;
    struct vm_sim_fork_cost cost;
    int error = need_paging(s);

    if (error || (error = living(s, 1, &p)) || (error = new_name(s, 2)) || (error = no_more(s, 3)))
        return error < 0 ? error : 0;
    if (!(child = vm_sim_fork(*s->m, p, &cost)))
        return refused(s, -ENOMEM);
    free((char *)(uintptr_t)child->name);
    child->name = vm_sim_strdup(s->word[2]);
    fprintf(s->out,
            "fork %s %s: %" PRIu64 " tables, %" PRIu64 " entries, %" PRIu64 " made read-only, %" PRIu64 " swapped\n",
            p->name, child->name, cost.tables_copied, cost.entries, cost.protected_, cost.swapped);
    return 0;
}

static int do_exec(struct script *s)
{
    struct vm_sim_exec_segment segment[32];
    struct vm_sim_process *p;
    const char *why = "";
    size_t count = 0;
    int error = need_paging(s);

    if (error || (error = living(s, 1, &p)))
        return error < 0 ? error : 0;
    if (s->words < 3)
        return wrong(s, 2, "an ELF file is missing");
    if ((error = no_more(s, 3)))
        return error;
    if (vm_sim_elf_segments(s->word[2], segment, 32, &count, &why) != 0)
        return wrong(s, 2, "%.60s: %s", s->word[2], why);
    return refused(s, vm_sim_exec(*s->m, p, s->word[2], segment, count));
}

static int do_exit(struct script *s)
{
    struct vm_sim_process *p;
    int error = living(s, 1, &p);

    if (error || (error = no_more(s, 2)))
        return error < 0 ? error : 0;
    uint64_t frames = vm_sim_exit(*s->m, p, 0);
    if (is_paged(*s->m))
        fprintf(s->out, "exit %s: %" PRIu64 " frames returned\n", s->word[1], frames);
    return 0;
}

/* ---- Memory of processes ---- */

static int perms(struct script *s, unsigned word, unsigned *out)
{
    *out = 0;
    for (const char *p = s->word[word]; *p; p++) {
        if (!strchr("rwx-", *p))
            return wrong(s, word, "permissions are made of r, w, x and -, not '%.60s'", s->word[word]);
        *out |= *p == 'r' ? VM_SIM_R : *p == 'w' ? VM_SIM_W : *p == 'x' ? VM_SIM_X : 0;
    }
    return 0;
}

/* mmap P NAME SIZE [PERMS] [shared] [file NAME] [at ADDRESS] */
static int do_mmap(struct script *s)
{
    struct vm_sim_process *p;
    uint64_t bytes, at = 0;
    unsigned allowed = VM_SIM_R | VM_SIM_W, flags = 0;
    struct vm_sim_file *file = NULL;
    int error = need_paging(s);

    if (error || (error = living(s, 1, &p)) || (error = new_name(s, 2)) || (error = size(s, 3, &bytes)))
        return error < 0 ? error : 0;
    for (unsigned i = 4; i < s->words; i++) {
        if (is(s, i, "shared"))
            flags |= VM_SIM_VMA_SHARED;
        else if (is(s, i, "locked"))
            flags |= VM_SIM_VMA_LOCKED;
        else if (is(s, i, "file") && i + 1 < s->words)
            file = vm_sim_file_open(*s->m, s->word[++i], bytes);
        else if ((error = is(s, i, "at") ? size(s, ++i, &at) : perms(s, i, &allowed)))
            return error;
    }
    if ((error = vm_sim_mmap(*s->m, p->mm, at, bytes, allowed, flags, file ? VM_SIM_FILE : VM_SIM_MMAP, file, 0, &at)))
        return refused(s, error);
    struct thing *t = enter(s, s->word[2], THING_MEMORY);
    t->at = at;
    t->bytes = bytes;
    return 0;
}

static int do_malloc(struct script *s)
{
    struct vm_sim_process *p;
    uint64_t bytes, at;
    int error = need_paging(s);

    if (error || (error = living(s, 1, &p)) || (error = new_name(s, 2)) || (error = size(s, 3, &bytes))
        || (error = no_more(s, 4)))
        return error < 0 ? error : 0;
    if ((error = vm_sim_malloc(*s->m, p->mm, bytes, &at)))
        return refused(s, error);
    struct thing *t = enter(s, s->word[2], THING_MEMORY);
    t->at = at;
    t->bytes = bytes;
    return 0;
}

/* munmap P WHERE SIZE, and mprotect P WHERE SIZE PERMS */
static int do_munmap(struct script *s)
{
    struct vm_sim_process *p;
    struct vm_sim_logical at;
    uint64_t bytes;
    unsigned allowed;
    bool protect = is(s, 0, "mprotect");
    int error = need_paging(s);

    if (error || (error = living(s, 1, &p)) || (error = where(s, 2, p, &at)) || (error = size(s, 3, &bytes))
        || (error = no_more(s, protect ? 5 : 4)))
        return error < 0 ? error : 0;
    if (!protect)
        return refused(s, vm_sim_munmap(*s->m, p->mm, at.offset, bytes));
    if (s->words < 5)
        return wrong(s, 4, "permissions are missing");
    if ((error = perms(s, 4, &allowed)))
        return error;
    return refused(s, vm_sim_mprotect(*s->m, p->mm, at.offset, bytes, allowed));
}

static int do_brk(struct script *s)
{
    struct vm_sim_process *p;
    uint64_t bytes;
    int error = need_paging(s);

    if (error || (error = living(s, 1, &p)) || (error = size(s, 2, &bytes)) || (error = no_more(s, 3)))
        return error < 0 ? error : 0;
    return refused(s, vm_sim_brk(*s->m, p->mm, p->mm->start_brk + bytes));
}

/* ---- References ---- */

/* read P WHERE [COUNT [STEP]] [times N] [random] */
static int do_refs(struct script *s)
{
    enum vm_sim_access access = is(s, 0, "read") ? VM_SIM_READ : is(s, 0, "write") ? VM_SIM_WRITE : VM_SIM_FETCH;
    struct vm_sim_process *p;
    struct vm_sim_logical at;
    uint64_t count = 1, step = VM_SIM_PAGE_SIZE, times = 1;
    struct vm_sim_ref ref[256];
    size_t n = 0;
    bool random = false;
    unsigned i = 3;
    int error = living(s, 1, &p);

    if (error || (error = where(s, 2, p, &at)))
        return error < 0 ? error : 0;
    if (i < s->words && *s->word[i] >= '0' && *s->word[i] <= '9' && (error = size(s, i++, &count)))
        return error;
    if (i < s->words && *s->word[i] >= '0' && *s->word[i] <= '9' && (error = size(s, i++, &step)))
        return error;
    for (; i < s->words; i++) {
        if (is(s, i, "random"))
            random = true;
        else if (!is(s, i, "times"))
            return wrong(s, i, "'%.60s' is too much here", s->word[i]);
        else if ((error = size(s, ++i, &times)))
            return error;
    }
    if (count == 0 || times == 0 || count > COUNT_MAX || times > COUNT_MAX / count)
        return wrong(s, 3, "from 1 to %" PRIu64 " references", COUNT_MAX);
    for (uint64_t k = 0; k < count * times; k++) {
        uint64_t index = random ? vm_sim_random(&(*s->m)->random) % count : k % count;
        ref[n++] = (struct vm_sim_ref){.offset = at.offset + index * step,
                                       .selector = at.selector,
                                       .process = p->context.slot,
                                       .access = (uint8_t)access,
                                       .bytes = 1};
        if (n < sizeof ref / sizeof *ref && k + 1 < count * times)
            continue;
        if (n == 1 && count * times == 1)
            return refused(s, vm_sim_ref(*s->m, ref[0], NULL));
        vm_sim_refs(*s->m, ref, n);
        n = 0;
    }
    return 0;
}

/* translate P WHERE [read|write|fetch]: the three kinds of address. */
static int do_translate(struct script *s)
{
    struct vm_sim_translation t;
    struct vm_sim_process *p;
    struct vm_sim_logical at;
    int error = living(s, 1, &p);

    if (error || (error = where(s, 2, p, &at)))
        return error < 0 ? error : 0;
    unsigned access = is(s, 3, "write") ? VM_SIM_WRITE : is(s, 3, "fetch") ? VM_SIM_FETCH : VM_SIM_READ;
    if ((error = no_more(s, access == VM_SIM_READ && !is(s, 3, "read") ? 3 : 4)))
        return error;
    error = vm_sim_ref(*s->m,
                       (struct vm_sim_ref){.offset = at.offset,
                                           .selector = at.selector,
                                           .bytes = 1,
                                           .process = p->context.slot,
                                           .access = (uint8_t)access},
                       &t);
    if (error)
        return refused(s, error);
    fprintf(s->out, "logical %#x:%#" PRIx64 ", linear %#" PRIx64 ", physical %#" PRIx64 ": %u memory accesses, ",
            t.logical.selector, t.logical.offset, t.linear.at, t.physical.at, t.memory_reads);
    fprintf(s->out, t.tlb_level ? "TLB level %u" : "no TLB hit", t.tlb_level);
    fprintf(s->out, ", %u faults\n", t.faults);
    return 0;
}

/* ---- Segments and bare memory ---- */

/* segment P INDEX NAME SIZE code|data|rodata [dpl N] */
static int do_segment(struct script *s)
{
    struct vm_sim_process *p;
    uint64_t index, bytes, dpl = 3;
    unsigned type;
    int error = living(s, 1, &p);

    if (error || (error = size(s, 2, &index)) || (error = new_name(s, 3)) || (error = size(s, 4, &bytes)))
        return error < 0 ? error : 0;
    if ((*s->m)->config.addressing != VM_SIM_SEGMENTS && (*s->m)->config.addressing != VM_SIM_SEG_PAGED)
        return wrong(s, 0, "'segment' needs a machine with segments");
    if (is(s, 5, "code"))
        type = VM_SIM_SEG_CODE | VM_SIM_SEG_READABLE;
    else if (is(s, 5, "data"))
        type = VM_SIM_SEG_WRITABLE;
    else if (is(s, 5, "rodata"))
        type = 0;
    else
        return wrong(s, 5, "a segment is code, data or rodata");
    if (is(s, 6, "dpl") && ((error = size(s, 7, &dpl)) || dpl > 3))
        return error ? error : wrong(s, 7, "dpl goes from 0 to 3");
    if ((error = no_more(s, is(s, 6, "dpl") ? 8 : 6)))
        return error;
    const char *name = vm_sim_machine_text(*s->m, s->word[3]);
    error = vm_sim_segment_add(*s->m, p, (unsigned)vm_min(index, 8192), name, bytes, type, (unsigned)dpl, NULL);
    if (error == -EINVAL || error == -EEXIST)
        return wrong(s, 2, "no such segment: index 0 to 8191, each once, 1 byte to 4G");
    return refused(s, error);
}

/* load P SIZE [at ADDRESS] [addresses N] */
static int do_load(struct script *s)
{
    struct vm_sim_process *p;
    uint64_t bytes, at = 0, addresses = 0;
    int error = living(s, 1, &p);

    if (error || (error = size(s, 2, &bytes)))
        return error < 0 ? error : 0;
    if ((*s->m)->config.addressing != VM_SIM_BARE)
        return wrong(s, 0, "'load' needs a machine of bare memory");
    for (unsigned i = 3; i < s->words; i += 2) {
        if (!is(s, i, "at") && !is(s, i, "addresses"))
            return wrong(s, i, "'%.60s' is too much here", s->word[i]);
        if ((error = size(s, i + 1, is(s, i, "at") ? &at : &addresses)))
            return error;
    }
    if (p->program)
        return wrong(s, 1, "'%.60s' has a program already", s->word[1]);
    p->program = vm_sim_load(&(*s->m)->core, p->name, p->context.pid, (*s->m)->config.relocation, at, bytes, addresses);
    return p->program ? 0 : refused(s, -ENOMEM);
}

/* out P [SEGMENT], in P [SEGMENT] */
static int do_out(struct script *s)
{
    struct vm_sim_process *p;
    bool out = is(s, 0, "out");
    int error = living(s, 1, &p);

    if (error || (error = no_more(s, 3)))
        return error < 0 ? error : 0;
    if (p->program) {
        if (p->program->loaded == out) {
            if (out)
                vm_sim_program_out(&(*s->m)->core, p->program);
            else
                return refused(s, vm_sim_program_in(&(*s->m)->core, p->program));
        }
        return 0;
    }
    struct vm_sim_segment *g = p->segments;
    while (g && s->words > 2 && strcmp(g->name, s->word[2]) != 0)
        g = g->next;
    if (!g || s->words < 3)
        return wrong(s, 2, "'%s' has no such segment", s->word[1]);
    if (g->present != out)
        return 0;
    if (!out)
        return refused(s, vm_sim_segment_in(*s->m, p, g));
    vm_sim_segment_out(*s->m, p, g);
    return 0;
}

static int do_compact(struct script *s)
{
    int error = need_machine(s);

    if (error || (error = no_more(s, 1)))
        return error;
    if (is_paged(*s->m))
        return wrong(s, 0, "'compact' needs a machine without paging");
    uint64_t bytes = (*s->m)->config.addressing == VM_SIM_BARE ? vm_sim_space_compact(&(*s->m)->core.space)
                                                               : vm_sim_compact(*s->m);
    fprintf(s->out, "compact: %" PRIu64 " bytes moved\n", bytes);
    return 0;
}

/* ---- The kernel's memory ---- */

/* alloc NAME ORDER [dma|dma32|highmem] [atomic] [COUNT is by repeat] */
static int do_alloc(struct script *s)
{
    unsigned gfp = VM_SIM_GFP_WAIT;
    uint64_t order;
    int error = need_paging(s);

    if (error || (error = new_name(s, 1)) || (error = size(s, 2, &order)))
        return error;
    if (order >= VM_SIM_ORDERS)
        return wrong(s, 2, "orders go from 0 to %d", VM_SIM_ORDERS - 1);
    for (unsigned i = 3; i < s->words; i++) {
        if (is(s, i, "dma"))
            gfp |= VM_SIM_GFP_DMA;
        else if (is(s, i, "dma32"))
            gfp |= VM_SIM_GFP_DMA32;
        else if (is(s, i, "highmem"))
            gfp |= VM_SIM_GFP_HIGHMEM;
        else if (is(s, i, "atomic"))
            gfp = (gfp & ~(unsigned)VM_SIM_GFP_WAIT) | VM_SIM_GFP_ATOMIC;
        else
            return wrong(s, i, "'%.60s' is no kind of request", s->word[i]);
    }
    if (find(s, s->word[1], strlen(s->word[1])))
        return wrong(s, 1, "'%.60s' is in use", s->word[1]);
    vm_sim_pfn frame = vm_sim_alloc_pages(&(*s->m)->memory, gfp, (unsigned)order, VM_SIM_FRAME_KERNEL);
    if (frame == VM_SIM_NO_FRAME)
        return refused(s, -ENOMEM);
    struct thing *t = enter(s, s->word[1], THING_FRAMES);
    t->frame = frame;
    t->order = (unsigned)order;
    fprintf(s->out, "%s: frame %" PRIu32 ", zone %s\n", t->name, frame, vm_sim_zone_of(&(*s->m)->memory, frame)->name);
    return 0;
}

static int do_free(struct script *s)
{
    struct thing *t;
    int error = need_paging(s);

    if (error || (error = named(s, 1, THING_FRAMES, &t)) || (error = no_more(s, 2)))
        return error;
    vm_sim_free_pages(&(*s->m)->memory, t->frame, t->order);
    forget(s, t);
    return 0;
}

static int do_vmalloc(struct script *s)
{
    uint64_t bytes;
    int error = need_paging(s);

    if (error || (error = new_name(s, 1)) || (error = size(s, 2, &bytes)) || (error = no_more(s, 3)))
        return error;
    if (find(s, s->word[1], strlen(s->word[1])))
        return wrong(s, 1, "'%.60s' is in use", s->word[1]);
    struct vm_sim_varea *area = vm_sim_vmalloc(&(*s->m)->vmareas, bytes);
    if (!area)
        return refused(s, -ENOMEM);
    struct thing *t = enter(s, s->word[1], THING_VMALLOC);
    t->area = area;
    fprintf(s->out, "%s: %#" PRIx64 ", %" PRIu64 " pages in %" PRIu64 " runs\n", t->name, area->start,
            area->bytes / VM_SIM_PAGE_SIZE, vm_sim_varea_runs(area));
    return 0;
}

static int do_vfree(struct script *s)
{
    struct thing *t;
    int error = need_paging(s);

    if (error || (error = named(s, 1, THING_VMALLOC, &t)) || (error = no_more(s, 2)))
        return error;
    vm_sim_vfree(&(*s->m)->vmareas, t->area);
    forget(s, t);
    return 0;
}

/* kmap NAME, kunmap NAME: a frame of the kernel, in 32 bits. */
static int do_kmap(struct script *s)
{
    struct thing *t;
    int error = need_paging(s);

    if (error || (error = named(s, 1, THING_FRAMES, &t)) || (error = no_more(s, 2)))
        return error;
    if (vm_sim_paging_geometry[(*s->m)->config.mode].linear_bits != 32)
        return wrong(s, 0, "'%s' needs a machine of 32 bits", s->word[0]);
    struct vm_sim_kmaps *k = &(*s->m)->kmaps;
    bool is_high = vm_sim_direct_map(k, t->frame) == 0;
    if (is(s, 0, "kunmap")) {
        if (is_high)
            vm_sim_kunmap(k, t->frame);
        return 0;
    }
    uint64_t at = vm_sim_kmap(k, t->frame);
    if (!at)
        return refused(s, -ENOMEM);
    fprintf(s->out, "%s: frame %" PRIu32 " at %#" PRIx64 ", %s\n", t->name, t->frame, at,
            is_high ? "kmap" : "direct map");
    return 0;
}

/* cache NAME SIZE [align N] [constructor] */
static int do_cache(struct script *s)
{
    uint64_t bytes, align = 0;
    bool constructor = false;
    int error = need_paging(s);

    if (error || (error = new_name(s, 1)) || (error = size(s, 2, &bytes)))
        return error;
    for (unsigned i = 3; i < s->words; i++) {
        if (is(s, i, "constructor"))
            constructor = true;
        else if (!is(s, i, "align"))
            return wrong(s, i, "'%.60s' is too much here", s->word[i]);
        else if ((error = size(s, ++i, &align)))
            return error;
    }
    if (align & (align - 1) || align > VM_SIM_PAGE_SIZE)
        return wrong(s, 3, "align takes a power of two up to 4096");
    if (bytes == 0 || bytes > 4 << 20)
        return wrong(s, 2, "objects have 1 byte to 4M");
    if (vm_sim_cache_find(&(*s->m)->slabs, s->word[1]))
        return wrong(s, 1, "there is a cache '%.60s' already", s->word[1]);
    const char *name = vm_sim_machine_text(*s->m, s->word[1]);
    struct vm_sim_cache *c = vm_sim_cache_new(&(*s->m)->slabs, name, (uint32_t)bytes, (uint32_t)align, constructor);
    if (!c)
        return refused(s, -ENOMEM);
    fprintf(s->out,
            "cache %s: %" PRIu32 " objects of %" PRIu32 " in a slab of %u pages, %" PRIu32 " left over, %" PRIu32
            " colours\n",
            c->name, c->objects, c->size, 1u << c->order, c->left_over, c->colours);
    return 0;
}

/* take CACHE [COUNT] [show], give CACHE [COUNT] */
static int do_take(struct script *s)
{
    uint64_t count = 1;
    int error = need_paging(s);
    struct vm_sim_cache *c = NULL;

    if (error)
        return error;
    if (s->words > 1)
        c = vm_sim_cache_find(&(*s->m)->slabs, s->word[1]);
    if (!c)
        return wrong(s, 1, "there is no such cache");
    if (s->words > 2 && (error = size(s, 2, &count)))
        return error;
    bool show = is(s, 3, "show");
    if ((error = no_more(s, show ? 4 : 3)))
        return error;
    for (uint64_t i = 0; i < count && is(s, 0, "take"); i++) {
        struct vm_sim_object o = vm_sim_cache_alloc(&(*s->m)->slabs, c, VM_SIM_GFP_KERNEL);
        if (!o.slab)
            return refused(s, -ENOMEM);
        struct object *kept = vm_sim_zalloc(sizeof *kept);
        *kept = (struct object){.next = s->objects, .cache = c, .object = o};
        s->objects = kept;
        if (show)
            fprintf(s->out, "%s: slab at frame %" PRIu32 ", colour %" PRIu32 ", object %" PRIu32 " at %#" PRIx64 "\n",
                    c->name, o.slab->frame, o.slab->colour, o.index, o.at.at);
    }
    for (struct object **at = &s->objects; *at && count > 0 && is(s, 0, "give");) {
        struct object *o = *at;
        if (o->cache != c) {
            at = &o->next;
            continue;
        }
        vm_sim_cache_free(&(*s->m)->slabs, o->object);
        *at = o->next;
        free(o);
        count--;
    }
    return 0;
}

static int do_reap(struct script *s)
{
    int error = need_paging(s);

    if (error || (error = no_more(s, 1)))
        return error;
    fprintf(s->out, "reap: %" PRIu64 " frames\n", vm_sim_slabs_reap(&(*s->m)->slabs));
    return 0;
}

/* ---- Showing ---- */

static int number(struct script *s, unsigned word, double *n)
{
    char *end;

    if (word >= s->words)
        return wrong(s, word, "a number is missing");
    *n = strtod(s->word[word], &end);
    return end == s->word[word] || *end ? wrong(s, word, "'%.60s' is no number", s->word[word]) : 0;
}

/* show tables MODE [PART]: what the tables of a process take. */
static int show_tables(struct script *s)
{
    double part = 1;
    int mode = s->words > 2 ? vm_sim_paging_mode_of(s->word[2]) : -EINVAL, error;

    if (mode < 0)
        return wrong(s, 2, "a paging mode is missing or unknown");
    if (s->words > 3 && (error = number(s, 3, &part)))
        return error;
    if (s->words > 3)
        fprintf(s->out, "tables, %s, %g of the last level: %.3f MB\n", s->word[2], part,
                vm_sim_tables_part((enum vm_sim_paging_mode)mode, part) / (1 << 20));
    else
        fprintf(s->out, "tables, %s, all of them: %" PRIu64 " KiB\n", s->word[2],
                vm_sim_tables_full((enum vm_sim_paging_mode)mode) / 1024);
    return no_more(s, 4);
}

/* show eat HIT-RATIO LOOKUP MEMORY [LEVELS] */
static int show_eat(struct script *s)
{
    double hit, lookup, memory, levels = 1;
    int error;

    if (s->words == 2) {
        if ((error = need_machine(s)))
            return error;
        fprintf(s->out, "EAT %.3f ns\n", vm_sim_machine_eat(*s->m));
        return 0;
    }
    if ((error = number(s, 2, &hit)) || (error = number(s, 3, &lookup)) || (error = number(s, 4, &memory))
        || (s->words > 5 && (error = number(s, 5, &levels))) || (error = no_more(s, 6)))
        return error;
    fprintf(s->out, "EAT, hit ratio %g, TLB %g ns, memory %g ns, %g levels: %g ns\n", hit, lookup, memory, levels,
            vm_tlb_eat_textbook(hit, lookup, memory, (unsigned)levels));
    return 0;
}

static int do_show(struct script *s)
{
    struct vm_sim_process *p;
    struct vm_sim_logical at;
    int error;

    if (s->words < 2)
        return wrong(s, 1, "what is to be shown?");
    if (is(s, 1, "tables"))
        return show_tables(s);
    if (is(s, 1, "eat"))
        return show_eat(s);
    if ((error = need_machine(s)))
        return error;
    if (s->words == 2) {
        if (is(s, 1, "json"))
            vm_sim_report_json(s->out, *s->m);
        else if (!vm_sim_report(s->out, *s->m, s->word[1], strlen(s->word[1])))
            return wrong(s, 1, "there is nothing to show as '%.60s'", s->word[1]);
        return 0;
    }
    if ((error = process(s, 2, &p)))
        return error;
    if (is(s, 1, "maps")) {
        vm_sim_report_maps(s->out, p);
    } else if (is(s, 1, "smaps")) {
        vm_sim_report_smaps(s->out, *s->m, p);
    } else if (is(s, 1, "walk")) {
        if ((error = where(s, 3, p, &at)))
            return error;
        vm_sim_report_walk(s->out, p, VM_SIM_LINEAR(at.offset));
    } else {
        return wrong(s, 1, "there is nothing of a process to show as '%.60s'", s->word[1]);
    }
    return no_more(s, is(s, 1, "walk") ? 4 : 3);
}

static int do_log(struct script *s)
{
    uint32_t mask = 0;
    int error = need_machine(s);

    if (error)
        return error;
    if (s->words < 2 || (!is(s, 1, "off") && !(mask = vm_sim_log_mask(s->word[1]))))
        return wrong(s, 1, "log takes names of events with commas, or off");
    s->log.out = s->out;
    vm_sim_machine_listen(*s->m, mask ? vm_sim_log_event : NULL, &s->log, mask);
    return no_more(s, 2);
}

static int do_print(struct script *s)
{
    for (unsigned i = 1; i < s->words; i++)
        fprintf(s->out, "%s%s", i > 1 ? " " : "", s->word[i]);
    putc('\n', s->out);
    return 0;
}

/* Everything about the machine holds; a bug of the simulator if not. */
static int do_check(struct script *s)
{
    int error = need_machine(s);

    if (error || (error = no_more(s, 1)))
        return error;
    return vm_sim_machine_check(*s->m) ? 0 : wrong(s, 0, "an invariant of the machine does not hold");
}

/* ---- Lines ---- */

static const struct command {
    const char *name;
    int (*run)(struct script *s);
} command[] = {
    {"machine", do_machine}, {"process", do_process},
    {"fork", do_fork},       {"exec", do_exec},
    {"exit", do_exit},       {"mmap", do_mmap},
    {"malloc", do_malloc},   {"munmap", do_munmap},
    {"mprotect", do_munmap}, {"brk", do_brk},
    {"read", do_refs},       {"write", do_refs},
    {"fetch", do_refs},      {"translate", do_translate},
    {"segment", do_segment}, {"load", do_load},
    {"out", do_out},         {"in", do_out},
    {"compact", do_compact}, {"alloc", do_alloc},
    {"free", do_free},       {"vmalloc", do_vmalloc},
    {"vfree", do_vfree},     {"kmap", do_kmap},
    {"kunmap", do_kmap},     {"cache", do_cache},
    {"take", do_take},       {"give", do_take},
    {"reap", do_reap},       {"show", do_show},
    {"log", do_log},         {"print", do_print},
    {"check", do_check},
};

static int run_line(struct script *s)
{
    if (s->words == 0)
        return 0;
    for (size_t i = 0; i < sizeof command / sizeof *command; i++)
        if (strcmp(s->word[0], command[i].name) == 0)
            return command[i].run(s);
    return wrong(s, 0, "'%.60s' is no command", s->word[0]);
}

int vm_sim_script_run(struct vm_sim_machine **m, const char *file, FILE *in, FILE *out, const char *const *set,
                      struct vm_sim_message *message)
{
    struct script s = {.m = m, .file = file, .out = out, .set = set, .message = message};
    char line[LINE_MAX_BYTES];
    int error = 0;

    vm_sim_config_preset(&s.config, "x86_64");
    while (!error && fgets(line, sizeof line, in)) {
        s.line++;
        if (strlen(line) == sizeof line - 1 && line[sizeof line - 2] != '\n')
            error = wrong(&s, 0, "the line is longer than %d bytes", LINE_MAX_BYTES - 2);
        else if (!(error = split(&s, line)))
            error = run_line(&s);
    }
    if (!error && ferror(in)) {
        snprintf(message->text, sizeof message->text, "%.180s: could not be read", file);
        error = -EIO;
    }
    release(&s);
    return error;
}
