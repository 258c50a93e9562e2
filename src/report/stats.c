/* Finding the area for stats=1 and stats=FILE; see stats.h.  Called once, by start-up. */
#include "report/stats.h"

#include <string.h>
#include <sys/mman.h>

#include "base/counts.h"
#include "base/fail.h"
#include "heap/count.h"
#include "os/os.h"

#define BYTES_MAX (64 * VM_MIB) /* of a file */
#define OWN_BYTES (2 * VM_MIB)  /* some 800 threads; untouched pages cost nothing */

static void start_in(void *area, size_t bytes)
{
    char command[16];

    vm_os_process_name(command);
    if (!area)
        vm_warn("VMALLOC_OPTIONS: stats: no memory to count in; ignored");
    else if (!vm_counts_start(area, bytes, command))
        vm_warn("VMALLOC_OPTIONS: stats: no room in the file or memory to count in; ignored");
}

void vm_stats_start(const char *option)
{
    size_t bytes = BYTES_MAX;

    if (option[0] == '\0' || strcmp(option, "0") == 0)
        return;
    if (strcmp(option, "1") == 0) {
        start_in(vm_os.map(OWN_BYTES, PROT_READ | PROT_WRITE), OWN_BYTES);
    } else {
        void *file = vm_os_map_file(option, &bytes);
        if (file)
            start_in(file, bytes);
        else
            vm_warn("VMALLOC_OPTIONS: stats: cannot map %s; ignored", option);
    }
}
