/* Never calls malloc itself, only functions of libc that do.  Linked statically, libvmalloc.a must be told to come in
   (-Wl,-u,malloc), or libc's own malloc does: the linker looks into an archive once, for what is missing by then. */
#define _GNU_SOURCE
#include <stdio.h>

int main(void)
{
    char text[8192] = "", *line = NULL;
    size_t room = 0;
    FILE *f = fopen("/proc/self/maps", "r"), *out = fmemopen(text, sizeof text, "w");

    if (!f || !out)
        return 1;
    while (getline(&line, &room, f) > 0)
        fputs(line, out);
    fclose(f);
    return fclose(out) != 0 || text[0] == '\0';
}
