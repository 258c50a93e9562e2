/* The reader of share=1's page; see shared.h.  The file may be anybody's: it is opened without following links, read rather
   than mapped, and believed only when it is the process's own. */
#include "tool/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tool/procfs.h"

#define TRIES 50
#define PAUSE_NS 1000000 /* between them */

static bool say(char *error, const char *path, const char *why)
{
    snprintf(error, SHARED_ERROR_MAX, "%s: %s", path, why);
    return false;
}

/* Does the process map the very file?  It does not when a program that ended, or that was replaced by exec, left it.
   Its list of mappings may be closed to us: then the answer is yes. */
static bool is_mapped(pid_t pid, const struct stat *st)
{
    char path[64], line[4096];
    uint64_t inode;
    bool found = false, any = false;

    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    FILE *maps = fopen(path, "re");
    if (!maps)
        return errno == EACCES || errno == EPERM;
    while (!found && fgets(line, sizeof line, maps)) {
        any = true;
        found = sscanf(line, "%*x-%*x %*s %*x %*x:%*x %" SCNu64, &inode) == 1 && inode == st->st_ino
                && strstr(line, VM_SHARE_PATH);
    }
    bool closed = !any && ferror(maps);
    fclose(maps);
    return found || closed;
}

/* A copy during which the process did not write. */
static bool read_whole(int fd, struct vm_share_page *page)
{
    struct timespec pause = {0, PAUSE_NS};
    struct vm_share_page again;

    for (int i = 0; i < TRIES; i++) {
        if (pread(fd, page, sizeof *page, 0) != sizeof *page || pread(fd, &again, sizeof again, 0) != sizeof again)
            return false;
        if (page->turn % 2 == 0 && memcmp(page, &again, sizeof again) == 0)
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

bool shared_read(pid_t pid, struct vm_share_page *page, char error[SHARED_ERROR_MAX])
{
    char path[64];
    struct stat st;

    snprintf(path, sizeof path, "%s.%d", VM_SHARE_PATH, (int)pid);
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return say(error, path,
                   errno == ENOENT ? "No such file: VMALLOC_OPTIONS=share=1 was not set when the program started"
                                   : strerror(errno));
    bool sound = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_uid == geteuid() || geteuid() == 0)
                 && (st.st_mode & 022) == 0 && read_whole(fd, page);
    close(fd);
    if (!sound || memcmp(page->magic, VM_SHARE_MAGIC, sizeof page->magic) != 0 || page->pid != (uint64_t)pid)
        return say(error, path, "not a page that share=1 publishes, or damaged");
    if (page->format != VM_SHARE_FORMAT || page->bytes != sizeof *page)
        return say(error, path, "of another format than this command reads");
    if (kill(pid, 0) != 0 && errno == ESRCH)
        return say(error, path, "stale: its process has ended");
    if (!is_mapped(pid, &st))
        return say(error, path, "stale: left behind by another program that had this process id");
    if (page->written == 0)
        return say(error, path, "nothing was published yet");
    page->version[sizeof page->version - 1] = '\0';
    procfs_make_printable(page->version, PROCFS_ASCII);
    return true;
}

uint64_t shared_age(const struct vm_share_page *page)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    uint64_t now = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    return now > page->written ? now - page->written : 0;
}
