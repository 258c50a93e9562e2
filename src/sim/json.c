/* Writing JSON; see json.h.  Short arrays of numbers stay readable because only brackets and keys begin a new line. */
#include "sim/json.h"

#include <inttypes.h>
#include <math.h>

#include "base/fail.h"

/* Bytes of the character of UTF-8 that begins there; 0: none does, or one that is too long, a surrogate or beyond all. */
static unsigned utf8_length(const unsigned char *p)
{
    unsigned length = *p < 0x80 ? 1 : *p < 0xc2 ? 0 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : *p < 0xf5 ? 4 : 0;

    for (unsigned i = 1; i < length; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xf0 && p[1] < 0x90)) /* too long */
        return 0;
    if ((*p == 0xed && p[1] > 0x9f) || (*p == 0xf4 && p[1] > 0x8f)) /* a surrogate; beyond all */
        return 0;
    return length;
}

/* Names of programs and files may be any bytes; JSON is UTF-8. */
static void put_string(FILE *out, const char *text)
{
    putc('"', out);
    for (const unsigned char *p = (const unsigned char *)text; *p;) {
        unsigned length = utf8_length(p);
        if (length == 0)
            fputs("\\ufffd", out);
        else if (*p == '"' || *p == '\\')
            fprintf(out, "\\%c", *p);
        else if (*p < 0x20 || *p == 0x7f)
            fprintf(out, "\\u%04x", *p);
        else
            fwrite(p, 1, length, out);
        p += length ? length : 1;
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
