/* Reading what a program that runs with share=1 publishes (report/share.h).  Used by vmalloc stat and rss. */
#ifndef TOOL_SHARED_H
#define TOOL_SHARED_H

#include <sys/types.h>

#include "report/share.h"

#define SHARED_ERROR_MAX 256

/* A copy of the process's page, whole and of one moment.  False with one line in error (no process id in front) when there
   is none, or it is stale: left behind by a program that had the process id before. */
bool shared_read(pid_t pid, struct vm_share_page *page, char error[SHARED_ERROR_MAX]);

/* Nanoseconds since it was published. */
uint64_t shared_age(const struct vm_share_page *page);

#endif
