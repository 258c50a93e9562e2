/* Advice on huge pages; see huge.h.  A bit a chunk of the brk heap says that it has been advised other than the system is
   set to: for huge pages where the system asks to be advised, against them where it is always at it. */
#include "page/huge.h"

#include "base/fail.h"
#include "base/lock.h"
#include "os/os.h"
#include "page/zone.h"

#define CHUNKS_MAX ((size_t)1 << 16) /* 128 GiB; what lies higher gets no advice */
#define SYSTEM_UNKNOWN -1

static enum vm_thp_mode mode;          /* const: after start-up */
static int system_is = SYSTEM_UNKNOWN; /* enum vm_thp_system once it is known */

/* All below: guarded by vm_frames_lock. */
static struct vm_thp policy;
static VM_COLD_DATA uint64_t advised[CHUNKS_MAX / 64];

void vm_huge_start(const char *option)
{
    int named = option[0] ? vm_thp_mode_of(option) : VM_THP_AUTO;

    if (named < 0)
        vm_warn("VMALLOC_OPTIONS: thp takes auto, never or always, not '%s'; ignored", option);
    mode = named < 0 ? VM_THP_AUTO : (enum vm_thp_mode)named;
    if (mode == VM_THP_NEVER)
        vm_huge_system(); /* it matters from the first page on */
}

enum vm_thp_mode vm_huge_mode(void) { return mode; }

enum vm_thp_system vm_huge_system(void)
{
    int found = VM_LOAD(&system_is);

    if (found == SYSTEM_UNKNOWN) {
        char text[64];
        found = vm_os.thp_setting(text, sizeof text) ? (int)vm_thp_system_of(text) : VM_THP_SYSTEM_NEVER;
        VM_STORE(&system_is, found);
    }
    return (enum vm_thp_system)found;
}

void vm_huge_mapped(uintptr_t base, size_t bytes)
{
    if (mode == VM_THP_ALWAYS)
        vm_os.huge((void *)base, bytes, true);
    else if (mode == VM_THP_NEVER && vm_huge_system() == VM_THP_SYSTEM_ALWAYS)
        vm_os.huge((void *)base, bytes, false);
}

size_t vm_huge_growth(uintptr_t top, size_t bytes, size_t used)
{
    if (mode == VM_THP_NEVER || (mode == VM_THP_AUTO && used < VM_THP_HEAP_MIN))
        return bytes;
    return vm_align_up(top + bytes, VM_CHUNK_BYTES) - top;
}

static bool in_heap(uintptr_t chunk) { return chunk - vm_brk.base < vm_min(vm_brk.size, CHUNKS_MAX * VM_CHUNK_BYTES); }
static size_t index_of(uintptr_t chunk) { return (chunk - vm_brk.base) >> VM_CHUNK_SHIFT; }
static bool is_advised(uintptr_t chunk) { return advised[index_of(chunk) / 64] >> index_of(chunk) % 64 & 1; }
static bool is_huge(uintptr_t chunk) { return is_advised(chunk) == (vm_huge_system() == VM_THP_SYSTEM_MADVISE); }

/* Refused advice is as good as none: the kernel may lack huge pages, or memory to split a mapping. */
static void set_huge(uintptr_t chunk, bool huge)
{
    if (is_huge(chunk) != huge && vm_os.huge((void *)chunk, VM_CHUNK_BYTES, huge) == 0)
        advised[index_of(chunk) / 64] ^= (uint64_t)1 << index_of(chunk) % 64;
}

bool vm_huge_open(uintptr_t chunk, size_t used, size_t kept)
{
    if (mode != VM_THP_AUTO || (used < VM_THP_HEAP_MIN && VM_LOAD(&system_is) == SYSTEM_UNKNOWN) || !in_heap(chunk)
        || vm_huge_system() == VM_THP_SYSTEM_NEVER)
        return false;
    bool earned = vm_thp_open_chunk(&policy, used, kept, vm_os.now());
    if (earned || vm_huge_system() == VM_THP_SYSTEM_MADVISE) /* else the system's way, not ours */
        set_huge(chunk, earned);
    return earned && is_huge(chunk);
}

bool vm_huge_open_wave(uintptr_t chunk, size_t owed, size_t earned)
{
    if (mode != VM_THP_AUTO || owed + earned < VM_THP_WAVE_MIN || !in_heap(chunk)
        || vm_huge_system() == VM_THP_SYSTEM_NEVER || !vm_thp_open_wave(&policy, owed, earned, vm_os.now()))
        return false;
    set_huge(chunk, true);
    return is_huge(chunk);
}

uint64_t vm_huge_time_touch(uintptr_t address)
{
    uint64_t before = vm_os.cpu_time();

    VM_STORE((unsigned char *)address, 0);
    return vm_os.cpu_time() - before;
}

void vm_huge_touch(uintptr_t address)
{
    uint64_t ns = vm_huge_time_touch(address);

    vm_lock(&vm_frames_lock);
    vm_thp_note_cost(&policy, ns, vm_os.now());
    vm_unlock(&vm_frames_lock);
}

/* Unknown: the heap was never large enough. */
static bool is_at_work(void)
{
    return mode == VM_THP_AUTO && VM_LOAD(&system_is) != SYSTEM_UNKNOWN && vm_huge_system() != VM_THP_SYSTEM_NEVER;
}

bool vm_huge_has(uintptr_t address) { return is_at_work() && in_heap(address) && is_huge(address); }

void vm_huge_break(uintptr_t base, size_t bytes)
{
    for (uintptr_t chunk = vm_align_down(base, VM_CHUNK_BYTES); chunk < base + bytes; chunk += VM_CHUNK_BYTES) {
        bool whole = base <= chunk && chunk + VM_CHUNK_BYTES <= base + bytes;
        if (whole || !vm_huge_has(chunk))
            continue;
        vm_thp_break_chunk(&policy, vm_os.now());
        set_huge(chunk, false);
    }
}

void vm_huge_gone(uintptr_t low, uintptr_t top)
{
    for (uintptr_t chunk = vm_align_down(low, VM_CHUNK_BYTES); chunk < top; chunk += VM_CHUNK_BYTES)
        if (index_of(chunk) < CHUNKS_MAX)
            advised[index_of(chunk) / 64] &= ~((uint64_t)1 << index_of(chunk) % 64);
}
