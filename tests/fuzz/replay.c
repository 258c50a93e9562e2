/* Gives a fuzzing target the inputs kept for it, one after the other, without a fuzzer: so `make check` repeats every crash
   that was ever found, with any compiler and sanitizer.

   Usage: fuzz_NAME [FILE|FOLDER...]   (default: the folder tests/fuzz/NAME of the sources; `make check` sets srcdir) */
#include "fuzz.h"

#include <dirent.h>
#include <sys/stat.h>

static size_t played;

static void play_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *data = NULL;
    size_t size = 0, got;

    if (!f) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        exit(1);
    }
    do {
        data = realloc(data, size + 65536);
        FUZZ_CHECK(data);
        size += got = fread(data + size, 1, 65536, f);
    } while (got > 0);
    fclose(f);
    printf("%s: %zu bytes\n", path, size);
    fflush(stdout); /* the last line names what crashed */
    /* A copy of just this size: a sanitizer sees who reads behind it. */
    uint8_t *exact = malloc(size ? size : 1);
    FUZZ_CHECK(exact);
    memcpy(exact, data, size);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    free(data);
    played++;
}

static void play(const char *path)
{
    struct dirent **entry;
    struct stat st;

    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
        play_file(path);
        return;
    }
    int count = scandir(path, &entry, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        char name[4096];
        snprintf(name, sizeof name, "%s/%s", path, entry[i]->d_name);
        if (entry[i]->d_name[0] != '.')
            play_file(name);
        free(entry[i]);
    }
    if (count >= 0)
        free(entry);
}

int main(int argc, char **argv)
{
    const char *sources = getenv("srcdir"), *name = strrchr(program_invocation_short_name, '_');
    char folder[4096];

    for (int i = 1; i < argc; i++)
        play(argv[i]);
    if (argc < 2) {
        snprintf(folder, sizeof folder, "%s/tests/fuzz/%s", sources ? sources : ".", name ? name + 1 : "");
        play(folder);
    }
    printf("%zu inputs\n", played);
    return played > 0 ? 0 : 1;
}
