/* Writing JSON; see json.h.  Short arrays of numbers stay readable because only brackets and keys begin a new line. */
#include "sim/json.h"

#include <inttypes.h>
#include <math.h>

#include "base/fail.h"

static void put_string(FILE *out, const char *text)
{
    putc('"', out);
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == '"' || *p == '\\')
            fprintf(out, "\\%c", *p);
        else if (*p < 0x20 || *p == 0x7f)
            fprintf(out, "\\u%04x", *p);
        else
            putc(*p, out);
    }
    putc('"', out);
}

static void new_line(struct vm_sim_json *j)
{
    if (!j->compact)
        fprintf(j->out, "\n%*s", (int)j->depth * 2, "");
}

/* What stands before a value. */
static void lead(struct vm_sim_json *j, const char *key, bool bracket)
{
    if (j->comma)
        fputs(key || bracket || j->compact ? "," : ", ", j->out);
    if (j->depth && (key || bracket))
        new_line(j);
    if (key) {
        put_string(j->out, key);
        fputs(j->compact ? ":" : ": ", j->out);
    }
    j->comma = true;
}

void vm_sim_json_begin(struct vm_sim_json *j, const char *key, char bracket)
{
    VM_ASSERT(bracket == '{' || bracket == '[');
    lead(j, key, true);
    putc(bracket, j->out);
    j->depth++;
    j->comma = false;
}

void vm_sim_json_end(struct vm_sim_json *j, char bracket)
{
    VM_ASSERT((bracket == '}' || bracket == ']') && j->depth > 0);
    j->depth--;
    if (bracket == '}' && j->comma)
        new_line(j);
    putc(bracket, j->out);
    j->comma = true;
    if (j->depth == 0) {
        putc('\n', j->out);
        j->comma = false;
    }
}

void vm_sim_json_number(struct vm_sim_json *j, const char *key, uint64_t n)
{
    lead(j, key, false);
    fprintf(j->out, "%" PRIu64, n);
}

void vm_sim_json_signed(struct vm_sim_json *j, const char *key, int64_t n)
{
    lead(j, key, false);
    fprintf(j->out, "%" PRId64, n);
}

void vm_sim_json_double(struct vm_sim_json *j, const char *key, double n)
{
    lead(j, key, false);
    if (isfinite(n))
        fprintf(j->out, "%.6g", n);
    else
        fputs("null", j->out);
}

void vm_sim_json_string(struct vm_sim_json *j, const char *key, const char *text)
{
    lead(j, key, false);
    if (text)
        put_string(j->out, text);
    else
        fputs("null", j->out);
}

void vm_sim_json_hex(struct vm_sim_json *j, const char *key, uint64_t n)
{
    lead(j, key, false);
    fprintf(j->out, "\"0x%" PRIx64 "\"", n);
}

void vm_sim_json_bool(struct vm_sim_json *j, const char *key, bool b)
{
    lead(j, key, false);
    fputs(b ? "true" : "false", j->out);
}
