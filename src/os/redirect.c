/* See redirect.h.  Nothing is kept here; called by start-up alone.

   The jump replaces the first instruction (after a landing pad, which stays) and none but that, so that nobody comes back
   into the middle of it: no branch, and no probe of the kernel's (uprobes(7)), which runs the instruction that the file has
   there and goes on behind it. */
#include "os/redirect.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/os.h"

#if defined(__x86_64__)

#define JUMP 5

/* Length of the landing pad; -1 when the instruction behind it is none of these, all of seven bytes: mov or lea with an
   address relative to the next instruction, mov and arithmetic of a register with 32 bits (Intel SDM vol. 2, 2.1, 2.2). */
static int offset_of_jump(const uint8_t *code)
{
    static const uint8_t endbr64[] = {0xf3, 0x0f, 0x1e, 0xfa};
    int at = memcmp(code, endbr64, sizeof endbr64) == 0 ? (int)sizeof endbr64 : 0;
    uint8_t rex = code[at], opcode = code[at + 1], modrm = code[at + 2];

    if ((rex & 0xf8) != 0x48)
        return -1;
    bool relative = (opcode == 0x8b || opcode == 0x8d) && (modrm & 0xc7) == 0x05;
    bool immediate = (opcode == 0xc7 && (modrm & 0xf8) == 0xc0) || (opcode == 0x81 && (modrm & 0xc0) == 0xc0);
    return relative || immediate ? at : -1;
}

static bool make_jump(uint8_t *jump, intptr_t distance)
{
    int32_t from_next = (int32_t)(distance - JUMP);

    jump[0] = 0xe9; /* jmp rel32 */
    memcpy(jump + 1, &from_next, sizeof from_next);
    return from_next == distance - JUMP;
}

#elif defined(__aarch64__)

#define JUMP 4

static uint32_t instruction_at(const uint8_t *code)
{
    uint32_t word;

    memcpy(&word, code, sizeof word);
    return word;
}

/* As above; -1 for another hint (one that signs the return address does not bear repeating) and for BRK (Arm ARM, C4.1). */
static int offset_of_jump(const uint8_t *code)
{
    uint32_t first = instruction_at(code);
    int at = first == 0xd503245f || first == 0xd50324df ? JUMP : 0; /* BTI c, BTI jc */
    uint32_t word = instruction_at(code + at);

    return (word & 0xfffff01f) == 0xd503201f || (word & 0xffe0001f) == 0xd4200000 ? -1 : at;
}

static bool make_jump(uint8_t *jump, intptr_t distance)
{
    uint32_t word = 0x14000000 | ((uint32_t)(distance / JUMP) & 0x03ffffff); /* B imm26 */

    memcpy(jump, &word, sizeof word);
    return labs(distance) < 128 * (long)VM_MIB;
}

#endif

/* Another one might be at the very instruction. */
static bool is_alone(void)
{
    char status[4096];
    long n = vm_os.read_file("/proc/self/status", status, sizeof status - 1);

    status[n > 0 ? n : 0] = '\0';
    return strstr(status, "\nThreads:\t1\n") != NULL;
}

/* What is read first tells that the file is of this process' memory: not of an emulator's. */
static bool write_code(uint8_t *at, const uint8_t *jump)
{
    uint8_t before[JUMP];
    int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);

    if (fd < 0)
        return false;
    bool written = vm_os_read_at(fd, before, JUMP, (uintptr_t)at) == JUMP && memcmp(before, at, JUMP) == 0
                   && pwrite(fd, jump, JUMP, (off_t)(uintptr_t)at) == JUMP;
    close(fd);
    __builtin___clear_cache((char *)at, (char *)at + JUMP);
    return written && memcmp(at, jump, JUMP) == 0;
}

bool vm_redirect(void *function, const void *to)
{
    uint8_t jump[JUMP], *code = function;
    int at = offset_of_jump(code);

    return at >= 0 && make_jump(jump, (intptr_t)to - (intptr_t)(code + at)) && !vm_os.is_confined() && is_alone()
           && write_code(code + at, jump);
}
