/* Unit tests of src/os/redirect: functions written out, so that their first instructions are known, jump elsewhere or stay as
   they are, byte for byte; with a second thread, without /proc, and confined.  Run by `make check`. */
#include "unit.h"

#include "os/os.h"
#include "os/redirect.h"

#define BYTES 16 /* of every function; none is longer */
#define PAD 4    /* bytes of endbr64, and of hint #34 */

int first_long(void), padded(void), relative(void), compared(void), other(void); /* 1, 2 */
extern char first_short[], signs[], trapped[];                                   /* are not called */

/* clang-format off */
#define BEGIN(name) ".p2align 4\n.globl " #name "\n.type " #name ", %function\n" #name ":\n"
#if defined(__x86_64__)
__asm__(".text\n"
        BEGIN(first_long) "movq $1, %rax\nret\n"
        BEGIN(padded) "endbr64\nmovq $1, %rax\nret\n"
        BEGIN(relative) "movq .Lone(%rip), %rax\nret\n"
        BEGIN(compared) "cmpq $0x400, %rdi\nmovl $1, %eax\nret\n"
        BEGIN(other) "movl $2, %eax\nret\n"
        BEGIN(first_short) "xorl %eax, %eax\nmovq $1, %rax\nret\n"
        BEGIN(signs) "pushq %rbp\nmovq $1, %rax\npopq %rbp\nret\n"
        BEGIN(trapped) "int3\n.byte 0xc7, 0xc0, 1, 0, 0, 0\nret\n" /* a breakpoint on movq $1, %rax */
        ".p2align 4\n.Lone: .quad 1\n");
#else
__asm__(".text\n"
        BEGIN(first_long) "mov w0, #1\nret\n"
        BEGIN(padded) "hint #34\nmov w0, #1\nret\n"
        BEGIN(relative) "ldr w0, .Lone\nret\n"
        BEGIN(compared) "cmp x0, #1024\nmov w0, #1\nret\n"
        BEGIN(other) "mov w0, #2\nret\n"
        BEGIN(first_short) "nop\nmov w0, #1\nret\n"
        BEGIN(signs) "hint #25\nmov w0, #1\nhint #29\nret\n"
        BEGIN(trapped) "brk #5\nmov w0, #1\nret\n"
        ".p2align 4\n.Lone: .word 1\n");
#endif
/* clang-format on */

/* An emulator, and a sanitizer that watches threads, have threads of their own. */
static bool is_alone(void)
{
    char status[4096] = "";
    FILE *file = fopen("/proc/self/status", "r");

    CHECK(file);
    status[fread(status, 1, sizeof status - 1, file)] = '\0';
    fclose(file);
    return strstr(status, "\nThreads:\t1\n") != NULL;
}

static void refused(const void *function)
{
    char before[BYTES];

    memcpy(before, function, BYTES);
    CHECK(!vm_redirect((void *)(uintptr_t)function, (const void *)other));
    CHECK(memcmp(before, function, BYTES) == 0);
}

static void redirected(int (*volatile function)(void), size_t pad)
{
    unsigned char before[BYTES];
    const unsigned char *code = (const unsigned char *)(uintptr_t)function;

    memcpy(before, code, BYTES);
    CHECK(function() == 1);
    bool done = vm_redirect((void *)(uintptr_t)function, (const void *)other);
    CHECK(done == is_alone());
    CHECK(function() == (done ? 2 : 1));
    CHECK(memcmp(before, code, pad) == 0 && memcmp(before + pad + 5, code + pad + 5, BYTES - pad - 5) == 0);
}

CHILD_CASE(room_for_the_jump)
{
    redirected(first_long, 0);
    redirected(padded, PAD);
    redirected(relative, 0);
    redirected(compared, 0);
}

CHILD_CASE(no_room)
{
    refused(first_short);
    refused(signs);
    refused(trapped);
}

/* A jump of 2^40 bytes is none. */
CHILD_CASE(too_far)
{
    char before[BYTES];

    memcpy(before, (const void *)first_long, BYTES);
    CHECK(!vm_redirect((void *)first_long, (const void *)((uintptr_t)first_long + ((uintptr_t)1 << 40))));
    CHECK(memcmp(before, (const void *)first_long, BYTES) == 0);
}

static void *waits(void *lock)
{
    pthread_mutex_lock(lock);
    pthread_mutex_unlock(lock);
    return NULL;
}

CHILD_CASE(with_another_thread)
{
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_t thread;

    pthread_mutex_lock(&lock);
    CHECK(pthread_create(&thread, NULL, waits, &lock) == 0);
    refused((const void *)first_long);
    pthread_mutex_unlock(&lock);
    pthread_join(thread, NULL);
}

static long reads_nothing(const char *path, char *buf, size_t cap)
{
    (void)path, (void)buf, (void)cap;
    return -ENOENT;
}

CHILD_CASE(without_proc)
{
    vm_os.read_file = reads_nothing;
    refused((const void *)first_long);
}

static bool yes(void) { return true; }

CHILD_CASE(confined)
{
    vm_os.is_confined = yes;
    refused((const void *)first_long);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CHILD_TEST(room_for_the_jump),
        CHILD_TEST(no_room),
        CHILD_TEST(too_far),
        CHILD_TEST(with_another_thread),
        CHILD_TEST(without_proc),
        CHILD_TEST(confined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
