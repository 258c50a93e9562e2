/* Machine descriptions: presets, files and single settings, all through one table of keys; see machine.h.  README.md lists
   the keys. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/machine.h"
#include "sim/mem.h"
#include "vm/tlb_host.h"

#define FILE_MAX ((size_t)1 << 20)

/* ---- Words ---- */

static int word_of(const char *text, const char *const *words)
{
    for (int i = 0; words[i]; i++)
        if (strcmp(text, words[i]) == 0)
            return i;
    return -EINVAL;
}

int vm_sim_parse_bytes(const char *text, uint64_t *bytes)
{
    static const char units[] = "KMGT";
    bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    double part = 0;
    unsigned shift = 0;
    char *end;

    if (!isdigit((unsigned char)text[0]) || (hex && !isxdigit((unsigned char)text[2])))
        return -EINVAL;
    errno = 0;
    uint64_t whole = strtoull(text, &end, hex ? 16 : 10);
    if (errno)
        return -EINVAL;
    if (*end == '.' && !hex) {
        if (!isdigit((unsigned char)*++end))
            return -EINVAL;
        for (double place = 0.1; isdigit((unsigned char)*end); end++, place /= 10)
            part += place * (*end - '0');
    }
    const char *unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
    if (unit) {
        shift = 10 * (unsigned)(unit - units + 1);
        end += end[1] == 'i' && end[2] == 'B' ? 3 : end[1] == 'B' ? 2 : 1;
    }
    if (*end != '\0' || whole > UINT64_MAX >> shift)
        return -EINVAL;
    *bytes = (whole << shift) + (uint64_t)(part * (double)((uint64_t)1 << shift) + 0.5);
    return 0;
}

/* The next word of *text, cut out; NULL at the end. */
static char *next_word(char **text)
{
    char *at = *text + strspn(*text, " \t,");

    if (*at == '\0')
        return NULL;
    *text = at + strcspn(at, " \t,");
    if (**text)
        *(*text)++ = '\0';
    return at;
}

static int parse_yes(const char *text, bool *to)
{
    static const char *const words[] = {"no", "yes", "off", "on", "0", "1", NULL};
    int w = word_of(text, words);

    if (w < 0)
        return -EINVAL;
    *to = w & 1;
    return 0;
}

static int parse_number(const char *text, double *to)
{
    char *end;

    *to = strtod(text, &end);
    return end != text && *end == '\0' && *to >= 0 && *to < 1e15 ? 0 : -EINVAL;
}

/* ---- Keys: each takes its value (which it may cut) and says in one line what it wants when it does not like it ---- */

#define BYTES_KEY(name, to) \
    static int set_##name(struct vm_sim_config *c, char *v) { return vm_sim_parse_bytes(v, &(to)); }
#define YES_KEY(name, to) \
    static int set_##name(struct vm_sim_config *c, char *v) { return parse_yes(v, &(to)); }
#define NS_KEY(name, to) \
    static int set_##name(struct vm_sim_config *c, char *v) { return parse_number(v, &(to)); }
#define WORD_KEY(name, to, type, ...) \
    static int set_##name(struct vm_sim_config *c, char *v) \
    { \
        static const char *const words[] = {__VA_ARGS__, NULL}; \
        int w = word_of(v, words); \
        if (w >= 0) \
            (to) = (type)w; \
        return w < 0 ? w : 0; \
    }

BYTES_KEY(memory, c->memory)
BYTES_KEY(stack, c->stack_limit)
BYTES_KEY(dma_end, c->zones.dma_end)
BYTES_KEY(normal_end, c->zones.normal_end)
BYTES_KEY(window, c->window)
YES_KEY(shared_directory, c->shared_directory)
YES_KEY(descriptor_cache, c->descriptor_cache)
YES_KEY(pcid, c->pcid)
NS_KEY(l1_ns, c->latency.lookup[0])
NS_KEY(l2_ns, c->latency.lookup[1])
NS_KEY(memory_ns, c->latency.memory)
NS_KEY(fault_ns, c->fault_ns)
NS_KEY(disk_ns, c->disk_ns)
WORD_KEY(addressing, c->addressing, enum vm_sim_addressing, "bare", "segments", "seg-paged", "flat")
WORD_KEY(relocation, c->relocation, enum vm_sim_relocation, "absolute", "static", "base-limit")
WORD_KEY(fit, c->fit, enum vm_sim_fit, "first", "best")
WORD_KEY(zones, c->zones.wide, bool, "32", "64")

static int set_name(struct vm_sim_config *c, char *v)
{
    if (strlen(v) >= sizeof c->name)
        return -EINVAL;
    strcpy(c->name, v);
    return 0;
}

static int set_preset(struct vm_sim_config *c, char *v) { return vm_sim_config_preset(c, v) == 0 ? 0 : -EINVAL; }

static int set_processes(struct vm_sim_config *c, char *v)
{
    uint64_t n;

    if (vm_sim_parse_bytes(v, &n) != 0 || n < 1 || n > VM_SIM_MAX_PROCESSES)
        return -EINVAL;
    c->max_processes = (unsigned)n;
    return 0;
}

static int set_reserved(struct vm_sim_config *c, char *v)
{
    char *dash = strchr(v, '-');
    uint64_t from, to;

    if (strcmp(v, "none") == 0) {
        c->reserved_count = 0;
        return 0;
    }
    if (!dash || c->reserved_count == VM_SIM_RESERVED_MAX)
        return -EINVAL;
    *dash = '\0';
    if (vm_sim_parse_bytes(v, &from) != 0 || vm_sim_parse_bytes(dash + 1, &to) != 0 || from >= to)
        return -EINVAL;
    c->reserved[c->reserved_count++] = (struct vm_sim_range){from, to - from};
    return 0;
}

static int set_mode(struct vm_sim_config *c, char *v)
{
    int mode = vm_sim_paging_mode_of(v);

    if (mode >= 0)
        c->mode = (enum vm_sim_paging_mode)mode;
    return mode < 0 ? mode : 0;
}

static int set_levels(struct vm_sim_config *c, char *v)
{
    static const char *const words[] = {"1", "2", "3", "4", "5", NULL};
    static const enum vm_sim_paging_mode modes[] = {VM_SIM_PAGING_SINGLE, VM_SIM_PAGING_2LEVEL, VM_SIM_PAGING_PAE,
                                                    VM_SIM_PAGING_4LEVEL, VM_SIM_PAGING_5LEVEL};
    int w = word_of(v, words);

    if (w >= 0)
        c->mode = modes[w];
    return w < 0 ? w : 0;
}

static int set_page(struct vm_sim_config *c, char *v)
{
    uint64_t bytes;

    if (vm_sim_parse_bytes(v, &bytes) != 0)
        return -EINVAL;
    c->huge = bytes == (uint64_t)2 << 20 || bytes == (uint64_t)4 << 20;
    return c->huge || bytes == VM_SIM_PAGE_SIZE ? 0 : -EINVAL;
}

static int set_tlb(struct vm_sim_config *c, char *v)
{
    const struct vm_tlb_config *preset = vm_tlb_preset(v);
    struct vm_tlb_config host;

    if (strcmp(v, "none") == 0) {
        c->has_tlb = false;
        snprintf(c->tlb_name, sizeof c->tlb_name, "none");
        return 0;
    }
    if (strcmp(v, "host") == 0 && vm_tlb_host(&host) == 0)
        preset = &host;
    if (!preset)
        return -EINVAL;
    c->has_tlb = true;
    c->tlb = *preset;
    snprintf(c->tlb_name, sizeof c->tlb_name, "%s", preset->name);
    return 0;
}

/* "64/4": entries and ways; "64/full". */
static int parse_geometry(const char *text, struct vm_tlb_geometry *g)
{
    char *end;
    unsigned long entries = strtoul(text, &end, 10), ways;

    if (end == text || *end != '/' || entries == 0 || entries > VM_TLB_ENTRIES_MAX)
        return -EINVAL;
    text = end + 1;
    ways = strcmp(text, "full") == 0 ? entries : strtoul(text, &end, 10);
    if ((ways != entries || strcmp(text, "full") != 0) && (end == text || *end))
        return -EINVAL;
    if (ways == 0 || entries % ways != 0)
        return -EINVAL;
    g->sets = (uint32_t)(entries / ways);
    g->ways = (uint32_t)ways;
    return 0;
}

/* "64/4:4k 32/4:2m+4m 4/4:1g": the arrays of one level. */
static int set_arrays(struct vm_sim_config *c, char *v, unsigned level)
{
    struct vm_tlb_geometry g[VM_TLB_ARRAYS] = {{0}};
    char *word;
    unsigned n = 0;

    if (strcmp(v, "none") != 0)
        while ((word = next_word(&v))) {
            char *sizes = strchr(word, ':');
            if (!sizes || n == VM_TLB_ARRAYS)
                return -EINVAL;
            *sizes++ = '\0';
            if (parse_geometry(word, &g[n]) != 0)
                return -EINVAL;
            for (char *s = sizes; s; s = strchr(s, '+') ? strchr(s, '+') + 1 : NULL) {
                static const char *const names[] = {"4k", "2m", "1g", "4K", "2M", "1G", NULL};
                char one[4] = {0};
                size_t length = strcspn(s, "+");
                int w = length < sizeof one ? (memcpy(one, s, length), word_of(one, names)) : -EINVAL;
                if (w < 0)
                    return -EINVAL;
                g[n].sizes |= 1u << w % 3;
            }
            n++;
        }
    memcpy(c->tlb.array[level], g, sizeof g);
    c->has_tlb = true;
    snprintf(c->tlb_name, sizeof c->tlb_name, "own");
    return 0;
}

static int set_l1(struct vm_sim_config *c, char *v) { return set_arrays(c, v, 0); }
static int set_l2(struct vm_sim_config *c, char *v) { return set_arrays(c, v, 1); }

static int set_walk_cache(struct vm_sim_config *c, char *v)
{
    struct vm_tlb_geometry g[VM_TLB_WALK_LEVELS] = {{0}};
    char *word;

    if (strcmp(v, "none") != 0)
        for (unsigned n = 1; (word = next_word(&v)); n++)
            if (n == VM_TLB_WALK_LEVELS || parse_geometry(word, &g[n]) != 0)
                return -EINVAL;
    memcpy(c->tlb.walk_cache, g, sizeof g);
    return 0;
}

static int set_min_free(struct vm_sim_config *c, char *v)
{
    uint64_t bytes;

    if (vm_sim_parse_bytes(v, &bytes) != 0)
        return -EINVAL;
    c->zones.min_free_kbytes = bytes / 1024;
    return 0;
}

static int set_watermarks(struct vm_sim_config *c, char *v)
{
    uint64_t mark[3];

    for (unsigned i = 0; i < 3; i++) {
        char *word = next_word(&v);
        if (!word || vm_sim_parse_bytes(word, &mark[i]) != 0 || (i > 0 && mark[i] < mark[i - 1]))
            return -EINVAL;
    }
    memcpy(c->zones.watermark, mark, sizeof mark);
    return next_word(&v) ? -EINVAL : 0;
}

/* "512M", "file 512M", "file 512M PRIORITY EXTENTS", "none". */
static int set_swap(struct vm_sim_config *c, char *v)
{
    struct vm_sim_swap_spec s = {.name = "swap", .extents = 1};
    char *word[4] = {NULL};
    unsigned n = 0, at = 0;
    uint64_t extents = 1;

    if (strcmp(v, "none") == 0) {
        c->swap_count = 0;
        return 0;
    }
    while (n < 4 && (word[n] = next_word(&v)))
        n++;
    if (n == 0 || next_word(&v) || c->swap_count == VM_SIM_SWAP_MAX)
        return -EINVAL;
    if (!isdigit((unsigned char)word[0][0])) {
        if (strlen(word[0]) >= sizeof s.name)
            return -EINVAL;
        strcpy(s.name, word[at++]);
    }
    if (at >= n || vm_sim_parse_bytes(word[at++], &s.bytes) != 0)
        return -EINVAL;
    if (at < n) {
        char *end;
        long priority = strtol(word[at], &end, 10);
        if (*end || priority < -1000 || priority > 32767)
            return -EINVAL;
        s.priority = (int)priority;
        at++;
    }
    if (at < n && (vm_sim_parse_bytes(word[at++], &extents) != 0 || extents < 1 || extents > 65536))
        return -EINVAL;
    s.extents = (unsigned)extents;
    if (at < n)
        return -EINVAL;
    c->swap[c->swap_count++] = s;
    return 0;
}

static int set_policy(struct vm_sim_config *c, char *v)
{
    int p = vm_sim_policy_of(v);

    if (p < 0 || p == VM_SIM_OPTIMUM) /* it needs the future: --compare-policies */
        return -EINVAL;
    c->policy = (enum vm_sim_page_policy)p;
    return 0;
}

static const struct key {
    const char *section, *name;
    int (*set)(struct vm_sim_config *c, char *value);
    const char *wants;
} keys[] = {
    {"machine", "preset", set_preset,
     "a preset: x86_64, x86_64-la57, i386-2level, i386-pae, linux-0.12, segmented, base-limit"},
    {"machine", "name", set_name, "a name of at most 63 characters"},
    {"machine", "addressing", set_addressing, "bare, segments, seg-paged or flat"},
    {"machine", "relocation", set_relocation, "absolute, static or base-limit"},
    {"machine", "fit", set_fit, "first or best"},
    {"machine", "memory", set_memory, "a size, like 512M"},
    {"machine", "reserved", set_reserved, "FROM-TO, like 0xa0000-0x100000, at most 16 of them, or none"},
    {"machine", "processes", set_processes, "a number from 1 to 4096"},
    {"machine", "stack", set_stack, "a size, like 8M"},
    {"machine", "shared-directory", set_shared_directory, "yes or no"},
    {"paging", "mode", set_mode, "none, single, sorted, 2level, pae, 4level or 5level"},
    {"paging", "levels", set_levels, "1 to 5"},
    {"paging", "page", set_page, "4K, 2M or 4M"},
    {"paging", "descriptor-cache", set_descriptor_cache, "yes or no"},
    {"tlb", "tlb", set_tlb,
     "none, host, skylake, icelake, sapphirerapids, zen3, zen4, cortex-a72, neoverse-n1 or textbook"},
    {"tlb", "pcid", set_pcid, "yes or no"},
    {"tlb", "l1", set_l1, "ENTRIES/WAYS:SIZES ..., like 64/4:4k 32/4:2m 4/full:1g, or none"},
    {"tlb", "l2", set_l2, "ENTRIES/WAYS:SIZES ..., like 1536/12:4k+2m, or none"},
    {"tlb", "walk-cache", set_walk_cache, "ENTRIES/WAYS ..., for PDEs, PDPTEs, PML4Es, like 32/4 4/4 2/2, or none"},
    {"zones", "zones", set_zones, "32 or 64"},
    {"zones", "dma-end", set_dma_end, "a size, like 16M"},
    {"zones", "normal-end", set_normal_end, "a size, like 896M"},
    {"zones", "min-free", set_min_free, "a size, like 4M"},
    {"zones", "watermarks", set_watermarks, "MIN LOW HIGH in frames, ascending"},
    {"swap", "swap", set_swap, "[NAME] SIZE [PRIORITY [EXTENTS]], at most 8 of them, or none"},
    {"reclaim", "policy", set_policy, "two-list, fifo, clock or lru"},
    {"latency", "l1-ns", set_l1_ns, "nanoseconds"},
    {"latency", "l2-ns", set_l2_ns, "nanoseconds"},
    {"latency", "memory-ns", set_memory_ns, "nanoseconds"},
    {"latency", "fault-ns", set_fault_ns, "nanoseconds"},
    {"latency", "disk-ns", set_disk_ns, "nanoseconds"},
    {"record", "window", set_window, "a number of references; 0: none"},
};

#define KEYS (sizeof keys / sizeof *keys)

/* ---- Presets: descriptions like any other, over these defaults ---- */

static const char defaults[] = "addressing=flat\n"
                               "relocation=base-limit\n"
                               "fit=first\n"
                               "memory=1G\n"
                               "processes=4096\n"
                               "stack=8M\n"
                               "descriptor-cache=yes\n"
                               "mode=4level\n"
                               "tlb=skylake\n"
                               "pcid=yes\n"
                               "zones=64\n"
                               "dma-end=16M\n"
                               "normal-end=896M\n"
                               "policy=two-list\n"
                               "l1-ns=1\n"
                               "l2-ns=7\n"
                               "memory-ns=100\n"
                               "fault-ns=1000\n"
                               "disk-ns=100000\n"
                               "reserved=0xa0000-0x100000\n";

static const struct preset {
    const char *name, *text;
} presets[] = {
    {"x86_64", "swap=1G\n"},
    {"x86_64-la57", "mode=5level\ntlb=sapphirerapids\nmemory=4G\nswap=4G\n"},
    /* TLBs of the Pentium and the P6: 64 entries of 4 ways for 4 KiB, 8 of 4 for large pages. */
    {"i386-2level", "mode=2level\npcid=no\nl1=64/4:4k 8/4:2m\nl2=none\nwalk-cache=none\nzones=32\nswap=512M\n"},
    {"i386-pae", "mode=pae\npcid=no\nl1=64/4:4k 8/4:2m\nl2=none\nwalk-cache=none\nzones=32\nmemory=2G\nswap=512M\n"},
    /* The 80386: 32 entries of 4 ways. */
    {"linux-0.12",
     "addressing=seg-paged\nmode=2level\nshared-directory=yes\npcid=no\nl1=32/4:4k\nl2=none\nwalk-cache=none\n"
     "zones=32\nmemory=16M\nprocesses=64\nstack=8M\nswap=16M\npolicy=fifo\n"},
    {"segmented", "addressing=segments\nmode=none\ntlb=none\npcid=no\nmemory=16M\nreserved=none\nprocesses=64\n"},
    {"base-limit", "addressing=bare\nmode=none\ntlb=none\npcid=no\nmemory=1M\nreserved=none\nprocesses=64\n"},
};

#define PRESETS (sizeof presets / sizeof *presets)

static void apply(struct vm_sim_config *c, const char *text)
{
    struct vm_sim_message message;

    for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
        char copy[128] = {0};
        memcpy(copy, line, strcspn(line, "\n"));
        if (vm_sim_config_set(c, copy, &message) != 0)
            abort(); /* the texts above are ours */
    }
}

const char *vm_sim_config_preset_name(unsigned i) { return i < PRESETS ? presets[i].name : NULL; }

int vm_sim_config_preset(struct vm_sim_config *config, const char *name)
{
    for (size_t i = 0; i < PRESETS; i++)
        if (strcmp(presets[i].name, name) == 0) {
            memset(config, 0, sizeof *config);
            apply(config, defaults);
            apply(config, presets[i].text);
            snprintf(config->name, sizeof config->name, "%s", name);
            return 0;
        }
    return -ENOENT;
}

/* ---- Reading ---- */

static char *trim(char *text)
{
    char *end = text + strlen(text);

    while (end > text && isspace((unsigned char)end[-1]))
        *--end = '\0';
    return text + strspn(text, " \t");
}

/* section NULL: any. */
static int set_key(struct vm_sim_config *c, const char *section, const char *name, char *value, const char *where,
                   struct vm_sim_message *message)
{
    for (size_t i = 0; i < KEYS; i++) {
        if (strcmp(keys[i].name, name) != 0)
            continue;
        if (section && section[0] && strcmp(keys[i].section, section) != 0) {
            snprintf(message->text, sizeof message->text, "%s'%s' belongs in section [%s], not in [%s]", where, name,
                     keys[i].section, section);
            return -EINVAL;
        }
        char copy[128];
        snprintf(copy, sizeof copy, "%s", value);
        if (keys[i].set(c, value) == 0)
            return 0;
        snprintf(message->text, sizeof message->text, "%s%s = %s: want %s", where, name, copy, keys[i].wants);
        return -EINVAL;
    }
    snprintf(message->text, sizeof message->text, "%sunknown key '%s'", where, name);
    return -EINVAL;
}

int vm_sim_config_set(struct vm_sim_config *config, const char *assignment, struct vm_sim_message *message)
{
    char copy[256], *value, *name, *dot;

    if (strlen(assignment) >= sizeof copy || !strchr(assignment, '=')) {
        snprintf(message->text, sizeof message->text, "'%.100s': want KEY=VALUE", assignment);
        return -EINVAL;
    }
    strcpy(copy, assignment);
    value = strchr(copy, '=');
    *value++ = '\0';
    name = trim(copy);
    dot = strchr(name, '.');
    if (dot)
        *dot = '\0';
    return set_key(config, dot ? name : NULL, dot ? dot + 1 : name, trim(value), "", message);
}

static int parse_line(struct vm_sim_config *c, char *line, char *section, size_t cap, const char *where,
                      struct vm_sim_message *message)
{
    char *value;

    line[strcspn(line, "#;")] = '\0';
    line = trim(line);
    if (*line == '\0')
        return 0;
    if (*line == '[') {
        char *end = strchr(line, ']');
        bool known = false;
        if (end)
            *end = '\0';
        for (size_t i = 0; i < KEYS; i++)
            known |= strcmp(keys[i].section, line + 1) == 0;
        if (!end || end[1] != '\0' || !known || strlen(line + 1) >= cap) {
            snprintf(message->text, sizeof message->text, "%sunknown section [%.40s]", where, line + 1);
            return -EINVAL;
        }
        strcpy(section, line + 1);
        return 0;
    }
    value = strchr(line, '=');
    if (!value) {
        snprintf(message->text, sizeof message->text, "%swant KEY = VALUE or [SECTION], not '%.60s'", where, line);
        return -EINVAL;
    }
    *value++ = '\0';
    return set_key(c, section, trim(line), trim(value), where, message);
}

int vm_sim_config_parse(struct vm_sim_config *config, const char *file, const char *text,
                        struct vm_sim_message *message)
{
    char section[16] = "", where[128];
    unsigned number = 0;

    vm_sim_config_preset(config, presets[0].name);
    for (const char *line = text; *line; number++) {
        char copy[512];
        size_t length = strcspn(line, "\n");
        snprintf(where, sizeof where, "%.100s:%u: ", file, number + 1);
        if (length >= sizeof copy) {
            snprintf(message->text, sizeof message->text, "%sline of more than 511 characters", where);
            return -EINVAL;
        }
        memcpy(copy, line, length);
        copy[length] = '\0';
        if (parse_line(config, copy, section, sizeof section, where, message) != 0)
            return -EINVAL;
        line += length + (line[length] == '\n');
    }
    return 0;
}

int vm_sim_config_read(struct vm_sim_config *config, const char *path, struct vm_sim_message *message)
{
    FILE *f = fopen(path, "r");
    char *text;
    size_t length;
    int error;

    if (!f) {
        error = -errno;
        snprintf(message->text, sizeof message->text, "%.150s: %s", path, strerror(-error));
        return error;
    }
    text = vm_sim_zalloc(FILE_MAX + 1);
    length = fread(text, 1, FILE_MAX, f);
    if (ferror(f) || length == FILE_MAX || strlen(text) != length) {
        error = -EINVAL;
        snprintf(message->text, sizeof message->text, "%.150s: %s", path,
                 ferror(f) ? "cannot be read" : "is no machine description (too long, or not text)");
    } else {
        error = vm_sim_config_parse(config, path, text, message);
    }
    fclose(f);
    free(text);
    return error;
}

/* ---- Is it possible? ---- */

#define IMPOSSIBLE(...) \
    do { \
        snprintf(message->text, sizeof message->text, "impossible machine: " __VA_ARGS__); \
        return -EINVAL; \
    } while (0)

static int check_paging(const struct vm_sim_config *c, struct vm_sim_message *message)
{
    const struct vm_sim_paging_geometry *g = &vm_sim_paging_geometry[c->mode];
    bool paged = c->addressing == VM_SIM_FLAT || c->addressing == VM_SIM_SEG_PAGED;
    const char *why;

    if (paged && c->mode == VM_SIM_PAGING_NONE)
        IMPOSSIBLE("addressing flat and seg-paged need a paging mode");
    if (!paged && c->mode != VM_SIM_PAGING_NONE)
        IMPOSSIBLE("addressing bare and segments have no paging (mode = none)");
    if (c->has_tlb && !paged)
        IMPOSSIBLE("a TLB without paging (tlb = none)");
    if (c->huge && !(g->huge_levels >> 2 & 1))
        IMPOSSIBLE("paging mode %s has no large pages", g->name);
    if (paged && c->memory > (uint64_t)1 << g->physical_bits)
        IMPOSSIBLE("%llu bytes of memory, and entries of %u physical bits (mode %s)", (unsigned long long)c->memory,
                   g->physical_bits, g->name);
    if (c->addressing == VM_SIM_SEG_PAGED && g->linear_bits != 32)
        IMPOSSIBLE("segments have bases of 32 bits; mode %s has %u", g->name, g->linear_bits);
    if (c->shared_directory
        && (c->addressing != VM_SIM_SEG_PAGED || c->mode != VM_SIM_PAGING_2LEVEL || c->max_processes > 64))
        IMPOSSIBLE("a shared directory is for seg-paged, 2level, and at most 64 processes");
    if (c->has_tlb && vm_tlb_config_check(&c->tlb, &why) != 0)
        IMPOSSIBLE("TLB: %s", why);
    return 0;
}

int vm_sim_config_check(const struct vm_sim_config *c, struct vm_sim_message *message)
{
    bool paged = c->addressing == VM_SIM_FLAT || c->addressing == VM_SIM_SEG_PAGED;

    if (c->memory == 0 || (paged && (c->memory < (uint64_t)256 << 10 || c->memory % VM_SIM_PAGE_SIZE)))
        IMPOSSIBLE("%llu bytes of memory; want at least 256K, in whole frames", (unsigned long long)c->memory);
    if (c->memory >= (uint64_t)1 << 44)
        IMPOSSIBLE("16 TiB of memory or more");
    if (paged && c->zones.dma_end >= c->zones.normal_end)
        IMPOSSIBLE("zone DMA ends above zone NORMAL");
    const uint64_t *mark = c->zones.watermark;
    if (paged && mark[2] && (mark[0] == 0 || mark[0] >= mark[1] || mark[1] >= mark[2]))
        IMPOSSIBLE("watermarks %llu %llu %llu; want 0 < MIN < LOW < HIGH", (unsigned long long)mark[0],
                   (unsigned long long)mark[1], (unsigned long long)mark[2]);
    if (paged && c->zones.watermark[2] * VM_SIM_PAGE_SIZE >= c->memory)
        IMPOSSIBLE("the high watermark is all of memory");
    for (size_t i = 0; i < c->swap_count; i++)
        if (c->swap[i].bytes / VM_SIM_PAGE_SIZE < 2 || c->swap[i].bytes / VM_SIM_PAGE_SIZE > VM_SIM_SWAP_SLOTS)
            IMPOSSIBLE("swap area %s of %llu bytes; want 8K to 64G", c->swap[i].name,
                       (unsigned long long)c->swap[i].bytes);
    return check_paging(c, message);
}
