/* VMALLOC_OPTIONS, read once at start-up and constant from then on; options.def is the list. */
#ifndef VM_OPTIONS_H
#define VM_OPTIONS_H

#include "base/base.h"

struct vm_options {
#define OPTION(name, init, low, high, help) size_t name;
#define OPTION_STRING(name, help) char name[256];
#include "base/options.def"
#undef OPTION
#undef OPTION_STRING
};

/* const: after vm_options_read(). */
extern struct vm_options vm_options;

/* Reads "key=value,key=value" into vm_options.  Whatever it cannot use is warned about in one line each and leaves the
   default in place.  NULL leaves all defaults.  Returns the number of warnings. */
int vm_options_read(const char *text);

#endif
