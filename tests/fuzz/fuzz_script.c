/* Fuzzing target: the script language of `vmalloc sim --script`.  A script ends well or with one line that names file,
   line and column; the machine it leaves keeps every invariant.  So that no input takes minutes, the machine is small
   whatever the script says, and repetitions are cut to three digits. */
#include "fuzz.h"

#include "sim/machine.h"
#include "sim/script.h"

#define SCRIPT_MAX 4096
#define WORDS_BEFORE_COUNTS 3 /* read P WHERE COUNT ... */
#define DIGITS_MAX 3

static bool begins(const char *line, const char *word) { return strncmp(line, word, strlen(word)) == 0; }

/* Cuts each number behind the third word of the line, to one digit where a word `times` is in it. */
static void cut_counts(char *line)
{
    size_t digits_max = strstr(line, "times") ? 1 : DIGITS_MAX, words = 0, length = 0;
    bool number = false;
    char *to = line;

    for (const char *p = line; *p; p++) {
        bool blank = strchr(" \t\r", *p) != NULL;
        if (!blank && length++ == 0)
            number = words++ >= WORDS_BEFORE_COUNTS && *p >= '0' && *p <= '9';
        if (blank)
            length = 0;
        if (blank || !number || (length <= digits_max && *p >= '0' && *p <= '9'))
            *to++ = *p;
    }
    *to = '\0';
}

static void run(char *script, FILE *out)
{
    static const char *const set[] = {"memory=4M", "swap=none", "swap=256K", NULL};
    struct vm_sim_message message = {""};
    struct vm_sim_machine *m = NULL;
    FILE *in = fmemopen(script, strlen(script), "r");

    FUZZ_CHECK(in);
    int error = vm_sim_script_run(&m, "fuzz", in, out, set, &message);
    FUZZ_CHECK(error <= 0 && (error == 0 || begins(message.text, "fuzz:") || !m));
    FUZZ_CHECK(error == 0 || (message.text[0] && !strchr(message.text, '\n')));
    if (m)
        FUZZ_CHECK(vm_sim_machine_check(m));
    vm_sim_machine_free(m);
    fclose(in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static FILE *nowhere;
    char text[SCRIPT_MAX + 1], script[SCRIPT_MAX + 2] = "";

    if (!nowhere)
        nowhere = fopen("/dev/null", "we");
    FUZZ_CHECK(nowhere);
    size = size < SCRIPT_MAX ? size : SCRIPT_MAX;
    for (size_t i = 0; i < size; i++)
        text[i] = (char)(data[i] ? data[i] : ' ');
    text[size] = '\0';
    for (char *line = text, *rest = NULL; (line = strtok_r(line, "\n", &rest)); line = NULL) {
        if (begins(line, "read") || begins(line, "write") || begins(line, "fetch") || begins(line, "take"))
            cut_counts(line);
        strcat(strcat(script, line), "\n");
    }
    if (script[0])
        run(script, nowhere);
    return 0;
}
