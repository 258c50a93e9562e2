/* Unit tests of src/api/background and src/os/sleeper in the core under names of its own: ageing and pressure as the
   thread sees them, calls to the system failing under it, and the word it sleeps on.  Each case is this program started
   anew with its options.  Run by `make check`. */
#include "unit.h"

#include "os/os.h"
#include "os/sleeper.h"
#include "page/extent.h"
#include "page/zone.h"
#include "reclaim/limit.h"

int vmt_vmalloc_check(void);

#define MIB ((size_t)1 << 20)
#define PATIENCE 300 /* tenths of a second */

static void *blocks[3000];

static void burst(void)
{
    for (unsigned i = 0; i < 3000; i++)
        CHECK((blocks[i] = vmt_malloc(i % 50 ? 4000 : 200000)) != NULL);
    for (unsigned i = 0; i < 3000; i++)
        vmt_free(blocks[i]);
}

static size_t kept(void) { return vm_frames_kept() + vm_extents_kept(); }

#define UNTIL(cond) \
    do { \
        for (int tenths = 0; !(cond) && tenths < PATIENCE; tenths++) \
            usleep(100000); \
        CHECKF(cond, "after %d s", PATIENCE / 10); \
    } while (0)

static void idle(void)
{
    for (int i = 0; i < 3; i++) {
        burst();
        UNTIL(kept() == 0);
        UNTIL(VM_LOAD(&vm_sleeper) == VM_SLEEPER_ASLEEP);
        CHECK(vmt_vmalloc_check());
    }
}

/* ---- Pressure ---- */

static uint64_t stalled; /* us; atomic */
static uint64_t rate;    /* us more with every look; atomic */

static long fake_read(const char *path, char *buf, size_t cap)
{
    if (strcmp(path, "/proc/pressure/memory") != 0)
        return -ENOENT;
    uint64_t now = __atomic_add_fetch(&stalled, VM_LOAD(&rate), __ATOMIC_RELAXED);
    return snprintf(buf, cap, "some avg10=0.00 avg60=0.00 avg300=0.00 total=%llu\n", (unsigned long long)now);
}

static bool no(void) { return false; }

static void pressed(void)
{
    vm_os.is_confined = no;
    vm_os.read_file = fake_read;
    VM_STORE(&rate, (uint64_t)3600 * 1000000);
    burst();
    UNTIL(kept() == 0); /* though the decay time is an hour */
    /* While it lasts, little is kept from the start. */
    UNTIL(!VM_LOAD(&vm_limits.pressed)); /* nothing is kept: nobody looks */
    burst();
    UNTIL(kept() == 0);
    VM_STORE(&rate, (uint64_t)0);
    CHECK(vmt_vmalloc_check());
}

static void not_pressed(void)
{
    vm_os.is_confined = no;
    vm_os.read_file = fake_read;
    burst();
    usleep(500000);
    CHECK(kept() > MIB);
}

/* ---- Faults: what cannot be returned is looked at again, and nothing is lost ---- */

static int (*real_purge)(void *, size_t), (*real_unmap)(void *, size_t);
static uint32_t refusing; /* atomic */
static uint32_t refusals;

static int fake_purge(void *base, size_t bytes)
{
    if (!VM_LOAD(&refusing))
        return real_purge(base, bytes);
    __atomic_fetch_add(&refusals, 1, __ATOMIC_RELAXED);
    return -ENOMEM;
}

static int fake_unmap(void *base, size_t bytes)
{
    if (!VM_LOAD(&refusing))
        return real_unmap(base, bytes);
    __atomic_fetch_add(&refusals, 1, __ATOMIC_RELAXED);
    return -ENOMEM;
}

static void refused(void)
{
    real_purge = vm_os.purge;
    real_unmap = vm_os.unmap;
    vm_os.purge = fake_purge;
    vm_os.unmap = fake_unmap;
    VM_STORE(&refusing, 1u);
    for (int i = 0; i < 5; i++) {
        burst();
        usleep(50000);
    }
    UNTIL(VM_LOAD(&refusals) > 20);
    CHECK(kept() > MIB);
    VM_STORE(&refusing, 0u);
    UNTIL(kept() == 0);
    UNTIL(VM_LOAD(&vm_sleeper) == VM_SLEEPER_ASLEEP);
    CHECK(vmt_vmalloc_check());
    burst();
    UNTIL(kept() == 0);
}

/* ---- The word ---- */

static void the_word(void)
{
    CHECK(vm_sleeper_lie_down() && vm_sleeper == VM_SLEEPER_ASLEEP);
    vm_sleeper_rouse();
    CHECK(vm_sleeper == VM_SLEEPER_AWAKE);
    vm_sleeper_sleep(); /* it was roused before it slept: it does not */
    CHECK(vm_sleeper_lie_down());
    vm_sleeper_get_up();
    CHECK(vm_sleeper == VM_SLEEPER_AWAKE);
    vm_sleeper_rest(1000);
    CHECK(vm_sleeper == VM_SLEEPER_AWAKE);
    vm_sleeper_rouse();
    vm_sleeper_stop();
    CHECK(!vm_sleeper_lie_down());
    vm_sleeper_sleep();
    vm_sleeper_rest(UINT64_MAX / 4);
    vm_sleeper_get_up();
    CHECK(vm_sleeper == VM_SLEEPER_STOPPED);
}

static const struct part {
    const char *name, *options;
    void (*run)(void);
} parts[] = {
    {"idle", "background=1,decay=20", idle},
    {"idle_without_brk", "background=1,decay=20,brk=0", idle},
    {"pressed", "background=1,decay=3600000", pressed},
    {"not_pressed", "background=1,decay=3600000", not_pressed},
    {"pressure_not_looked_at", "background=1,decay=3600000,pressure=0", not_pressed},
    {"refused", "background=1,decay=20", refused},
    {"the_word", "background=0", the_word},
};

static char *own_name;

static void start_anew(void *arg)
{
    const struct part *p = arg;

    setenv("VMALLOC_OPTIONS", p->options, 1);
    execl("/proc/self/exe", own_name, p->name, (char *)NULL);
    die("cannot start %s anew", own_name);
}

static void every_part(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        printf("%s\n", parts[i].name);
        in_child(start_anew, (void *)(uintptr_t)&parts[i]);
    }
}

int main(int argc, char **argv)
{
    own_name = argv[0];
    for (size_t i = 0; argc == 2 && i < sizeof parts / sizeof *parts; i++)
        if (strcmp(argv[1], parts[i].name) == 0) {
            parts[i].run();
            return 0;
        }
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_part)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
