/* Unit tests of src/sim/elf: this very program's headers, and damaged ones.  Run by `make check`. */
#include "unit.h"

#include <elf.h>

#include "sim/elf.h"

static struct vm_sim_exec_segment segment[16];
static size_t count;
static const char *why;

static void this_program(void **state)
{
    (void)state;
    unsigned texts = 0, datas = 0;

    assert_int_equal(vm_sim_elf_segments("/proc/self/exe", segment, 16, &count, &why), 0);
    assert_true(count >= 2);
    for (size_t i = 0; i < count; i++) {
        assert_true(segment[i].memory_bytes >= segment[i].file_bytes);
        assert_true(i == 0 || segment[i].at >= segment[i - 1].at + segment[i - 1].memory_bytes);
        texts += !!(segment[i].perms & VM_SIM_X);
        datas += !!(segment[i].perms & VM_SIM_W);
    }
    assert_true(texts == 1 && datas >= 1);
    assert_int_equal(vm_sim_elf_segments("/proc/self/exe", segment, 1, &count, &why), -ENOEXEC);
    assert_string_equal(why, "more segments than there is room for");
    assert_int_equal(count, 0);
}

static void one_file(const void *bytes, size_t n, int error, const char *says)
{
    char path[] = "/tmp/test_sim_elf.XXXXXX";
    int fd = mkstemp(path);

    CHECK(fd >= 0 && write(fd, bytes, n) == (ssize_t)n);
    close(fd);
    why = NULL;
    int got = vm_sim_elf_segments(path, segment, 16, &count, &why);
    unlink(path);
    CHECKF(got == error, "%d: %s", got, why ? why : "-");
    CHECK(says ? why && strcmp(why, says) == 0 : why == NULL);
}

struct image {
    Elf32_Ehdr h;
    Elf32_Phdr p[2];
};

static void made_up_files(void **state)
{
    (void)state;
    struct image good = {
        .h = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, EV_CURRENT}, .e_type = ET_EXEC, .e_phnum = 2,
              .e_phoff = sizeof(Elf32_Ehdr), .e_phentsize = sizeof(Elf32_Phdr)},
        .p = {{.p_type = PT_LOAD, .p_vaddr = 0x8048000, .p_filesz = 0x1234, .p_memsz = 0x1234, .p_flags = PF_R | PF_X},
              {.p_type = PT_LOAD, .p_vaddr = 0x804a234, .p_offset = 0x1234, .p_filesz = 0x100, .p_memsz = 0x900,
               .p_flags = PF_R | PF_W}},
    }, bad;

    one_file(&good, sizeof good, 0, NULL);
    assert_int_equal(count, 2);
    assert_int_equal(segment[1].at, 0x804a234);
    assert_int_equal(segment[1].memory_bytes, 0x900);
    assert_int_equal(segment[1].perms, VM_SIM_R | VM_SIM_W);
    one_file(&good, sizeof good - 1, -ENOEXEC, "truncated");
    one_file(&good, 20, -ENOEXEC, "truncated");
    one_file(&good, 3, -ENOEXEC, "no ELF file");
    one_file("#!/bin/sh\necho hello world\n", 27, -ENOEXEC, "no ELF file");
    one_file("", 0, -ENOEXEC, "no ELF file");
    bad = good, bad.h.e_ident[EI_DATA] = ELFDATA2MSB;
    one_file(&bad, sizeof bad, -ENOEXEC, "of the other byte order");
    bad = good, bad.h.e_ident[EI_CLASS] = 7;
    one_file(&bad, sizeof bad, -ENOEXEC, "neither 32 nor 64 bits");
    bad = good, bad.h.e_type = ET_REL;
    one_file(&bad, sizeof bad, -ENOEXEC, "no program");
    bad = good, bad.h.e_phnum = 0;
    one_file(&bad, sizeof bad, -ENOEXEC, "no program headers");
    bad = good, bad.p[0].p_memsz = 5;
    one_file(&bad, sizeof bad, -ENOEXEC, "a segment whose sizes make no sense");
    bad = good, bad.p[1].p_offset = 0;
    one_file(&bad, sizeof bad, -ENOEXEC, "a segment whose place in the file and in memory differ in the page offset");
    bad = good, bad.p[0].p_type = bad.p[1].p_type = PT_NOTE;
    one_file(&bad, sizeof bad, -ENOEXEC, "nothing to load");
    assert_int_equal(vm_sim_elf_segments("/nonexistent/program", segment, 16, &count, &why), -ENOENT);
    assert_string_equal(why, "cannot be opened");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(this_program), cmocka_unit_test(made_up_files)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
