/* Reading control groups; see cgroup.h. */
#include "os/cgroup.h"

#include <string.h>

#include "base/fmt.h"
#include "os/os.h"

#define MEMBERSHIP_BYTES 4096 /* of /proc/self/cgroup; a line is cut off beyond */
#define VALUE_BYTES 256
#define ROOT_V2 "/sys/fs/cgroup"
#define ROOT_V2_HYBRID "/sys/fs/cgroup/unified" /* beside version 1 */
#define ROOT_V1 "/sys/fs/cgroup"
#define PRESSURE_OF_ALL "/proc/pressure/memory"

static bool read_text(const char *path, char *text, size_t cap)
{
    long n = vm_os.read_file(path, text, cap - 1);

    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* A decimal number; false when there is none at *text, as for "max" and "-1".  *text: behind it and a blank. */
static bool read_number(const char **text, size_t *value)
{
    if (!vm_scan_decimal(text, value))
        return false;
    *text += **text == ' ';
    return true;
}

/* The path of the group with the controller ("" for version 2), "" for the root, from lines "id:controller,controller:path". */
static bool find_path(const char *membership, const char *controller, char path[VM_CGROUP_PATH])
{
    size_t length = strlen(controller);

    for (const char *line = membership; *line; line = strchr(line, '\n') + 1) {
        size_t end = strcspn(line, "\n");
        const char *names = memchr(line, ':', end),
                   *at = names ? memchr(names + 1, ':', end - (size_t)(names + 1 - line)) : NULL;
        if (!line[end])
            return false; /* cut off */
        if (!at)
            continue;
        size_t path_length = (size_t)(line + end - (at + 1));
        for (const char *name = names + 1; name <= at; name += strcspn(name, ",:") + 1)
            if (strcspn(name, ",:") == length && memcmp(name, controller, length) == 0
                && path_length < VM_CGROUP_PATH) {
                memcpy(path, at + 1, path_length);
                path[path_length == 1 ? 0 : path_length] = '\0';
                return true;
            }
    }
    return false;
}

static void lower(size_t *limit, size_t value)
{
    if (value < *limit)
        *limit = value;
}

/* Reads folder/name; a limit that is lower than *limit replaces it. */
static void lower_by_file(size_t *limit, const char *folder, const char *name)
{
    char file[VM_CGROUP_PATH + 64], text[VALUE_BYTES];
    const char *at = text;
    size_t value;

    vm_fmt(file, sizeof file, "%s/%s", folder, name);
    if (read_text(file, text, sizeof text) && read_number(&at, &value))
        lower(limit, value);
}

/* The quota in thousandths of a processor, from "quota period" in one file or in two. */
static void lower_by_quota(size_t *limit, const char *folder, const char *quota_name, const char *period_name)
{
    char file[VM_CGROUP_PATH + 64], text[VALUE_BYTES];
    const char *at = text;
    size_t quota, period;

    vm_fmt(file, sizeof file, "%s/%s", folder, quota_name);
    if (!read_text(file, text, sizeof text) || !read_number(&at, &quota))
        return;
    if (period_name) {
        vm_fmt(file, sizeof file, "%s/%s", folder, period_name);
        at = text;
        if (!read_text(file, text, sizeof text))
            return;
    }
    if (read_number(&at, &period) && period > 0 && quota < SIZE_MAX / 1000)
        lower(limit, quota * 1000 / period);
}

/* From the group at root + path up to the root itself. */
static void each_folder(const char *root, const char *path, void (*f)(const char *folder, struct vm_cgroup *g),
                        struct vm_cgroup *g)
{
    char folder[VM_CGROUP_PATH];
    size_t root_length = strlen(root);

    if (root_length + strlen(path) >= sizeof folder)
        return;
    vm_fmt(folder, sizeof folder, "%s%s", root, path);
    for (;;) {
        f(folder, g);
        char *slash = strrchr(folder, '/');
        if ((size_t)(slash - folder) < root_length)
            return;
        *slash = '\0';
    }
}

static void look_v2(const char *folder, struct vm_cgroup *g)
{
    lower_by_file(&g->memory_max, folder, "memory.max");
    lower_by_file(&g->memory_high, folder, "memory.high");
    lower_by_quota(&g->processors, folder, "cpu.max", NULL);
}

static void look_v1_memory(const char *folder, struct vm_cgroup *g)
{
    lower_by_file(&g->memory_max, folder, "memory.limit_in_bytes");
}

static void look_v1_cpu(const char *folder, struct vm_cgroup *g)
{
    lower_by_quota(&g->processors, folder, "cpu.cfs_quota_us", "cpu.cfs_period_us");
}

void vm_cgroup_read(struct vm_cgroup *g)
{
    char membership[MEMBERSHIP_BYTES], path[VM_CGROUP_PATH];

    *g = (struct vm_cgroup){SIZE_MAX, SIZE_MAX, SIZE_MAX};
    if (!read_text("/proc/self/cgroup", membership, sizeof membership))
        return;
    bool memory_v1 = find_path(membership, "memory", path);
    if (memory_v1)
        each_folder(ROOT_V1 "/memory", path, look_v1_memory, g);
    if (find_path(membership, "cpu", path))
        each_folder(ROOT_V1 "/cpu", path, look_v1_cpu, g);
    if (!memory_v1 && find_path(membership, "", path))
        each_folder(ROOT_V2, path, look_v2, g);
    if (g->memory_max > PTRDIFF_MAX - VM_MIB) /* version 1 says so when there is none, rounded to pages */
        g->memory_max = SIZE_MAX;
}

void vm_cgroup_pressure_file(char path[VM_CGROUP_PATH])
{
    static const char *const roots[] = {ROOT_V2, ROOT_V2_HYBRID};
    char membership[MEMBERSHIP_BYTES], group[VM_CGROUP_PATH];
    uint64_t us;

    if (read_text("/proc/self/cgroup", membership, sizeof membership) && find_path(membership, "", group))
        for (size_t i = 0; i < sizeof roots / sizeof *roots; i++) {
            size_t n = vm_fmt(path, VM_CGROUP_PATH, "%s%s/memory.pressure", roots[i], group);
            if (n < VM_CGROUP_PATH - 1 && vm_cgroup_stalled(path, &us))
                return;
        }
    vm_fmt(path, VM_CGROUP_PATH, "%s", PRESSURE_OF_ALL);
}

bool vm_cgroup_stalled(const char *path, uint64_t *us)
{
    char text[VALUE_BYTES];
    size_t value;

    if (!read_text(path, text, sizeof text) || strncmp(text, "some ", 5) != 0)
        return false;
    const char *at = strstr(text, "total=");
    if (!at)
        return false;
    at += strlen("total=");
    if (!read_number(&at, &value))
        return false;
    *us = value;
    return true;
}
