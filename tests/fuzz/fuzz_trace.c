/* Fuzzing target: the readers of recorded programs (src/sim/trace, strace) and their player.  The first byte chooses the
   format and what is done with the items, the rest is the file.  What is read can be written in the binary form and read
   back the same; a machine that plays it keeps every invariant. */
#include "fuzz.h"

#include "sim/machine.h"
#include "sim/trace_run.h"

#define ITEMS_MAX 2000
#define BLOCK_MAX ((uint64_t)4 << 20) /* a block is written page by page */

static void check_item(const struct vm_sim_item *item)
{
    FUZZ_CHECK((unsigned)item->kind <= VM_SIM_ITEM_EXIT);
    FUZZ_CHECK(item->kind != VM_SIM_ITEM_REFS || (item->n > 0 && item->n <= VM_SIM_TRACE_BATCH));
    for (size_t i = 0; item->kind == VM_SIM_ITEM_REFS && i < item->n; i++)
        FUZZ_CHECK(item->ref[i].access < VM_SIM_ACCESSES);
    FUZZ_CHECK(!item->name || strlen(item->name) <= 65536);
}

/* What the binary form keeps of an item; references go by tens of thousands, so by their sum. */
static uint64_t sum_of(const struct vm_sim_item *item, uint64_t sum)
{
    sum = sum * 31 + item->kind;
    if (item->kind != VM_SIM_ITEM_REFS)
        return (sum * 31 + item->address) * 31 + item->bytes;
    sum -= item->kind; /* batches are cut elsewhere */
    for (size_t i = 0; i < item->n; i++)
        sum = ((sum * 31 + item->ref[i].offset) * 31 + item->ref[i].access) * 31 + item->ref[i].bytes;
    return sum;
}

/* Reads it all: the number of items, and their sum.  Writes and plays them where those are given. */
static size_t read_all(struct vm_sim_trace *t, struct vm_sim_trace_writer *w, struct vm_sim_player *p, uint64_t *sum,
                       bool *whole)
{
    struct vm_sim_message message = {""};
    struct vm_sim_item item;
    size_t items = 0;
    int more = 1;

    *sum = 0;
    while (items < ITEMS_MAX && (more = vm_sim_trace_next(t, &item, &message)) > 0) {
        items++;
        check_item(&item);
        *sum = item.kind == VM_SIM_ITEM_REFS ? *sum : *sum * 31;
        *sum = sum_of(&item, *sum);
        if (w)
            vm_sim_trace_write(w, &item);
        if (p && (item.kind != VM_SIM_ITEM_MALLOC || item.bytes <= BLOCK_MAX)
            && vm_sim_player_item(p, &item, &message) != 0)
            break;
    }
    FUZZ_CHECK(more >= 0 || message.text[0]);
    *whole = more == 0;
    return items;
}

static struct vm_sim_machine *small_machine(void)
{
    struct vm_sim_message message = {""};
    struct vm_sim_config c;

    FUZZ_CHECK(vm_sim_config_preset(&c, "x86_64") == 0);
    for (const char *const *key = (const char *const[]){"memory=4M", "swap=none", "swap=256K", NULL}; *key; key++)
        FUZZ_CHECK(vm_sim_config_set(&c, *key, &message) == 0);
    struct vm_sim_machine *m = vm_sim_machine_new(&c, &message);
    FUZZ_CHECK(m);
    return m;
}

static void play(struct vm_sim_trace *t)
{
    struct vm_sim_machine *m = small_machine();
    struct vm_sim_player *p = vm_sim_player_new(m);
    uint64_t sum;
    bool whole;

    read_all(t, NULL, p, &sum, &whole);
    FUZZ_CHECK(vm_sim_machine_check(m));
    vm_sim_player_free(p);
    vm_sim_machine_free(m);
}

static void write_and_read_back(struct vm_sim_trace *t)
{
    struct vm_sim_message message = {""};
    char *text = NULL, path[32];
    size_t length = 0;
    uint64_t sum, again;
    bool whole, all;
    FILE *out = open_memstream(&text, &length);

    FUZZ_CHECK(out);
    struct vm_sim_trace_writer *w = vm_sim_trace_writer_new(out);
    read_all(t, w, NULL, &sum, &whole);
    FUZZ_CHECK(vm_sim_trace_writer_end(w) == 0 && fclose(out) == 0);
    int fd = fuzz_file(text, length, path);
    struct vm_sim_trace *copy = vm_sim_trace_open(path, VM_SIM_TRACE_BINARY, &message);
    FUZZ_CHECK(copy);
    read_all(copy, NULL, NULL, &again, &all);
    FUZZ_CHECK(!whole || !all || sum == again);
    vm_sim_trace_close(copy);
    close(fd);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vm_sim_message message = {""};
    char path[32];
    uint64_t sum;
    bool whole;

    if (size == 0)
        return 0;
    int fd = fuzz_file(data + 1, size - 1, path);
    struct vm_sim_trace *t = vm_sim_trace_open(path, (enum vm_sim_trace_format)(data[0] % 5), &message);
    FUZZ_CHECK(t || message.text[0]);
    if (t) {
        switch (data[0] / 5 % 3) {
        case 0: read_all(t, NULL, NULL, &sum, &whole); break;
        case 1: play(t); break;
        default: write_and_read_back(t);
        }
        vm_sim_trace_close(t);
    }
    close(fd);
    return 0;
}
