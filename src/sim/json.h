/* Writing JSON: commas, nesting and escapes in one place.  Keys are constant text. */
#ifndef VM_SIM_JSON_H
#define VM_SIM_JSON_H

#include <stdio.h>

#include "base/base.h"

struct vm_sim_json {
    FILE *out;
    unsigned depth;
    bool comma;
};

void vm_sim_json_begin(struct vm_sim_json *j, const char *key, char bracket); /* '{' or '['; key NULL: in an array */
void vm_sim_json_end(struct vm_sim_json *j, char bracket);
void vm_sim_json_number(struct vm_sim_json *j, const char *key, uint64_t n);
void vm_sim_json_double(struct vm_sim_json *j, const char *key, double n); /* shortest of %.6g; nan: null */
void vm_sim_json_string(struct vm_sim_json *j, const char *key, const char *text);
void vm_sim_json_bool(struct vm_sim_json *j, const char *key, bool b);

#endif
