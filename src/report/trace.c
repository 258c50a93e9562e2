/* Writing of trace=FILE; see trace.h. */
#include "report/trace.h"

#include "base/fail.h"
#include "base/fmt.h"
#include "heap/heap.h"
#include "os/os.h"

#define LINE_MAX 64

int vm_trace_fd = -1;

bool vm_trace_start(const char *path)
{
    if (path[0] == '\0')
        return false;
    vm_trace_fd = vm_os_make_file(path);
    if (vm_trace_fd < 0)
        vm_warn("VMALLOC_OPTIONS: trace: cannot make %s.PID; ignored", path);
    return vm_trace_fd >= 0;
}

void vm_trace_stop(void) { vm_trace_fd = -1; }

void vm_trace_write_alloc(const void *p)
{
    char line[LINE_MAX];

    vm_os_append(vm_trace_fd, line, vm_fmt(line, sizeof line, "m %p %zu\n", p, vm_heap_usable(p, "malloc()", false)));
}

void vm_trace_write_free(const void *p)
{
    char line[LINE_MAX];

    vm_os_append(vm_trace_fd, line, vm_fmt(line, sizeof line, "f %p\n", p));
}
