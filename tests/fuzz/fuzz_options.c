/* Fuzzing target: VMALLOC_OPTIONS (src/base/options).  Whatever the text, every number stays in its range, every string
   is ended, as many lines are written as there are warnings, and each of them is one short line of ours. */
#include "fuzz.h"

#include "base/options.h"

/* Reads the text with stderr going to a file; what it wrote is in line[0..cap). */
static int read_quietly(const char *text, char *written, size_t cap)
{
    static int file = -1;
    int saved = dup(STDERR_FILENO);

    if (file < 0)
        file = memfd_create("stderr", MFD_CLOEXEC);
    FUZZ_CHECK(file >= 0 && ftruncate(file, 0) == 0 && lseek(file, 0, SEEK_SET) == 0);
    dup2(file, STDERR_FILENO);
    int warnings = vm_options_read(text);
    if (saved >= 0) { /* the fuzzer may have closed it */
        dup2(saved, STDERR_FILENO);
        close(saved);
    }
    ssize_t got = pread(file, written, cap - 1, 0);
    FUZZ_CHECK(got >= 0);
    written[got] = '\0';
    return warnings;
}

static void check_lines(const char *written, int warnings)
{
    static const char start[] = "libvmalloc: VMALLOC_OPTIONS: ";
    int lines = 0;

    while (*written) {
        size_t length = strcspn(written, "\n");
        FUZZ_CHECK(written[length] == '\n' && length < 512);
        FUZZ_CHECK(strncmp(written, start, sizeof start - 1) == 0);
        written += length + 1;
        lines++;
    }
    FUZZ_CHECK(lines == warnings);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct vm_options fresh;
    static bool have_fresh;
    static char text[2048], written[1 << 20];

    if (!have_fresh)
        fresh = vm_options;
    have_fresh = true;
    vm_options = fresh;
    size = size < sizeof text ? size : sizeof text - 1;
    memcpy(text, data, size);
    text[size] = '\0';
    check_lines(written, read_quietly(text, written, sizeof written));
#define OPTION(name, init, low, high, help) \
    FUZZ_CHECK(vm_options.name + 1 >= (size_t)(low) + 1 && vm_options.name <= (size_t)(high));
#define OPTION_STRING(name, help) FUZZ_CHECK(memchr(vm_options.name, '\0', sizeof vm_options.name) != NULL);
#include "base/options.def"
#undef OPTION
#undef OPTION_STRING
    return 0;
}
