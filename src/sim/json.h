/* Writing JSON: commas, nesting, lines and escapes in one place.  Keys are constant text.  A struct of zeros with `out`
   set is ready. */
#ifndef VM_SIM_JSON_H
#define VM_SIM_JSON_H

#include <stdio.h>

#include "base/base.h"

struct vm_sim_json {
    FILE *out;
    unsigned depth;
    bool comma;   /* something stands before in this bracket */
    bool compact; /* all on one line */
};

void vm_sim_json_begin(struct vm_sim_json *j, const char *key, char bracket); /* '{' or '['; key NULL: in an array */
void vm_sim_json_end(struct vm_sim_json *j, char bracket); /* '}' or ']'; a line ends after the outermost one */
void vm_sim_json_number(struct vm_sim_json *j, const char *key, uint64_t n);
void vm_sim_json_signed(struct vm_sim_json *j, const char *key, int64_t n);
void vm_sim_json_double(struct vm_sim_json *j, const char *key, double n); /* shortest of %.6g; nan, inf: null */
void vm_sim_json_string(struct vm_sim_json *j, const char *key, const char *text); /* NULL: null */
void vm_sim_json_hex(struct vm_sim_json *j, const char *key, uint64_t n); /* "0x2a": addresses do not fit a double */
void vm_sim_json_bool(struct vm_sim_json *j, const char *key, bool b);

#endif
